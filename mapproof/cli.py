"""The command line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mapproof.model.language import Design, DesignError

from .catalog import Catalog, Target
from .loading import suggestion, told_plainly
from .progress import Progress
from .running import INTERRUPTED, interruptible, leave

if TYPE_CHECKING:
    from mapproof.proofs.cache import Cache
    from mapproof.proofs.findings import Findings
    from mapproof.proofs.verdict import Result
    from mapproof.proofs.worker import Solvers

    from .lemma_text import Page

CLOSED_PIPE = 141  # 128 + SIGPIPE, as shells have it
LONGEST = 1e6  # seconds
MOST = 1024  # elements of a sort
DEBUG = "MAPPROOF_DEBUG"  # environment: let exceptions through

EXIT_CODES = """
\b
Exit codes:
  0  every property holds, as far as was asked
  1  a property is violated, or a design is vacuous
  2  bad usage, a bad design file, nothing selected
  3  not settled: unknown, or not proved under --require-proof
Of several, the worst: 2, then 1, then 3.
"""


class _Program(click.Group):
    """Every error becomes one line on standard error and an exit code; no traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the program and exit, whatever ``standalone_mode`` says."""
        try:
            code = super().main(args, prog_name or "mapproof", complete_var, False, **extra)
        except SystemExit:  # this is how click takes a closed pipe
            leave(CLOSED_PIPE)
        except click.Abort:
            click.echo("mapproof: interrupted", err=True)
            leave(INTERRUPTED)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "mapproof"
            message = " ".join(error.format_message().split())
            _complain(f"{message} (see '{command} --help')")
        except (click.ClickException, DesignError) as error:
            _complain(error.format_message() if isinstance(error, click.ClickException) else error)
        except (Exception, RecursionError) as error:
            if os.environ.get(DEBUG):
                raise
            _complain(
                f"internal error: {type(error).__name__}: {error} "
                f"(a defect of mapproof; {DEBUG}=1 shows where)"
            )
        else:
            sys.exit(code)
        sys.exit(2)


def _complain(message: object) -> None:
    click.echo(f"mapproof: {message}", err=True)


def _sizes(_context: object, _parameter: object, text: str | None) -> dict[str, int]:
    """``mm=2,frame=3`` as sizes by the names of sorts in lower case."""
    sizes: dict[str, int] = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, number = (p.strip() for p in part.partition("="))
        size = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
        if not (name and equals and 1 <= size <= MOST):
            raise click.BadParameter(
                f"{part!r}: write sizes from 1 to {MOST}, such as mm=2,frame=3"
            )
        if name in sizes:
            raise click.BadParameter(f"{name} is given twice")
        sizes[name] = size
    return sizes


def _seconds(_context: object, _parameter: object, value: float) -> float:
    if not 0 < value <= LONGEST:
        raise click.BadParameter("give seconds, more than 0")
    return value


def _timeout(default: float, meaning: str) -> Callable[[Any], Any]:
    """``--timeout S``."""
    return click.option(
        "--timeout",
        type=float,
        default=default,
        show_default=True,
        metavar="S",
        callback=_seconds,
        help=meaning,
    )


def _picture(_context: object, _parameter: object, value: str | None) -> Path | None:
    if value is None:
        return None
    from .pictures import SUFFIXES

    return _drawable(value, SUFFIXES)


def _addresses(_context: object, _parameter: object, values: tuple[str, ...]) -> list[int]:
    """Addresses in hexadecimal."""
    found = []
    for value in values:
        digits = value.removeprefix("0x")
        if not re.fullmatch("[0-9a-fA-F]{1,16}", digits):
            raise click.BadParameter(f"{value!r}: give an address such as ffffc90000000000")
        found.append(int(digits, 16))
    return found


def _grid(_context: object, _parameter: object, value: str | None) -> Path | None:
    if value is None:
        return None
    from .pictures import GRID_SUFFIXES

    return _drawable(value, GRID_SUFFIXES)


def _drawable(value: str, suffixes: Sequence[str]) -> Path:
    path = Path(value)
    if path.suffix.lower() not in suffixes:
        raise click.BadParameter(f"{value}: end the name in one of {', '.join(suffixes)}")
    if not path.parent.is_dir():
        raise click.BadParameter(f"{value}: there is no folder {path.parent}")
    return path


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_SCOPE = click.option(
    "--scope",
    "sizes",
    metavar="SORT=N,...",
    callback=_sizes,
    help="Sizes for the bounded search, such as mm=2,frame=3.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
_GRAPH = click.option(
    "--graph", metavar="F", callback=_picture, help="Draw the counterexample: F.svg, F.png, ..."
)
_DEPTH = click.option(
    "--depth",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Most steps of a counterexample that is searched for.",
)
_CACHE = _options(
    click.option(
        "--cache",
        type=click.Choice(["on", "read-only", "verify", "off"]),
        metavar="MODE",
        default="on",
        show_default=True,
        help="Use of what was found earlier: on, read-only, off; verify: solve again, compare.",
    ),
    click.option("--cache-dir", metavar="DIR", help="Where they are kept."),
)
_EFFORT = _options(
    _SCOPE,
    _DEPTH,
    click.option(
        "--lemmas",
        type=click.Choice(["given", "infer"]),
        help="given: only those of the design; infer: none of those. Default: those of the design, "
        "and inferred ones for what they leave open.",
    ),
    click.option("--require-proof", is_flag=True, help="Exit with 3 if a property is not proved."),
    _timeout(60.0, "Seconds for the proof, and for the search of each property."),
    _CACHE,
)


@click.command(
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog=EXIT_CODES,
)
@click.version_option(None, "--version", package_name="mapproof", message="mapproof %(version)s")
def main() -> None:
    """Prove what a kernel's page tables may map, or show the shortest run that breaks it.

    TARGET is a built-in design, file.py, file.py::design, design::property, a folder, a defect of
    the ledger or "ledger".
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


# check and review


def _start_solvers() -> None:
    """The workers load their solvers while the design is read."""
    from mapproof.proofs.worker import shared

    shared()


class _Session:
    """Checks designs one after the other and remembers the worst exit code."""

    def __init__(self, effort: Mapping[str, Any], certificates: Path | None = None) -> None:
        self.effort = effort
        self.certificates = certificates
        mode = effort["cache"]
        self.solvers, self.kept = _solvers(mode, effort["cache_dir"])
        self.findings = None if self.kept is None else _findings(self.kept, mode)
        self.progress = Progress()
        self.errors: list[str] = []
        self.seconds = 0.0

    def check(self, target: Target, sizes: Mapping[Any, int]) -> tuple[list[Result], Page]:
        """The results for one design, and the lemmas that were inferred for them.

        Raises DesignError and KeyboardInterrupt.
        """
        from mapproof.proofs.check import Options, check

        from .lemma_text import with_names

        options = Options(
            depth=self.effort["depth"],
            scope=sizes,
            timeout=self.effort["timeout"],
            lemmas=self.effort["lemmas"] or "",
            only=target.only,
            certify=self.certificates is not None,
            solvers=self.solvers,
            findings=self.findings,
        )
        started = monotonic()
        try:
            with told_plainly(target.file):
                found = interruptible(lambda: check(target.design, options, self.progress))
        finally:
            self.progress.clear()
            self.seconds = monotonic() - started
            self._complain_of_cache()
        if self.certificates is not None:
            from .certificates import write

            found = [write(result, self.certificates) for result in found]
        return with_names(target.design, found)

    def _complain_of_cache(self) -> None:
        if self.kept is not None and self.kept.complaint:
            _complain(self.kept.complaint)
            self.kept.complaint = ""


def _solvers(mode: str, folder: str | None) -> tuple[Solvers, Cache | None]:
    """The workers, and the cache that the options say."""
    from mapproof.proofs.worker import shared

    if mode == "off":
        return shared(), None
    from mapproof.proofs.cache import Cache, CachedPool, Mode, default_folder

    place = Path(folder) if folder else default_folder()
    kept = Cache(place, read_only=mode in (Mode.READ_ONLY, Mode.VERIFY))
    return CachedPool(shared(), kept, Mode(mode)), kept


def _findings(kept: Cache, mode: str) -> Findings:
    from mapproof.proofs.cache import Mode
    from mapproof.proofs.findings import Findings

    return Findings(kept, Mode(mode))


def exit_code(results: Sequence[Result], *, require_proof: bool) -> int:
    """0 all is well, 1 violated or vacuous, 3 not settled; of several the worst."""
    from mapproof.proofs.verdict import Verdict

    verdicts = {result.verdict for result in results}
    if verdicts & {Verdict.VIOLATED, Verdict.VACUOUS}:
        return 1
    unsettled = {Verdict.UNKNOWN, *([Verdict.HOLDS_TO_DEPTH] if require_proof else [])}
    return 3 if verdicts & unsettled else 0


def _scopes(targets: Sequence[Target], sizes: Mapping[str, int]) -> list[dict[Any, int]]:
    """The sizes by sort, for each design; DesignError if no design has a sort of that name."""
    if not sizes:
        return [{} for _ in targets]
    sorts: list[dict[str, Any]] = []
    for target in targets:
        with told_plainly(target.file):
            sorts.append({s.__name__.lower(): s for s in target.design.sorts})
    known = dict.fromkeys(name for names in sorts for name in names)
    for name in sizes:
        if name not in known:
            raise DesignError(
                f"--scope {name}: no such sort, there are {', '.join(known) or 'none'}"
                + suggestion(name, known)
            )
    return [{names[n]: size for n, size in sizes.items() if n in names} for names in sorts]


@main.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@_EFFORT
@_JSON
@_GRAPH
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
    callback=_addresses,
    help="With --from: take what maps this address (repeatable).",
)
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
    **effort: Any,
) -> int:
    """Prove the properties of designs, or find counterexamples.

    Of a defect of the ledger, or all of it: whether what is expected is found; that is exit code 0.
    """
    from . import claims

    catalog = Catalog()
    named, defects = claims.split(targets)
    if snapshot is not None:
        from .from_command import refuse

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
            chosen, _scopes(chosen, sizes), snapshot, as_json, options
        )
        if graph is not None:
            _draw(found, graph, quiet=as_json)
        return exit_code(found, require_proof=require_proof) or 3 * incomplete
    if at:
        raise DesignError("--at is for --from SNAPSHOT")
    _start_solvers()
    chosen = catalog.targets(named)
    claimed = claims.targets(defects, catalog)
    scopes = _scopes([*chosen, *claimed], sizes)
    folder = None if certificates is None else _folder(certificates)
    session = _Session(effort, folder)
    results: list[Result] = []
    parts: list[tuple[list[Result], Page]] = []
    settled: list[claims.Claim] = []
    interrupted = False
    for target, scope in zip(chosen, scopes, strict=False):
        try:
            found, lemmas = session.check(target, scope)
            if not as_json:
                from .text import report

                with told_plainly(target.file):
                    said = report(target.design, found, session.seconds)
                click.echo(f"\n{said}" if results else said)
                _tell_lemmas(target.design.name, lemmas, whole=show_lemmas)
            results += found
            parts.append((found, lemmas))
        except DesignError as error:
            _complain(error)
            session.errors.append(str(error))
        except KeyboardInterrupt:
            interrupted = True
            break
    asked = {t.design.name: (t, sc) for t, sc in zip(claimed, scopes[len(chosen) :], strict=True)}
    started = monotonic()
    try:
        ledger = [] if interrupted else defects
        for defect, both in claims.settled(ledger, lambda name: session.check(*asked[name])):
            if not as_json:
                click.echo("\n" * bool(results or settled) + claims.text(defect, both))
                for claim in both if show_lemmas else []:
                    _tell_lemmas(claim.result.design, claim.lemmas, whole=True)
            settled += both
    except KeyboardInterrupt:
        interrupted = True
    if as_json:
        from .jsonout import Part, results_json

        told = [Part(*part) for part in parts]
        click.echo(results_json(told, session.errors, interrupted=interrupted, claims=settled))
    elif settled:
        click.echo("\n" + claims.summary(settled, monotonic() - started))
    if interrupted:
        raise click.Abort
    every = [*results, *(claim.result for claim in settled)]
    if graph is not None:
        _draw(every, graph, quiet=as_json)
    if folder is not None and not as_json:
        number = sum(bool(r.certificate_file) for r in every)
        click.echo(f"\n{number} certificate{'' if number == 1 else 's'}: {folder}")
    if session.errors:
        return 2
    unmet = not all(claim.met for claim in settled)
    return exit_code(results, require_proof=require_proof) or int(unmet)


def _from_snapshot(
    targets: Sequence[Target],
    scopes: Sequence[Mapping[Any, int]],
    name: str,
    as_json: bool,
    options: Mapping[str, Any],
) -> tuple[list[Result], bool]:
    """Search from what a snapshot shows, and tell; the results, and whether some of the snapshot could
    not be read."""
    from . import from_command

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
            _complain(f"{name}: {problem}")
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


def _draw(results: Sequence[Result], path: Path, *, quiet: bool) -> None:
    """Draw the first counterexample; if there is none, the smallest step that a proof does not get
    past; if there is none, how a ``sometimes`` is reached."""
    from mapproof.proofs.verdict import Verdict

    from .picture_of import picture_of
    from .pictures import render
    from .text import NOT_REACHED, smallest_cti

    shown = [r for r in results if r.verdict is Verdict.VIOLATED]
    still = smallest_cti(results)
    if still is not None:
        shown.append(still)
    shown += [r for r in results if r.trace is not None]
    if not shown:
        _complain(f"{path}: not drawn, there is no run to show")
        return
    try:
        render(picture_of(shown[0]), path)
    except OSError as error:
        raise DesignError(f"cannot write {path}: {error.strerror or error}") from None
    name = f"{shown[0].design} :: {shown[0].property}"
    if shown[0].trace is None:
        name += f" ({NOT_REACHED})"
    click.echo(f"{'' if quiet else chr(10)}picture of {name}: {path}", err=quiet)


@main.command()
@click.argument("before")
@click.argument("after")
@_EFFORT
@click.option("--markdown", "page", metavar="F", help="Write the comparison as Markdown, too.")
@_GRAPH
@_JSON
def review(
    before: str,
    after: str,
    sizes: dict[str, int],
    require_proof: bool,
    page: str | None,
    graph: Path | None,
    as_json: bool,
    **effort: Any,
) -> int:
    """Compare a design with its patched version; the exit code is that of AFTER."""
    _start_solvers()
    from .jsonout import Part, results_json
    from .review import Review, Side, markdown, text

    catalog = Catalog()
    pair = [catalog.target(before), catalog.target(after)]
    session = _Session(effort)
    found = [
        session.check(target, scope)
        for target, scope in zip(pair, _scopes(pair, sizes), strict=True)
    ]
    sides = [Side(target.design, r) for target, (r, _) in zip(pair, found, strict=True)]
    compared = Review(*sides)
    every = [*sides[0].results, *sides[1].results]
    with told_plainly(pair[0].file), told_plainly(pair[1].file):
        if as_json:
            roles = ("before", "after")
            parts = [Part(*part, role) for part, role in zip(found, roles, strict=True)]
            click.echo(results_json(parts))
        else:
            click.echo(text(compared))
        if page is not None:
            _write(Path(page), markdown(compared))
            click.echo(f"\nMarkdown: {page}", err=as_json)
    if graph is not None:
        _draw(every, graph, quiet=as_json)
    return exit_code(sides[1].results, require_proof=require_proof)


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise DesignError(f"cannot write {path}: {error.strerror or error}") from None


# verify


@main.command()
@click.argument("certificates", nargs=-1, required=True, metavar="CERTIFICATE...")
@click.option("--design", "target", metavar="TARGET", help="The design that they must be about.")
@click.option(
    "--solver",
    "solvers",
    multiple=True,
    type=click.Choice(["cvc5", "z3"]),
    help="Who solves each obligation (may be repeated); otherwise the one that did not find it.",
)
@_timeout(60.0, "Seconds for each certificate.")
@_JSON
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
    _start_solvers()
    from mapproof.proofs.verify import Checked, Standing, Verifier

    from .certificates import checked_json, checked_text, design_for, worst

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


# The rest


@main.command(name="list")
@click.argument(
    "kind",
    required=False,
    type=click.Choice(["designs", "properties", "operations", "defects", "systems"]),
)
def list_(kind: str | None) -> int:
    """List the built-in designs, properties, operations and systems, and the ledger of defects."""
    from .explain import KINDS, listing

    click.echo(listing(Catalog(), (kind,) if kind else KINDS))
    return 0


@main.command()
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="Not only the system of that name.")
def explain(name: str, everything: bool) -> int:
    """Explain a system, a property, an operation, a design, a defect or a verdict."""
    from .explain import explanation

    click.echo(explanation(Catalog(), name, everything=everything))
    return 0


@main.command()
@click.argument("design")
@_SCOPE
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=5_000_000,
    show_default=True,
    help="Stop after so many states.",
)
@_JSON
def explore(design: str, sizes: dict[str, int], limit: int, as_json: bool) -> int:
    """Count the reachable states of a design at a scope, exactly, without a solver."""
    from mapproof.proofs.explore import Explored
    from mapproof.proofs.explore import explore as count

    target = Catalog().target(design)
    (chosen,) = _scopes([target], sizes)
    subject: Design[Any] = target.design
    progress = Progress()

    def told(states: int, depth: int) -> None:
        progress(f"{subject.name}: {states} states, depth {depth}")

    started = monotonic()
    with told_plainly(target.file):
        scope = subject.scope_at(chosen)
        try:
            found: Explored = interruptible(lambda: count(subject, scope, limit, told))
        finally:
            progress.clear()
    if as_json:
        from .jsonout import explored_json

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


@main.command()
@click.argument("design")
@_timeout(10.0, "Seconds for each question about a mutant that goes to a solver.")
@_JSON
def mutate(design: str, timeout: float, as_json: bool) -> int:
    """Make slips in a design, one at a time: which does a property catch?

    The exit code is 0 if at least 90 % of those that matter are caught, else 1.
    """
    _start_solvers()
    from mapproof.proofs.mutation import Mutation
    from mapproof.proofs.mutation import mutate as judge

    from .mutation_text import mutation_json, mutation_text

    target = Catalog().target(design)
    progress = Progress()
    with told_plainly(target.file):
        try:
            found: Mutation = interruptible(lambda: judge(target.design, timeout, progress))
        finally:
            progress.clear()
    click.echo(mutation_json(found) if as_json else mutation_text(found))
    return 0 if found.enough else 1


@main.command()
@click.argument("names", nargs=-1, metavar="[DESIGN] [SYSTEM]...")
@_DEPTH
@_timeout(10.0, "Seconds for the proofs of a pair, and for each search.")
@_CACHE
@click.option(
    "-j",
    "processes",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    metavar="N",
    help="Pairs that are looked at side by side.",
)
@click.option("--traces", is_flag=True, help="Print every run in full, as check does.")
@click.option("--proofs", is_flag=True, help="Print what proves each claim of each cell.")
@_JSON
@click.option("--graph", metavar="F", callback=_grid, help="Draw it: F.svg, F.png or F.html.")
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
    from .matrix_command import run

    def solvers() -> Solvers:
        """Each process has its own, and one cache with the others."""
        pool, kept = _solvers(cache, cache_dir)
        if kept is not None and kept.complaint:
            _complain(kept.complaint)
        return pool

    return run(names, solvers=solvers, as_json=as_json, **how)


@main.command()
@click.argument("name", metavar="[DESIGN::]OPERATION")
@click.option("--design", metavar="TARGET", help="The design, unless it is in OPERATION.")
@_timeout(20.0, "Seconds for the proofs.")
@_JSON
def promise(name: str, design: str | None, timeout: float, as_json: bool) -> int:
    """Say what holds whenever an operation or a procedure returns.

    The text is a comment for the kernel function; its facts are proved for any size.

    OPERATION alone will do where one design has it.

    Exit codes: 0 every fact is settled, 2 bad usage, 3 a candidate was left open.
    """
    _start_solvers()
    from mapproof.proofs.promise import Promise
    from mapproof.proofs.promise import promise as promised

    from .promise_text import promise_json, promise_text

    catalog = Catalog()
    target, operation = _operation(catalog, name, design)
    progress = Progress()
    with told_plainly(target.file):
        try:
            found: Promise = interruptible(
                lambda: promised(target.design, operation, timeout, progress)
            )
        finally:
            progress.clear()
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


@main.command()
@click.argument("target")
@click.option(
    "--to",
    "kind",
    type=click.Choice(["smt2", "aiger", "btor2"]),
    required=True,
    help="Obligations for any size, or the system at a scope in bits or in words.",
)
@_SCOPE
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
    from .exporting import exported, save

    chosen = Catalog().target(target)
    (scope,) = _scopes([chosen], sizes)
    with told_plainly(chosen.file):
        documents = interruptible(lambda: exported(chosen, kind, scope, output))
    paths = save(documents, kind, output)
    for path in paths:
        click.echo(path)
    if not paths:
        click.echo(documents[0].content, nl=False)
    return 0


@main.command()
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
@_JSON
@_GRAPH
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
    from .audit_command import run

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


@main.command()
def doctor() -> int:
    """Show versions and run a self-test."""
    from .doctor import report

    said, sound = report()
    click.echo(said)
    return 0 if sound else 3
