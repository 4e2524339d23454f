"""The four x86 paging geometries: how an address splits into table slots, and what lives where.

Pure data and pure functions. Addresses and sizes are in bytes, frames are page-frame numbers (pfn).

Paths cited are those of Linux 6.1 below ``arch/x86/include/asm/`` unless they start with another
folder; ``mm.rst`` is Documentation/x86/x86_64/mm.rst (Documentation/arch/x86/x86_64/ since 6.5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Literal, TypeVar

PAGE_SHIFT = 12  # page_types.h
PAGE_SIZE = 1 << PAGE_SHIFT

PTI_PGTABLE_SWITCH_BIT = PAGE_SHIFT  # pgtable.h: selects the user half of an 8 KiB PGD pair
X86_CR3_PTI_PCID_USER_BIT = 11  # processor-flags.h: tells the user PCID from the kernel PCID
X86_CR3_PCID_NOFLUSH_BIT = 63  # arch/x86/include/uapi/asm/processor-flags.h

GUARD_HOLE_PGD_ENTRY = -256  # pgtable_64_types.h; counted from the top of the PGD
LDT_PGD_ENTRY = -240  # pgtable_64_types.h
CPU_ENTRY_AREA_PGD = -4  # pgtable_64_types.h; in units of P4D_SIZE, also with 5 levels
ESPFIX_PGD_ENTRY = -2  # pgtable_64_types.h; likewise
LDT_SLOT_STRIDE = 8192 * 8  # arch/x86/kernel/ldt.c: LDT_ENTRIES * LDT_ENTRY_SIZE (uapi/asm/ldt.h)

MemoryType = Literal["WB", "WC", "UC-", "UC", "WP", "WT"]

PAT: tuple[MemoryType, ...] = ("WB", "WC", "UC-", "UC", "WB", "WP", "UC-", "WT")
"""Memory type of each PAT slot with full PAT support.

Slots 4 and 6 are reserved: Linux never selects them. Source: arch/x86/mm/pat/memtype.c.
"""


class PageBit(IntEnum):
    """Bit positions in a page-table entry, ``_PAGE_BIT_*`` without the prefix.

    Bits from 58 up exist in 8-byte entries only. Equal positions are aliases.
    Source: pgtable_types.h.
    """

    PRESENT = 0
    RW = 1
    USER = 2
    PWT = 3
    PCD = 4
    ACCESSED = 5
    DIRTY = 6
    PSE = 7  # in a large leaf
    PAT = 7  # in a 4 KiB leaf
    GLOBAL = 8
    PROTNONE = 8  # only if PRESENT is clear
    SOFTW1 = 9
    SOFTW2 = 10
    SOFTW3 = 11
    PAT_LARGE = 12  # the PAT bit of a large leaf
    SOFTW4 = 58
    DEVMAP = 58
    PKEY_BIT0 = 59
    PKEY_BIT1 = 60
    PKEY_BIT2 = 61
    PKEY_BIT3 = 62
    NX = 63

    @property
    def mask(self) -> int:
        """The entry value that has only this bit set."""
        return 1 << self


def memory_type(entry: int, *, large: bool) -> MemoryType:
    """Return the PAT memory type that the leaf `entry` selects; `large` if it is not a 4 KiB leaf.

    MTRRs are not considered. Source: the encoding table in pat_init(), arch/x86/mm/pat/memtype.c.
    """
    bits = (PageBit.PAT_LARGE if large else PageBit.PAT, PageBit.PCD, PageBit.PWT)
    high, middle, low = (entry >> bit & 1 for bit in bits)
    return PAT[high << 2 | middle << 1 | low]


@dataclass(frozen=True)
class Level:
    """One level of page tables, under its kernel name: "pgd", "p4d", "pud", "pmd" or "pte".

    An entry translates address bits `shift` to `shift + bits - 1` and is `entry_bytes` long.
    `leaf` says that an entry may map memory itself instead of pointing to a table; `rights` that it
    has R/W, U/S and accessed flags (PAE's top level has none: Intel SDM vol. 3A, table 4-8).
    Source: pgtable_64_types.h, pgtable-3level_types.h, pgtable-2level_types.h.
    """

    name: str
    shift: int
    bits: int
    leaf: bool = False
    entry_bytes: int = 8
    rights: bool = True

    @property
    def entries(self) -> int:
        """Entries in one table (PTRS_PER_*)."""
        return 1 << self.bits

    @property
    def size(self) -> int:
        """Bytes of virtual memory that one entry covers; of a leaf, its page size."""
        return 1 << self.shift


@dataclass(frozen=True)
class Region:
    """A named range of virtual addresses, `start` included and `end` excluded."""

    name: str
    start: int
    end: int
    half: Literal["user", "kernel"]

    def __contains__(self, va: int) -> bool:
        return self.start <= va < self.end

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.start


@dataclass(frozen=True)
class Geometry:
    """A paging mode of x86: its levels from the top, and its memory map in ascending order.

    Every method that takes an address raises ValueError if the address is not canonical.
    """

    name: str
    title: str
    levels: tuple[Level, ...]
    regions: tuple[Region, ...]

    @property
    def va_bits(self) -> int:
        """Bits of a virtual address that are translated: 48, 57 or 32."""
        return self.levels[0].shift + self.levels[0].bits

    @property
    def word_bits(self) -> int:
        """Bits of a register: 64 or 32."""
        return 64 if self.va_bits > 32 else 32

    @property
    def long_mode(self) -> bool:
        """Whether this is 4-level or 5-level paging, which IA32_EFER.LMA selects."""
        return self.word_bits == 64

    @property
    def has_nx(self) -> bool:
        """Whether entries are wide enough for the execute-disable bit: not with 2 levels."""
        return self.levels[0].entry_bytes == 8

    @property
    def table_levels(self) -> tuple[Level, ...]:
        """The levels whose entries may point to a table, from the top: all but the last."""
        return self.levels[:-1]

    def level(self, name: str) -> Level:
        """Return the level called `name`; ValueError if this geometry does not have it."""
        return _named(name, self.levels, f"level of {self.name}")

    def region(self, name: str) -> Region:
        """Return the region called `name`; ValueError if this geometry does not have it."""
        return _named(name, self.regions, f"region of {self.name}")

    def region_of(self, va: int) -> Region | None:
        """Return the region that contains `va`, None if `va` lies in an unused hole."""
        self._check(va)
        return next((region for region in self.regions if va in region), None)

    def is_user(self, va: int) -> bool:
        """Say whether `va` lies in the user half."""
        self._check(va)
        return va in self.region("user")

    def index(self, level_name: str, va: int) -> int:
        """Return the slot that translates `va` in a table of that level (pgd_index(), ...).

        Raises ValueError if there is no such level. A level that the kernel folds does not exist.
        """
        self._check(va)
        level = self.level(level_name)
        return va >> level.shift & (level.entries - 1)

    def slots(self, va: int) -> tuple[int, ...]:
        """Return the slot of `va` at every level, from the top."""
        return tuple(self.index(level.name, va) for level in self.levels)

    def address(self, *slots: int) -> int:
        """Return the lowest address reached through `slots`, given from the top; absent ones are 0.

        The result is canonical. Raises ValueError if a slot is out of range or there are too many.
        """
        if len(slots) > len(self.levels):
            raise ValueError(f"{self.name} has {len(self.levels)} levels, got slots {slots}")
        va = 0
        for level, slot in zip(self.levels, slots, strict=False):
            if slot not in range(level.entries):
                raise ValueError(f"{level.name} slot {slot} is not in 0..{level.entries - 1}")
            va |= slot << level.shift
        return self.canonical(va)

    def canonical(self, va: int) -> int:
        """Return the canonical address with the translated bits of `va`.

        On x86-64 the highest translated bit is repeated up to bit 63 (last section of mm.rst).
        """
        va &= (1 << self.va_bits) - 1
        sign = va >> (self.va_bits - 1)
        return va | sign * ((1 << self.word_bits) - (1 << self.va_bits))

    def pgd_slots(self, region: Region) -> range:
        """Return the top-level slots that `region` lies in, wholly or in part."""
        top = self.levels[0].name
        return range(self.index(top, region.start), self.index(top, region.end - 1) + 1)

    def leaf_size(self, level_name: str) -> int:
        """Return the size in bytes of a page mapped at that level.

        Raises ValueError if there is no such level or its entries only point to tables.
        """
        level = self.level(level_name)
        if not level.leaf:
            raise ValueError(f"a {level.name} entry of {self.name} cannot map a page")
        return level.size

    def direct_map(self, pfn: int) -> int:
        """Return the address of frame `pfn` in the 1:1 mapping of physical memory: __va().

        Raises ValueError beyond the end of the mapping; on i386 such a frame is highmem.
        Source: __PAGE_OFFSET in page_64_types.h and page_32_types.h, without KASLR.
        """
        region = self.region("direct map")
        va = region.start + (pfn << PAGE_SHIFT)
        if va not in region:
            raise ValueError(f"{self.show_pfn(pfn)} is outside the direct map of {self.name}")
        return va

    def sync_level(self, *, pti: bool) -> str | None:
        """Return the level whose kernel entries each mm copies, so that changes must be replicated.

        None if the kernel half is shared below entries that never change: PAE without PTI, where
        SHARED_KERNEL_PMD is 1. Source: ARCH_PAGE_TABLE_SYNC_MASK in pgtable_64_types.h and
        pgtable-{2,3}level_types.h; a level that the kernel folds is named as the one it folds into.
        """
        if len(self.levels) == 3:  # PAE
            return "pmd" if pti else None
        return self.levels[0].name

    def show_va(self, va: int) -> str:
        """Return `va` as the kernel prints it (%px): 16 hexadecimal digits, on i386 8."""
        self._check(va)
        return f"{va:0{self.word_bits // 4}x}"

    def show_pfn(self, pfn: int) -> str:
        """Return a page-frame number as the kernel prints it (pfn:%#lx, mm/debug.c)."""
        return f"pfn:{pfn:#x}"

    def _check(self, va: int) -> None:
        if va != self.canonical(va):
            raise ValueError(f"{va:#x} is not a canonical address of {self.name}")


_Named = TypeVar("_Named", Level, Region, Geometry)


def geometry_named(name: str) -> Geometry:
    """Return the geometry called `name`; ValueError lists the names that exist."""
    return _named(name, tuple(GEOMETRIES.values()), "geometry")


def _named(name: str, things: tuple[_Named, ...], kind: str) -> _Named:
    for thing in things:
        if thing.name == name:
            return thing
    known = ", ".join(thing.name for thing in things)
    raise ValueError(f"no {kind} is called {name!r}; there are: {known}")


def _memory_map(word_bits: int, *rows: tuple[str, int, int]) -> tuple[Region, ...]:
    """Regions from (name, start, end); negative addresses count down from the top, as in mm.rst."""
    top = 1 << word_bits
    return tuple(
        Region(name, start % top, (end - 1) % top + 1, "user" if name == "user" else "kernel")
        for name, start, end in rows
    )


_PMD = Level("pmd", 21, 9, leaf=True)
_PTE = Level("pte", 12, 9, leaf=True)
_PUD = Level("pud", 30, 9, leaf=True)
_P4D = Level("p4d", 39, 9)


def _x86_64(
    name: str,
    title: str,
    levels: tuple[Level, ...],
    vmalloc: tuple[int, int],
    vmemmap: tuple[int, int],
    kasan: int,
) -> Geometry:
    """An x86-64 geometry; `vmalloc` and `vmemmap` are (start, end), `kasan` is a start.

    Source: the two tables of mm.rst. Assumed: no KASLR offsets, and CONFIG_RANDOMIZE_BASE=y (the
    default), so KERNEL_IMAGE_SIZE is 1 GiB (page_64_types.h); mm.rst shows 512 MiB, the other case.
    The fixmap takes all the room between MODULES_END and the vsyscall page; how much of it is in
    use depends on the configuration (fixmap.h).
    """
    pgd, p4d = levels[0].size, _P4D.size
    guard_hole, ldt = GUARD_HOLE_PGD_ENTRY * pgd, LDT_PGD_ENTRY * pgd
    page_offset = ldt + pgd  # page_64_types.h: PGD slot 273
    cpu_entry_area, espfix = CPU_ENTRY_AREA_PGD * p4d, ESPFIX_PGD_ENTRY * p4d
    rows = (
        ("user", 0, 256 * pgd),
        ("guard hole", guard_hole, guard_hole + 16 * pgd),  # GUARD_HOLE_SIZE
        ("ldt", ldt, ldt + pgd),
        ("direct map", page_offset, page_offset + 128 * pgd),
        ("vmalloc", *vmalloc),
        ("vmemmap", *vmemmap),
        ("kasan shadow", kasan, -4 << 40),
        ("cpu_entry_area", cpu_entry_area, cpu_entry_area + p4d),
        ("espfix", espfix, espfix + p4d),
        ("efi", -68 << 30, -4 << 30),  # EFI_VA_END, EFI_VA_START: filled from the top
        ("kernel image", -2 << 30, -1 << 30),  # __START_KERNEL_map
        ("modules", -1 << 30, -16 << 20),  # MODULES_VADDR, MODULES_END
        ("fixmap", -16 << 20, -10 << 20),
        ("vsyscall", -10 << 20, (-10 << 20) + PAGE_SIZE),  # VSYSCALL_ADDR
    )
    return Geometry(name, title, levels, _memory_map(64, *rows))


def _i386(name: str, title: str, levels: tuple[Level, ...]) -> Geometry:
    """An i386 geometry, laid out downward from FIXADDR_TOP as pgtable_32_areas.h does.

    Assumed: PAGE_OFFSET 0xC0000000 (VMSPLIT_3G); HIGHMEM, and memory enough for lowmem to reach
    MAXMEM; no vmalloc= option; NR_CPUS=32 (the default with X86_BIGSMP); no DEBUG_KMAP_LOCAL. The
    modules are in vmalloc, the kernel image in the direct map. Without PTI (never with 2 levels,
    arch/x86/Kconfig) the LDT region stays empty. A booted Debian 6.1 686-pae kernel has the same
    pkmap and cpu_entry_area.
    """
    page_offset = 0xC0000000  # page_32_types.h
    fixaddr_top = 0xFFFFF000  # arch/x86/mm/pgtable_32.c
    pmd = levels[-2].size  # with 2 levels the PMD is folded: PMD_SIZE is the size of a PGD entry
    fixmap_pages = 3 * 512 + 1  # fixmap.h: permanent ones up to 1024, 512 boot-time, FIX_WP_TEST
    cpu_entry_pages = 32 * 43 + 1  # cpu_entry_area.h: NR_CPUS * sizeof(struct cpu_entry_area) + IDT
    fixmap = fixaddr_top - fixmap_pages * PAGE_SIZE
    cpu_entry_area = (fixmap - cpu_entry_pages * PAGE_SIZE) & -pmd
    ldt = (cpu_entry_area - PAGE_SIZE) & -pmd
    pkmap = (ldt - PAGE_SIZE) & -pmd
    vmalloc_end = pkmap - 2 * PAGE_SIZE
    high_memory = vmalloc_end - (128 << 20)  # __VMALLOC_RESERVE, arch/x86/mm/pgtable_32.c
    rows = (
        ("user", 0, page_offset),
        ("direct map", page_offset, high_memory),
        ("vmalloc", high_memory + (8 << 20), vmalloc_end),  # VMALLOC_OFFSET
        ("pkmap", pkmap, pkmap + pmd),  # LAST_PKMAP pages: one page table
        ("ldt", ldt, ldt + pmd),
        ("cpu_entry_area", cpu_entry_area, cpu_entry_area + cpu_entry_pages * PAGE_SIZE),
        ("fixmap", fixmap, fixaddr_top),
    )
    return Geometry(name, title, levels, _memory_map(32, *rows))


X86_64_4L = _x86_64(
    "x86-64",
    "x86-64, 4-level paging",
    (Level("pgd", 39, 9), _PUD, _PMD, _PTE),
    vmalloc=(0xFFFFC900_00000000, 0xFFFFE900_00000000),
    vmemmap=(0xFFFFEA00_00000000, 0xFFFFEB00_00000000),
    kasan=0xFFFFEC00_00000000,
)
X86_64_5L = _x86_64(
    "x86-64-la57",
    "x86-64, 5-level paging",
    (Level("pgd", 48, 9), _P4D, _PUD, _PMD, _PTE),
    vmalloc=(0xFFA00000_00000000, 0xFFD20000_00000000),
    vmemmap=(0xFFD40000_00000000, 0xFFD60000_00000000),
    kasan=0xFFDF0000_00000000,
)
I386_PAE = _i386(
    "i386-pae",
    "i386, 3-level paging (PAE)",
    (Level("pgd", 30, 2, rights=False), _PMD, _PTE),
)
I386_2L = _i386(
    "i386",
    "i386, 2-level paging",
    (Level("pgd", 22, 10, leaf=True, entry_bytes=4), Level("pte", 12, 10, True, 4)),
)

GEOMETRIES: Mapping[str, Geometry] = MappingProxyType(
    {geometry.name: geometry for geometry in (X86_64_4L, X86_64_5L, I386_PAE, I386_2L)}
)
"""Every geometry by its name."""
