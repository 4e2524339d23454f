"""What becomes of a concrete state: a bounded search from a start that was read off a machine.

Nothing is proved here: the start is one state of one machine, and only a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from mapproof.model.language.concrete import Machine
from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property

from .results import SAT
from .search import Searched, can_move, search
from .trace import REPLAY
from .verdict import Result, Verdict


@dataclass(frozen=True)
class FromStart:
    """Results for the claims of a design; of what it should sometimes do, what was seen, with the
    number of steps, and what was not; whether anything can happen at all (None: not known)."""

    results: list[Result]
    seen: dict[str, int]
    not_seen: list[str]
    moves: bool | None


def check_from(
    design: Design[Any],
    only: Sequence[str],
    depth: int,
    timeout: float,
    progress: Callable[[str], None] = lambda _: None,
) -> FromStart:
    """Look for violations within so many steps of the design's start (:func:`.start.started`).

    timeout: seconds.  Raises DesignError if there is no such start, or nothing to check.
    """
    scope = design.scope_at()
    Machine(design.system(), scope)  # the assumptions of the design hold
    wanted = [design.property_named(n) for n in only] or list(design.properties)
    claims = [p for p in wanted if p.kind != "sometimes"]
    jobs = [p for p in wanted if p.kind == "sometimes"]
    if not claims:
        raise DesignError(f"{design.name}: no property that may be violated was chosen")
    started = monotonic()
    found = search(
        design,
        dict.fromkeys(claims, depth),
        scope,
        timeout,
        lambda at: progress(f"{design.name}: {at} steps"),
        shrink=False,
    )
    seconds = (monotonic() - started) / len(claims)
    shown = search(design, dict.fromkeys(jobs, depth), scope, timeout, shrink=False)
    try:
        moves = can_move(design, scope, timeout)
    except TimeoutError:
        moves = None
    return FromStart(
        [_judged(design, p, found[p.name], seconds) for p in claims],
        {p.name: shown[p.name].depth for p in jobs if shown[p.name].trace is not None},
        [p.name for p in jobs if shown[p.name].trace is None],
        moves,
    )


def _judged(design: Design[Any], prop: Property[Any], found: Searched, seconds: float) -> Result:
    result = Result(
        design.name,
        prop.name,
        prop.kind,
        Verdict.VIOLATED,
        scope=found.scope.names(),
        depth=found.depth,
        assumptions=tuple(a.name for a in design.assumptions),
        solver=SAT,
        seconds=seconds,
    )
    if found.trace is not None:
        return result.but(trace=found.trace, replayed=True, checked_by=(REPLAY,))
    if found.reason:
        return result.but(verdict=Verdict.UNKNOWN, reason=found.reason)
    return result.but(verdict=Verdict.HOLDS_TO_DEPTH, reason="from this start: not a proof")
