"""``mapproof list``, ``explain`` and ``doctor``: what there is, and whether it works."""

from __future__ import annotations

import click

from ..catalog import Catalog


@click.command(name="list")
@click.argument(
    "kind",
    required=False,
    type=click.Choice(["designs", "properties", "operations", "defects", "systems", "costs"]),
)
def list_(kind: str | None) -> int:
    """List the built-in designs, properties, operations, systems and costs, and the ledger."""
    from ..explain import KINDS, listing

    click.echo(listing(Catalog(), (kind,) if kind else KINDS))
    return 0


@click.command()
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="Not only the system of that name.")
def explain(name: str, everything: bool) -> int:
    """Explain a system, a property, an operation, a design, a defect or a verdict."""
    from ..explain import explanation

    click.echo(explanation(Catalog(), name, everything=everything))
    return 0


@click.command()
def doctor() -> int:
    """Show versions and run a self-test."""
    from ..doctor import report

    said, sound = report()
    click.echo(said)
    return 0 if sound else 3
