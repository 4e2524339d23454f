"""What is claimed of history: one file per defect, with the design that has it and the one without.

``<id>.toml`` has one defect of a published patch series or kernel; ``out-of-reach.toml`` lists what
no design here can show, and why.  The files say what is expected; :func:`met` compares.  (In
``mutants.toml`` are slips that nobody made, see :mod:`..mutation`.)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, Literal

from ..verdict import Result, Verdict

Role = Literal["buggy", "fixed"]

ENTRY = re.compile(r"[A-Z]-\d\d[a-z-]*\.toml")
OUT_OF_REACH = "out-of-reach.toml"
CONFIDENCE = {
    "V": "patch or code text was read",
    "H": "only a commit hash or a subject was confirmed; the mechanism is reconstructed",
    "M": "from memory only",
    "D": "derived from reading code; no report is known, so this is no history",
    "seed": "an objection raised in review",
}


@dataclass(frozen=True)
class Seen:
    """How a defect shows in the page tables of a real machine: which properties it violates there, on
    which geometries, and by mappings of which regions (any, if none is named)."""

    geometries: tuple[str, ...]
    properties: tuple[str, ...]
    regions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Defect:
    """One row of the ledger.

    story: the operations of the shortest run that shows it, ``*`` for any part of a name where it
    does not matter; steps of different actors may come in another order.  verdict: what is expected
    of the fixed design; reason: why not ``proved``.  confidence: one or more keys of
    :data:`CONFIDENCE`, as "H" or "V/M".  seen: how an audit shows it, if one does.
    """

    id: str
    system: str
    title: str
    property: str
    buggy: str
    story: tuple[str, ...]
    fixed: str
    verdict: Verdict
    source: str
    confidence: str
    reason: str = ""
    seen: Seen | None = None

    def design(self, role: Role) -> str:
        """The name of the design with that role."""
        return self.buggy if role == "buggy" else self.fixed

    def expected(self, role: Role) -> str:
        """The verdict that is expected of that design, in words."""
        if role == "fixed":
            return str(self.verdict)
        steps = len(self.story)
        return f"{Verdict.VIOLATED} in {steps} step{'' if steps == 1 else 's'}"


def met(defect: Defect, role: Role, result: Result) -> bool:
    """The result is the one that is expected: of the buggy design, its shortest run has the steps of
    the story and ends as it does."""
    if role == "fixed":
        return result.verdict is defect.verdict
    if result.verdict is not Verdict.VIOLATED or result.trace is None:
        return False
    return tells([event.transition.name for event in result.trace.events], defect.story)


def tells(happened: Sequence[str], story: Sequence[str]) -> bool:
    """A run has the steps of a story, in any order but for the last one."""
    if len(happened) != len(story) or not fnmatchcase(happened[-1], story[-1]):
        return False
    left = list(happened)
    for wanted in sorted(story, key=lambda name: "*" in name):
        match = next((name for name in left if fnmatchcase(name, wanted)), None)
        if match is None:
            return False
        left.remove(match)
    return True


@cache
def defects() -> Mapping[str, Defect]:
    """Every defect by its id, in the order of the ids."""
    files = resources.files(__name__).iterdir()
    found: dict[str, Defect] = {}
    for file in sorted(files, key=lambda f: _number(f.name)):
        if ENTRY.fullmatch(file.name):
            defect = _defect(tomllib.loads(file.read_text("utf-8")))
            found[defect.id] = defect
    return found


@cache
def out_of_reach() -> Mapping[str, str]:
    """Rows that no design here can show, with the reason."""
    text = resources.files(__name__).joinpath(OUT_OF_REACH).read_text("utf-8")
    return {str(row): str(reason) for row, reason in tomllib.loads(text)["reasons"].items()}


def _defect(data: dict[str, Any]) -> Defect:
    buggy, fixed, seen = data.pop("buggy"), data.pop("fixed"), data.pop("seen", None)
    return Defect(
        buggy=buggy["design"],
        story=tuple(buggy["story"]),
        fixed=fixed["design"],
        verdict=Verdict(fixed.get("verdict", Verdict.PROVED)),
        reason=fixed.get("reason", ""),
        seen=None if seen is None else Seen(**{k: _tuple(v) for k, v in seen.items()}),
        **data,
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _number(name: str) -> tuple[str, int, str]:
    """K-2 before K-10, and what follows the number last."""
    family, _, rest = name.removesuffix(".toml").partition("-")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return family, int(digits or 0), rest
