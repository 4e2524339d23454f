"""What leaves say, place by place: frame, rights, memory type, address, region."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from mapproof.model.language.sparse import (
    CHUNK,
    NONE,
    Column,
    Reading,
    Relation,
    Universe,
    Unreadable,
    Values,
)
from mapproof.model.machine.entries import CacheType

from .bits import U, W, X
from .frames import ascending_bin
from .image import Image
from .places import places_of
from .regions import Regions
from .relations import Mapped, PlaceUniverse
from .walk import META_LEVEL, Walk

TYPES = np.array(
    [
        CacheType.values.index(n)
        for n in ("WB", "WC", "UC_MINUS", "UC", "WB", "WP", "UC_MINUS", "WT")
    ]
)
"""The memory type of each PAT slot as Linux programs it (geometry.PAT)."""


class LeafFacts(Reading):
    """The part of a snapshot's state that leaves make."""

    def __init__(self, image: Image, walk: Walk | None = None) -> None:
        self.image = image
        self.walk = walk or Walk(image)
        self.geometry = image.geometry
        self.regions = Regions(image)
        self.isolation = image.isolation
        self.problems: list[str] = []
        self.places = places_of(self.walk)
        self._universes: dict[str, Universe] = {}
        self._columns: dict[str, Column] = {}
        self._sizes = np.array([1 << lv.level.shift for lv in self.walk.levels] + [0] * 8, np.int64)

    def alike(self) -> Column:
        """For how many address spaces each place stands."""
        universe = PlaceUniverse(self.places)
        weights = universe.weights(np.arange(len(universe)))
        assert weights is not None
        return weights

    def own_user_leaves(self) -> Column:
        """Places at which a leaf begins in user tables that are not the kernel's."""
        rows = np.arange(len(self.places.va))
        return np.asarray((self.places.user != 0) & self.is_isolated(rows))

    # Leaves, by their entries.

    def sizes(self, meta: Column) -> Column:
        """Bytes that leaves map."""
        return np.asarray(self._sizes[meta >> META_LEVEL])

    def frames(self, words: Column, meta: Column) -> Column:
        """The first frame of leaves, -1 where there is none."""
        return self._by_level(words, meta, "frames", np.full(len(words), NONE, np.int64))

    def _by_level(self, words: Column, meta: Column, what: str, result: Column) -> Column:
        depth = meta >> META_LEVEL
        last = len(self.walk.levels) - 1
        if len(words) and depth.min() == last and words.min() > 0:  # mostly so
            return np.asarray(getattr(self.walk.levels[last], what)(words))
        there = words != 0
        for number, level in enumerate(self.walk.levels):
            mine = (depth == number) & there
            if mine.any():
                result[mine] = getattr(level, what)(words[mine])
        return result

    def flags(self, words: Column, meta: Column, name: str) -> Column:
        """A flag of leaves by its name in :class:`.words.Word`."""
        result = np.zeros(len(words), bool)
        for number, level in enumerate(self.walk.levels):
            mine = meta >> META_LEVEL == number
            result |= mine & level.has(words, name)
        return result

    def _half(self, which: str) -> tuple[Column, Column]:
        p = self.places
        return (p.kernel, p.kernel_meta) if which == "kernel" else (p.user, p.user_meta)

    def _leaf_column(self, which: str, make: Callable[[Column, Column], Column]) -> Relation:
        words, meta = self._half(which)
        return Values(lambda rows: make(words[rows], meta[rows]))

    def _right(self, which: str, bit: int) -> Relation:
        return self._leaf_column(which, lambda w, m: (m & np.uint8(bit)) != 0)

    def type_index(self, words: Column, meta: Column) -> Column:
        """The PAT slot of leaves."""
        return self._by_level(words, meta, "types", np.zeros(len(words), np.uint8))

    def _types(self, which: str) -> Relation:
        words, meta = self._half(which)
        return self._kept(f"{which} types", lambda r: TYPES[self.type_index(words[r], meta[r])])

    def _kept(self, name: str, make: Callable[[Column], Column]) -> Relation:
        """A column of small values that several properties read, made once for all places."""
        column = self._columns.get(name)
        if column is None:
            size = len(self.places.va)
            column = self._columns[name] = np.empty(size, np.uint8)
            for start in range(0, size, CHUNK):
                rows = np.arange(start, min(start + CHUNK, size))
                column[rows] = make(rows)
        return Values(column)

    def read_kernel(self) -> Relation:
        return self._leaf_column("kernel", self.frames)

    def read_user(self) -> Relation:
        return self._leaf_column("user", self.frames)

    def read_global_(self) -> Relation:
        return self._globals("kernel")

    def _globals(self, which: str) -> Relation:
        words, meta = self._half(which)
        make = lambda rows: self.flags(words[rows], meta[rows], "global_")  # noqa: E731
        return self._kept(f"{which} global", make)

    def _of_kernel_addresses(self, relation: Relation) -> Relation:
        self._need_isolation()
        user = self.read_in_user_half()
        return Values(lambda rows: relation.at(rows).astype(bool) & ~user.at(rows))

    def read_kernel_g(self) -> Relation:
        return self._of_kernel_addresses(self._globals("kernel"))

    def read_user_g(self) -> Relation:
        return self._of_kernel_addresses(self._globals("user"))

    def read_kernel_w(self) -> Relation:
        return self._right("kernel", W)

    def read_kernel_u(self) -> Relation:
        return self._right("kernel", U)

    def read_kernel_x(self) -> Relation:
        return self._right("kernel", X)

    def read_user_w(self) -> Relation:
        return self._right("user", W)

    def read_user_u(self) -> Relation:
        return self._right("user", U)

    def read_user_x(self) -> Relation:
        return self._right("user", X)

    def read_kernel_type(self) -> Relation:
        return self._types("kernel")

    def read_user_type(self) -> Relation:
        return self._types("user")

    def read_kernel_maps(self) -> Relation:
        return Mapped(self, *self._half("kernel"), shadow=False)

    def read_shadow_maps(self) -> Relation:
        return Mapped(self, *self._half("user"), shadow=True)

    def read_small(self) -> Relation:
        last = len(self.walk.levels) - 1
        return self._leaf_column("kernel", lambda w, m: (w != 0) & (m >> META_LEVEL == last))

    # Places.

    def _need_isolation(self) -> None:
        if not self.isolation:
            raise Unreadable("page table isolation is off")

    def branch_of(self, rows: Column) -> Column:
        """The branch of each place."""
        if not len(rows):
            return np.zeros(0, np.int64)
        return np.broadcast_to(ascending_bin(self.places.starts, rows), rows.shape)

    def is_isolated(self, rows: Column) -> Column:
        """Whether the address space of a place has user tables of its own."""
        return np.asarray(self._isolated_branches[self.branch_of(rows)])

    @cached_property
    def _isolated_branches(self) -> Column:
        return np.array([b.isolated for b in self.places.branches], bool)

    def read_isolated(self) -> Relation:
        self._need_isolation()
        return Values(self.is_isolated)

    def read_special(self) -> Relation:
        column = np.array([b.special for b in self.places.branches], bool)
        return Values(lambda rows: column[self.branch_of(rows)])

    def read_in_user_half(self) -> Relation:
        end = np.uint64(self.geometry.region("user").end)
        return Values(lambda rows: self.places.va[rows] < end)

    def read_region(self) -> Relation:
        return self._kept("region", lambda rows: self.regions.of(self.places.va[rows]))
