"""``mapproof export``: claims for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from ..catalog import Catalog
from ..loading import told_plainly
from ..running import interruptible
from .options import SCOPE
from .session import scopes_of


@click.command()
@click.argument("target")
@click.option(
    "--to",
    "kind",
    type=click.Choice(["smt2", "aiger", "btor2"]),
    required=True,
    help="Obligations for any size, or the system at a scope in bits or in words.",
)
@SCOPE
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE_OR_DIR",
    help="Where to write; a name without ending is a folder. Default: standard output.",
)
def export(target: str, kind: str, sizes: dict[str, int], output: Path | None) -> int:
    """Write the claims of a design for other tools.

    smt2: one SMT-LIB script for each cell of the proof, unsatisfiable where the cell is met.
    aiger, btor2: for each property a circuit whose bad state is a violation; *.aag is AIGER as text.
    """
    from ..exporting import exported, save

    chosen = Catalog().target(target)
    (scope,) = scopes_of([chosen], sizes)
    with told_plainly(chosen.file):
        documents = interruptible(lambda: exported(chosen, kind, scope, output))
    paths = save(documents, kind, output)
    for path in paths:
        click.echo(path)
    if not paths:
        click.echo(documents[0].content, nl=False)
    return 0
