"""Where the page tables of a dump begin, found without debug information.

VMCOREINFO says where swapper_pg_dir is, and how the frames of memory are described.  From any live
table the kernel's own list of them (pgd_list, through ``struct page.lru``) leads to all others.  Where
that is not to be had, every page whose kernel half equals init_mm's is taken for a root; that finds
tables of dead processes too, and is said in the notes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mapproof.model.machine.geometry import (
    I386_2L,
    I386_PAE,
    PAGE_SHIFT,
    PAGE_SIZE,
    X86_64_4L,
    X86_64_5L,
    Geometry,
)

from .bits import COMPARED_IN_COPIES, Bits
from .elf import Dump
from .image import GEOMETRIES, MOST_PHYSICAL, BadSnapshot, Image, Root, TablePages, as_int
from .memory import Memory
from .walk import Walk

_START_KERNEL = 0xFFFF_FFFF_8000_0000  # __START_KERNEL_map
_LOWMEM = 0xC000_0000
_CR4_PAE, _CR4_LA57 = 5, 12
_REAL_MODE = 1 << 20  # the kernel uses memory below for the real-mode trampoline alone
_MOST_LIST = 1 << 16
_MOST_TRIED = 1 << 6
_SECTION_FLAGS = (1 << 6) - 1  # low bits of mem_section.section_mem_map
_IN_VMCOREINFO = b"SYMBOL(swapper_pg_dir)="
_LEAST_KERNEL_ENTRIES = 3
_NOTE = "roots were found by comparing kernel halves: tables of dead processes may be among them"


class Machine:
    """A dump with what its VMCOREINFO says."""

    def __init__(self, dump: Dump) -> None:
        self.dump = dump
        self.memory = dump.memory
        self.vmcoreinfo = dump.vmcoreinfo or _scanned_vmcoreinfo(dump.memory)
        self.info = _parsed(self.vmcoreinfo)
        self.geometry = self._geometry()
        self.notes: list[str] = []

    def _geometry(self) -> Geometry:
        cr4 = [cr4 for _, cr4 in self.dump.registers]
        if self.dump.machine == "x86_64":
            five = self.number("NUMBER(pgtable_l5_enabled)") == 1
            return X86_64_5L if five or any(c >> _CR4_LA57 & 1 for c in cr4) else X86_64_4L
        pae = self.info.get("CONFIG_X86_PAE") == "y" or any(c >> _CR4_PAE & 1 for c in cr4)
        return I386_PAE if pae else I386_2L

    def number(self, key: str, base: int = 0) -> int | None:
        """A number of VMCOREINFO."""
        try:
            return int(self.info[key], base)
        except (KeyError, ValueError):
            return None

    def symbol(self, name: str) -> int | None:
        """The address of a symbol of VMCOREINFO."""
        return self.number(f"SYMBOL({name})", 16)

    @property
    def swapper(self) -> int | None:
        """The physical address of init_mm's top-level table."""
        va = self.symbol("swapper_pg_dir")
        if va is None:
            return None
        if self.geometry.long_mode:
            pa = va - _START_KERNEL + (self.number("NUMBER(phys_base)") or 0)  # may be negative
        else:
            pa = va - _LOWMEM
        return as_int(pa, MOST_PHYSICAL)

    def top(self, pa: int) -> np.ndarray[Any, Any] | None:
        """The entries of a top-level table, None if it is not in the dump."""
        level = self.geometry.levels[0]
        data = self.memory.read(pa, level.entries * level.entry_bytes)
        if data is None:
            return None
        kind = "<u8" if level.entry_bytes == 8 else "<u4"
        return np.frombuffer(data, kind).astype(np.uint64)

    def isolated(self, pa: int) -> bool:
        """Beside a table lies one with some of its kernel entries: page table isolation is on.  (One
        with all of them is another process's.  With 2 levels there is no isolation.)"""
        if pa & PAGE_SIZE or self.geometry is I386_2L:
            return False
        first = self.geometry.pgd_slots(self.geometry.region("user")).stop
        ours, beside = self.top(pa), self.top(pa | PAGE_SIZE)
        if ours is None or beside is None or not beside[first:].any():
            return False
        there = beside[first:] & np.uint64(1) != 0
        # A copy has no kernel entry that the kernel's own table lacks, and no other top-level content.
        present = ours[first:] & np.uint64(1) != 0
        fewer = np.any(present & ~there) or self.geometry is I386_PAE  # which has one, in both
        return bool(fewer and np.all(present[there]) and np.all(there | (beside[first:] == 0)))

    # Roots.

    def roots(self) -> list[Root]:
        """All roots, init_mm's first.  Raises BadSnapshot."""
        from_cpus = [cr3 & self._table_mask for cr3, _ in self.dump.registers]
        swapper = self.swapper
        if swapper is not None and self.top(swapper) is None:
            self.notes.append(f"swapper_pg_dir at {swapper:#x} is not in the dump")
            swapper = None
        if swapper is None and not from_cpus:
            raise BadSnapshot(
                "no VMCOREINFO with swapper_pg_dir, and no CR3 of a CPU: no root to start"
            )
        pti = self.isolated(swapper if swapper is not None else from_cpus[0] & ~PAGE_SIZE)
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
        words = self.top(pa)
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
        lru, size = self.number("OFFSET(page.lru)"), self.number("SIZE(page)")
        base = self.page_base()
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
                following = self._pointer(node)
                if following is None:
                    break
                node = following
                if node == head:
                    best = max(best, found, key=len)
                    break
        return best if len(best) > 1 else []

    def page_base(self) -> int | None:
        """The address of ``struct page`` of frame 0: mem_map, or vmemmap by way of mem_section."""
        flat = self.symbol("mem_map")
        if flat is not None:
            return self._pointer(flat)
        roots = self.symbol("mem_section")
        section = self._pointer(roots) if roots is not None else None
        offset = self.number("OFFSET(mem_section.section_mem_map)") or 0
        coded = self._pointer(section + offset) if section else None
        return None if coded is None else coded & ~_SECTION_FLAGS

    def _pointer(self, va: int) -> int | None:
        """The pointer at a kernel address."""
        size = self.geometry.word_bits // 8
        pa = self._physical(va)
        data = self.memory.read(pa, size) if pa is not None else None
        return None if data is None else int(struct.unpack("<Q" if size == 8 else "<I", data)[0])

    def _physical(self, va: int) -> int | None:
        """Where init_mm's tables have a kernel address."""
        root = self.swapper
        if root is None or va != self.geometry.canonical(va):
            return None
        table = root
        for level in self.geometry.levels:
            where = table + self.geometry.index(level.name, va) * level.entry_bytes
            data = self.memory.read(where, level.entry_bytes)
            word = int.from_bytes(data, "little") if data else 0
            if not word & 1:
                return None
            address = word & ((1 << 52) - 1 & -PAGE_SIZE)
            if level is self.geometry.levels[-1] or (level.leaf and word & 0x80):
                return (address & -level.size) | (va & (level.size - 1))
            table = address
        return None

    # By likeness.

    def _alike(self, init: int, *, pti: bool) -> list[int]:
        """Pages with init_mm's kernel entries, apart from the LDT's."""
        ours = self.top(init)
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


def _parsed(vmcoreinfo: str) -> dict[str, str]:
    lines = (line.partition("=") for line in vmcoreinfo.splitlines())
    return {key: value for key, equals, value in lines if equals}


def _scanned_vmcoreinfo(memory: Memory) -> str:
    """VMCOREINFO as it lies in the memory of a kernel: one page of text."""
    for _, pages in memory.scan():
        data = pages.tobytes()
        at = data.find(_IN_VMCOREINFO)
        while at >= 0:
            start = at & -PAGE_SIZE
            page = data[start : start + PAGE_SIZE]
            text = page[max(page.find(b"OSRELEASE="), 0) :].split(b"\0")[0]
            if re.match(rb"OSRELEASE=[\x20-\x7e]+\n", text):
                return text.decode("ascii", "replace")
            at = data.find(_IN_VMCOREINFO, start + PAGE_SIZE)
    return ""


def image_of(dump: Dump, path: Path) -> Image:
    """The page tables of a dump.  Raises BadSnapshot."""
    machine = Machine(dump)
    roots = machine.roots()
    if not roots:
        raise BadSnapshot("no root is in the dump")
    arch, levels = next(key for key, g in GEOMETRIES.items() if g is machine.geometry)
    header: dict[str, Any] = {
        "format": "PTSNAP1",
        "name": path.name,
        "arch": arch,
        "levels": levels,
        "pti": any(r.kind == "user" for r in roots),
        "release": machine.info.get("OSRELEASE", ""),
        "vmcoreinfo": machine.vmcoreinfo,
        "cpus": [{"cr3": cr3, "cr4": cr4} for cr3, cr4 in dump.registers],
        "roots": [_root_json(root) for root in roots],
        "notes": machine.notes,
    }
    whole = Image(header, machine.geometry, dump.memory, roots)
    walk = Walk(whole)
    frames = np.array(sorted(walk.table_frames()), np.int64)
    known = dump.memory.places(frames)[1] if len(frames) else np.zeros(0, bool)
    pages = [dump.memory.page(int(f)) for f in frames[known]]
    good = [(int(f), p) for f, p in zip(frames[known], pages, strict=True) if p is not None]
    content = np.frombuffer(b"".join(p for _, p in good), np.uint8).reshape(-1, PAGE_SIZE)
    tables = TablePages(np.array([f for f, _ in good], np.int64), content)
    values = _values(walk)
    pages_of_frames = machine.page_base()
    if machine.geometry.long_mode and pages_of_frames is not None:
        values["vmemmap_base"] = pages_of_frames
    if values:
        header["values"] = values
    return Image(header, machine.geometry, tables, roots, list(dump.memory.problems))


def _values(walk: Walk) -> dict[str, int]:
    """Where KASLR has put the direct map: of init_mm's first kernel leaf, address less frame."""
    init = next((s for s in walk.spaces if s.is_init), None)
    if init is None or not walk.geometry.long_mode:
        return {}
    ldt = walk.geometry.pgd_slots(walk.geometry.region("ldt"))
    first = walk.geometry.pgd_slots(walk.geometry.region("user")).stop
    for slot, word in enumerate(walk.top[init.kernel.pa].tolist()):
        if slot < first or slot in ldt or not word & 1 or walk.entry_leaves(word) > 1 << 24:
            continue
        leaves = walk.leaves(slot, word)
        if len(leaves.va):
            pa = walk.leaf_address(leaves, 0)
            base = int(leaves.va[0]) - pa
            return {"page_offset_base": base} if base > 0 and base % (1 << 30) == 0 else {}
    return {}


def _root_json(root: Root) -> dict[str, Any]:
    found: dict[str, Any] = {"pa": root.pa, "kind": root.kind, "names": list(root.names)}
    if root.pair is not None:
        found["pair"] = root.pair
    return found
