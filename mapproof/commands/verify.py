"""``mapproof verify``: certificates, checked again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ..catalog import Catalog
from ..loading import told_plainly
from ..progress import Progress
from ..running import interruptible
from .options import JSON, timeout_option
from .session import start_solvers


@click.command()
@click.argument("certificates", nargs=-1, required=True, metavar="CERTIFICATE...")
@click.option("--design", "target", metavar="TARGET", help="The design that they must be about.")
@click.option(
    "--solver",
    "solvers",
    multiple=True,
    type=click.Choice(["cvc5", "z3"]),
    help="Who solves each obligation (may be repeated); otherwise the one that did not find it.",
)
@timeout_option(60.0, "Seconds for each certificate.")
@JSON
def verify(
    certificates: tuple[str, ...],
    target: str | None,
    solvers: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> int:
    """Check certificates again, with solvers that did not find the proofs.

    A certificate must be about the design of --design, or else the built-in one of its name; where
    there is none, what is checked is the transition system in the file.

    Exit codes: 0 every claim holds, 1 rejected, 2 not a certificate, 3 a solver gave up.
    """
    start_solvers()
    from mapproof.proofs.verify import Checked, Standing, Verifier

    from ..certificates import checked_json, checked_text, design_for, worst

    catalog = Catalog()
    chosen = catalog.target(target) if target is not None else None
    progress = Progress()
    verifier = Verifier(tuple(dict.fromkeys(solvers)), timeout, progress)
    find = design_for(catalog, chosen.design if chosen else None)

    def check_file(name: str) -> Checked:
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            return Checked(Standing.UNREADABLE, f"cannot read it: {error.strerror or error}")
        return verifier.verify(data, find)

    found: list[tuple[str, Checked]] = []
    for name in certificates:
        try:
            with told_plainly(chosen.file if chosen else None):
                checked = interruptible(partial(check_file, name))
        finally:
            progress.clear()
        if not as_json:
            click.echo("\n" * bool(found) + checked_text(name, checked))
        found.append((name, checked))
    if as_json:
        click.echo(checked_json(found))
    return worst(checked for _, checked in found)
