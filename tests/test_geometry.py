"""The paging geometries, against addresses of real kernels and against themselves.

Expected numbers are written out: they come from the kernel's memory-map document and headers, and
for PAE from a booted kernel (IDT, GDTs and tables), not from the code under test.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapproof.model.machine.geometry import (
    GEOMETRIES,
    GUARD_HOLE_PGD_ENTRY,
    I386_2L,
    I386_PAE,
    LDT_PGD_ENTRY,
    LDT_SLOT_STRIDE,
    PAGE_SIZE,
    PAT,
    PTI_PGTABLE_SWITCH_BIT,
    X86_64_4L,
    X86_64_5L,
    X86_CR3_PCID_NOFLUSH_BIT,
    X86_CR3_PTI_PCID_USER_BIT,
    Geometry,
    PageBit,
    geometry_named,
    memory_type,
)

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=lambda g: g.name)


@st.composite
def places(draw: st.DrawFn) -> tuple[Geometry, int]:
    """Draw a geometry and one of its canonical addresses, near a region's edge or anywhere."""
    geometry = draw(st.sampled_from(list(GEOMETRIES.values())))
    edge = draw(st.sampled_from([r.start for r in geometry.regions])) + draw(st.integers(-2, 2))
    anywhere = draw(st.integers(0, (1 << geometry.va_bits) - 1))
    return geometry, geometry.canonical(draw(st.sampled_from([edge, anywhere])))


# --- splitting and joining addresses -------------------------------------------------------------


@given(places())
def test_slots_and_address_are_inverse(place: tuple[Geometry, int]) -> None:
    geometry, va = place
    slots = geometry.slots(va)
    assert geometry.address(*slots) == va & -PAGE_SIZE
    assert geometry.slots(geometry.address(*slots)) == slots


@given(places())
def test_index_agrees_with_slots_and_stays_in_the_table(place: tuple[Geometry, int]) -> None:
    geometry, va = place
    for level, slot in zip(geometry.levels, geometry.slots(va), strict=True):
        assert geometry.index(level.name, va) == slot
        assert 0 <= slot < level.entries


@given(places())
def test_a_shorter_path_is_the_start_of_the_entry(place: tuple[Geometry, int]) -> None:
    geometry, va = place
    slots = geometry.slots(va)
    for depth, level in enumerate(geometry.levels, start=1):
        assert geometry.address(*slots[:depth]) == va - va % level.size


@given(places())
def test_the_upper_half_is_sign_extended(place: tuple[Geometry, int]) -> None:
    geometry, va = place
    assert geometry.canonical(va) == va
    upper = geometry.slots(va)[0] >= geometry.levels[0].entries // 2
    assert va >> (geometry.va_bits - 1) == (
        (1 << (geometry.word_bits - geometry.va_bits + 1)) - 1 if upper else 0
    )


@pytest.mark.parametrize(
    ("geometry", "va"),
    [
        (X86_64_4L, 0x0000800000000000),
        (X86_64_4L, 0xFFFF7FFFFFFFFFFF),
        (X86_64_4L, 0xFF11000000000000),  # canonical with 5 levels only
        (X86_64_5L, 0x0100000000000000),
        (I386_PAE, 0x1_0000_0000),
        (I386_2L, -1),
    ],
)
def test_an_address_that_is_not_canonical_is_refused(geometry: Geometry, va: int) -> None:
    for method in (geometry.slots, geometry.region_of, geometry.is_user, geometry.show_va):
        with pytest.raises(ValueError, match=r"not a canonical address of"):
            method(va)


def test_slots_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pgd slot 4 is not in 0\.\.3"):
        I386_PAE.address(4)
    with pytest.raises(ValueError, match="pmd slot -1"):
        I386_PAE.address(3, -1)
    with pytest.raises(ValueError, match="has 2 levels"):
        I386_2L.address(0, 0, 0)


# --- levels --------------------------------------------------------------------------------------


@every_geometry
def test_the_levels_cover_the_address_exactly(geometry: Geometry) -> None:
    for upper, lower in pairwise(geometry.levels):
        assert upper.shift == lower.shift + lower.bits
    assert geometry.levels[-1].size == PAGE_SIZE
    assert geometry.table_levels == geometry.levels[:-1]


@every_geometry
def test_every_table_is_one_page_but_for_the_pae_pgd(geometry: Geometry) -> None:
    odd = {
        level.name: level.entries * level.entry_bytes
        for level in geometry.levels
        if level.entries * level.entry_bytes != PAGE_SIZE
    }
    assert odd == ({"pgd": 32} if geometry is I386_PAE else {})


@pytest.mark.parametrize(
    ("geometry", "va_bits", "leaves"),
    [
        (X86_64_4L, 48, {"pud": 1 << 30, "pmd": 2 << 20, "pte": 4096}),
        (X86_64_5L, 57, {"pud": 1 << 30, "pmd": 2 << 20, "pte": 4096}),
        (I386_PAE, 32, {"pmd": 2 << 20, "pte": 4096}),
        (I386_2L, 32, {"pgd": 4 << 20, "pte": 4096}),
    ],
)
def test_leaf_sizes(geometry: Geometry, va_bits: int, leaves: dict[str, int]) -> None:
    assert geometry.va_bits == va_bits
    for level in geometry.levels:
        if level.name in leaves:
            assert geometry.leaf_size(level.name) == leaves[level.name]
        else:
            with pytest.raises(ValueError, match="cannot map a page"):
                geometry.leaf_size(level.name)


def test_only_unshared_kernel_pmds_make_pae_synchronise() -> None:
    assert I386_PAE.sync_level(pti=True) == "pmd"
    assert I386_PAE.sync_level(pti=False) is None
    for geometry in (X86_64_4L, X86_64_5L, I386_2L):
        assert geometry.sync_level(pti=False) == "pgd"


# --- regions -------------------------------------------------------------------------------------


@every_geometry
def test_regions_are_sorted_disjoint_page_aligned_and_canonical(geometry: Geometry) -> None:
    for lower, upper in pairwise(geometry.regions):
        assert lower.end <= upper.start
    for region in geometry.regions:
        assert region.size > 0
        assert region.start % PAGE_SIZE == region.end % PAGE_SIZE == 0
        assert geometry.canonical(region.start) == region.start
        assert geometry.canonical(region.end - 1) == region.end - 1
    assert len({region.name for region in geometry.regions}) == len(geometry.regions)


@given(places())
def test_region_of_finds_the_one_region_around_an_address(place: tuple[Geometry, int]) -> None:
    geometry, va = place
    around = [r for r in geometry.regions if r.start <= va < r.end]
    found = geometry.region_of(va)
    assert ([] if found is None else [found]) == around
    assert geometry.is_user(va) == any(r.half == "user" for r in around)
    if found is not None:
        assert geometry.region(found.name) is found
        assert geometry.index("pgd", va) in geometry.pgd_slots(found)


@every_geometry
def test_the_user_half_shares_no_top_level_slot_with_the_kernel(geometry: Geometry) -> None:
    user, *kernel = geometry.regions
    assert (user.name, user.half) == ("user", "user")
    assert all(r.half == "kernel" for r in kernel)
    assert all(geometry.pgd_slots(r).start >= geometry.pgd_slots(user).stop for r in kernel)


@pytest.mark.parametrize(
    ("geometry", "name", "start", "end", "first", "last"),
    [
        (X86_64_4L, "user", 0, 0x0000800000000000, 0, 255),
        (X86_64_4L, "guard hole", 0xFFFF800000000000, 0xFFFF880000000000, 256, 271),
        (X86_64_4L, "ldt", 0xFFFF880000000000, 0xFFFF888000000000, 272, 272),
        (X86_64_4L, "direct map", 0xFFFF888000000000, 0xFFFFC88000000000, 273, 400),
        (X86_64_4L, "vmalloc", 0xFFFFC90000000000, 0xFFFFE90000000000, 402, 465),
        (X86_64_4L, "vmemmap", 0xFFFFEA0000000000, 0xFFFFEB0000000000, 468, 469),
        (X86_64_4L, "kasan shadow", 0xFFFFEC0000000000, 0xFFFFFC0000000000, 472, 503),
        (X86_64_4L, "cpu_entry_area", 0xFFFFFE0000000000, 0xFFFFFE8000000000, 508, 508),
        (X86_64_4L, "espfix", 0xFFFFFF0000000000, 0xFFFFFF8000000000, 510, 510),
        (X86_64_4L, "efi", 0xFFFFFFEF00000000, 0xFFFFFFFF00000000, 511, 511),
        (X86_64_4L, "kernel image", 0xFFFFFFFF80000000, 0xFFFFFFFFC0000000, 511, 511),
        (X86_64_4L, "modules", 0xFFFFFFFFC0000000, 0xFFFFFFFFFF000000, 511, 511),
        (X86_64_4L, "fixmap", 0xFFFFFFFFFF000000, 0xFFFFFFFFFF600000, 511, 511),
        (X86_64_4L, "vsyscall", 0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000, 511, 511),
        (X86_64_5L, "user", 0, 0x0100000000000000, 0, 255),
        (X86_64_5L, "guard hole", 0xFF00000000000000, 0xFF10000000000000, 256, 271),
        (X86_64_5L, "ldt", 0xFF10000000000000, 0xFF11000000000000, 272, 272),
        (X86_64_5L, "direct map", 0xFF11000000000000, 0xFF91000000000000, 273, 400),
        (X86_64_5L, "vmalloc", 0xFFA0000000000000, 0xFFD2000000000000, 416, 465),
        (X86_64_5L, "vmemmap", 0xFFD4000000000000, 0xFFD6000000000000, 468, 469),
        (X86_64_5L, "kasan shadow", 0xFFDF000000000000, 0xFFFFFC0000000000, 479, 511),
        (X86_64_5L, "cpu_entry_area", 0xFFFFFE0000000000, 0xFFFFFE8000000000, 511, 511),
        (I386_PAE, "user", 0, 0xC0000000, 0, 2),
        (I386_PAE, "direct map", 0xC0000000, 0xF6FFE000, 3, 3),
        (I386_PAE, "vmalloc", 0xF77FE000, 0xFEFFE000, 3, 3),
        (I386_PAE, "pkmap", 0xFF000000, 0xFF200000, 3, 3),
        (I386_PAE, "ldt", 0xFF200000, 0xFF400000, 3, 3),
        (I386_PAE, "cpu_entry_area", 0xFF400000, 0xFF961000, 3, 3),
        (I386_PAE, "fixmap", 0xFF9FE000, 0xFFFFF000, 3, 3),
        (I386_2L, "user", 0, 0xC0000000, 0, 767),
        (I386_2L, "direct map", 0xC0000000, 0xF6BFE000, 768, 986),
        (I386_2L, "vmalloc", 0xF73FE000, 0xFEBFE000, 988, 1018),
        (I386_2L, "pkmap", 0xFEC00000, 0xFF000000, 1019, 1019),
        (I386_2L, "ldt", 0xFF000000, 0xFF400000, 1020, 1020),
        (I386_2L, "cpu_entry_area", 0xFF400000, 0xFF961000, 1021, 1022),
    ],
)
def test_known_regions(
    geometry: Geometry, name: str, start: int, end: int, first: int, last: int
) -> None:
    region = geometry.region(name)
    assert (region.start, region.end) == (start, end)
    assert geometry.pgd_slots(region) == range(first, last + 1)


def test_the_top_of_the_map_is_the_same_with_4_and_5_levels() -> None:
    top = 0xFFFFFE0000000000
    low, high = ([r for r in g.regions if r.start >= top] for g in (X86_64_4L, X86_64_5L))
    assert low == high
    names = {"cpu_entry_area": 508, "espfix": 510, "kernel image": 511, "vsyscall": 511}
    for name, slot in names.items():
        va = X86_64_5L.region(name).start
        assert X86_64_5L.slots(va)[:2] == (511, slot)
        assert X86_64_4L.index("pgd", va) == slot


@pytest.mark.parametrize("geometry", [I386_PAE, I386_2L], ids=lambda g: g.name)
def test_the_i386_ldt_has_page_middle_directories_of_its_own(geometry: Geometry) -> None:
    ldt, covered = geometry.region("ldt"), geometry.levels[-2].size
    assert ldt.start % covered == 0
    assert ldt.size == covered
    assert geometry.region("cpu_entry_area").start % covered == 0
    assert ldt.size >= 2 * LDT_SLOT_STRIDE


def test_a_booted_pae_kernel_keeps_its_idt_and_gdts_in_the_cpu_entry_area() -> None:
    idt, gdt0, gdt1 = 0xFF400000, 0xFF401000, 0xFF42C000
    area = I386_PAE.region("cpu_entry_area")
    assert area.start == idt
    assert all(I386_PAE.region_of(va) is area for va in (idt, gdt0, gdt1))
    assert area.end == gdt0 + 32 * (gdt1 - gdt0)


@pytest.mark.parametrize("geometry", [X86_64_4L, X86_64_5L], ids=lambda g: g.name)
def test_pgd_entries_counted_from_the_top(geometry: Geometry) -> None:
    assert geometry.region("guard hole").start == geometry.address(512 + GUARD_HOLE_PGD_ENTRY)
    assert geometry.region("ldt").start == geometry.address(512 + LDT_PGD_ENTRY)


# --- frames, text, constants ---------------------------------------------------------------------


@every_geometry
def test_the_direct_map_holds_frame_0_up_to_its_last_page(geometry: Geometry) -> None:
    region = geometry.region("direct map")
    pages = region.size // PAGE_SIZE
    assert geometry.direct_map(0) == region.start
    assert geometry.direct_map(pages - 1) == region.end - PAGE_SIZE
    for pfn in (pages, -1):
        with pytest.raises(ValueError, match="outside the direct map"):
            geometry.direct_map(pfn)


@pytest.mark.parametrize(
    ("geometry", "pfn", "text"),
    [
        (X86_64_4L, 0x3A01, "ffff888003a01000"),
        (X86_64_5L, 0x3A01, "ff11000003a01000"),
        (I386_PAE, 0x3A01, "c3a01000"),
        (I386_2L, 0x3A01, "c3a01000"),
    ],
)
def test_addresses_and_frames_look_like_the_kernels(
    geometry: Geometry, pfn: int, text: str
) -> None:
    assert geometry.show_va(geometry.direct_map(pfn)) == text
    assert geometry.show_pfn(pfn) == "pfn:0x3a01"


@every_geometry
def test_null_has_all_its_digits(geometry: Geometry) -> None:
    assert geometry.show_va(0) == "0" * (geometry.word_bits // 4)


def test_geometries_are_found_by_name() -> None:
    assert list(GEOMETRIES) == ["x86-64", "x86-64-la57", "i386-pae", "i386"]
    assert all(geometry_named(name) is geometry for name, geometry in GEOMETRIES.items())


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'arm64'.*x86-64, x86-64-la57, i386-pae, i386"):
        geometry_named("arm64")
    with pytest.raises(ValueError, match=r"level of x86-64.*'p4d'.*pgd, pud, pmd, pte"):
        X86_64_4L.index("p4d", 0)
    with pytest.raises(ValueError, match=r"region of i386-pae.*'espfix'.*vmalloc, pkmap"):
        I386_PAE.region("espfix")


@pytest.mark.parametrize("slot", range(8))
@pytest.mark.parametrize("large", [False, True])
def test_the_memory_type_comes_from_pat_pcd_and_pwt(slot: int, large: bool) -> None:
    bits = (PageBit.PWT, PageBit.PCD, PageBit.PAT_LARGE if large else PageBit.PAT)
    entry = sum(bit.mask for place, bit in enumerate(bits) if slot >> place & 1)
    noise = PageBit.PRESENT.mask | PageBit.NX.mask | (PageBit.PSE if large else PageBit.RW).mask
    assert memory_type(entry | noise, large=large) == PAT[slot]


def test_the_pat_slots_that_linux_relies_on_when_the_high_bit_is_lost() -> None:
    assert PAT[0] == PAT[4] == "WB"
    assert (PAT[7], PAT[3]) == ("WT", "UC")


def test_bits_and_strides() -> None:
    assert (PageBit.PRESENT, PageBit.RW, PageBit.USER, PageBit.GLOBAL) == (0, 1, 2, 8)
    assert (PageBit.SOFTW4, PageBit.PKEY_BIT0, PageBit.PKEY_BIT3, PageBit.NX) == (58, 59, 62, 63)
    assert PageBit.PAT.mask == PageBit.PSE.mask == 0x80
    assert (PTI_PGTABLE_SWITCH_BIT, X86_CR3_PTI_PCID_USER_BIT, X86_CR3_PCID_NOFLUSH_BIT) == (
        12,
        11,
        63,
    )
    assert LDT_SLOT_STRIDE == 64 << 10
