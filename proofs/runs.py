"""The runs of a design and of its mutants at one scope, nearest states first, with no solver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mapproof.model.language.concrete import Event, Machine, State
from mapproof.model.language.design import Design
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

from .trace import Trace, replay

MOST_STATES = 20_000


@dataclass(frozen=True)
class Course:
    """What the exploration of one design met.

    violated: the first claim that failed, with the shortest run to that; shown: the jobs that were
    seen done, and after how many steps; depth: all runs of so many steps were met; complete: all runs.
    """

    violated: tuple[Property[Any], Trace] | None
    shown: dict[str, int]
    depth: int
    complete: bool


class Runs:
    """Explores designs that have the state, the claims and the jobs of one design in common."""

    def __init__(
        self,
        design: Design[Any],
        scope: Scope,
        claims: Sequence[Property[Any]],
        jobs: Sequence[Property[Any]],
    ) -> None:
        self.scope = scope
        self.claims = [p for p in claims if p.kind == "always"]
        self.steps = [p for p in claims if p.kind == "step"]
        self.jobs = jobs
        self._judge = Machine(design.system(), scope)  # terms are compiled once
        self._harmless: set[State] = set()

    def of(self, design: Design[Any], most: int = MOST_STATES) -> Course:
        """The course of one design: until a claim fails, or until so many states were met."""
        machine = Machine(design.system(), self.scope)
        found: dict[State, tuple[State, Event] | None] = {}
        shown: dict[str, int] = {}
        layer: list[State] = []
        depth = 0

        def course(prop: Property[Any], events: list[Event], start: State) -> Course:
            boot = {place: start[place] for place in machine.layout.arbitrary}
            trace = replay(design, prop, machine, boot, events)
            return Course((prop, trace), shown, depth, False)

        for state in machine.initial_states():
            found[state] = None
            for prop in self._failing(state):
                return course(prop, [], state)
            layer.append(state)
        while layer:
            self._note(layer, shown, depth)
            following: list[State] = []
            for state in layer:
                for event, then in machine.successors(state):
                    for prop in self.steps:
                        if not self._judge.evaluate(prop.closed(), state, then):
                            events, start = _back(found, state)
                            return course(prop, [*events, event], start)
                    if then not in found:
                        if len(found) >= most:
                            return Course(None, shown, depth, False)
                        found[then] = (state, event)
                        for prop in self._failing(then):
                            return course(prop, *_back(found, then))
                        following.append(then)
            depth += bool(following)
            layer = following
        return Course(None, shown, depth, True)

    def missed(self, original: Course, mutant: Course) -> Iterator[tuple[Property[Any], int]]:
        """The jobs that a mutant does not do within the steps that the original needs for them."""
        for job in self.jobs:
            needed = original.shown.get(job.name)
            if needed is None or job.name in mutant.shown:
                continue
            if mutant.complete or mutant.depth >= needed:
                yield job, needed

    def _failing(self, state: State) -> Iterator[Property[Any]]:
        if state not in self._harmless:
            for prop in self.claims:
                if not self._judge.evaluate(prop.closed(), state):
                    yield prop
            self._harmless.add(state)

    def _note(self, layer: Sequence[State], shown: dict[str, int], depth: int) -> None:
        for job in self.jobs:
            if job.name not in shown:
                term = job.closed()
                if any(self._judge.evaluate(term, state) for state in layer):
                    shown[job.name] = depth


def _back(
    found: dict[State, tuple[State, Event] | None], state: State
) -> tuple[list[Event], State]:
    """The events that led to a state, and where they started."""
    events: list[Event] = []
    while (step := found[state]) is not None:
        state, event = step
        events.append(event)
    return events[::-1], state
