"""``mapproof explore``: count reachable states."""

from __future__ import annotations

from time import monotonic
from typing import Any

import click

from mapproof.model.language import Design

from ..catalog import Catalog
from ..progress import Progress
from .options import JSON, SCOPE
from .session import scopes_of, watched


@click.command()
@click.argument("design")
@SCOPE
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=5_000_000,
    show_default=True,
    help="Stop after so many states.",
)
@JSON
def explore(design: str, sizes: dict[str, int], limit: int, as_json: bool) -> int:
    """Count the reachable states of a design at a scope, exactly, without a solver."""
    from mapproof.proofs.explore import Explored
    from mapproof.proofs.explore import explore as count

    target = Catalog().target(design)
    (chosen,) = scopes_of([target], sizes)
    subject: Design[Any] = target.design

    def counted(progress: Progress) -> Explored:
        def told(states: int, depth: int) -> None:
            progress(f"{subject.name}: {states} states, depth {depth}")

        return count(subject, subject.scope_at(chosen), limit, told)

    started = monotonic()
    found = watched(target.file, counted)
    if as_json:
        from ..jsonout import explored_json

        click.echo(explored_json(found))
    else:
        states = f"{found.states} reachable states"
        if not found.complete:
            states = f"at least {found.states} reachable states (stopped at --limit)"
        click.echo(
            f"{found.design} at {found.scope}\n"
            f"  {states}, depth {found.depth}, {monotonic() - started:.2f} s"
        )
    return 0 if found.complete else 3
