"""ELF dumps: vmcores of QEMU and of kexec, and /proc/kcore.

A PT_LOAD segment says where in the file a piece of physical memory lies; a PT_NOTE segment has notes,
among them VMCOREINFO (kernel/crash_core.c) and, from QEMU, the registers of each CPU.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .image import BadSnapshot
from .memory import FARTHEST, FileMemory, Memory, need

MAGIC = b"\x7fELF"
_X86_64, _I386 = 62, 3
_PT_LOAD, _PT_NOTE = 1, 4
_MANY = 0xFFFF  # PN_XNUM: the number is in the first section header
_MOST_HEADERS = 1 << 20  # QEMU writes one for each mapping, if asked for addresses
_MOST_NOTES = 16 << 20
_NO_ADDRESS = (0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF)
_QEMU_CR = 8 + 18 * 8 + 10 * 24  # of cr[] in QEMUCPUState (target/i386/arch_dump.c)
_QEMU_IDT = _QEMU_CR - 8  # of idt.base


@dataclass
class Dump:
    """What a dump has: memory, VMCOREINFO if it is there, CR3 and CR4 of CPUs if they are known."""

    memory: Memory
    machine: str  # "x86_64" or "i386"
    vmcoreinfo: str = ""
    registers: list[tuple[int, int]] = field(default_factory=list)


def read_elf(path: Path) -> Dump:
    """Read the headers of an ELF dump.  Raises BadSnapshot and OSError."""
    with path.open("rb") as file:
        ident = need(file.read(64), 52, "the ELF header")
        wide = ident[4] == 2
        if ident[4] not in (1, 2) or ident[5] != 1:
            raise BadSnapshot("an ELF file of neither 32 nor 64 bits, or big-endian")
        kind, machine = struct.unpack_from("<HH", ident, 16)
        if kind != 4:
            raise BadSnapshot("an ELF file, but no core dump")
        if machine not in (_X86_64, _I386):
            raise BadSnapshot(f"a core dump of machine {machine}, which is not x86")
        if wide:
            need(ident, 64, "the ELF header")
            (table,) = struct.unpack_from("<Q", ident, 32)
            entry, number = struct.unpack_from("<HH", ident, 54)
        else:
            (table,) = struct.unpack_from("<I", ident, 28)
            entry, number = struct.unpack_from("<HH", ident, 42)
        if number == _MANY:
            number = _from_section(file, ident, wide=wide)
        if not number or number > _MOST_HEADERS or entry < (56 if wide else 32):
            raise BadSnapshot(f"{number} program headers of {entry} bytes")
        headers = need(_at(file, table, entry * number), entry * number, "the program headers")
        segments: list[tuple[int, int, int]] = []
        notes: list[tuple[int, int]] = []
        for i in range(number):
            if wide:
                kind, _, offset, _, pa, size = struct.unpack_from("<IIQQQQ", headers, entry * i)
            else:
                kind, offset, _, pa, size = struct.unpack_from("<IIIII", headers, entry * i)
            if kind == _PT_LOAD and pa not in _NO_ADDRESS:
                segments.append((pa, offset, size))
            elif kind == _PT_NOTE:
                notes.append((offset, size))
        if not segments:
            raise BadSnapshot("a core dump without physical memory")
        dump = Dump(FileMemory(path, segments), "x86_64" if machine == _X86_64 else "i386")
        for offset, size in notes:
            read_notes(_at(file, offset, min(size, _MOST_NOTES)), dump)
    return dump


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Bytes of a file, as far as there are any."""
    if offset >= FARTHEST:
        return b""
    file.seek(offset)
    return file.read(size)


def _from_section(file: BinaryIO, ident: bytes, *, wide: bool) -> int:
    """The number of program headers, where it does not fit its field: sh_info of section 0."""
    (sections,) = (
        struct.unpack_from("<Q", ident, 40) if wide else struct.unpack_from("<I", ident, 32)
    )
    header = need(_at(file, sections, 64), 44 if not wide else 48, "the section header")
    (number,) = struct.unpack_from("<I", header, 44 if wide else 28)
    return int(number)


def read_notes(data: bytes, dump: Dump) -> None:
    """Add what ELF notes say to a dump."""
    at = 0
    while at + 12 <= len(data):
        name_size, size, _ = struct.unpack_from("<III", data, at)
        start = at + 12 + (name_size + 3 & ~3)
        name = data[at + 12 : at + 12 + name_size].rstrip(b"\0")
        body = data[start : start + size]
        if name == b"VMCOREINFO" and len(body) == size:
            dump.vmcoreinfo = body.decode("ascii", "replace")
        elif name == b"QEMU" and len(body) >= _QEMU_CR + 40:
            cr = struct.unpack_from("<5Q", body, _QEMU_CR)
            dump.registers.append((cr[3], cr[4]))
            (idt,) = struct.unpack_from("<Q", body, _QEMU_IDT)
            if 0 < idt < 1 << 32:  # a kdump of QEMU's says x86_64 whatever the kernel is
                dump.machine = "i386"
        at = start + (size + 3 & ~3)
