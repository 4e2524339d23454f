"""Several designs: one after the other, or side by side in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapproof.model.language import DesignError
from mapproof.proofs.crew import Crew
from mapproof.proofs.portable import Portable, ResultText, result_text

from ..catalog import Target
from ..lemma_text import with_names
from ..loading import told_plainly
from ..progress import Progress
from .session import Session, chosen_cache, complain, complaint_of

if TYPE_CHECKING:
    from mapproof.proofs.verdict import Result

    from ..lemma_text import Page

Asked = tuple[Target, Mapping[Any, int]]  # with sizes of sorts


@dataclass(frozen=True)
class Checked:
    """The results for one design, the lemmas that were inferred for them, and the time."""

    results: list[Result]
    lemmas: Page
    seconds: float


@dataclass(frozen=True)
class _Answer:
    """As another process sends it: results, or what is wrong; and what is wrong with the cache."""

    found: list[ResultText] | DesignError
    seconds: float
    complaint: str


def one_by_one(session: Session, asked: Sequence[Asked]) -> Iterator[Checked | DesignError]:
    """Check designs in this process.  Raises KeyboardInterrupt."""
    for target, sizes in asked:
        try:
            results, lemmas = session.check(target, sizes)
            yield Checked(results, lemmas, session.seconds)
        except DesignError as error:
            yield error


def side_by_side(
    effort: Mapping[str, Any], certificates: Path | None, asked: Sequence[Asked], processes: int
) -> Iterator[Checked | DesignError]:
    """Check designs in so many processes; what comes of it, in the order asked, is the same.

    Each process has its own solvers, and one cache with the others.  Raises KeyboardInterrupt.
    """

    def begin() -> Callable[[int], _Answer]:
        session = Session(effort, certificates)

        def do(number: int) -> _Answer:
            found: list[ResultText] | DesignError
            try:
                found = [result_text(r) for r in session.results(*asked[number])]
            except DesignError as error:
                found = error
            return _Answer(found, session.seconds, session.complaint())

        return do

    # A file that is no cache is set aside by one process, before there are more.
    kept = chosen_cache(effort["cache"], effort["cache_dir"])
    if said := complaint_of(kept):
        complain(said)
    if kept is not None:
        kept.close()
    progress = Progress()
    with closing(Crew(min(processes, len(asked)), begin)) as crew:
        answers = crew.values(range(len(asked)))
        for number, (target, _) in enumerate(asked):
            progress(f"{number} of {len(asked)} designs")
            try:
                answer = next(answers)
            finally:
                progress.clear()
            if answer.complaint:
                complain(answer.complaint)
            yield _read(target, answer)


def _read(target: Target, answer: _Answer) -> Checked | DesignError:
    if isinstance(answer.found, DesignError):
        return answer.found
    with told_plainly(target.file):
        portable = Portable(target.design)
        results, lemmas = with_names(target.design, [portable.result(r) for r in answer.found])
    return Checked(results, lemmas, answer.seconds)
