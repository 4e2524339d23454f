"""Which designs can start from a snapshot, and the state that each starts in.

A module of this folder reads one state: ``STATE`` is the state class of the designs that it is for,
``MACHINES`` says of which machines, and ``read`` makes the :class:`Start` from what a snapshot shows.
A state that no module reads cannot be filled, and its designs are refused.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from mapproof.model.language import Design, DesignError
from mapproof.model.language.sparse import Unreadable
from mapproof.model.language.start import Start, started

from ...catalog import Catalog
from ..facts import Facts
from ..image import Image

MOST = 32
"""Elements of a sort that are taken from a snapshot: the search is over all of them."""


class Room:
    """How many elements of each sort to take: what the user asked for, or a few."""

    def __init__(self, sizes: Mapping[type, int], at: Sequence[int] = ()) -> None:
        self._sizes = sizes
        self.at = at
        self.asked: set[type] = set()

    def __call__(self, sort: type, usual: int) -> int:
        """How many of a sort, ``usual`` if nothing was said."""
        self.asked.add(sort)
        return min(self._sizes.get(sort, usual), MOST)

    def near(self, start: int, size: int) -> bool:
        """The user asked for an address of this range."""
        return any(start <= va < start + size for va in self.at)


@dataclass(frozen=True)
class Reading:
    """How the designs of one state are filled; ``machines`` says from what, in words."""

    state: type
    machines: str
    read: Callable[[Facts, Room], Start]


def readings() -> list[Reading]:
    """Every module of this folder."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    return [_reading(import_module(f"{__name__}.{name}")) for name in names]


def _reading(module: ModuleType) -> Reading:
    return Reading(module.STATE, module.MACHINES, module.read)


def reading_of(design: Design[Any]) -> Reading:
    """How that design is filled.  Raises DesignError, listing those that can be, if it is not known."""
    found = readings()
    for reading in found:
        if design.state is reading.state:
            return reading
    states = [r.state for r in found]
    able = sorted(d.name for d in Catalog().designs.values() if d.state in states)
    raise DesignError(
        f"{design.name} cannot start from a snapshot: nothing says how its state "
        f"({design.state.__name__}) is read from page tables; designs that can: {', '.join(able)}"
    )


def from_snapshot(
    design: Design[Any],
    image: Image,
    facts: Callable[[], Facts],
    sizes: Mapping[type, int],
    at: Sequence[int] = (),
) -> tuple[Design[Any], Start]:
    """The design, starting in the state that a snapshot shows, and that state.

    sizes: how many elements of some sorts to take; at: addresses that are to be among them.
    Raises DesignError if the design, or the snapshot, is not fit for it.
    """
    reading, room = reading_of(design), Room(sizes, at)
    for va in at:
        if va >= 1 << image.geometry.word_bits or va != image.geometry.canonical(va):
            raise DesignError(f"--at {va:#x}: not an address of {image.geometry.title}")
    try:
        start = reading.read(facts(), room)
    except Unreadable as error:
        raise DesignError(
            f"{design.name} starts from {reading.machines}; {image.name}: {error}"
        ) from None
    for sort in sizes:
        if sort in start.names and sort not in room.asked:
            raise DesignError(
                f"--scope {sort.__name__.lower()}: how many there are follows from the snapshot"
            )
    own = {sort: size for sort, size in sizes.items() if sort not in start.names}
    sized = design.but(name=design.name, scope={**design.scope, **own})
    return started(sized, start, name=f"{design.name} from {image.name}"), start
