"""Where the page tables of a dump begin, found without debug information.

VMCOREINFO says where swapper_pg_dir is, and how the frames of memory are described.  From any live
table the kernel's own list of them (pgd_list, through ``struct page.lru``) leads to all others.  Where
that is not to be had, every page whose kernel half equals init_mm's is taken for a root; that finds
tables of dead processes too, and is said in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mapproof.model.machine.geometry import I386_2L, I386_PAE, PAGE_SHIFT, PAGE_SIZE

from .bits import COMPARED_IN_COPIES, Bits
from .image import BadSnapshot, Root
from .kernel import Kernel

_REAL_MODE = 1 << 20  # the kernel uses memory below for the real-mode trampoline alone
_MOST_LIST = 1 << 16
_MOST_TRIED = 1 << 6
_LEAST_KERNEL_ENTRIES = 3
_NOTE = "roots were found by comparing kernel halves: tables of dead processes may be among them"


class Roots:
    """The search for the roots of a kernel; ``notes`` says how they were found, where that matters."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.memory = kernel.memory
        self.geometry = kernel.geometry
        self.notes: list[str] = []

    def _isolated(self, pa: int) -> bool:
        """Beside a table lies one with some of its kernel entries: page table isolation is on.  (One
        with all of them is another process's.  With 2 levels there is no isolation.)"""
        if pa & PAGE_SIZE or self.geometry is I386_2L:
            return False
        first = self.geometry.pgd_slots(self.geometry.region("user")).stop
        ours, beside = self.kernel.top(pa), self.kernel.top(pa | PAGE_SIZE)
        if ours is None or beside is None or not beside[first:].any():
            return False
        there = beside[first:] & np.uint64(1) != 0
        # A copy has no kernel entry that the kernel's own table lacks, and no other top-level content.
        present = ours[first:] & np.uint64(1) != 0
        fewer = np.any(present & ~there) or self.geometry is I386_PAE  # which has one, in both
        return bool(fewer and np.all(present[there]) and np.all(there | (beside[first:] == 0)))

    # Roots.

    def all(self) -> list[Root]:
        """All roots, init_mm's first.  Raises BadSnapshot."""
        from_cpus = [cr3 & self._table_mask for cr3, _ in self.kernel.dump.registers]
        swapper = self.kernel.swapper
        if swapper is not None and self.kernel.top(swapper) is None:
            self.notes.append(f"swapper_pg_dir at {swapper:#x} is not in the dump")
            swapper = None
        if swapper is None and not from_cpus:
            raise BadSnapshot(
                "no VMCOREINFO with swapper_pg_dir, and no CR3 of a CPU: no root to start"
            )
        pti = self._isolated(swapper if swapper is not None else from_cpus[0] & ~PAGE_SIZE)
        found = [] if swapper is None else [swapper]
        running = [cr3 & ~PAGE_SIZE if pti else cr3 for cr3 in from_cpus]
        found += [*running, *self._others([*found, *running], running, pti=pti)]
        roots: list[Root] = []
        for pa in dict.fromkeys(found):
            roots += self._root(pa, init=pa == swapper, pti=pti)
        return roots

    def _others(self, known: list[int], running: list[int], *, pti: bool) -> list[int]:
        """All other tables: by the kernel's list, from a table that a CPU runs on or else from any that
        looks like one; or those that look so."""
        listed = self._listed(running)
        if listed:
            return listed
        alike = self._alike(known[0], pti=pti)
        listed = self._listed([pa for pa in alike if pa not in known])
        if not listed and alike:
            self.notes.append(_NOTE)
        return listed or alike

    @property
    def _table_mask(self) -> int:
        return ~0x1F if self.geometry is I386_PAE else ~(PAGE_SIZE - 1) & (1 << 52) - 1

    def _root(self, pa: int, *, init: bool, pti: bool) -> Iterator[Root]:
        names = ("init_mm",) if init else ()
        words = self.kernel.top(pa)
        if words is None:
            self.notes.append(f"the root at {pa:#x} is not in the dump")
            return
        if pa < _REAL_MODE:
            yield Root(pa, "trampoline", ("trampoline_pgd",))
            return
        if self._is_firmwares(words):
            yield Root(pa, "boot")
            return
        if self._is_identity_map(words):
            yield Root(pa, "boot", ("initial_page_table",))
            return
        if not pti:
            yield Root(pa, "kernel", names)
            return
        yield Root(pa, "kernel", names, pa | PAGE_SIZE)
        yield Root(pa | PAGE_SIZE, "user", tuple(f"{n}/user" for n in names), pa)

    def _is_firmwares(self, words: np.ndarray[Any, Any]) -> bool:
        """Entries of the user half that are closed to user mode: no process has such."""
        if not self.geometry.levels[0].rights:
            return False
        user = words[: self.geometry.pgd_slots(self.geometry.region("user")).stop]
        return bool(np.any((user & np.uint64(5)) == np.uint64(1)))

    def _is_identity_map(self, words: np.ndarray[Any, Any]) -> bool:
        """A PAE table that maps the kernel's memory at the bottom as well, to boot other CPUs."""
        if self.geometry.levels[0].rights or not words[-1] & np.uint64(1):
            return False
        return bool(np.any((words[:-1] ^ words[-1]) & COMPARED_IN_COPIES == 0))

    # The kernel's list.

    def _listed(self, start: list[int]) -> list[int]:
        """The tables on pgd_list, from one that is on it; none if the list cannot be followed."""
        lru, size = self.kernel.number("OFFSET(page.lru)"), self.kernel.number("SIZE(page)")
        base = self.kernel.page_base()
        if lru is None or not size or base is None:
            return []
        best: list[int] = []
        for pa in start[:_MOST_TRIED]:
            found: list[int] = []
            head = node = base + (pa >> PAGE_SHIFT) * size + lru
            for _ in range(_MOST_LIST):
                frame, rest = divmod(node - lru - base, size)
                if not rest and 0 <= frame < 1 << 40:  # else the head of the list
                    found.append(frame << PAGE_SHIFT)
                following = self.kernel.pointer(node)
                if following is None:
                    break
                node = following
                if node == head:
                    best = max(best, found, key=len)
                    break
        return best if len(best) > 1 else []

    # By likeness.

    def _alike(self, init: int, *, pti: bool) -> list[int]:
        """Pages with init_mm's kernel entries, apart from the LDT's."""
        ours = self.kernel.top(init)
        if ours is None:
            return []
        if not self.geometry.levels[0].rights:
            return [] if pti else self._alike_in_slabs(ours)
        first = self.geometry.pgd_slots(self.geometry.region("user")).stop
        compared = np.arange(first, len(ours))
        ldt = self.geometry.pgd_slots(self.geometry.region("ldt"))
        compared = compared[
            (ours[compared] & np.uint64(1) != 0) & ~np.isin(compared, np.array(ldt))
        ]
        if len(compared) < _LEAST_KERNEL_ENTRIES:
            return []
        wanted = ours[compared] & COMPARED_IN_COPIES
        found: list[int] = []
        for frames, pages in self.memory.scan():
            words = pages.view("<u8" if self.geometry.word_bits == 64 else "<u4")
            same = ((words[:, compared] & COMPARED_IN_COPIES) == wanted).all(axis=1)
            found += (frames[same] << PAGE_SHIFT).tolist()
        return [pa for pa in found if not (pti and pa & PAGE_SIZE)]

    def _alike_in_slabs(self, ours: np.ndarray[Any, Any]) -> list[int]:
        """PAE tables of 32 bytes with init_mm's kernel entry, which all processes share where isolation
        is off (SHARED_KERNEL_PMD); their other entries lead to tables in the dump, or nowhere."""
        level = self.geometry.levels[0]
        bits, size = Bits(self.geometry, level), level.entries * level.entry_bytes
        wanted = ours[-1] & COMPARED_IN_COPIES
        if not wanted & np.uint64(1):
            return []
        found: list[int] = []
        for frames, pages in self.memory.scan():
            rows = pages.view("<u8").reshape(-1, level.entries)
            same = np.flatnonzero((rows[:, -1] & COMPARED_IN_COPIES) == wanted)
            lower = rows[same, :-1]
            there = (lower & np.uint64(1)) != 0
            known = self.memory.places(bits.tables(lower.ravel()))[1].reshape(lower.shape)
            sane = ((lower & np.uint64(bits.reserved_table)) == 0) & known
            good = same[np.where(there, sane, lower == 0).all(axis=1)]
            each = PAGE_SIZE // size
            found += ((frames[good // each] << PAGE_SHIFT) + good % each * size).tolist()
        return found
