"""An emulated x86 processor that makes one access to memory at a time: Unicorn, in this process.

Page tables and controls are what the caller puts there.  The first top-level slot is the emulator's
own: it maps the code that makes the accesses, so tables may hold anything elsewhere.

For each access the processor starts in ring 0 without paging, loads EFER, CR3, CR4, CR0 and PKRU,
goes to code in ring 0 or ring 3 by IRET and makes the access there; every access therefore begins with
an empty TLB.  Unicorn stops at an exception instead of delivering it.  CR2 can be read as a register;
the error code cannot, but it is part of a saved context, and where in it is found by provoking page
faults whose error codes leave no doubt.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from unicorn import x86_const as x86

from mapproof.model.machine.geometry import PAGE_SHIFT, PAGE_SIZE, Geometry

unicorn: Any = import_module("unicorn")  # the types in the wheel are those of its Python 2 half

PHYSICAL_BITS = 40  # MAXPHYADDR of every processor that Unicorn has (CPUID 80000008H)

# Where in a page each kind of access goes; all pages hold the same there, but for their own number.
OFFSETS = {"READ": 0x040, "WRITE": 0x080, "FETCH": 0x0C0}

# Physical memory below 4 MiB, mapped to itself: the first half for ring 0, the second for ring 3.
_GDT, _ENTER, _STACK, _TABLES, _USER = 0x1000, 0x2000, 0x6000, 0x10000, 0x200000
_CODE = {"READ": 0x3000, "WRITE": 0x3100, "FETCH": 0x3200}
_MADE, _FETCHED, _PAGE_FAULT = 0x80, 0x81, 14

CR0_PE, CR0_ET, CR0_WP, CR0_PG = 1 << 0, 1 << 4, 1 << 16, 1 << 31
CR4_PSE, CR4_PAE, CR4_LA57 = 1 << 4, 1 << 5, 1 << 12
CR4_SMEP, CR4_SMAP, CR4_PKE = 1 << 20, 1 << 21, 1 << 22
EFER_LME, EFER_LMA, EFER_NXE = 1 << 8, 1 << 10, 1 << 11
EFLAGS_AC = 1 << 18

# rdmsr and friends want ecx; what comes in: r8 EFER, r11 CR3, r9 CR4, r10 CR0, r13 CR4.PKE, r12 PKRU,
# r14 what a write stores.
_ENTER_64 = bytes.fromhex(
    "b9800000c0"  # mov ecx, IA32_EFER
    "4489c0"  # mov eax, r8d
    "31d2"  # xor edx, edx
    "0f30"  # wrmsr
    "410f22db"  # mov cr3, r11
    "410f22e1"  # mov cr4, r9
    "410f22c2"  # mov cr0, r10
    "4585ed"  # test r13d, r13d
    "740a"  # jz over the next four
    "31c9"  # xor ecx, ecx
    "31d2"  # xor edx, edx
    "4489e0"  # mov eax, r12d
    "0f01ef"  # wrpkru
    "4c89f0"  # mov rax, r14
    "48cf"  # iretq
)
# esi EFER, edi CR3, ebp CR4; CR0 and what a write stores are on the stack, above what iret takes.
_ENTER_32 = bytes.fromhex(
    "b9800000c0"  # mov ecx, IA32_EFER
    "89f0"  # mov eax, esi
    "31d2"  # xor edx, edx
    "0f30"  # wrmsr
    "0f22df"  # mov cr3, edi
    "0f22e5"  # mov cr4, ebp
    "58"  # pop eax
    "0f22c0"  # mov cr0, eax
    "58"  # pop eax
    "cf"  # iretd
)
_ACCESSES = {
    "READ": bytes.fromhex("8b03cd80"),  # mov eax, [rbx]; int 80h
    # mov [rbx], eax; mov eax, [rbx - 40h]; int 80h: what is stored, then the number of that page
    "WRITE": bytes.fromhex("89038b43c0cd80"),
    "FETCH": bytes.fromhex("ffe3"),  # jmp rbx
}


@dataclass(frozen=True)
class Settings:
    """The control bits of one access."""

    wp: bool = False
    pse: bool = False
    nxe: bool = False
    smep: bool = False
    smap: bool = False
    ac: bool = False
    pke: bool = False
    pkru: int = 0


@dataclass(frozen=True)
class Seen:
    """What the processor did: the number of the page that it reached, or the error code of a page
    fault, or neither if it reached something that is no such page."""

    pfn: int | None = None
    error_code: int | None = None


class Emulator:
    """A processor in the paging mode of a geometry, with pages that know their own number."""

    def __init__(self, geometry: Geometry, pages: Iterable[int], tables: Iterable[int]) -> None:
        self.geometry = geometry
        self._long = geometry.long_mode
        self._uc: Any = unicorn.Uc(
            unicorn.UC_ARCH_X86, unicorn.UC_MODE_64 if self._long else unicorn.UC_MODE_32
        )
        self._uc.ctl_set_cpu_model(
            x86.UC_CPU_X86_ICELAKE_SERVER
        )  # has LA57, PKU, SMAP, 1 GiB pages
        self._entry = "<Q" if geometry.levels[0].entry_bytes == 8 else "<I"
        self._stop: tuple[int, int, int] = (0, 0, 0)
        self._nonce = 0
        self.pages = frozenset(pages)
        self._uc.mem_map(0, 4 << 20)
        for pfn in sorted({*self.pages, *tables}):
            self._uc.mem_map(pfn << PAGE_SHIFT, PAGE_SIZE)
        for pfn in self.pages:
            place = pfn << PAGE_SHIFT
            self._uc.mem_write(place + OFFSETS["READ"], struct.pack("<I", pfn))
            fetched = b"\xb8" + struct.pack("<I", pfn) + b"\xcd" + bytes([_FETCHED])
            self._uc.mem_write(place + OFFSETS["FETCH"], fetched)  # mov eax, pfn; int 81h
        self._uc.hook_add(unicorn.UC_HOOK_INTR, self._interrupt)
        self.system_entry = self._set_up()
        self._before = self._uc.context_save()
        self._after = self._uc.context_save()
        self._error_code = self._find_error_code()

    # Memory.

    def write_entry(self, place: int, word: int) -> None:
        """Write one entry of a table."""
        self.write(place, struct.pack(self._entry, word))

    def write(self, place: int, content: bytes) -> None:
        """Write physical memory."""
        self._uc.mem_write(place, content)

    def read(self, place: int, size: int) -> bytes:
        """Physical memory."""
        return bytes(self._uc.mem_read(place, size))

    # Accesses.

    def access(self, cr3: int, va: int, kind: str, user: bool, how: Settings) -> Seen:
        """Make one access to the page at ``va``."""
        va += OFFSETS[kind]
        self._nonce += 1
        number, cr2, eax = self._run(cr3, va, kind, user, how)
        if number == _PAGE_FAULT and cr2 == va:
            self._uc.context_update(self._after)
            return Seen(error_code=self._context_word(self._error_code))
        if number != (_FETCHED if kind == "FETCH" else _MADE):
            return Seen()
        return Seen(pfn=eax if kind != "WRITE" or self._is_written(eax) else None)

    def _is_written(self, pfn: int) -> bool:
        return pfn in self.pages and self.read(
            (pfn << PAGE_SHIFT) + OFFSETS["WRITE"], 4
        ) == struct.pack("<I", self._nonce)

    def _run(self, cr3: int, va: int, kind: str, user: bool, how: Settings) -> tuple[int, int, int]:
        """The interrupt that ends an access, CR2 and EAX then."""
        uc = self._uc
        uc.context_restore(self._before)
        cr0 = CR0_PE | CR0_ET | CR0_PG | CR0_WP * how.wp
        cr4 = CR4_PSE * how.pse | CR4_SMEP * how.smep | CR4_SMAP * how.smap | CR4_PKE * how.pke
        cr4 |= CR4_PAE * self.geometry.has_nx | CR4_LA57 * (self.geometry.va_bits == 57)
        efer = EFER_NXE * how.nxe | (EFER_LME | EFER_LMA) * self._long
        frame = [
            _CODE[kind] + _USER * user,
            0x1B if user else 0x08,
            2 | EFLAGS_AC * how.ac,
            _USER + _STACK if user else _STACK,
            0x23 if user else 0x10,
        ]
        if self._long:
            uc.mem_write(_STACK, struct.pack("<5Q", *frame))
            registers = [
                (x86.UC_X86_REG_RSP, _STACK),
                (x86.UC_X86_REG_R8, efer),
                (x86.UC_X86_REG_R9, cr4),
                (x86.UC_X86_REG_R10, cr0),
                (x86.UC_X86_REG_R11, cr3),
                (x86.UC_X86_REG_R12, how.pkru),
                (x86.UC_X86_REG_R13, how.pke),
                (x86.UC_X86_REG_R14, self._nonce),
                (x86.UC_X86_REG_RBX, va),
            ]
        else:
            uc.mem_write(_STACK, struct.pack("<7I", cr0, self._nonce, *frame))
            registers = [
                (x86.UC_X86_REG_ESP, _STACK),
                (x86.UC_X86_REG_ESI, efer),
                (x86.UC_X86_REG_EBP, cr4),
                (x86.UC_X86_REG_EDI, cr3),
                (x86.UC_X86_REG_EBX, va),
            ]
        uc.reg_write_batch(registers)
        self._stop = (0, 0, 0)
        try:
            uc.emu_start(_ENTER, 0)
        except unicorn.UcError:  # a physical address where there is no memory
            return 0, 0, 0
        return self._stop

    def _interrupt(self, uc: Any, number: int, data: Any) -> None:
        cr2 = uc.reg_read(x86.UC_X86_REG_CR2)
        self._stop = (number, int(cr2), int(uc.reg_read(x86.UC_X86_REG_EAX)))
        uc.emu_stop()

    # Setting up.

    def _set_up(self) -> int:
        """Descriptors, code, and tables for the first top-level slot: its entry is returned."""
        flags = 0xA09B if self._long else 0xC09B  # 64-bit or 32-bit code; present, accessed
        flat = 0x0F << 48 | 0xFFFF
        code, data = flags << 40 & ~(0xF << 48) | flat, 0xC093 << 40 & ~(0xF << 48) | flat
        descriptors = [0, code, data, code | 3 << 45, data | 3 << 45]  # DPL 0, then DPL 3
        self._uc.mem_write(_GDT, struct.pack("<5Q", *descriptors))
        self._uc.reg_write(x86.UC_X86_REG_GDTR, (0, _GDT, 8 * len(descriptors) - 1, 0))
        if self.geometry.va_bits == 57:  # only outside 64-bit mode could code set it
            self._uc.reg_write(x86.UC_X86_REG_CR4, CR4_LA57 | CR4_PAE)
        self._uc.mem_write(_ENTER, _ENTER_64 if self._long else _ENTER_32)
        for ring in (0, _USER):
            for kind, place in _CODE.items():
                self._uc.mem_write(ring + place, _ACCESSES[kind])
        return self._system_tables()

    def _system_tables(self) -> int:
        """4 KiB pages for the first 4 MiB; all entries present, writable, accessed, dirty, and user
        but for the pages of ring 0."""
        place, below = _TABLES, [p << PAGE_SHIFT | 0x63 | 4 * (p >= 512) for p in range(1024)]
        for level in reversed(self.geometry.levels[1:]):
            entries = []
            for start in range(0, len(below), level.entries):
                for i, word in enumerate(below[start : start + level.entries]):
                    self.write_entry(place + i * level.entry_bytes, word)
                entries.append(place | 0x67)
                place += PAGE_SIZE
            below = entries
        (entry,) = below
        return entry if self.geometry.levels[0].rights else entry & ~0x66

    def _context_word(self, offset: int) -> int:
        saved = ctypes.string_at(self._after.context, self._after.size)
        return int(struct.unpack_from("<I", saved, offset)[0])

    def _find_error_code(self) -> int:
        """Where in a saved context the error code is: faults below the emulator's own tables, and in
        an address space that has nothing but them, leave no doubt of theirs."""
        top = _TABLES - PAGE_SIZE
        self.write_entry(top, self.system_entry)
        empty = 1 << self.geometry.levels[0].shift
        found: set[int] | None = None
        for va, kind, user, smep, code in (
            (empty, "READ", False, False, 0b00000),
            (empty, "WRITE", False, False, 0b00010),
            (empty, "WRITE", True, False, 0b00110),
            (empty, "FETCH", False, True, 0b10000),
            (_GDT, "READ", True, False, 0b00101),
            (_USER, "FETCH", False, True, 0b10001),
        ):
            number, _, _ = self._run(top, va, kind, user, Settings(smep=smep))
            if number != _PAGE_FAULT:
                raise RuntimeError(f"interrupt {number} where a page fault was expected")
            self._uc.context_update(self._after)
            offsets = range(0, self._after.size - 3, 4)
            here = {o for o in offsets if self._context_word(o) == code}
            found = here if found is None else found & here
        if not found or len(found) != 1:
            raise RuntimeError(f"the error code may be at any of {sorted(found or ())}")
        return found.pop()
