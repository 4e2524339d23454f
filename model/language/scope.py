"""Finite scopes: how many elements each sort has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from .errors import DesignError
from .nodes import BOOL, OptOf
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
                raise DesignError(
                    f"scope {sort.__name__.lower()}={size}: a sort has at least one element"
                )

    def __getitem__(self, sort: Any) -> int:
        if sort is BOOL:
            return 2
        if isinstance(sort, OptOf):
            return self[sort.base] + 1
        if issubclass(sort, Enumeration):
            return len(sort.values)
        size: int = self._sizes[sort]
        return size

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

    def combinations(self, sorts: Iterable[Any]) -> Iterator[tuple[int, ...]]:
        """Every tuple of indices over the sorts, the last one running fastest."""
        return product(*(range(self[s]) for s in sorts))
