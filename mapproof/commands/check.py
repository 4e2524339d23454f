"""``mapproof check``: prove properties, or find counterexamples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from mapproof.model.language import DesignError

from ..catalog import Catalog, Target
from ..loading import told_plainly
from ..progress import Progress
from .options import EFFORT, GRAPH, JSON, addresses, processes_option
from .session import Session, complain, draw, exit_code, scopes_of, start_solvers

if TYPE_CHECKING:
    from mapproof.proofs.verdict import Result

    from ..lemma_text import Page
    from .several import Asked, Checked


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@EFFORT
@JSON
@GRAPH
@click.option("--certificates", metavar="DIR", help="Write a certificate of each proof.")
@click.option(
    "--show-lemmas",
    is_flag=True,
    help="Print the inferred lemmas, as Python for the design's file.",
)
@click.option(
    "--from",
    "snapshot",
    metavar="SNAPSHOT",
    help="Search from the page tables of a real machine: can the design break it?",
)
@click.option(
    "--at",
    multiple=True,
    metavar="ADDRESS",
    callback=addresses,
    help="With --from: take what maps this address (repeatable).",
)
@processes_option("Designs that are checked side by side.")
def check(
    targets: tuple[str, ...],
    sizes: dict[str, int],
    require_proof: bool,
    as_json: bool,
    graph: Path | None,
    certificates: str | None,
    show_lemmas: bool,
    snapshot: str | None,
    at: list[int],
    processes: int,
    **effort: Any,
) -> int:
    """Prove the properties of designs, or find counterexamples.

    Of a defect of the ledger, or all of it: whether what is expected is found; that is exit code 0.
    """
    from .. import claims

    catalog = Catalog()
    named, defects = claims.split(targets)
    if snapshot is not None:
        from ..from_command import refuse

        refuse(
            {
                "a defect of the ledger": defects,
                "--lemmas": effort["lemmas"],
                "--certificates": certificates,
                "--show-lemmas": show_lemmas,
            }
        )
        chosen = catalog.targets(named)
        options = {"at": at, "depth": effort["depth"], "timeout": effort["timeout"]}
        found, incomplete = _from_snapshot(
            chosen, scopes_of(chosen, sizes), snapshot, as_json, options
        )
        if graph is not None:
            draw(found, graph, quiet=as_json)
        return exit_code(found, require_proof=require_proof) or 3 * incomplete
    if at:
        raise DesignError("--at is for --from SNAPSHOT")
    alone = len(targets) == 1 and not defects and not catalog.is_place(targets[0])
    if alone:
        start_solvers()
    chosen = catalog.targets(named)
    claimed = claims.targets(defects, catalog)
    every = [*chosen, *claimed]
    asked = list(zip(every, scopes_of(every, sizes), strict=True))
    folder = None if certificates is None else _folder(certificates)
    checked = _checked(effort, folder, asked, 1 if alone else processes)
    results: list[Result] = []
    parts: list[tuple[list[Result], Page]] = []
    settled: list[claims.Claim] = []
    errors: list[str] = []
    interrupted = False
    started = monotonic()
    try:
        for target in chosen:
            done = next(checked)
            if isinstance(done, DesignError):
                complain(done)
                errors.append(str(done))
                continue
            if not as_json:
                from ..text import report

                with told_plainly(target.file):
                    said = report(target.design, done.results, done.seconds)
                click.echo(f"\n{said}" if results else said)
                _tell_lemmas(target.design.name, done.lemmas, whole=show_lemmas)
            results += done.results
            parts.append((done.results, done.lemmas))
        started = monotonic()
        # The ledger asks for its designs in the order in which they are checked.
        for defect, both in claims.settled(defects, lambda _: _of_the_ledger(next(checked))):
            if not as_json:
                click.echo("\n" * bool(results or settled) + claims.text(defect, both))
                for claim in both if show_lemmas else []:
                    _tell_lemmas(claim.result.design, claim.lemmas, whole=True)
            settled += both
    except KeyboardInterrupt:
        interrupted = True
    if as_json:
        from ..jsonout import Part, results_json

        told = [Part(*part) for part in parts]
        click.echo(results_json(told, errors, interrupted=interrupted, claims=settled))
    elif settled:
        click.echo("\n" + claims.summary(settled, monotonic() - started))
    if interrupted:
        raise click.Abort
    shown = [*results, *(claim.result for claim in settled)]
    if graph is not None:
        draw(shown, graph, quiet=as_json)
    if folder is not None and not as_json:
        number = sum(bool(r.certificate_file) for r in shown)
        click.echo(f"\n{number} certificate{'' if number == 1 else 's'}: {folder}")
    if errors:
        return 2
    unmet = not all(claim.met for claim in settled)
    return exit_code(results, require_proof=require_proof) or int(unmet)


def _checked(
    effort: Mapping[str, Any], folder: Path | None, asked: Sequence[Asked], processes: int
) -> Iterator[Checked | DesignError]:
    from .several import one_by_one, side_by_side

    if processes == 1 or len(asked) == 1:
        return one_by_one(Session(effort, folder), asked)
    return side_by_side(effort, folder, asked, processes)


def _of_the_ledger(found: Checked | DesignError) -> tuple[list[Result], Page]:
    if isinstance(found, DesignError):
        raise found
    return found.results, found.lemmas


def _from_snapshot(
    targets: Sequence[Target],
    scopes: Sequence[Mapping[Any, int]],
    name: str,
    as_json: bool,
    options: Mapping[str, Any],
) -> tuple[list[Result], bool]:
    """Search from what a snapshot shows, and tell; the results, and whether some of the snapshot could
    not be read."""
    from .. import from_command

    progress, snapshot = Progress(), from_command.Snapshot(Path(name))
    try:
        answers = from_command.check_from_snapshot(
            targets, scopes, snapshot, progress=progress, **options
        )
    finally:
        progress.clear()
    if as_json:
        click.echo(from_command.as_json(answers, snapshot))
    else:
        click.echo("\n\n".join(map(from_command.text, answers)))
        for problem in snapshot.problems:
            complain(f"{name}: {problem}")
    return from_command.results(answers), bool(snapshot.problems)


def _tell_lemmas(design: str, lemmas: Page, *, whole: bool) -> None:
    """How many lemmas were inferred, or all of them as source."""
    number = len(lemmas.functions)
    if whole and number:
        click.echo(f"\n# Lemmas that were inferred: lemmas=[*INFERRED] of {design}.\n")
        click.echo(lemmas.text)
    elif number:
        plural = "lemma was" if number == 1 else "lemmas were"
        click.echo(f"{number} {plural} inferred; --show-lemmas prints the source")


def _folder(name: str) -> Path:
    """The folder, which is there after this.  Raises DesignError."""
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DesignError(f"cannot make the folder {path}: {error.strerror or error}") from None
    return path
