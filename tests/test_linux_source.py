"""Geometries and layout constants, against the kernel's own headers and documents.

Debian's linux-source is installed if it is not there (as root, with a network).  Literal numbers on
this page are those that the designs and properties were written with; the other side is read from
the kernel.

Not in a header, so not tested here: the sizes that only a compiler knows (struct cpu_entry_area, the
number of fixmap slots), what the KAISER postings had before 4.15, and PKRS, which was never merged.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mapproof.model.machine.geometry import (
    CPU_ENTRY_AREA_PGD,
    ESPFIX_PGD_ENTRY,
    GUARD_HOLE_PGD_ENTRY,
    I386_2L,
    I386_PAE,
    LDT_PGD_ENTRY,
    LDT_SLOT_STRIDE,
    PAGE_SHIFT,
    PAGE_SIZE,
    PAT,
    PTI_PGTABLE_SWITCH_BIT,
    X86_64_4L,
    X86_64_5L,
    X86_CR3_PCID_NOFLUSH_BIT,
    X86_CR3_PTI_PCID_USER_BIT,
    Geometry,
    PageBit,
)

from .linux_source import Headers, NoSource, archive, memory_maps, unpack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("linux-source")]

ASM = "arch/x86/include/asm/"
UAPI = "arch/x86/include/uapi/asm/"
COMMON = [ASM + "page_types.h", ASM + "pgtable_types.h", UAPI + "processor-flags.h"]
COMMON += [ASM + "processor-flags.h", UAPI + "ldt.h"]
FILES_64 = [*COMMON, ASM + "page_64_types.h", ASM + "pgtable_64_types.h", ASM + "pgtable.h"]
FILES_64 += [UAPI + "vsyscall.h", ASM + "pgalloc.h", ASM + "tlbflush.h", ASM + "invpcid.h"]
FILES_64 += [ASM + "pkru.h", "include/asm-generic/kmap_size.h", ASM + "pgtable_areas.h"]
CONFIG_64 = ["X86_64", "RANDOMIZE_BASE", "X86_PAT", "MITIGATION_PAGE_TABLE_ISOLATION"]
CONFIG_64 += ["PAGE_TABLE_ISOLATION", "DYNAMIC_MEMORY_LAYOUT"]


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        source = archive()
    except NoSource as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("linux")
    unpack(source, folder)
    return folder


def headers_64(linux: Path, *config: str, levels: int = 4, **given: int) -> Headers:
    extra = ["X86_5LEVEL"] if levels == 5 else []
    shift = {"pgdir_shift": 48, "ptrs_per_p4d": 512}
    return Headers(linux, FILES_64, [*CONFIG_64, *extra, *config], **shift, **given)


def headers_32(linux: Path, *, pae: bool) -> Headers:
    own = "pgtable-3level_types.h" if pae else "pgtable-2level_types.h"
    files = [*COMMON, ASM + "page_32_types.h", ASM + own, ASM + "pgtable_32_areas.h"]
    geometry = I386_PAE if pae else I386_2L
    area = geometry.region("cpu_entry_area")
    return Headers(
        linux,
        files,
        ["X86_32", "HIGHMEM", *(["X86_PAE"] if pae else [])],
        bits=32,
        CONFIG_PAGE_OFFSET=0xC0000000,
        # What only the compiler knows: the start of the fixmap, the size of an area.
        FIXADDR_TOT_START=geometry.region("fixmap").start,
        CPU_ENTRY_AREA_PAGES=area.size // PAGE_SIZE - 1,
        PMD_MASK=-geometry.levels[-2].size,
        PMD_SIZE=geometry.levels[-2].size,
    )


# Entries and control registers.


def test_page_bits(linux: Path) -> None:
    headers = headers_64(linux)
    ours = {bit.lower(): int(value) for bit, value in PageBit.__members__.items()}
    theirs = {
        name.removeprefix("_PAGE_BIT_").lower(): headers[name]
        for name in headers.names("_PAGE_BIT_")
    }
    assert ours.items() <= theirs.items()
    # What is left are other names that Linux gives to the bits for software.
    software = {9, 10, 11, 58}
    assert all(value in software for name, value in theirs.items() if name not in ours)


def test_control_register_bits(linux: Path) -> None:
    headers = headers_64(linux)
    assert headers["PAGE_SHIFT"] == PAGE_SHIFT
    assert headers["PTI_PGTABLE_SWITCH_BIT"] == PTI_PGTABLE_SWITCH_BIT == 12
    assert headers["X86_CR3_PTI_PCID_USER_BIT"] == X86_CR3_PTI_PCID_USER_BIT == 11
    assert headers["X86_CR3_PCID_NOFLUSH_BIT"] == X86_CR3_PCID_NOFLUSH_BIT == 63


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TLB_NR_DYN_ASIDS", 6),
        ("X86_CR3_PCID_BITS", 12),
        ("INVPCID_TYPE_INDIV_ADDR", 0),
        ("INVPCID_TYPE_SINGLE_CTXT", 1),
        ("INVPCID_TYPE_ALL_INCL_GLOBAL", 2),
        ("INVPCID_TYPE_ALL_NON_GLOBAL", 3),
        ("PGD_ALLOCATION_ORDER", 1),
        ("PKRU_BITS_PER_PKEY", 2),
        ("PKRU_AD_BIT", 1),
        ("PKRU_WD_BIT", 2),
        ("KM_MAX_IDX", 16),
        ("__PHYSICAL_MASK_SHIFT", 52),
        ("_PAGE_CACHE_MASK", 1 << 3 | 1 << 4 | 1 << 7),
    ],
)
def test_constants_of_the_machine_and_the_kernel(linux: Path, name: str, value: int) -> None:
    assert headers_64(linux)[name] == value


def test_what_depends_on_the_configuration(linux: Path) -> None:
    assert headers_64(linux, "DEBUG_KMAP_LOCAL")["KM_MAX_IDX"] == 33
    without = [name for name in CONFIG_64 if "ISOLATION" not in name]
    assert Headers(linux, FILES_64, without)["PGD_ALLOCATION_ORDER"] == 0


def test_pcids_and_the_flush_ceiling(linux: Path) -> None:
    text = (linux / "arch/x86/mm/tlb.c").read_text()
    assert "tlb_single_page_flush_ceiling __read_mostly = 33;" in text
    user = 1 << X86_CR3_PTI_PCID_USER_BIT
    assert "kPCID - [1, TLB_NR_DYN_ASIDS]" in text
    assert f"uPCID - [{user} + 1, {user} + TLB_NR_DYN_ASIDS]" in text


def test_pcids_that_isolation_leaves(linux: Path) -> None:
    """One bit of the PCID tells the halves apart, PCID 0 is not used, and a 16-bit mask has a bit for
    every identifier."""
    headers = headers_64(linux)
    text = (linux / "arch/x86/mm/tlb.c").read_text()
    assert "# define PTI_CONSUMED_PCID_BITS\t1" in text
    assert "#define CR3_AVAIL_PCID_BITS (X86_CR3_PCID_BITS - PTI_CONSUMED_PCID_BITS)" in text
    assert headers["X86_CR3_PCID_BITS"] - 1 == X86_CR3_PTI_PCID_USER_BIT
    assert re.search(r"kern_pcid\(u16 asid\).*?return asid \+ 1;", text, re.DOTALL)
    flags = (linux / ASM / "tlbflush.h").read_text()
    assert re.search(r"unsigned short\s+user_pcid_flush_mask;", flags)
    assert headers["TLB_NR_DYN_ASIDS"] < 16


def test_the_entry_area_begins_with_the_idt(linux: Path) -> None:
    text = " ".join((linux / ASM / "pgtable_areas.h").read_text().split())
    assert "#define CPU_ENTRY_AREA_RO_IDT CPU_ENTRY_AREA_BASE" in text
    assert "#define CPU_ENTRY_AREA_PER_CPU (CPU_ENTRY_AREA_RO_IDT + PAGE_SIZE)" in text


def test_at_which_level_the_image_is_cloned(linux: Path) -> None:
    text = (linux / "arch/x86/mm/pti.c").read_text()
    levels = re.findall(r"#define\s+PTI_LEVEL_KERNEL_IMAGE\s+(\w+)", text)
    assert levels == ["PTI_CLONE_PMD", "PTI_CLONE_PTE"]  # 64-bit, 32-bit
    assert "pti_clone_p4d(CPU_ENTRY_AREA_BASE);" in text
    assert "pti_clone_p4d(ESPFIX_BASE_ADDR);" in text
    assert "target_pte = pti_user_pagetable_walk_pte(va, false);" in text  # the TSS, by its address


def test_flags_of_tables(linux: Path) -> None:
    """The user's tables have US, the kernel's do not; neither is global or NX."""
    text = (linux / ASM / "pgtable_types.h").read_text()

    def flags(name: str) -> set[str]:
        found = re.search(rf"#define {name}\s+\(([^)]*)\)", text)
        assert found
        return set(re.findall(r"_*([A-Z]+)\b", found[1])) - {"ENC"}

    assert flags("_KERNPG_TABLE_NOENC") == {"PP", "RW", "A", "D"}
    assert flags("_PAGE_TABLE_NOENC") == {"PP", "RW", "USR", "A", "D"}


def test_the_ldt(linux: Path) -> None:
    headers = headers_64(linux)
    assert (
        "#define LDT_SLOT_STRIDE (LDT_ENTRIES * LDT_ENTRY_SIZE)"
        in (linux / "arch/x86/kernel/ldt.c").read_text()
    )
    assert headers["LDT_ENTRIES"] * headers["LDT_ENTRY_SIZE"] == LDT_SLOT_STRIDE == 16 * PAGE_SIZE


def test_the_pat(linux: Path) -> None:
    text = (linux / "arch/x86/mm/pat/memtype.c").read_text()
    tables = [
        dict(re.findall(r"PAT\((\d), (\w+)\)", found))
        for found in re.findall(r"pat = (PAT\(0.*?);", text, re.DOTALL)
    ]
    full = {str(i): kind.replace("UC-", "UC_MINUS") for i, kind in enumerate(PAT)}
    assert full in tables


# x86-64.


@pytest.mark.parametrize("geometry", [X86_64_4L, X86_64_5L], ids=lambda g: g.name)
def test_levels_of_x86_64(linux: Path, geometry: Geometry) -> None:
    headers = headers_64(linux, levels=len(geometry.levels))
    names = {"pgd": "PGDIR", "p4d": "P4D", "pud": "PUD", "pmd": "PMD", "pte": "PAGE"}
    for level in geometry.levels:
        assert headers[f"{names[level.name]}_SHIFT"] == level.shift
        assert headers[f"PTRS_PER_{level.name.upper()}"] == level.entries
    assert headers["GUARD_HOLE_PGD_ENTRY"] == GUARD_HOLE_PGD_ENTRY % 2**64
    assert headers["LDT_PGD_ENTRY"] == LDT_PGD_ENTRY % 2**64
    assert headers["CPU_ENTRY_AREA_PGD"] == CPU_ENTRY_AREA_PGD % 2**64
    assert headers["ESPFIX_PGD_ENTRY"] == ESPFIX_PGD_ENTRY % 2**64


def test_5_levels_are_set_up_with_these_shifts(linux: Path) -> None:
    text = (linux / "arch/x86/kernel/head64.c").read_text()
    assert re.search(r"\bpgdir_shift\b.* = 48;", text)
    assert re.search(r"\bptrs_per_p4d\b.* = 512;", text)


DESCRIPTIONS = {
    "user": "user-space virtual memory, different per mm",
    "ldt": "LDT remap for PTI",
    "direct map": "direct mapping of all physical memory (page_offset_base)",
    "vmalloc": "vmalloc/ioremap space (vmalloc_base)",
    "vmemmap": "virtual memory map (vmemmap_base)",
    "kasan shadow": "KASAN shadow memory",
    "cpu_entry_area": "cpu_entry_area mapping",
    "espfix": "%esp fixup stacks",
    "efi": "EFI region mapping space",
    "vsyscall": "legacy vsyscall ABI",
}


@pytest.mark.parametrize("geometry", [X86_64_4L, X86_64_5L], ids=lambda g: g.name)
def test_the_memory_map_of_x86_64(linux: Path, geometry: Geometry) -> None:
    rows = memory_maps(linux)[len(geometry.levels) - 4]
    for name, description in DESCRIPTIONS.items():
        region = geometry.region(name)
        assert (region.start, region.end) == rows[description], name
    # The document shows the image and the modules without CONFIG_RANDOMIZE_BASE.
    image = geometry.region("kernel image")
    assert image.start == rows["kernel text mapping, mapped to physical address 0"][0]
    assert geometry.region("modules").end == rows["module mapping space"][1]


@pytest.mark.parametrize("geometry", [X86_64_4L, X86_64_5L], ids=lambda g: g.name)
def test_the_regions_of_x86_64(linux: Path, geometry: Geometry) -> None:
    levels = len(geometry.levels)
    headers = headers_64(linux, levels=levels)
    size = headers[f"VMALLOC_SIZE_TB_L{levels}"] << 40
    assert geometry.region("guard hole").start == headers["GUARD_HOLE_BASE_ADDR"]
    assert geometry.region("guard hole").end == headers["GUARD_HOLE_END_ADDR"]
    assert geometry.region("ldt").start == headers["LDT_BASE_ADDR"]
    assert geometry.region("ldt").end == headers["LDT_END_ADDR"]
    assert geometry.region("direct map").start == headers[f"__PAGE_OFFSET_BASE_L{levels}"]
    assert geometry.region("vmalloc").start == headers[f"__VMALLOC_BASE_L{levels}"]
    assert geometry.region("vmalloc").size == size
    assert geometry.region("vmemmap").start == headers[f"__VMEMMAP_BASE_L{levels}"]
    assert geometry.region("efi").start == headers["EFI_VA_END"]
    assert geometry.region("efi").end == headers["EFI_VA_START"]
    assert geometry.region("kernel image").start == headers["__START_KERNEL_map"]
    assert geometry.region("kernel image").size == headers["KERNEL_IMAGE_SIZE"]
    assert geometry.region("modules").start == headers["MODULES_VADDR"]
    assert geometry.region("modules").end == headers["MODULES_END"]
    assert geometry.region("vsyscall").start == headers["VSYSCALL_ADDR"]
    p4d = X86_64_5L.level("p4d").size
    assert geometry.region("cpu_entry_area").start == headers["CPU_ENTRY_AREA_PGD"] * p4d % 2**64
    assert geometry.region("espfix").start == headers["ESPFIX_PGD_ENTRY"] * p4d % 2**64


@pytest.mark.parametrize(
    ("levels", "description", "first", "last"),
    [
        (4, "user", 0, 255),
        (4, "ldt", 272, 272),
        (4, "direct map", 273, 400),
        (4, "vmalloc", 402, 465),
        (4, "vmemmap", 468, 469),
        (4, "cpu_entry_area", 508, 508),
        (4, "espfix", 510, 510),
        (4, "vsyscall", 511, 511),
        (5, "user", 0, 255),
        (5, "ldt", 272, 272),
        (5, "direct map", 273, 400),
        (5, "vmalloc", 416, 465),
        (5, "vmemmap", 468, 469),
        (5, "cpu_entry_area", 511, 511),
        (5, "espfix", 511, 511),
        (5, "vsyscall", 511, 511),
    ],
)
def test_top_level_slots_that_the_properties_name(
    linux: Path, levels: int, description: str, first: int, last: int
) -> None:
    shift = headers_64(linux, levels=levels)["PGDIR_SHIFT"]
    start, end = memory_maps(linux)[levels - 4][DESCRIPTIONS[description]]
    assert (start >> shift & 511, end - 1 >> shift & 511) == (first, last)


# i386.


@pytest.mark.parametrize("geometry", [I386_PAE, I386_2L], ids=lambda g: g.name)
def test_levels_and_layout_of_i386(linux: Path, geometry: Geometry) -> None:
    headers = headers_32(linux, pae=geometry is I386_PAE)
    names = {"pgd": "PGDIR", "pmd": "PMD", "pte": "PAGE"}
    for level in geometry.levels:
        assert headers[f"{names[level.name]}_SHIFT"] == level.shift
        assert headers[f"PTRS_PER_{level.name.upper()}"] == level.entries
    # KERNEL_PGD_BOUNDARY is pgd_index(PAGE_OFFSET): pgtable.h.
    boundary = geometry.index("pgd", headers["__PAGE_OFFSET_BASE"])
    assert (
        boundary == headers["PGD_KERNEL_START"] == geometry.pgd_slots(geometry.region("user")).stop
    )
    assert geometry.region("direct map").start == headers["__PAGE_OFFSET_BASE"]
    assert geometry.region("cpu_entry_area").start == headers["CPU_ENTRY_AREA_BASE"]
    assert geometry.region("ldt").start == headers["LDT_BASE_ADDR"]
    assert geometry.region("ldt").end == headers["LDT_END_ADDR"]
    assert geometry.region("pkmap").start == headers["PKMAP_BASE"]
    assert geometry.region("pkmap").size == headers["LAST_PKMAP"] * PAGE_SIZE
    assert geometry.region("vmalloc").end == headers["VMALLOC_END"]
    room = geometry.region("vmalloc").start - geometry.region("direct map").end
    assert room == headers["VMALLOC_OFFSET"]


def test_what_i386_sets_at_boot(linux: Path) -> None:
    text = (linux / "arch/x86/mm/pgtable_32.c").read_text()
    assert "__VMALLOC_RESERVE = 128 << 20;" in text
    assert "__FIXADDR_TOP = 0xfffff000;" in text
    for geometry in (I386_PAE, I386_2L):
        assert geometry.region("vmalloc").end - geometry.region("direct map").end == 128 << 20
        assert geometry.region("fixmap").end == 0xFFFFF000


def test_levels_that_are_copied_into_every_mm(linux: Path) -> None:
    mask = "#define ARCH_PAGE_TABLE_SYNC_MASK"

    def definition(name: str) -> str:
        text = (linux / ASM / name).read_text().replace("\\\n", " ")
        (line,) = (at for at in text.splitlines() if at.startswith(mask))
        return " ".join(line.split()).removeprefix(f"{mask} ")

    assert definition("pgtable-3level_types.h") == "(SHARED_KERNEL_PMD ? 0 : PGTBL_PMD_MODIFIED)"
    assert definition("pgtable-2level_types.h") == "PGTBL_PMD_MODIFIED"
    assert definition("pgtable_64_types.h") == (
        "(pgtable_l5_enabled() ? PGTBL_PGD_MODIFIED : PGTBL_P4D_MODIFIED)"
    )


def test_what_pae_shares_and_preallocates(linux: Path) -> None:
    """With isolation a process has kernel PMD pages of its own: one for each table."""
    text = " ".join((linux / "arch/x86/mm/pgtable.c").read_text().replace("\\\n", " ").split())
    assert (
        "#define UNSHARED_PTRS_PER_PGD (SHARED_KERNEL_PMD ? KERNEL_PGD_BOUNDARY : PTRS_PER_PGD)"
        in text
    )
    assert (
        "#define PREALLOCATED_USER_PMDS (boot_cpu_has(X86_FEATURE_PTI) ? KERNEL_PGD_PTRS : 0)"
        in text
    )
    shared = (linux / ASM / "pgtable-3level_types.h").read_text()
    assert "#define SHARED_KERNEL_PMD\t(!static_cpu_has(X86_FEATURE_PTI))" in shared
    pgtable = (linux / ASM / "pgtable.h").read_text()
    assert "#define KERNEL_PGD_BOUNDARY\tpgd_index(PAGE_OFFSET)" in pgtable
    assert "#define KERNEL_PGD_PTRS\t\t(PTRS_PER_PGD - KERNEL_PGD_BOUNDARY)" in pgtable
    top = I386_PAE.level("pgd")
    assert (top.entries, I386_PAE.index("pgd", 0xC0000000)) == (4, 3)


def test_the_lazy_purge_threshold(linux: Path) -> None:
    text = (linux / "mm/vmalloc.c").read_text()
    assert "log = fls(num_online_cpus());" in text
    assert "return log * (32UL * 1024 * 1024 / PAGE_SIZE);" in text
