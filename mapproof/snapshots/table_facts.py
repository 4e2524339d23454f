"""What tables say: top-level entries, copies of the kernel's entries, who reaches a table."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mapproof.model.language.sparse import NONE, Column, Relation, Single, Table, Unreadable, Values
from mapproof.model.machine.halves import Use

from .bits import COMPARED_IN_COPIES
from .image import Root
from .leaf_facts import TYPES, LeafFacts


class TableFacts(LeafFacts):
    """The part of a snapshot's state that is about tables."""

    # Tables.

    def read_use(self) -> Relation:
        """Tables of nobody's process count as data: nothing is claimed of them here."""
        self._need_isolation()

        def use(root: Root) -> str:
            if root.kind == "user":
                return "USER_COPY"
            if root.special:
                return "DATA"
            return "INIT" if "init_mm" in root.names else "PROCESS"

        return Values(np.array([Use.values.index(use(r)) for r in self.image.roots], np.int64))

    def read_beside(self) -> Relation:
        self._need_isolation()
        number = {root.pa: i for i, root in enumerate(self.image.roots)}
        pairs = [
            (i, number[root.pair])
            for i, root in enumerate(self.image.roots)
            if root.kind == "kernel" and root.pair is not None
        ]
        keys = tuple(np.array(k, np.int64) for k in zip(*pairs, strict=True))
        return Table(keys, np.ones(len(pairs), np.int64), 0)

    def read_user_half(self) -> Relation:
        slots = np.arange(self.geometry.levels[0].entries)
        user = self.geometry.pgd_slots(self.geometry.region("user"))
        return Values(np.isin(slots, np.array(user)))

    @cached_property
    def _top_entries(self) -> tuple[Column, Column, Column]:
        """Root, slot and word of all entries of top-level tables that are not zero."""
        rows = [(i, *_nonzero(self.walk.top[r.pa])) for i, r in enumerate(self.image.roots)]
        roots = np.concatenate([np.full(len(s), i, np.int64) for i, s, _ in rows])
        return roots, np.concatenate([s for _, s, _ in rows]), np.concatenate([w for *_, w in rows])

    def top_bits(self, name: str) -> Relation:
        """One bit, or what it points to, of the top-level entries."""
        roots, slots, words = self._top_entries
        level = self.walk.levels[0]
        if name in ("nx", "user") and not level.level.rights:
            if name == "nx":
                raise Unreadable("top-level entries of PAE tables have no NX")
            return Table((roots, slots), np.zeros(len(words), np.int64), 0)
        if name == "table":
            present = (words & np.uint64(1)) != 0
            return Table((roots, slots), np.where(present, level.tables(words), NONE))
        if name == "cache":
            return Table((roots, slots), TYPES[level.types(words) & np.uint8(3)], 0)
        return Table((roots, slots), level.has(words, name).astype(np.int64), 0)

    def read_user_table(self) -> Relation:
        pairs = self.walk.user_tables()
        keys = (
            np.array([t for t, _ in pairs], np.int64),
            np.array([m for _, m in pairs], np.int64),
        )
        return Table(keys, np.ones(len(pairs), np.int64), 0)

    @cached_property
    def _copies(self) -> tuple[Relation, Relation, int]:
        """Kernel entries of both tables of each address space, where they are copied; how many slots."""
        words: list[list[tuple[int, int, int]]] = [[], []]
        for number, space in enumerate(self.walk.spaces):
            for mine, root in zip(words, (space.kernel, space.user), strict=True):
                if root is not None:
                    slots, found = _nonzero(self.walk.kernel_entries(root))
                    kept = (found & COMPARED_IN_COPIES).tolist()
                    mine += [(number, s, w) for s, w in zip(slots.tolist(), kept, strict=True)]
        numbers = {w: i for i, w in enumerate(sorted({w for half in words for *_, w in half}))}
        tables = []
        for half in words:
            rows = np.array([(m, s, numbers[w]) for m, s, w in half], np.int64).reshape(-1, 3)
            tables.append(Table((rows[:, 0], rows[:, 1]), rows[:, 2]))
        return tables[0], tables[1], len(self.walk.kernel_entries(self.walk.spaces[0].kernel))

    def read_copy(self) -> Relation:
        return self._copies[0]

    def read_user_copy(self) -> Relation:
        self._need_isolation()
        return self._copies[1]

    def read_process(self) -> Relation:
        return Values(np.array([not s.is_init and not s.kernel.special for s in self.walk.spaces]))

    def read_ldt_slot(self) -> Relation:
        region = self.regions.named("ldt")
        slots = self.walk.kernel_slot_addresses()
        if region is None:
            return Values(np.zeros(len(slots), bool))
        return Values(np.array([s in region for s in slots]))

    def read_init_mm(self) -> Relation:
        found = [i for i, s in enumerate(self.walk.spaces) if s.is_init]
        if not found:
            raise Unreadable("the snapshot does not say which root is init_mm's")
        return Single(found[0])


def _nonzero(words: Column) -> tuple[Column, Column]:
    slots = np.flatnonzero(words)
    return slots, words[slots]
