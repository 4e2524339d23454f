"""``mapproof audit``: page tables of a real kernel."""

from __future__ import annotations

from pathlib import Path

import click

from ..running import interruptible
from .options import GRAPH, JSON


@click.command()
@click.argument("snapshots", nargs=-1, required=True, metavar="SNAPSHOT [SNAPSHOT]")
@click.option("--only", multiple=True, metavar="PROPERTY", help="Evaluate this one (repeatable).")
@click.option("--skip", multiple=True, metavar="PROPERTY", help="Leave this one out (repeatable).")
@click.option("--all", "every", is_flag=True, help="List all violating mappings.")
@click.option("--figures", is_flag=True, help="Show what is mapped where, and how.")
@click.option("--save", metavar="F", help="Write what was read as a compact snapshot, F.ptsnap.xz.")
@click.option(
    "--registers",
    metavar="F",
    help="SNAPSHOT is raw memory; F has CR3 and CR4, as QEMU prints them.",
)
@JSON
@GRAPH
def audit(
    snapshots: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    every: bool,
    figures: bool,
    save: str | None,
    registers: str | None,
    as_json: bool,
    graph: Path | None,
) -> int:
    """Evaluate properties on the page tables of a real kernel, or compare two snapshots.

    SNAPSHOT is a .ptsnap file, an ELF or compressed kdump dump, or /proc/kcore.

    Exit codes: 0 every property holds, 1 one is violated, 2 no snapshot, 3 some tables are unreadable.
    """
    from ..audit_command import run

    return interruptible(
        lambda: run(
            snapshots,
            only=only,
            skip=skip,
            as_json=as_json,
            every=every,
            figures=figures,
            graph=graph,
            save=save,
            registers=registers,
        )
    )
