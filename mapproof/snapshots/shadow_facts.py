"""What user tables show of the kernel: the leaves there, and what the kernel has at the same place."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from mapproof.model.language.sparse import NONE, Column, Relation, Single, Unreadable, Values
from mapproof.model.machine.geometry import LDT_SLOT_STRIDE, PAGE_SHIFT, PAGE_SIZE
from mapproof.model.machine.snapshot import Region

from .bits import U, W, X
from .image import MOST_PHYSICAL, Root, as_int
from .leaf_facts import LeafFacts
from .relations import PlaceUniverse, SparseValues

CR4_PCIDE = 17


class ShadowFacts(LeafFacts):
    """The part of a snapshot's state that is about leaves of user tables in the kernel half."""

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

    def read_around(self) -> Relation:
        def frame(rows: Column, leaf: Column) -> Column:
            p = self.places
            first = self.frames(p.kernel[leaf], p.kernel_meta[leaf])
            return first + ((p.va[rows] - p.va[leaf]) >> np.uint64(PAGE_SHIFT)).astype(np.int64)

        return self._around_column(frame, NONE)

    def _around_right(self, bit: int) -> Relation:
        meta = self.places.kernel_meta
        return self._around_column(lambda rows, leaf: (meta[leaf] & np.uint8(bit)) != 0, 0)

    def read_around_w(self) -> Relation:
        return self._around_right(W)

    def read_around_u(self) -> Relation:
        return self._around_right(U)

    def read_around_x(self) -> Relation:
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
        if not self.geometry.region("user").end <= start < end < (1 << 64) - PAGE_SIZE:
            raise Unreadable(f"entry text is said to lie from {start:#x} to {end:#x}")
        return start & -PAGE_SIZE, (end + PAGE_SIZE - 1) & -PAGE_SIZE

    def read_entry_text(self) -> Relation:
        start, end = map(np.uint64, self.entry_text)

        def overlaps(rows: Column) -> Column:
            first, last = self._user_bounds(rows)
            return (first < end) & (last >= start)

        return Values(overlaps)

    def read_image(self) -> Relation:
        text = self.image.symbol("_text")
        end = self.image.symbol("__end_rodata_aligned") or self.image.symbol("__end_rodata")
        if text is None or end is None:
            return Values(lambda rows: np.zeros(len(rows), bool))

        def inside(rows: Column) -> Column:
            first, last = self._user_bounds(rows)
            return (first >= np.uint64(text)) & (last < np.uint64(end))

        return Values(inside)

    def read_whole_image_is_cloned(self) -> Relation:
        """pti_kernel_image_global_ok(), as far as a snapshot says: not pti=on, and no PCIDs."""
        if "pti=on" in str(self.image.header.get("cmdline", "")).split():
            return Single(0)
        known = [c.get("cr4") for c in self.image.header.get("cpus") or [] if isinstance(c, dict)]
        cr4 = [value for value in map(as_int, known) if value is not None]
        if any(value >> CR4_PCIDE & 1 for value in cr4):
            return Single(0)
        if "cmdline" not in self.image.header or not cr4:
            raise Unreadable("the snapshot does not say whether the whole kernel image is cloned")
        return Single(1)

    def read_tss_page(self) -> Relation:
        frames = [
            f
            for cpu in self.image.header.get("percpu") or []
            if isinstance(cpu, dict)
            and (f := as_int(cpu.get("tss_pfn"), MOST_PHYSICAL)) is not None
        ]
        known = np.array(frames, np.int64)
        rows = self._shadow_rows
        in_map = self.read_region().at(rows) == Region.values.index("DIRECT_MAP")
        return SparseValues(rows, in_map & np.isin(self.read_user().at(rows), known), 0)

    def read_ldt_page(self) -> Relation:
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

    def read_entry_text_only(self) -> Relation:
        self._need_isolation()
        return Values(self._extents[2])


def _ldt_frames(root: Root, base: int, va: Column) -> Column:
    """What the LDT's record has at addresses of its region: slot n begins n strides behind the base
    (LDT_SLOT_STRIDE)."""
    assert root.ldt_slot is not None
    start = base + root.ldt_slot * LDT_SLOT_STRIDE
    page = (va - np.uint64(start)).view(np.int64) >> PAGE_SHIFT
    frames = np.array([*root.ldt_frames, NONE], np.int64)
    inside = (page >= 0) & (page < len(root.ldt_frames))
    return frames[np.where(inside, page, len(root.ldt_frames))]
