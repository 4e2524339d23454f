"""An image as the state of :mod:`mapproof.model.machine.snapshot`, column by column.

A column is made when a property asks for it.  What an image cannot say is refused with the reason, which
is what a report gives for a property that does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from mapproof.model.language.nodes import Component
from mapproof.model.language.sparse import (
    CHUNK,
    NONE,
    Column,
    Count,
    Reading,
    Relation,
    Single,
    Table,
    Universe,
    Unreadable,
    Values,
)
from mapproof.model.machine.entries import CacheType
from mapproof.model.machine.geometry import PAGE_SHIFT, PAGE_SIZE
from mapproof.model.machine.halves import Use
from mapproof.model.machine.snapshot import Region

from .frames import MOST_FRAMES, Runs, ascending_bin, runs_of
from .image import MOST_PHYSICAL, Image, Root, as_int
from .records import secret_frames, vmas
from .regions import Regions
from .walk import IGNORED_IN_COPIES, META_LEVEL, Places, U, W, Walk, X

_OFF = "page table isolation is off"
_TYPES = np.array(
    [
        CacheType.values.index(n)
        for n in ("WB", "WC", "UC_MINUS", "UC", "WB", "WP", "UC_MINUS", "WT")
    ]
)
"""The memory type of each PAT slot as Linux programs it (geometry.PAT)."""


class PlaceUniverse(Count):
    """Places; each stands for all address spaces that have its branch."""

    def __init__(self, places: Places) -> None:
        super().__init__(len(places.va))
        self._starts = places.starts
        self._spaces = np.array([len(b.spaces) for b in places.branches], np.int64)

    def weights(self, elements: Column) -> Column | None:
        return np.asarray(self._spaces[np.searchsorted(self._starts, elements, "right") - 1])


class Weighted(Count):
    """Elements that have their own weights."""

    def __init__(self, weights: Column) -> None:
        super().__init__(len(weights))
        self._weights = weights

    def weights(self, elements: Column) -> Column | None:
        return np.asarray(self._weights[elements])


class Mapped(Relation):
    """Which frames the leaf at a place maps: (place, frame); shadow: in tables of user mode alone."""

    def __init__(self, facts: Facts, words: Column, meta: Column, *, shadow: bool) -> None:
        self._facts = facts
        self._all = words
        self._meta = meta
        self._shadow = shadow

    def _words(self, rows: Column) -> Column:
        words = self._all[rows]
        if self._shadow:
            words = np.where(self._facts.is_isolated(rows), words, np.uint64(0))
        return np.asarray(words)

    def at(self, *keys: Column) -> Column:
        places, frames = keys
        words, meta = self._words(places), self._meta[places]
        first, number = self._facts.frames(words, meta), self._facts.sizes(meta) >> PAGE_SHIFT
        return np.asarray((words != 0) & (frames >= first) & (frames < first + number))

    def reached(self, chunks: Iterator[Column], universe: Universe) -> Column | None:
        assert isinstance(universe, Runs)
        reached = np.zeros(len(universe), bool)
        steps = np.zeros(len(universe) + 1, np.int32)
        for rows in chunks:
            words, meta = self._words(rows), self._meta[rows]
            first = self._facts.frames(words, meta)
            number = self._facts.sizes(meta) >> PAGE_SHIFT
            one, many = (words != 0) & (number == 1), (words != 0) & (number > 1)
            places, there = universe.places(first[one])
            reached[places[there]] = True
            if many.any():
                np.add.at(steps, universe.before(first[many]), 1)
                np.add.at(steps, universe.before(first[many] + number[many]), -1)
        if steps.any():
            reached |= np.cumsum(steps[:-1]) > 0
        return reached


class FrameSet(Relation):
    """Frames that have something in common."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def at(self, *keys: Column) -> Column:
        return self.runs.places(keys[0])[1]


class Facts(Reading):
    """The state that an image shows."""

    def __init__(self, image: Image, walk: Walk | None = None) -> None:
        self.image = image
        self.walk = walk or Walk(image)
        self.geometry = image.geometry
        self.regions = Regions(image)
        self.isolation = image.isolation
        self.problems: list[str] = []
        self.places = self.walk.places()
        self._universes: dict[str, Universe] = {}
        self._columns: dict[str, Column] = {}
        self._sizes = np.array([1 << lv.level.shift for lv in self.walk.levels] + [0] * 8, np.int64)

    # Sorts.

    def universe(self, sort: Any) -> Universe:
        name = sort.__name__
        if name not in self._universes:
            makers: dict[str, Callable[[], Universe]] = {
                "Va": lambda: PlaceUniverse(self.places),
                "Frame": lambda: self._frames,
                "Mm": lambda: Count(len(self.walk.spaces)),
                "Pgd": lambda: Count(len(self.image.roots)),
                "PgdSlot": lambda: Count(self.geometry.levels[0].entries),
                "Slot": lambda: Count(self._copies[2]),
                "Extent": lambda: Weighted(self._extents[1]),
            }
            if name not in makers:
                raise Unreadable(f"a snapshot has no {name}")
            self._universes[name] = makers[name]()
        return self._universes[name]

    def relation(self, component: Component) -> Relation:
        maker = getattr(self, "_" + component.name.replace(".", "_"), None)
        if maker is None and component.name.startswith("pgd."):
            return self._top_bits(component.name.removeprefix("pgd."))
        if maker is None:
            raise Unreadable(_unknown(component))
        made: Relation = maker()
        return made

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
        return self._kept(f"{which} types", lambda r: _TYPES[self.type_index(words[r], meta[r])])

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

    def _kernel(self) -> Relation:
        return self._leaf_column("kernel", self.frames)

    def _user(self) -> Relation:
        return self._leaf_column("user", self.frames)

    def _global_(self) -> Relation:
        return self._globals("kernel")

    def _globals(self, which: str) -> Relation:
        words, meta = self._half(which)
        make = lambda rows: self.flags(words[rows], meta[rows], "global_")  # noqa: E731
        return self._kept(f"{which} global", make)

    def _of_kernel_addresses(self, relation: Relation) -> Relation:
        self._need_isolation()
        user = self._in_user_half()
        return Values(lambda rows: relation.at(rows).astype(bool) & ~user.at(rows))

    def _kernel_g(self) -> Relation:
        return self._of_kernel_addresses(self._globals("kernel"))

    def _user_g(self) -> Relation:
        return self._of_kernel_addresses(self._globals("user"))

    def _kernel_w(self) -> Relation:
        return self._right("kernel", W)

    def _kernel_u(self) -> Relation:
        return self._right("kernel", U)

    def _kernel_x(self) -> Relation:
        return self._right("kernel", X)

    def _user_w(self) -> Relation:
        return self._right("user", W)

    def _user_u(self) -> Relation:
        return self._right("user", U)

    def _user_x(self) -> Relation:
        return self._right("user", X)

    def _kernel_type(self) -> Relation:
        return self._types("kernel")

    def _user_type(self) -> Relation:
        return self._types("user")

    def _kernel_maps(self) -> Relation:
        return Mapped(self, *self._half("kernel"), shadow=False)

    def _shadow_maps(self) -> Relation:
        return Mapped(self, *self._half("user"), shadow=True)

    def _small(self) -> Relation:
        last = len(self.walk.levels) - 1
        return self._leaf_column("kernel", lambda w, m: (w != 0) & (m >> META_LEVEL == last))

    # Places.

    def _need_isolation(self) -> None:
        if not self.isolation:
            raise Unreadable(_OFF)

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

    def _isolated(self) -> Relation:
        self._need_isolation()
        return Values(self.is_isolated)

    def _special(self) -> Relation:
        column = np.array([b.special for b in self.places.branches], bool)
        return Values(lambda rows: column[self.branch_of(rows)])

    def _in_user_half(self) -> Relation:
        end = np.uint64(self.geometry.region("user").end)
        return Values(lambda rows: self.places.va[rows] < end)

    def _region(self) -> Relation:
        return self._kept("region", lambda rows: self.regions.of(self.places.va[rows]))

    @cached_property
    def _shadow_rows(self) -> Column:
        """Places of the kernel half at which a leaf of user tables begins."""
        end = np.uint64(self.geometry.region("user").end)
        found = [np.zeros(0, np.int64)]
        for number, branch in enumerate(self.places.branches):
            if branch.isolated:
                start, stop = self.places.starts[number : number + 2]
                mine = self.places.user[start:stop] != 0
                found.append(start + np.flatnonzero(mine & (self.places.va[start:stop] >= end)))
        return np.concatenate(found)

    @cached_property
    def _around_leaf(self) -> Column:
        """For each of those rows, the place of the kernel's leaf that has all of that page, or -1."""
        p, rows = self.places, self._shadow_rows
        result = np.full(len(rows), NONE, np.int64)
        branches = self.branch_of(rows)
        for branch in np.unique(branches).tolist():
            mine = branches == branch
            start, stop = p.starts[branch : branch + 2]
            kernel = start + np.flatnonzero(p.kernel[start:stop])
            if not len(kernel):
                continue
            at = np.searchsorted(p.va[kernel], p.va[rows[mine]], "right") - 1
            leaf = kernel[np.maximum(at, 0)]
            ends = p.va[leaf] + (self.sizes(p.kernel_meta[leaf]) - 1).astype(np.uint64)
            wanted = p.va[rows[mine]] + (self.sizes(p.user_meta[rows[mine]]) - 1).astype(np.uint64)
            result[mine] = np.where((at >= 0) & (wanted <= ends), leaf, NONE)
        return result

    def _around_column(self, make: Callable[[Column, Column], Column], otherwise: int) -> Relation:
        self._need_isolation()
        rows, leaf = self._shadow_rows, self._around_leaf
        values = np.where(leaf >= 0, make(rows, np.maximum(leaf, 0)), otherwise)
        return SparseValues(rows, values, otherwise)

    def _around(self) -> Relation:
        def frame(rows: Column, leaf: Column) -> Column:
            p = self.places
            first = self.frames(p.kernel[leaf], p.kernel_meta[leaf])
            return first + ((p.va[rows] - p.va[leaf]) >> np.uint64(PAGE_SHIFT)).astype(np.int64)

        return self._around_column(frame, NONE)

    def _around_right(self, bit: int) -> Relation:
        meta = self.places.kernel_meta
        return self._around_column(lambda rows, leaf: (meta[leaf] & np.uint8(bit)) != 0, 0)

    def _around_w(self) -> Relation:
        return self._around_right(W)

    def _around_u(self) -> Relation:
        return self._around_right(U)

    def _around_x(self) -> Relation:
        return self._around_right(X)

    # What the kernel's own records say.

    def _user_bounds(self, rows: Column) -> tuple[Column, Column]:
        """First and last byte of the user tables' leaf."""
        first = self.places.va[rows]
        size = self.sizes(self.places.user_meta[rows])
        return first, first + np.maximum(size - 1, 0).astype(np.uint64)

    def _symbols(self, *names: str) -> list[int]:
        found = [self.image.symbol(name) for name in names]
        if None in found:
            raise Unreadable(f"the snapshot does not have the symbol {names[found.index(None)]}")
        return [f for f in found if f is not None]

    @cached_property
    def entry_text(self) -> tuple[int, int]:
        """The bounds of entry text, in whole pages."""
        start, end = self._symbols("__entry_text_start", "__entry_text_end")
        return start & -PAGE_SIZE, (end + PAGE_SIZE - 1) & -PAGE_SIZE

    def _entry_text(self) -> Relation:
        start, end = map(np.uint64, self.entry_text)

        def overlaps(rows: Column) -> Column:
            first, last = self._user_bounds(rows)
            return (first < end) & (last >= start)

        return Values(overlaps)

    def _image(self) -> Relation:
        text = self.image.symbol("_text")
        end = self.image.symbol("__end_rodata_aligned") or self.image.symbol("__end_rodata")
        if text is None or end is None:
            return Values(lambda rows: np.zeros(len(rows), bool))

        def inside(rows: Column) -> Column:
            first, last = self._user_bounds(rows)
            return (first >= np.uint64(text)) & (last < np.uint64(end))

        return Values(inside)

    def _whole_image_is_cloned(self) -> Relation:
        """pti_kernel_image_global_ok(), as far as a snapshot says: not pti=on, and no PCIDs."""
        cmdline = str(self.image.header.get("cmdline", "")).split()
        cpus = [c for c in self.image.header.get("cpus") or [] if isinstance(c, dict)]
        pcid = any((as_int(c.get("cr4")) or 0) >> 17 & 1 for c in cpus)
        return Single(int("pti=on" not in cmdline and not pcid))

    def _tss_page(self) -> Relation:
        frames = [
            f
            for cpu in self.image.header.get("percpu") or []
            if isinstance(cpu, dict)
            and (f := as_int(cpu.get("tss_pfn"), MOST_PHYSICAL)) is not None
        ]
        known = np.array(frames, np.int64)
        rows = self._shadow_rows
        in_map = self._region().at(rows) == Region.values.index("DIRECT_MAP")
        return SparseValues(rows, in_map & np.isin(self._user().at(rows), known), 0)

    def _ldt_page(self) -> Relation:
        self._need_isolation()
        region = self.regions.named("ldt")
        recorded = any(s.kernel.ldt_slot is not None for s in self.walk.spaces)
        if region is None or not recorded:
            raise Unreadable("the snapshot does not say where LDTs are")
        rows = self._shadow_rows
        va, branches = self.places.va[rows], self.branch_of(rows)
        values = np.full(len(rows), NONE, np.int64)
        for branch in np.unique(branches).tolist():
            root = self.walk.spaces[self.places.branches[branch].spaces[0]].kernel
            if root.ldt_slot is not None:
                mine = branches == branch
                values[mine] = _ldt_frames(root, region.start, va[mine])
        return SparseValues(rows, values, NONE)

    # VMAs.

    @cached_property
    def _rights_of_vmas(self) -> tuple[Column, Column]:
        """Rows of user places of processes whose VMAs are known, and the rights of their VMA."""
        known = vmas(self.image)
        if not known:
            raise Unreadable("the snapshot does not say which VMAs processes have")
        rows, rights = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)]
        end = np.uint64(self.geometry.region("user").end)
        for number, branch in enumerate(self.places.branches):
            space = self.walk.spaces[branch.spaces[0]]
            table = next((known[n] for n in space.kernel.names if n in known), None)
            start, stop = self.places.starts[number : number + 2]
            va = self.places.va[start:stop]
            if table is None or not len(va) or va[0] >= end:
                continue
            at = np.searchsorted(table.starts, va, "right") - 1
            inside = (at >= 0) & (va < table.ends[at])
            rows.append(np.arange(start, stop))
            rights.append(np.where(inside, table.rights[at], 0).astype(np.uint8))
        return np.concatenate(rows), np.concatenate(rights)

    def _vma_known(self) -> Relation:
        rows, _ = self._rights_of_vmas
        return SparseValues(rows, np.ones(len(rows), np.int64), 0)

    def _vma_w(self) -> Relation:
        rows, rights = self._rights_of_vmas
        return SparseValues(rows, rights & np.uint8(W), 0)

    def _vma_x(self) -> Relation:
        rows, rights = self._rights_of_vmas
        return SparseValues(rows, rights & np.uint8(X), 0)

    # Executable extents of user tables.

    @cached_property
    def _extents(self) -> tuple[Column, Column, Column, Column]:
        """Of executable runs: place, bytes in all address spaces, entry text or not, address."""
        p, rows = self.places, self._shadow_rows
        rows = rows[(p.user_meta[rows] & np.uint8(X)) != 0]
        start, end = map(np.uint64, self.entry_text)
        first, last = self._user_bounds(rows)
        spaces = PlaceUniverse(p).weights(rows)
        assert spaces is not None
        places, weights, text, address = [], [], [], []
        pieces = (
            (first, np.minimum(last, start - np.uint64(1)), False),
            (np.maximum(first, start), np.minimum(last, end - np.uint64(1)), True),
            (np.maximum(first, end), last, False),
        )
        for low, high, is_text in pieces:
            some = low <= high
            places.append(rows[some])
            size = (high[some] - low[some] + np.uint64(1)).astype(np.int64)
            weights.append(size * spaces[some])
            text.append(np.full(len(size), is_text))
            address.append(low[some])
        return (
            np.concatenate(places),
            np.concatenate(weights),
            np.concatenate(text),
            np.concatenate(address),
        )

    def extent_places(self, extents: Column) -> Column:
        """The place of the leaf that an extent is part of."""
        return np.asarray(self._extents[0][extents])

    def extent_range(self, extent: int) -> tuple[int, int]:
        """The first address of an extent, and its bytes."""
        places, weights, _, address = self._extents
        alike = PlaceUniverse(self.places).weights(places[extent : extent + 1])
        assert alike is not None
        return int(address[extent]), int(weights[extent] // alike[0])

    def _entry_text_only(self) -> Relation:
        self._need_isolation()
        return Values(self._extents[2])

    # Frames.

    @cached_property
    def _frames(self) -> Runs:
        """Frames that leaves of 4 KiB map or that the snapshot says something about."""
        runs = [*self._kinds.get("all", []), *self._text_runs()]
        runs += runs_of(self.image.pages.frames)
        runs += runs_of(np.array(secret_frames(self.image) or [], np.int64))
        p = self.places
        last = len(self.walk.levels) - 1
        for words, meta in ((p.kernel, p.kernel_meta), (p.user, p.user_meta)):
            small = (words != 0) & (meta >> META_LEVEL == last)
            runs += runs_of(self.walk.levels[last].frames(words[small]))
        found = Runs(runs)
        if len(found) > MOST_FRAMES:
            raise Unreadable(f"{len(found)} frames, more than {MOST_FRAMES}")
        return found

    @cached_property
    def _kinds(self) -> dict[str, list[tuple[int, int]]]:
        """Runs of frames by the kind that the snapshot gives, and all of them."""
        found: dict[str, list[tuple[int, int]]] = {}
        bad = 0
        for row in self.image.header.get("frames") or []:
            good = isinstance(row, list) and len(row) == 3 and isinstance(row[2], str)
            first = as_int(row[0], MOST_PHYSICAL) if good else None
            number = as_int(row[1], MOST_FRAMES) if good else None
            if first is None or number is None:
                bad += 1
                continue
            for kind in (row[2], "all"):
                found.setdefault(kind, []).append((first, number))
        if bad:
            self.problems.append(f"{bad} rows of the list of frames are unreadable")
        return found

    def kind_of(self, frame: int) -> str:
        """The letter that the snapshot has for a frame."""
        for kind, runs in self._kinds.items():
            if kind != "all" and any(a <= frame < a + n for a, n in runs):
                return kind
        return ""

    def _text_runs(self) -> list[tuple[int, int]]:
        """Whole pages of kernel text and read-only data."""
        text = self.image.header.get("text_pa", {})
        runs = []
        for first, last in (("_text", "_etext"), ("__start_rodata", "__end_rodata")):
            low, high = (
                as_int(text.get(first), MOST_PHYSICAL),
                as_int(text.get(last), MOST_PHYSICAL),
            )
            if low is not None and high is not None and low < high <= low + (1 << 32):
                runs.append((low >> PAGE_SHIFT, (high >> PAGE_SHIFT) - (low >> PAGE_SHIFT)))
        return runs

    def _free(self) -> Relation:
        if not self._kinds:
            raise Unreadable("the snapshot does not say which frames are free")
        return FrameSet(Runs(self._kinds.get("F", [])))

    def _secret(self) -> Relation:
        frames = secret_frames(self.image)
        if frames is None:
            raise Unreadable("the snapshot does not say which frames are secret memory")
        return FrameSet(Runs(runs_of(np.array(frames, np.int64))))

    def _is_table_page(self) -> Relation:
        return FrameSet(Runs(runs_of(self.image.pages.frames)))

    def _text(self) -> Relation:
        if not self._text_runs():
            raise Unreadable("the snapshot does not say where kernel text is")
        return FrameSet(Runs(self._text_runs()))

    # Tables.

    def _use(self) -> Relation:
        """Tables of nobody's process count as data: nothing is claimed of them here."""
        self._need_isolation()

        def use(root: Root) -> str:
            if root.kind == "user":
                return "USER_COPY"
            if root.special:
                return "DATA"
            return "INIT" if "init_mm" in root.names else "PROCESS"

        return Values(np.array([Use.values.index(use(r)) for r in self.image.roots], np.int64))

    def _beside(self) -> Relation:
        self._need_isolation()
        number = {root.pa: i for i, root in enumerate(self.image.roots)}
        pairs = [
            (i, number[root.pair])
            for i, root in enumerate(self.image.roots)
            if root.kind == "kernel" and root.pair is not None
        ]
        keys = tuple(np.array(k, np.int64) for k in zip(*pairs, strict=True))
        return Table(keys, np.ones(len(pairs), np.int64), 0)

    def _user_half(self) -> Relation:
        slots = np.arange(self.geometry.levels[0].entries)
        user = self.geometry.pgd_slots(self.geometry.region("user"))
        return Values(np.isin(slots, np.array(user)))

    @cached_property
    def _top_entries(self) -> tuple[Column, Column, Column]:
        """Root, slot and word of all entries of top-level tables that are not zero."""
        rows = [(i, *_nonzero(self.walk.top[r.pa])) for i, r in enumerate(self.image.roots)]
        roots = np.concatenate([np.full(len(s), i, np.int64) for i, s, _ in rows])
        return roots, np.concatenate([s for _, s, _ in rows]), np.concatenate([w for *_, w in rows])

    def _top_bits(self, name: str) -> Relation:
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
            return Table((roots, slots), _TYPES[level.types(words) & np.uint8(3)], 0)
        return Table((roots, slots), level.has(words, name).astype(np.int64), 0)

    def _user_table(self) -> Relation:
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
                    kept = (found & IGNORED_IN_COPIES).tolist()
                    mine += [(number, s, w) for s, w in zip(slots.tolist(), kept, strict=True)]
        numbers = {w: i for i, w in enumerate(sorted({w for half in words for *_, w in half}))}
        tables = []
        for half in words:
            rows = np.array([(m, s, numbers[w]) for m, s, w in half], np.int64).reshape(-1, 3)
            tables.append(Table((rows[:, 0], rows[:, 1]), rows[:, 2]))
        return tables[0], tables[1], len(self.walk.kernel_entries(self.walk.spaces[0].kernel))

    def _copy(self) -> Relation:
        return self._copies[0]

    def _user_copy(self) -> Relation:
        self._need_isolation()
        return self._copies[1]

    def _process(self) -> Relation:
        return Values(np.array([not s.is_init and not s.kernel.special for s in self.walk.spaces]))

    def _ldt_slot(self) -> Relation:
        region = self.regions.named("ldt")
        slots = self.walk.kernel_slot_addresses()
        if region is None:
            return Values(np.zeros(len(slots), bool))
        return Values(np.array([s in region for s in slots]))

    def _init_mm(self) -> Relation:
        found = [i for i, s in enumerate(self.walk.spaces) if s.is_init]
        if not found:
            raise Unreadable("the snapshot does not say which root is init_mm's")
        return Single(found[0])


class SparseValues(Relation):
    """A column with values for some rows only, which are ascending."""

    def __init__(self, rows: Column, values: Column, otherwise: int) -> None:
        self._index = Universe(rows)
        self._values = values
        self._otherwise = otherwise

    def at(self, *keys: Column) -> Column:
        if not len(self._values):
            return np.full(len(keys[0]), self._otherwise)
        places, there = self._index.places(keys[0])
        return np.where(there, self._values[places], self._otherwise)


def _nonzero(words: Column) -> tuple[Column, Column]:
    slots = np.flatnonzero(words)
    return slots, words[slots]


def _ldt_frames(root: Root, base: int, va: Column) -> Column:
    """What the LDT's record has at addresses of its region: slot n begins n strides behind the base
    (LDT_SLOT_STRIDE)."""
    from mapproof.model.machine.geometry import LDT_SLOT_STRIDE

    assert root.ldt_slot is not None
    start = base + root.ldt_slot * LDT_SLOT_STRIDE
    page = (va - np.uint64(start)).view(np.int64) >> PAGE_SHIFT
    frames = np.array([*root.ldt_frames, NONE], np.int64)
    inside = (page >= 0) & (page < len(root.ldt_frames))
    return frames[np.where(inside, page, len(root.ldt_frames))]


def _unknown(component: Component) -> str:
    name = component.name
    if "tlb" in name or name.startswith("psc"):
        return f"a snapshot does not show what TLBs hold ({name})"
    return f"a snapshot does not show {name}"
