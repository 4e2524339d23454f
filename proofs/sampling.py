"""Random walks at a small scope: a quick look at which invariants are plainly false."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.design import System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

WALKS = 24
LENGTH = 16


def walks(machine: Machine) -> Iterator[tuple[State, State]]:
    """Steps (state, next state) of a fixed number of walks; the same ones on every run."""
    random = Random(0)
    starts = list(islice(machine.initial_states(), WALKS))
    for i in range(WALKS if starts else 0):
        state = starts[i % len(starts)]
        for _ in range(LENGTH):
            following = list(machine.successor_states(state))
            if not following:
                break
            after = random.choice(following)
            yield state, after
            state = after


def refuted(
    system: System, scope: Scope, candidates: Sequence[Property[Any]]
) -> set[str]:
    """Names of the candidates that are false somewhere on the walks."""
    try:
        machine = Machine(system, scope)
        steps = list(dict.fromkeys(walks(machine)))
    except DesignError:  # too many initial states, or no machine at this scope
        return set()
    return {
        p.name
        for p in candidates
        if not all(machine.evaluate(p.closed(1 if p.kind == "always" else 0), a, b) for a, b in steps)
    }
