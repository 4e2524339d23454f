"""``mapproof promise``: what holds whenever a function returns."""

from __future__ import annotations

import click

from mapproof.model.language import DesignError

from ..catalog import Catalog, Target
from ..loading import suggestion
from .options import JSON, timeout_option
from .session import start_solvers, watched


@click.command()
@click.argument("name", metavar="[DESIGN::]OPERATION")
@click.option("--design", metavar="TARGET", help="The design, unless it is in OPERATION.")
@timeout_option(20.0, "Seconds for the proofs.")
@JSON
def promise(name: str, design: str | None, timeout: float, as_json: bool) -> int:
    """Say what holds whenever an operation or a procedure returns.

    The text is a comment for the kernel function; its facts are proved for any size.

    OPERATION alone will do where one design has it.

    Exit codes: 0 every fact is settled, 2 bad usage, 3 a candidate was left open.
    """
    start_solvers()
    from mapproof.proofs.promise import Promise
    from mapproof.proofs.promise import promise as promised

    from ..promise_text import promise_json, promise_text

    catalog = Catalog()
    target, operation = _operation(catalog, name, design)
    found: Promise = watched(
        target.file, lambda tell: promised(target.design, operation, timeout, tell)
    )
    click.echo(promise_json(found) if as_json else promise_text(found))
    return 3 if found.unsettled else 0


def _operation(catalog: Catalog, name: str, design: str | None) -> tuple[Target, str]:
    """The design and the name of the operation; DesignError if it does not say which design."""
    front, _, operation = name.rpartition("::")
    if front and design:
        raise click.BadParameter(f"{name} names a design already", param_hint="--design")
    if front or design:
        return catalog.target(front or design or ""), operation
    having: dict[str, list[str]] = {}
    for d in catalog.designs.values():
        for own in (*(o.name for o in d.operations), *(p.name for p in d.procedures)):
            having.setdefault(own, []).append(d.name)
    found = having.get(operation, [])
    if len(found) == 1:
        return catalog.target(found[0]), operation
    if not found:
        hint = suggestion(operation, having)
        raise DesignError(f"no built-in design has an operation {operation}{hint}")
    named = ", ".join(f"{design}::{operation}" for design in found)
    raise DesignError(f"{operation} is in {len(found)} designs, say which: {named}")
