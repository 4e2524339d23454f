"""``mapproof mutate``: slips, and which property notices."""

from __future__ import annotations

import click

from ..catalog import Catalog
from .options import JSON, timeout_option
from .session import start_solvers, watched


@click.command()
@click.argument("design")
@timeout_option(10.0, "Seconds for each question about a mutant that goes to a solver.")
@JSON
def mutate(design: str, timeout: float, as_json: bool) -> int:
    """Make slips in a design, one at a time: which does a property catch?

    The exit code is 0 if at least 90 % of those that matter are caught, else 1.
    """
    start_solvers()
    from mapproof.proofs.mutation import Mutation
    from mapproof.proofs.mutation import mutate as judge

    from ..mutation_text import mutation_json, mutation_text

    target = Catalog().target(design)
    found: Mutation = watched(target.file, lambda tell: judge(target.design, timeout, tell))
    click.echo(mutation_json(found) if as_json else mutation_text(found))
    return 0 if found.enough else 1
