"""Finite scopes: how many elements each sort has, and where each map entry lies in a flat state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import product
from typing import Any

from .design import System
from .errors import DesignError
from .nodes import BOOL, TRUE_NODE, Component, OptOf, components_of
from .terms import Enumeration


class Scope(Mapping[Any, int]):
    """The number of elements of each sort.

    A value of a sort is an index below that number; a Bool is 0 or 1; of ``Opt[X]``, "none" is the
    number of elements of X.
    """

    def __init__(self, sizes: Mapping[Any, int]) -> None:
        self._sizes = dict(sizes)
        for sort, size in self._sizes.items():
            if size < 1:
                raise DesignError(f"scope {sort.__name__.lower()}={size}: a sort has at least one element")

    def __getitem__(self, sort: Any) -> int:
        if sort is BOOL:
            return 2
        if isinstance(sort, OptOf):
            return self[sort.base] + 1
        if issubclass(sort, Enumeration):
            return len(sort.values)
        return self._sizes[sort]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __hash__(self) -> int:
        return hash(frozenset(self._sizes.items()))

    def __str__(self) -> str:
        return ",".join(f"{k}={v}" for k, v in self.names().items())

    def names(self) -> dict[str, int]:
        """The scope as the command line writes it: sort names in lower case."""
        return {sort.__name__.lower(): size for sort, size in self._sizes.items()}

    def with_sizes(self, sizes: Mapping[Any, int]) -> Scope:
        """The same scope with some sizes changed."""
        return Scope({**self._sizes, **sizes})

    def combinations(self, sorts: Iterable[Any]) -> Iterator[tuple[int, ...]]:
        """Every tuple of indices over the sorts, the last one running fastest."""
        return product(*(range(self[s]) for s in sorts))


class Layout:
    """Where the entries of each component lie in a flat state vector.

    Components whose interpretation the design gives have no place in it: ``table`` has their values.
    """

    def __init__(self, system: System, scope: Scope) -> None:
        self.system = system
        self.scope = scope
        self.offset: dict[Component, int] = {}
        self.table: dict[Component, tuple[int, ...]] = {}
        self.size = 0
        for c in system.components:
            if c.given is not None:
                self.table[c] = self._interpret(c)
            else:
                self.offset[c] = self.size
                self.size += len(list(scope.combinations(c.keys)))

    def _interpret(self, c: Component) -> tuple[int, ...]:
        assert c.given is not None
        values = []
        for key in self.scope.combinations(c.keys):
            value = c.given(self.scope, *key)
            index = self.scope[c.value] - 1 if value is None and isinstance(c.value, OptOf) else value
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
