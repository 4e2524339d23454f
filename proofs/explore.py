"""Exact counting: every reachable state at a finite scope, breadth first, with no solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.design import Design
from mapproof.model.language.scope import Scope

REPORT_EVERY = 20_000


@dataclass(frozen=True)
class Explored:
    """What a walk over the reachable states found.

    states: how many different ones were seen; depth: steps to the farthest of them, over shortest
    runs; complete: there are no others.
    """

    design: str
    scope: Scope
    states: int
    depth: int
    complete: bool


def explore(
    design: Design[Any],
    scope: Scope,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda _states, _depth: None,
) -> Explored:
    """Count the reachable states of a design; stop after ``limit`` of them.

    ``progress`` is told the number of states and the depth now and then.  Raises DesignError if the
    scope does not fit the design.
    """
    machine = Machine(design.system(), scope)
    seen: set[State] = set()
    layer: list[State] = []

    def found(states: int, depth: int, complete: bool) -> Explored:
        return Explored(design.name, scope, states, depth, complete)

    for state in machine.initial_states():
        if len(seen) == limit:
            return found(len(seen), 0, False)
        seen.add(state)
        layer.append(state)
    depth, told = 0, 0
    while layer:
        following: list[State] = []
        for state in layer:
            for after in machine.successor_states(state):
                if after not in seen:
                    if len(seen) == limit:
                        return found(len(seen), depth + bool(following), False)
                    seen.add(after)
                    following.append(after)
            if len(seen) - told >= REPORT_EVERY:
                told = len(seen)
                progress(told, depth)
        depth += bool(following)
        layer = following
    return found(len(seen), depth, True)
