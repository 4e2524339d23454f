"""Checking a design: prove what can be proved for any size, search for what cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from mapproof.model.language import solver
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property
from mapproof.model.language.unbounded import check_stratified

from . import second
from .induction import Induction, induction
from .search import Searched, scope_of, search
from .verdict import Result, Verdict

REPLAY = "concrete replay"


@dataclass(frozen=True)
class Options:
    """How hard to try.

    depth: most steps of a bounded search; scope: sizes by sort class, over those of the design;
    timeout: seconds for one property's search, and for the proof as a whole; only: names of the
    properties to report, all if empty.
    """

    depth: int = 8
    scope: Mapping[Any, int] = field(default_factory=dict)
    timeout: float = 60.0
    only: Sequence[str] = ()


def check(
    design: Design[Any],
    options: Options = Options(),
    progress: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """A result for every property of the design, in its order.

    Raises DesignError if the design is wrong, or has no property to check.
    """
    wanted = [design.property_named(n) for n in options.only] if options.only else list(design.properties)
    if not wanted:
        raise DesignError(f"{design.name} has no property to check: give Design(properties=[...]) one")
    system = design.system()
    check_stratified(system)
    started = monotonic()
    deadline = started + options.timeout
    claims = [p for p in design.properties if p.kind in ("always", "step")]
    proof = induction(design, system, [*claims, *design.lemmas], deadline, progress)
    doubts = _recheck(proof, deadline, progress)
    proving = monotonic() - started
    jobs = [_witness(design, p, options, progress) for p in design.properties if p.kind == "sometimes"]
    idle = [r for r in jobs if r.verdict is not Verdict.PROVED]
    results = {r.property: r for r in jobs}
    for prop in wanted:
        if prop.kind == "sometimes":
            continue
        if prop in proof.proved:
            result = _proved(design, prop, proof, doubts, idle)
            results[prop.name] = result.but(seconds=proving / max(1, len(claims)))
        else:
            results[prop.name] = _searched(design, system, prop, proof, options, progress)
    return [results[p.name] for p in wanted]


def _assumptions(design: Design[Any]) -> tuple[str, ...]:
    return tuple(a.name for a in design.assumptions)


def _recheck(proof: Induction, deadline: float, progress: Callable[[str], None]) -> dict[str, str]:
    """The cells that the second solver does not confirm, with its answer."""
    doubts = {}
    for name, text in proof.cells.items():
        progress(f"{name} (second solver)")
        left = int(1000 * (deadline - monotonic()))
        answer = second.recheck(text, left) if left > 0 else "unknown"
        if answer != "unsat":
            doubts[name] = answer
    return doubts


def _proved(
    design: Design[Any], prop: Property[Any], proof: Induction, doubts: dict[str, str], idle: list[Result]
) -> Result:
    """Proved, unless the second solver doubts a cell or the design was not seen to do its job."""
    uses = proof.uses[prop.name]
    base = Result(
        design.name,
        prop.name,
        prop.kind,
        Verdict.PROVED,
        lemmas=uses,
        assumptions=_assumptions(design),
        checked_by=(second.version(),),
        solver=solver.version(),
    )
    needed = {prop.name, *uses}
    for cell, answer in doubts.items():
        if cell.rpartition("::")[2] in needed:
            return base.but(
                verdict=Verdict.UNKNOWN,
                checked_by=(),
                reason=f"{second.version()} answers {answer} to {cell}, which {solver.version()} proved",
            )
    if idle:
        verdict = Verdict.VACUOUS if any(r.verdict is Verdict.VACUOUS for r in idle) else Verdict.UNKNOWN
        names = ", ".join(r.property for r in idle)
        return base.but(verdict=verdict, reason=f"inductive, but the design was not seen to do its job: {names}")
    return base


def _witness(
    design: Design[Any], prop: Property[Any], options: Options, progress: Callable[[str], None]
) -> Result:
    """A ``sometimes``: proved by a run that shows it, at the smallest scope that was tried."""
    started = monotonic()
    base = Result(design.name, prop.name, prop.kind, Verdict.PROVED, assumptions=_assumptions(design))
    full = scope_of(design, design.system(), options.scope)
    # Small machines first: a job that needs every element busy takes fewer steps there.
    scopes = [full] if options.scope else [full.with_sizes({s: min(n, full[s]) for s in full}) for n in (1, 2)]
    found = None
    for scope in dict.fromkeys((*map(_key, scopes), _key(full))):
        try:
            found = search(
                design,
                prop,
                full.with_sizes(dict(scope)),
                2 * options.depth,
                started + options.timeout,
                lambda depth: progress(f"{design.name}::{prop.name} at depth {depth}"),
            )
        except DesignError:  # the design's interpretation has no machine so small
            continue
        if found.trace is not None:
            break
    seconds = monotonic() - started
    if found is None:
        return base.but(verdict=Verdict.UNKNOWN, reason="no scope fits the design's assumptions", seconds=seconds)
    if found.trace is None:
        reason = found.reason or f"not reached within {found.depth} steps at scope {found.scope}"
        return base.but(verdict=Verdict.UNKNOWN, reason=reason, scope=found.scope.names(), depth=found.depth, seconds=seconds)
    return base.but(
        scope=found.scope.names(),
        depth=found.depth,
        trace=found.trace,
        replayed=True,
        checked_by=(REPLAY,),
        solver="glucose",
        seconds=seconds,
    )


def _key(scope: Any) -> tuple[tuple[Any, int], ...]:
    return tuple(scope.items())


def _searched(
    design: Design[Any],
    system: System,
    prop: Property[Any],
    proof: Induction,
    options: Options,
    progress: Callable[[str], None],
) -> Result:
    """Not inductive: violated, or holds to the depth that was searched."""
    started = monotonic()
    scope = scope_of(design, system, options.scope)
    found: Searched = search(
        design,
        prop,
        scope,
        options.depth,
        started + options.timeout,
        lambda depth: progress(f"{design.name}::{prop.name} at depth {depth}"),
    )
    failure = proof.failures[prop.name]
    base = Result(
        design.name,
        prop.name,
        prop.kind,
        Verdict.VIOLATED,
        scope=found.scope.names(),
        depth=found.depth,
        assumptions=_assumptions(design),
        solver="glucose",
        seconds=monotonic() - started,
    )
    if found.trace is not None:
        return base.but(trace=found.trace, replayed=True, checked_by=(REPLAY,))
    where = f"not proved: {failure.obligation.transition.name} may break it from a state that no known invariant excludes"
    if failure.answer == "unknown":
        where = f"not proved: {solver.version()} gave up on {failure.obligation.name} ({failure.reason})"
    if found.reason:
        return base.but(verdict=Verdict.UNKNOWN, reason=f"{found.reason}; {where}")
    return base.but(verdict=Verdict.HOLDS_TO_DEPTH, reason=where)
