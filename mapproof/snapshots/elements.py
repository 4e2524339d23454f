"""What the readings of ``starts`` have in common: elements with names, and which to take."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeAlias, TypeVar

from mapproof.model.machine.entries import CacheType
from mapproof.model.machine.words import Word

from .image import Root
from .walk import AddressSpace, Walk

T = TypeVar("T", bound=Hashable)

Cells: TypeAlias = dict[tuple[int, ...], int | bool | None]
"""Entries of one map, as they are collected."""


class Named(Generic[T]):
    """Elements of a sort, numbered as they turn up, with their names."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[T, int] = {}

    def __call__(self, thing: T, name: str) -> int:
        """The number of an element; its name counts when it is new."""
        if thing not in self._numbers:
            self._numbers[thing] = len(self.names)
            self.names.append(name)
        return self._numbers[thing]


def worst_first(things: Iterable[T], how_bad: Callable[[T], int], most: int) -> list[T]:
    """So many of the things, those that look wrong before others, else in their order."""
    return sorted(things, key=lambda thing: -how_bad(thing))[:most]


def init_mm(walk: Walk) -> AddressSpace | None:
    """The address space of the kernel itself."""
    return next((s for s in walk.spaces if s.is_init and s.user is not None), None)


def processes(walk: Walk) -> list[tuple[AddressSpace, Root]]:
    """Address spaces with user tables of their own, but for the kernel's, with these tables; those of
    tasks before the mm that patches text."""
    own = [s for s in walk.spaces if not s.is_init and not s.kernel.special]
    own.sort(key=lambda s: "poking_mm" in s.title)
    return [(s, s.user) for s in own if s.user is not None]


def bits_of(word: Word) -> dict[str, int]:
    """The fields of an entry by the names of :class:`mapproof.model.machine.entries.Entries`, without
    accessed and dirty, which the processor sets and no design here depends on."""
    names = ("present", "writable", "user", "nx", "global_")
    cache = word.memory_type.replace("-", "_MINUS")
    return {
        **{name: int(getattr(word, name)) for name in names},
        "cache": CacheType.values.index(cache),
    }


def listed(names: Iterable[str], of: int, what: str) -> str:
    """``2 of 25 processes (poking_mm, sh:1)``."""
    found = list(names)
    return f"{len(found)} of {of} {what}" + (f" ({', '.join(found)})" if found else "")
