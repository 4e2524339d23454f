"""A system at a finite scope as a sequential circuit: latches, inputs, next states.

Nothing here gives a meaning to a term: an arbitrary state is decoded from its latches, the bounded
reading makes one step of it, and the state after the step is encoded again.  A value of n is kept in
ceil(log2 n) latches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .bounded import Stepper, Value
from .design import System
from .nodes import BOOL, Component, negate
from .property import Claim
from .scope import Scope


@dataclass(frozen=True)
class Place:
    """One map entry: its value now, in the initial states and after the step; its latches."""

    component: Component
    key: tuple[int, ...]
    size: int
    bits: tuple[int, ...]
    now: Value
    first: Value
    after: Value


class Sequential(Stepper):
    """One step from an arbitrary state, and the initial states, over one circuit.

    places: every map entry; possible: the literal that the initial values are allowed, over the
    inputs ``first_bits``; facts: what the assumptions say of the present state (nothing changes it);
    step: the choices made; enabled: that they make a step.  Where they make none, the state stays.
    """

    def __init__(self, system: System, scope: Scope) -> None:
        super().__init__(system, scope)
        places = {place for _, _, place in self.layout.cells()}
        self.bits: dict[int, list[int]] = {}
        self.state = self.arbitrary_state(self.bits, places)
        self.facts = self.circuit.all(
            self.literal(axiom, {}, self.state) for axiom in system.axioms
        )
        move = self.move(self.state)
        self.step, self.enabled, self.after = move.choices, move.enabled, move.after
        self.first, self.possible, self.first_bits = self.start()
        self.places = tuple(self._places())

    def _places(self) -> Iterator[Place]:
        for component, key, place in self.layout.cells():
            entry = place - self.layout.offset[component]
            yield Place(
                component,
                key,
                self.scope[component.value],
                tuple(self.bits[place]),
                self.state[component][entry],
                self.first[component][entry],
                self.after[component][entry],
            )

    def bad(self, prop: Claim) -> int:
        """The literal that says: the state (of a ``step``: the step) violates the property; of a
        ``sometimes``: shows it."""
        if prop.kind == "step":
            wrong = self.literal(prop.closed(), {}, self.state, self.after) ^ 1
            return self.circuit.and_(self.enabled, wrong)
        if prop.kind == "sometimes":
            return self.literal(prop.closed(), {}, self.state)
        return self.literal(negate(prop.closed()), {}, self.state)

    def encoded(self, sort: Any, value: Value) -> list[int]:
        """A value as bits, lowest first."""
        if sort is BOOL:
            return list(value)
        width = (len(value) - 1).bit_length()
        return [
            self.circuit.any(v for i, v in enumerate(value) if i >> bit & 1) for bit in range(width)
        ]
