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


def walks(machine: Machine) -> Iterator[tuple[int, State, State]]:
    """Steps (number in its walk, state, next state) of some walks; the same ones on every run."""
    random = Random(0)
    starts = list(islice(machine.initial_states(), WALKS))
    for i in range(WALKS if starts else 0):
        state = starts[i % len(starts)]
        for number in range(1, LENGTH + 1):
            following = list(machine.successor_states(state))
            if not following:
                break
            after = random.choice(following)
            yield number, state, after
            state = after


def refuted(
    system: System, scope: Scope, candidates: Sequence[Property[Any]]
) -> dict[str, int]:
    """The candidates that are false somewhere on the walks, with the fewest steps to there."""
    try:
        machine = Machine(system, scope)
        steps = sorted(walks(machine))
    except DesignError:  # too many initial states, or no machine at this scope
        return {}
    found = {}
    for p in candidates:
        claim = p.closed(1 if p.kind == "always" else 0)
        number = next((n for n, a, b in steps if not machine.evaluate(claim, a, b)), None)
        if number is not None:
            found[p.name] = number
    return found
