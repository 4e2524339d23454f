"""Runs without a solver: random walks, and the first states of a breadth-first exploration.

They say nothing about what they do not meet; they spare the solvers plainly false invariants and jobs
that are quickly seen being done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from random import Random
from typing import Any

from mapproof.model.language.concrete import Event, Machine, State
from mapproof.model.language.design import Design
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

from .trace import Trace, find_witness

WALKS = 24
LENGTH = 16
EXPLORED = 10_000  # states


@dataclass(frozen=True)
class _Walk:
    states: list[State]
    events: list[Event]


class Walks:
    """Some random walks from the initial states of a design; the same ones on every run.

    Raises DesignError if the design has no machine, or too many initial states, at the scope.
    """

    def __init__(self, design: Design[Any], scope: Scope) -> None:
        self.design = design
        self.machine = Machine(design.system(), scope)
        self._starts = list(islice(self.machine.initial_states(), WALKS))

    @cached_property
    def _walks(self) -> list[_Walk]:
        random = Random(0)
        walks = []
        for i in range(WALKS if self._starts else 0):
            walk = _Walk([self._starts[i % len(self._starts)]], [])
            while len(walk.events) < LENGTH:
                following = list(self.machine.successors(walk.states[-1]))
                if not following:
                    break
                event, after = random.choice(following)
                walk.events.append(event)
                walk.states.append(after)
            walks.append(walk)
        return walks

    def refuted(self, claims: Sequence[Property[Any]]) -> dict[str, int]:
        """The ``always`` and ``step`` claims that are false on a walk, and the fewest steps to there."""
        states: dict[State, int] = {}
        steps: dict[tuple[State, State], int] = {}
        for walk in self._walks:
            for n, state in enumerate(walk.states):
                states[state] = min(n, states.get(state, n))
            for n, pair in enumerate(pairwise(walk.states), 1):
                steps[pair] = min(n, steps.get(pair, n))
        found = {}
        for claim in claims:
            holds = self.machine.evaluate
            if claim.kind == "step":
                false = [n for (a, b), n in steps.items() if not holds(claim.closed(), a, b)]
            else:
                false = [n for state, n in states.items() if not holds(claim.closed(), state)]
            if false:
                found[claim.name] = min(false)
        return found

    def shown(self, job: Property[Any]) -> Trace | None:
        """A run on which a ``sometimes`` holds, without any step that it can do without: from a
        walk, else the shortest one among the first states."""
        best = self._walked_to(job) or self._explored_to(job)
        if best is None:
            return None
        witness = find_witness(self.machine, job, best.states)
        assert witness is not None
        return Trace(self.design, self.machine, tuple(best.events), tuple(best.states), witness)

    def _walked_to(self, job: Property[Any]) -> _Walk | None:
        best: _Walk | None = None
        for walk in self._walks:
            for n, state in enumerate(walk.states):
                if best is not None and n >= len(best.events):
                    break
                if self.machine.evaluate(job.closed(), state):
                    best = self._pruned(job, _Walk(walk.states[: n + 1], walk.events[:n]))
                    break
        return best

    def _explored_to(self, job: Property[Any]) -> _Walk | None:
        """Follows the exploration back from the first state in which the job is done."""
        for last in self._explored:
            if self.machine.evaluate(job.closed(), last):
                walk = _Walk([last], [])
                while (step := self._explored[walk.states[0]]) is not None:
                    walk.states.insert(0, step[0])
                    walk.events.insert(0, step[1])
                return walk
        return None

    @cached_property
    def _explored(self) -> dict[State, tuple[State, Event] | None]:
        """The first reachable states, nearest first, each with the step that led to it."""
        found: dict[State, tuple[State, Event] | None] = dict.fromkeys(self._starts)
        queue = deque(self._starts)
        while queue and len(found) < EXPLORED:
            state = queue.popleft()
            for event, after in self.machine.successors(state):
                if after not in found:
                    found[after] = (state, event)
                    queue.append(after)
        return found

    def _pruned(self, job: Property[Any], walk: _Walk) -> _Walk:
        for i in reversed(range(len(walk.events))):
            shorter = self._rerun(walk.states[0], [*walk.events[:i], *walk.events[i + 1 :]])
            if shorter is not None and self.machine.evaluate(job.closed(), shorter.states[-1]):
                walk = shorter
        return walk

    def _rerun(self, start: State, events: list[Event]) -> _Walk | None:
        states = [start]
        for event in events:
            after = self.machine.fire(states[-1], event)
            if after is None:
                return None
            states.append(after)
        return _Walk(states, events)
