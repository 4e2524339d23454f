"""The walk: every leaf below a top-level entry, each table page read once.

Below the entry each path through the tables is followed, level by level, all entries of a level at
once.  How many leaves there are is counted before, from the bottom up, since tables that point back to
themselves make more than fit any memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from mapproof.model.language.sparse import Column
from mapproof.model.machine.geometry import PAGE_SHIFT

from .bits import PRESENT, Bits, U, W, X
from .image import Image, Root, TablePages

_TABLES_AT_ONCE = 1 << 11
META_LEVEL = 3  # of a leaf's ``meta``: the rights below, the number of the level above


@dataclass(frozen=True)
class AddressSpace:
    """A kernel root with its user root, or a root that serves both modes; ``title`` says whose it is."""

    kernel: Root
    user: Root | None
    title: str

    @property
    def is_init(self) -> bool:
        return "init_mm" in self.kernel.names


@dataclass
class Leaves:
    """Leaves in ascending order of addresses: entry, and rights and level in ``meta``."""

    va: Column
    word: Column
    meta: Column


@dataclass
class _Tables:
    """The table pages of one level that something leads to: where each is in memory (-1: it is not
    there), and its present entries in one array, table by table."""

    frames: Column
    places: Column
    first: Column
    slot: Column
    word: Column

    def of(self, frames: Column) -> Column:
        return np.searchsorted(self.frames, frames)


class Walk:
    """All leaves of an image, and what of the tables could not be read."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.geometry = image.geometry
        self.levels = [Bits(image.geometry, level) for level in image.geometry.levels]
        self._problems: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self.top: dict[int, Column] = {r.pa: self._top_entries(r) for r in image.roots}
        self._tables = self._find_tables()
        self._counts = self._count_leaves()
        self.spaces = self._address_spaces(image.roots)

    @property
    def problems(self) -> list[str]:
        """What was not read, each kind with its number and the first example."""
        return [
            f"{number} {what}, first {self._examples[what]}"
            for what, number in self._problems.items()
        ]

    def complain(self, what: str, example: str, number: int = 1) -> None:
        """Count what could not be read."""
        if number:
            self._problems[what] += number
            self._examples.setdefault(what, example)

    def _address_spaces(self, roots: list[Root]) -> list[AddressSpace]:
        by_pa = {root.pa: root for root in roots}
        user = np.array(self.geometry.pgd_slots(self.geometry.region("user")))
        found = []
        for root in roots:
            if root.kind == "user":
                continue
            title = root.title
            # The only mm without a page of its own, most of the time, is the one that patches text.
            mine = self.top[root.pa][user].tolist()
            if not root.names and root.kind == "kernel" and not any(map(self.entry_leaves, mine)):
                title = "poking_mm?"
            other = None if root.pair is None else by_pa[root.pair]
            found.append(AddressSpace(root, other, title))
        return found

    # Tables.

    def _top_entries(self, root: Root) -> Column:
        level = self.geometry.levels[0]
        place, there = self.image.pages.places(np.array([root.pa >> PAGE_SHIFT]))
        if not there[0]:
            self.complain("roots are not in the snapshot", f"{root.title} at {root.pa:#x}")
            return np.zeros(level.entries, np.uint64)
        entries = self.image.pages.entries(int(place[0]), level.entry_bytes)
        offset = (root.pa & 0xFFF) // level.entry_bytes
        found = entries[offset : offset + level.entries]
        if len(found) < level.entries:
            self.complain("roots run over the end of their page", f"{root.title} at {root.pa:#x}")
            found = np.concatenate([found, np.zeros(level.entries - len(found), np.uint64)])
        return found

    def _find_tables(self) -> list[_Tables]:
        """Each level's table pages below the top, with their present entries."""
        found: list[_Tables] = []
        words = np.concatenate([*self.top.values(), np.zeros(0, np.uint64)])
        words = words[(words & PRESENT) != 0]
        bad = self._reserved(self.levels[0], words)
        self.complain(
            "top-level entries have reserved bits set", f"{words[bad][:1]}", int(bad.sum())
        )
        words = words[~bad]
        for above, below in zip(self.levels, self.levels[1:], strict=False):
            frames = np.unique(above.tables(words[~above.is_leaf(words)]))
            tables = self._read(below, frames, self.image.pages)
            found.append(tables)
            words = tables.word
        return found

    def _reserved(self, level: Bits, words: Column) -> Column:
        """Which present entries have a reserved bit set: they translate nothing."""
        leaf = level.is_leaf(words)
        reserved = np.where(leaf, level.reserved_leaf, level.reserved_table)
        return np.asarray((words & reserved) != 0)

    def _read(self, level: Bits, frames: Column, pages: TablePages) -> _Tables:
        name = level.level.name
        at, there = pages.places(frames)
        if not there.all():
            example = self.geometry.show_pfn(int(frames[~there][0]))
            self.complain(f"{name} tables are not in the snapshot", example, int((~there).sum()))
        counts = np.zeros(len(frames), np.int64)
        slots: list[Column] = []
        words: list[Column] = []
        readable = np.flatnonzero(there)
        for start in range(0, len(readable), _TABLES_AT_ONCE):
            some = readable[start : start + _TABLES_AT_ONCE]
            entries = pages.entries(at[some], level.level.entry_bytes)
            table, slot = np.nonzero(entries & PRESENT)
            word = entries[table, slot]
            bad = self._reserved(level, word)
            if bad.any():
                where = f"{word[bad][0]:#x} in {name} table {frames[some[table[bad][0]]]:#x}"
                self.complain(f"{name} entries have reserved bits set", where, int(bad.sum()))
                table, slot, word = table[~bad], slot[~bad], word[~bad]
            counts[some] = np.bincount(table, minlength=len(some))
            slots.append(slot.astype(np.uint16))
            words.append(word)
        first = np.concatenate([[0], np.cumsum(counts)])
        places = np.where(there, at, -1)
        empty = np.zeros(0, np.uint64)
        return _Tables(
            frames,
            places,
            first,
            np.concatenate([*slots, empty.astype(np.uint16)]),
            np.concatenate([*words, empty]),
        )

    def _count_leaves(self) -> list[Column]:
        """For the tables of each level below the top: how many leaves lie below each, as float, since
        tables in a loop have more than fit a machine word."""
        counts: list[Column] = []
        below: Column | None = None
        for depth in range(len(self._tables) - 1, -1, -1):
            tables, level = self._tables[depth], self.levels[depth + 1]
            leaf = level.is_leaf(tables.word)
            number = leaf.astype(np.float64)
            if below is not None:
                target = self._tables[depth + 1].of(level.tables(tables.word[~leaf]))
                number[~leaf] = below[target]
            total = np.concatenate([[0.0], np.cumsum(number)])
            below = total[tables.first[1:]] - total[tables.first[:-1]]
            counts.insert(0, below)
        return counts

    def entry_leaves(self, word: int) -> float:
        """How many leaves lie below a top-level entry."""
        words, top = np.array([word], np.uint64), self.levels[0]
        if not word & 1 or self._reserved(top, words)[0]:
            return 0.0
        if top.is_leaf(words)[0]:
            return 1.0
        if not self._counts:
            return 0.0
        return float(self._counts[0][self._tables[0].of(top.tables(words))[0]])

    # Leaves.

    def leaves(self, slot: int, word: int) -> Leaves:
        """The leaves below one top-level entry, in ascending order of addresses."""
        top = self.levels[0]
        words = np.array([word], np.uint64)
        none = np.zeros(0, np.uint64)
        if not word & 1 or self._reserved(top, words)[0]:
            return Leaves(none, none, np.zeros(0, np.uint8))
        va = np.array([self.geometry.address(slot)], np.uint64)
        rights = top.rights(words, np.full(1, W | U | X, np.uint8))
        found: list[Leaves] = []
        for depth, level in enumerate(self.levels):
            leaf = level.is_leaf(words)
            if leaf.any():
                meta = rights[leaf] | np.uint8(depth << META_LEVEL)
                found.append(Leaves(va[leaf], words[leaf], meta))
            if leaf.all():
                break
            tables = self._tables[depth]
            target = tables.of(level.tables(words[~leaf]))
            va, words, rights = self._descend(depth + 1, target, va[~leaf], rights[~leaf])
        if len(found) == 1:
            return found[0]
        parts = zip(*((f.va, f.word, f.meta) for f in found), strict=True)
        if not found:
            return Leaves(none, none, np.zeros(0, np.uint8))
        columns = [np.concatenate(part) for part in parts]
        order = np.argsort(columns[0], kind="stable")
        return Leaves(*(column[order] for column in columns))

    def _descend(
        self, depth: int, target: Column, va: Column, rights: Column
    ) -> tuple[Column, Column, Column]:
        """The entries of tables, once for each path that leads to them."""
        tables, level = self._tables[depth - 1], self.levels[depth]
        first = tables.first[target]
        count = tables.first[target + 1] - first
        total = int(count.sum())
        new_va, new_words = np.empty(total, np.uint64), np.empty(total, np.uint64)
        new_rights = np.empty(total, np.uint8)
        ends = np.cumsum(count)
        for start in range(0, len(target), _TABLES_AT_ONCE):
            part = slice(start, start + _TABLES_AT_ONCE)
            out = slice(int(ends[part][0] - count[part][0]), int(ends[part][-1]))
            size = out.stop - out.start
            within = np.arange(size) - np.repeat(ends[part] - count[part] - out.start, count[part])
            index = np.repeat(first[part], count[part]) + within
            word = tables.word[index]
            shift = np.uint64(level.level.shift)
            step = tables.slot[index].astype(np.uint64) << shift
            new_va[out] = np.repeat(va[part], count[part]) + step
            new_words[out] = word
            new_rights[out] = level.rights(word, np.repeat(rights[part], count[part]))
        return new_va, new_words, new_rights

    # Tables of the user half, and the kernel's entries.

    def user_tables(self) -> list[tuple[int, int]]:
        """Every table page below user-half entries, with each address space that reaches it."""
        slots = np.array(self.geometry.pgd_slots(self.geometry.region("user")))
        found: list[tuple[int, int]] = []
        for number, space in enumerate(self.spaces):
            words = self.top[space.kernel.pa][slots]
            words = words[(words & PRESENT) != 0]
            words = words[~self._reserved(self.levels[0], words)]
            for level, tables in zip(self.levels, self._tables, strict=False):
                frames = np.unique(level.tables(words[~level.is_leaf(words)]))
                found += [(frame, number) for frame in frames.tolist()]
                at = tables.of(frames)
                pieces = [tables.word[tables.first[i] : tables.first[i + 1]] for i in at.tolist()]
                words = np.concatenate([np.zeros(0, np.uint64), *pieces])
        return found

    def kernel_entries(self, root: Root) -> Column:
        """Entries for kernel addresses at the level at which processes have copies of them: of PAE
        tables the PMD page of the last top-level entry, else the top level itself."""
        first = self._kernel_slots.start
        if self.geometry.levels[0].rights:
            return self.top[root.pa][first:]
        word = self.top[root.pa][first : first + 1]
        level = self.geometry.levels[1]
        place, there = self.image.pages.places(self.levels[0].tables(word))
        if not (word & PRESENT)[0] or not there[0]:
            return np.zeros(level.entries, np.uint64)
        return self.image.pages.entries(int(place[0]), level.entry_bytes)

    def kernel_slot_addresses(self) -> list[int]:
        """The first address of each of those entries."""
        first, last = self._kernel_slots.start, self._kernel_slots.stop
        if self.geometry.levels[0].rights:
            return [self.geometry.address(slot) for slot in range(first, last)]
        return [self.geometry.address(first, i) for i in range(self.geometry.levels[1].entries)]

    @property
    def _kernel_slots(self) -> range:
        end = self.geometry.pgd_slots(self.geometry.region("user")).stop
        return range(end, self.geometry.levels[0].entries)

    def word_at(self, root: Root | None, depth: int, table: int, slot: int) -> int:
        """One entry of a table, 0 where there is none; ``root`` for the top level."""
        if root is not None:
            return int(self.top[root.pa][slot])
        return int(self.table_words(depth, table)[slot])

    def table_words(self, depth: int, table: int) -> Column:
        """The entries of the table in a frame; of one that is not there, zeros."""
        level = self.geometry.levels[depth]
        place, there = self.image.pages.places(np.array([table]))
        if not there[0]:
            return np.zeros(level.entries, np.uint64)
        return self.image.pages.entries(int(place[0]), level.entry_bytes)

    def table_frames(self) -> set[int]:
        """The frames of all table pages, roots too, whether they could be read or not."""
        found = {root.pa >> PAGE_SHIFT for root in self.image.roots}
        return found.union(*(tables.frames.tolist() for tables in self._tables))

    def leaf_address(self, leaves: Leaves, number: int) -> int:
        """The physical address that a leaf maps."""
        level = self.levels[int(leaves.meta[number]) >> META_LEVEL]
        return int(level.frames(leaves.word[number : number + 1])[0]) << PAGE_SHIFT
