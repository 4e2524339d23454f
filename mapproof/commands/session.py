"""What checking commands share: solvers and cache, scopes, exit code, the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mapproof.model.language import DesignError

from ..catalog import Target
from ..loading import UserFile, suggestion, told_plainly
from ..progress import Progress
from ..running import interruptible

if TYPE_CHECKING:
    from mapproof.proofs.cache import Cache
    from mapproof.proofs.findings import Findings
    from mapproof.proofs.verdict import Result
    from mapproof.proofs.worker import Solvers

    from ..lemma_text import Page


T = TypeVar("T")


def complain(message: object) -> None:
    click.echo(f"mapproof: {message}", err=True)


def watched(file: UserFile | None, work: Callable[[Progress], T]) -> T:
    """What comes of work about a design of that file, while its progress is shown; Ctrl-C ends it."""
    progress = Progress()
    with told_plainly(file):
        try:
            return interruptible(lambda: work(progress))
        finally:
            progress.clear()


def start_solvers() -> None:
    """The workers load their solvers while the design is read."""
    from mapproof.proofs.worker import shared

    shared()


class Session:
    """Checks designs one after the other."""

    def __init__(
        self,
        effort: Mapping[str, Any],
        certificates: Path | None = None,
    ) -> None:
        self.effort = effort
        self.certificates = certificates
        mode = effort["cache"]
        self.solvers, self.kept = chosen_solvers(mode, effort["cache_dir"])
        self.findings = None if self.kept is None else _findings(self.kept, mode)
        self.seconds = 0.0

    def check(self, target: Target, sizes: Mapping[Any, int]) -> tuple[list[Result], Page]:
        """The results for one design, and the lemmas that were inferred for them.

        Raises DesignError and KeyboardInterrupt.
        """
        from ..lemma_text import with_names

        progress = Progress()
        try:
            found = self.results(target, sizes, progress)
        finally:
            progress.clear()
            if complaint := self.complaint():
                complain(complaint)
        return with_names(target.design, found)

    def results(
        self,
        target: Target,
        sizes: Mapping[Any, int],
        progress: Callable[[str], None] = lambda _: None,
    ) -> list[Result]:
        """The results for one design; nothing is printed.  Raises DesignError and KeyboardInterrupt."""
        from mapproof.proofs.check import Options, check

        # A defect is searched for: no proof is expected, so that none is looked for.
        options = Options(
            depth=max(self.effort["depth"], target.steps),
            scope=sizes,
            timeout=self.effort["timeout"],
            lemmas=self.effort["lemmas"] or ("given" if target.steps else ""),
            only=target.only,
            certify=self.certificates is not None,
            solvers=self.solvers,
            findings=self.findings,
        )
        started = monotonic()
        try:
            with told_plainly(target.file):
                found = interruptible(lambda: check(target.design, options, progress))
        finally:
            self.seconds = monotonic() - started
        if self.certificates is not None:
            from ..certificates import write

            found = [write(result, self.certificates) for result in found]
        return found

    def complaint(self) -> str:
        """What is wrong with the cache, said once; or nothing."""
        return complaint_of(self.kept)


def complaint_of(kept: Cache | None) -> str:
    """What is wrong with a cache, said once; or nothing."""
    if kept is None:
        return ""
    said, kept.complaint = kept.complaint, ""
    return said


def chosen_cache(mode: str, folder: str | None) -> Cache | None:
    """The cache that the options say, if any."""
    from mapproof.proofs.cache import Cache, Mode, default_folder

    if mode == Mode.OFF:
        return None
    place = Path(folder) if folder else default_folder()
    return Cache(place, read_only=mode in (Mode.READ_ONLY, Mode.VERIFY))


def chosen_solvers(mode: str, folder: str | None) -> tuple[Solvers, Cache | None]:
    """The workers, and the cache that the options say."""
    from mapproof.proofs.cache import CachedPool, Mode
    from mapproof.proofs.worker import shared

    kept = chosen_cache(mode, folder)
    return (shared() if kept is None else CachedPool(shared(), kept, Mode(mode))), kept


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


def scopes_of(targets: Sequence[Target], sizes: Mapping[str, int]) -> list[dict[Any, int]]:
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


def draw(results: Sequence[Result], path: Path, *, quiet: bool) -> None:
    """Draw the first counterexample; if there is none, the smallest step that a proof does not get
    past; if there is none, how a ``sometimes`` is reached."""
    from mapproof.proofs.verdict import Verdict

    from ..picture_of import picture_of
    from ..pictures import render
    from ..text import NOT_REACHED, smallest_cti

    shown = [r for r in results if r.verdict is Verdict.VIOLATED]
    still = smallest_cti(results)
    if still is not None:
        shown.append(still)
    shown += [r for r in results if r.trace is not None]
    if not shown:
        complain(f"{path}: not drawn, there is no run to show")
        return
    try:
        render(picture_of(shown[0]), path)
    except OSError as error:
        raise DesignError(f"cannot write {path}: {error.strerror or error}") from None
    name = f"{shown[0].design} :: {shown[0].property}"
    if shown[0].trace is None:
        name += f" ({NOT_REACHED})"
    click.echo(f"{'' if quiet else chr(10)}picture of {name}: {path}", err=quiet)
