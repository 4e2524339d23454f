"""Where each map entry lies in the flat state of a finite scope."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from .design import System
from .errors import DesignError
from .nodes import TRUE_NODE, Component, OptOf, components_of
from .scope import Scope


class Layout:
    """Where the entries of each component lie in a flat state vector.

    Components whose interpretation the design or the system gives have no place in it: ``table`` has
    their values.
    """

    def __init__(self, system: System, scope: Scope) -> None:
        self.system = system
        self.scope = scope
        self.offset: dict[Component, int] = {}
        self.table: dict[Component, tuple[int, ...]] = {}
        self.size = 0
        for c in system.components:
            if c in system.tables:
                self.table[c] = system.tables[c]
            elif c.given is not None:
                self.table[c] = self._interpret(c)
            else:
                self.offset[c] = self.size
                self.size += len(list(scope.combinations(c.keys)))

    def _interpret(self, c: Component) -> tuple[int, ...]:
        assert c.given is not None
        values = []
        for key in self.scope.combinations(c.keys):
            value = c.given(self.scope, *key)
            index = (
                self.scope[c.value] - 1 if value is None and isinstance(c.value, OptOf) else value
            )
            if not isinstance(index, int) or not 0 <= index < self.scope[c.value]:
                raise DesignError(
                    f"the interpretation of {c.name} at {key} is {value!r}, which is no "
                    f"{c.value.__name__} at scope {self.scope}"
                )
            values.append(int(index))
        return tuple(values)

    def position(self, c: Component, key: tuple[int, ...]) -> int:
        """The place of one entry among the entries of its component."""
        place = 0
        for sort, index in zip(c.keys, key, strict=True):
            place = place * self.scope[sort] + index
        return place

    @cached_property
    def arbitrary(self) -> tuple[int, ...]:
        """The places whose values are arbitrary before the initial condition is applied, and matter
        after it: nothing sets them, or something reads them."""
        init = self.system.init
        filled = {u.component for u in init.updates if u.at is None and u.when == TRUE_NODE}
        read = components_of(
            init.when, *(n for u in init.updates for n in (u.when, u.value, *(u.at or ())))
        )
        fixed = {c for c in self.offset if (c in filled or c.local) and c not in read}
        return tuple(place for c, _, place in self.cells() if c not in fixed)

    def cells(self) -> Iterator[tuple[Component, tuple[int, ...], int]]:
        """Every entry in the state vector: component, key, place."""
        for c, offset in self.offset.items():
            for place, key in enumerate(self.scope.combinations(c.keys)):
                yield c, key, offset + place
