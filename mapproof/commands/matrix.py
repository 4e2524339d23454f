"""``mapproof matrix``: pairs of systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import CACHE, DEPTH, JSON, grid, processes_option, timeout_option
from .session import chosen_solvers, complain

if TYPE_CHECKING:
    from mapproof.proofs.worker import Solvers


@click.command()
@click.argument("names", nargs=-1, metavar="[DESIGN] [SYSTEM]...")
@DEPTH
@timeout_option(10.0, "Seconds for the proofs of a pair, and for each search.")
@CACHE
@processes_option("Pairs that are looked at side by side.")
@click.option("--traces", is_flag=True, help="Print every run in full, as check does.")
@click.option("--proofs", is_flag=True, help="Print what proves each claim of each cell.")
@JSON
@click.option("--graph", metavar="F", callback=grid, help="Draw it: F.svg, F.png or F.html.")
def matrix(
    names: tuple[str, ...],
    cache: str,
    cache_dir: str | None,
    as_json: bool,
    **how: Any,
) -> int:
    """Say which properties of one system survive the operations of another.

    Of DESIGN, which composes systems on one state, every pair is looked at alone. Without SYSTEM it
    is all of them, without DESIGN every built-in design that has them.

    \b
    Exit codes:
      0  every claim of every cell is proved
      1  a cell is broken
      2  bad usage, no such design or system
      3  a cell is not settled
    """
    from ..matrix_command import run

    def solvers() -> Solvers:
        """Each process has its own, and one cache with the others."""
        pool, kept = chosen_solvers(cache, cache_dir)
        if kept is not None and kept.complaint:
            complain(kept.complaint)
        return pool

    return run(names, solvers=solvers, as_json=as_json, **how)
