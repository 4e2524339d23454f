"""``mapproof check DESIGN --from SNAPSHOT``: can this design break this machine?

The search starts in the state that the page tables of a snapshot show, cut down to a few processes and
slots; what page tables do not show starts as in the design's init, and the report says what that is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from mapproof.model.language import Design, DesignError

from .catalog import Target
from .jsonout import Part, results_json
from .lemma_text import Page
from .loading import told_plainly
from .running import interruptible
from .text import fold, report

if TYPE_CHECKING:
    from mapproof.model.language.start import Start
    from mapproof.proofs.from_start import FromStart
    from mapproof.proofs.verdict import Result

    from .snapshots.facts import Facts
    from .snapshots.image import Image


class Snapshot:
    """A snapshot, read once, and walked when somebody wants to know."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def image(self) -> Image:
        from .snapshots.readers import read_image

        return read_image(self.path)

    @cached_property
    def facts(self) -> Facts:
        from .snapshots.facts import Facts

        return Facts(self.image)

    @property
    def problems(self) -> list[str]:
        """What of it could not be read."""
        return [*self.image.problems, *self.facts.walk.problems, *self.facts.problems]


@dataclass(frozen=True)
class Answer:
    """What became of one design, and which of its maps were read off the snapshot."""

    design: Design[Any]
    found: FromStart
    read: tuple[str, ...]
    as_in_init: tuple[str, ...]
    seconds: float


def check_from_snapshot(
    targets: Sequence[Target],
    scopes: Sequence[Mapping[type, int]],
    snapshot: Snapshot,
    *,
    at: Sequence[int],
    depth: int,
    timeout: float,
    progress: Callable[[str], None],
) -> list[Answer]:
    """The designs, each from the state that the snapshot shows.  Raises DesignError."""
    from mapproof.proofs.from_start import check_from

    from .snapshots.starts import from_snapshot, reading_of

    for target in targets:  # before the snapshot is read
        reading_of(target.design)
    answers = []
    for target, sizes in zip(targets, scopes, strict=True):
        started = monotonic()
        with told_plainly(target.file):
            design, start = from_snapshot(
                target.design, snapshot.image, lambda: snapshot.facts, sizes, at
            )

            def search(
                design: Design[Any] = design, only: Sequence[str] = target.only
            ) -> FromStart:
                return check_from(design, only, depth, timeout, progress)

            found = interruptible(search)
        read, left = _maps(design, start)
        answers.append(Answer(design, found, read, left, monotonic() - started))
    return answers


def _maps(design: Design[Any], start: Start) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which maps come from the snapshot and which start as in the init of the design; a group of maps
    counts as one."""
    names = dict.fromkeys(c.name.partition(".")[0] for c in design.system().components)
    read = {name.partition(".")[0] for name in start.values}
    return tuple(n for n in names if n in read), tuple(n for n in names if n not in read)


def text(answer: Answer) -> str:
    """The report on one design."""
    lines = [report(answer.design, answer.found.results, answer.seconds), ""]
    lines += fold(f"start: {answer.design.init.doc}", "", "  ")
    lines += fold(f"read from the snapshot: {', '.join(answer.read)}", "", "  ")
    if answer.as_in_init:
        lines += fold(
            "not known from page tables, as at the start of the design: "
            f"{', '.join(answer.as_in_init)}",
            "",
            "  ",
        )
    if answer.found.moves is False:
        lines.append("nothing can happen from there: what is said is about this state alone")
    seen, missing = answer.found.seen, answer.found.not_seen
    if seen:
        steps = ", ".join(f"{name} ({number})" for name, number in seen.items())
        lines += fold(f"can happen from there, in so many steps: {steps}", "", "  ")
    if missing:
        lines += fold(f"not seen within the depth: {', '.join(missing)}", "", "  ")
    lines += fold(
        "This is about one state of one machine, and a part of it: nothing is proved.", "", "  "
    )
    return "\n".join(lines)


def as_json(answers: Sequence[Answer], snapshot: Snapshot) -> str:
    """Results as of any check, and what they start from."""
    parts = [Part(a.found.results, Page((), ()), None) for a in answers]
    document = json.loads(results_json(parts))
    document["from"] = [
        {
            "design": a.design.name,
            "snapshot": snapshot.image.name,
            "start": a.design.init.doc,
            "read": list(a.read),
            "as_in_init": list(a.as_in_init),
            "moves": a.found.moves,
            "seen": a.found.seen,
            "not_seen": a.found.not_seen,
        }
        for a in answers
    ]
    if snapshot.problems:
        document["problems"] = snapshot.problems
    return json.dumps(document, indent=2)


def refuse(given: Mapping[str, object]) -> None:
    """Options that make no sense with a snapshot.  Raises DesignError for the first one given."""
    for option, value in given.items():
        if value:
            raise DesignError(
                f"{option} and --from do not go together: from a snapshot nothing is proved, and "
                "designs are looked at, not defects"
            )


def results(answers: Sequence[Answer]) -> list[Result]:
    """The results for all designs."""
    return [result for answer in answers for result in answer.found.results]
