"""Which slips the properties of a design would catch: every mutant is killed, equivalent or survives.

A mutant is killed by a run that violates a property, or by a job of the design that it no longer does.
Both are looked for by exploring the mutant at a finite scope, nearest states first; what no run
tells apart is given to the solvers, which may know that the mutant is the same design, or that no run
of any machine tells it apart.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from importlib import resources
from typing import Any

from mapproof.model.language.concrete import Machine
from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

from .equivalence import Reference
from .mutants import Mutant, mutants
from .runs import Course, Runs
from .search import search
from .trace import Trace

ENOUGH = 0.9
NEAR = 1_000  # states to meet before a solver is asked
MOST_CANDIDATES = 1 << 16  # for an initial state; with more, a smaller scope is explored
DEPTH = 12  # of the bounded search for what the exploration does not reach
LATEST = 16  # of that for jobs that the exploration of the design does not show

Progress = Callable[[str], None]


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    EQUIVALENT = "equivalent"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant, and why.

    killer: the property that tells it from the design; steps: of the run that shows it, or within
    which a ``sometimes`` is missed; trace: the run, of an ``always`` or a ``step``; harmless: the
    reason that the ledger gives for letting it live.
    """

    mutant: Mutant
    fate: Fate
    reason: str
    killer: str = ""
    steps: int | None = None
    trace: Trace | None = None
    harmless: str = ""


@dataclass(frozen=True)
class Mutation:
    """What became of all mutants of a design."""

    design: str
    outcomes: tuple[Outcome, ...]

    def of(self, fate: Fate) -> list[Outcome]:
        """The mutants with that fate."""
        return [o for o in self.outcomes if o.fate is fate]

    @property
    def score(self) -> float:
        """The part of those mutants that differ from the design which is killed."""
        different = [o for o in self.outcomes if o.fate is not Fate.EQUIVALENT]
        return len(self.of(Fate.KILLED)) / len(different) if different else 1.0

    @property
    def enough(self) -> bool:
        """The properties catch nine slips in ten."""
        return self.score >= ENOUGH


def mutate(
    design: Design[Any], timeout: float = 10.0, progress: Progress = lambda _: None
) -> Mutation:
    """Judge every mutant of a design.

    ``timeout`` is in seconds, for each question about a mutant that goes to a solver.  Raises
    DesignError if the design has no properties, no machine at its scope, or violates a property.
    """
    if not design.properties:
        raise DesignError(f"{design.name} has no property that could kill a mutant")
    judge = _Judge(design, timeout)
    candidates = mutants(design)
    outcomes = []
    for number, mutant in enumerate(candidates, 1):
        progress(f"{design.name}, mutant {number} of {len(candidates)}: {mutant.name}")
        outcomes.append(judge.outcome(mutant))
    return Mutation(design.name, tuple(outcomes))


class _Judge:
    def __init__(self, design: Design[Any], timeout: float) -> None:
        self.design = design
        self.timeout = timeout
        self.reference = Reference(design, timeout)
        self.claims = self.reference.claims
        self.jobs = [p for p in design.properties if p.kind == "sometimes"]
        self.harmless = _ledger().get(design.name, {})
        self.courses = list(self._courses())

    def _courses(self) -> Iterator[tuple[Runs, Course]]:
        """The design's own course at its scope and, for jobs that take long there, at a smaller one."""
        smaller = self._scope_but(-1)
        whole = self.design.scope_at()
        scopes = [whole, smaller] if self._can_explore(whole) else [smaller]
        for scope in scopes:
            runs = Runs(self.design, scope, self.claims if scope == scopes[0] else [], self.jobs)
            course = runs.of(self.design)
            if course.violated is not None:
                prop, trace = course.violated
                raise DesignError(
                    f"{self.design.name} violates {prop.name} itself, in {len(trace.events)} steps: "
                    "mutants tell something of designs that are right"
                )
            yield runs, course

    @cached_property
    def late(self) -> dict[Property[Any], int]:
        """The jobs that the exploration did not see done, and after how many steps a search does."""
        left = [j for j in self.jobs if not any(j.name in c.shown for _, c in self.courses)]
        most = dict.fromkeys(left, LATEST)
        found = search(self.design, most, self.design.scope_at(), self.timeout)
        return {j: len(trace.events) for j in left if (trace := found[j.name].trace)}

    def _can_explore(self, scope: Scope) -> bool:
        return Machine(self.design.system(), scope).candidates <= MOST_CANDIDATES

    def _scope_but(self, more: int) -> Scope:
        """The scope of the design with one element more, or less, of each sort that it sizes."""
        sizes = self.design.scope_at()
        own = [s for s in sizes if isinstance(self.design.scope.get(s, 0), int)]
        return self.design.scope_at({s: max(1, sizes[s] + more) for s in own})

    def outcome(self, mutant: Mutant) -> Outcome:
        design = mutant.design()
        near = self.courses[0][0].of(design, NEAR)
        if near.violated is not None:
            return _killed(mutant, *near.violated)
        same = self.reference.equivalent(mutant, quick=True)
        if same:
            return Outcome(mutant, Fate.EQUIVALENT, same)
        missed: list[_Missed] = []
        courses = []
        for runs, original in self.courses:
            course = runs.of(design)
            if course.violated is not None:
                return _killed(mutant, *course.violated)
            courses.append(course)
            missed += (_Missed(j, d, runs.scope, course) for j, d in runs.missed(original, course))
        if missed:
            return self._idle(mutant, missed)
        same = self.reference.equivalent(mutant)
        if same:
            return Outcome(mutant, Fate.EQUIVALENT, same)
        harmless = self.harmless.get(mutant.name, "")
        if self.reference.preserved(mutant):
            why = "every property is proved of it, too, for any size"
            return Outcome(mutant, Fate.SURVIVED, why, harmless=harmless)
        larger = dict.fromkeys(self.claims, DEPTH)
        found = search(design, larger, self._scope_but(1), self.timeout)
        for claim in self.claims:
            trace = found[claim.name].trace
            if trace is not None:
                return _killed(mutant, claim, trace)
        late = search(design, self.late, self.design.scope_at(), self.timeout)
        for job, steps in self.late.items():
            if late[job.name].trace is None and late[job.name].depth >= steps:
                return self._idle(mutant, [_Missed(job, steps, late[job.name].scope, None)])
        course = courses[0]
        runs_met = "no run" if course.complete else f"no run of at most {course.depth} steps"
        why = f"{runs_met} at its scope shows it, and it is not proved that none does"
        return Outcome(mutant, Fate.SURVIVED, why, harmless=harmless)

    def _idle(self, mutant: Mutant, missed: Sequence[_Missed]) -> Outcome:
        """Killed by a job that it does not do: provably, or as far as the design needs for it."""
        for miss in missed:
            if self.reference.impossible(mutant, miss.job):
                return Outcome(mutant, Fate.KILLED, "it provably never happens", miss.job.name)
        miss = missed[0]
        all_met = miss.course is not None and miss.course.complete
        why = "in any run" if all_met else f"within {miss.depth} steps"
        why = f"it does not happen {why} at {miss.scope}; in the design, within {miss.depth} steps"
        return Outcome(mutant, Fate.KILLED, why, miss.job.name, miss.depth)


@dataclass(frozen=True)
class _Missed:
    """A job that a mutant does not do at a scope, where the design does it in so many steps; with
    what was explored of the mutant, if that is how it is known."""

    job: Property[Any]
    depth: int
    scope: Scope
    course: Course | None


def _killed(mutant: Mutant, prop: Property[Any], trace: Trace) -> Outcome:
    steps = len(trace.events)
    return Outcome(mutant, Fate.KILLED, "violated", prop.name, steps, trace)


@cache
def _ledger() -> Mapping[str, Mapping[str, str]]:
    """Why survivors are let live: by design and mutant."""
    text = resources.files("mapproof.proofs.ledger").joinpath("mutants.toml").read_text("utf-8")
    return tomllib.loads(text)
