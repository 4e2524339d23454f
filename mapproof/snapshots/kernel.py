"""A kernel in a dump: what its VMCOREINFO says, and its memory by the kernel's own addresses."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np

from mapproof.model.machine.geometry import (
    I386_2L,
    I386_PAE,
    PAGE_SIZE,
    X86_64_4L,
    X86_64_5L,
    Geometry,
)

from .elf import Dump
from .image import MOST_PHYSICAL, as_int
from .memory import Memory

_START_KERNEL = 0xFFFF_FFFF_8000_0000  # __START_KERNEL_map
_LOWMEM = 0xC000_0000
_CR4_PAE, _CR4_LA57 = 5, 12
_SECTION_FLAGS = (1 << 6) - 1  # low bits of mem_section.section_mem_map
_IN_VMCOREINFO = b"SYMBOL(swapper_pg_dir)="


class Kernel:
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
        symbol = self.symbol("swapper_pg_dir")
        if self.dump.machine == "x86_64" if symbol is None else symbol >> 32:
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
        return None if va is None else self.of_image(va)

    def of_image(self, va: int) -> int | None:
        """The physical address of a symbol of the kernel image, mapped or not (__pa_symbol())."""
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

    def page_base(self) -> int | None:
        """The address of ``struct page`` of frame 0: mem_map, or vmemmap by way of mem_section."""
        flat = self.symbol("mem_map")
        if flat is not None:
            return self.pointer(flat)
        roots = self.symbol("mem_section")
        section = self.pointer(roots) if roots is not None else None
        offset = self.number("OFFSET(mem_section.section_mem_map)") or 0
        coded = self.pointer(section + offset) if section else None
        return None if coded is None else coded & ~_SECTION_FLAGS

    def pointer(self, va: int) -> int | None:
        """The pointer at a kernel address."""
        size = self.geometry.word_bits // 8
        data = self.read(va, size)
        return None if data is None else int(struct.unpack("<Q" if size == 8 else "<I", data)[0])

    def read(self, va: int, size: int) -> bytes | None:
        """Bytes at a kernel address, None if not all of them are there."""
        found = []
        while size > 0:
            where, room = self._physical(va)
            data = self.memory.read(where, min(size, room)) if room else None
            if data is None:
                return None
            found.append(data)
            va, size = va + len(data), size - len(data)
        return b"".join(found)

    def physical(self, va: int) -> int | None:
        """Where init_mm's tables have a kernel address."""
        where, room = self._physical(va)
        return where if room else None

    def _physical(self, va: int) -> tuple[int, int]:
        """The same, and how many bytes the leaf has from there on; none if there is no leaf."""
        table = self.swapper
        if table is None or va != self.geometry.canonical(va):
            return 0, 0
        for level in self.geometry.levels:
            where = table + self.geometry.index(level.name, va) * level.entry_bytes
            data = self.memory.read(where, level.entry_bytes)
            word = int.from_bytes(data, "little") if data else 0
            if not word & 1:
                break
            address = word & ((1 << 52) - 1 & -PAGE_SIZE)
            if level is self.geometry.levels[-1] or (level.leaf and word & 0x80):
                within = va & level.size - 1
                return address & -level.size | within, level.size - within
            table = address
        return 0, 0


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
