"""Entries as words: every bit has a place, and the layouts are those of the manual's tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapproof.model.machine.geometry import (
    GEOMETRIES,
    I386_2L,
    I386_PAE,
    X86_64_4L,
    X86_64_5L,
    Geometry,
)
from mapproof.model.machine.words import Word, decode, encode


@st.composite
def entries(draw: st.DrawFn) -> tuple[Geometry, str, int, int]:
    """A geometry, a level, any word, a physical width."""
    geometry = draw(st.sampled_from(list(GEOMETRIES.values())))
    level = draw(st.sampled_from(geometry.levels))
    word = draw(st.integers(0, (1 << 8 * level.entry_bytes) - 1))
    return geometry, level.name, word, draw(st.sampled_from([36, 39, 40, 46, 52]))


@given(entries())
def test_encode_is_the_inverse_of_decode(entry: tuple[Geometry, str, int, int]) -> None:
    geometry, level, word, width = entry
    fields = decode(geometry, level, word, physical_bits=width)
    assert encode(geometry, level, fields, physical_bits=width) == word


def test_a_large_leaf_a_page_and_a_table() -> None:
    # P RW A D PSE G NX; P RW US A D NX and a bit of software's; P RW US A D (_PAGE_TABLE).
    assert decode(X86_64_4L, "pmd", 0x80000000_010001E3) == Word(
        present=True,
        writable=True,
        nx=True,
        accessed=True,
        dirty=True,
        global_=True,
        large=True,
        pfn=0x1000,
    )
    assert decode(X86_64_4L, "pte", 0x80000001_2A5C3867) == Word(
        present=True,
        writable=True,
        user=True,
        nx=True,
        accessed=True,
        dirty=True,
        pfn=0x12A5C3,
        ignored=0x800,
    )
    assert decode(X86_64_4L, "pgd", 0x1_02A04067).pfn == 0x102A04


@pytest.mark.parametrize(
    ("geometry", "level", "word", "reserved"),
    [
        # Table 4-15 and 4-18: bits 51:M of every entry, bit 7 of a PML4E.
        (X86_64_4L, "pgd", 0x00FFFFFF_FFFFFFFF, 0x000FFF00_00000080),
        (X86_64_5L, "p4d", 0x00FFFFFF_FFFFFFFF, 0x000FFF00_00000080),
        (X86_64_4L, "pud", 0x00FFFFFF_FFFFFF7F, 0x000FFF00_00000000),
        # Tables 4-16 and 4-18: the address bits below the page size, but for PAT in bit 12.
        (X86_64_4L, "pud", 0x00FFFFFF_FFFFFFFF, 0x000FFF00_3FFFE000),
        (X86_64_4L, "pmd", 0x00FFFFFF_FFFFFFFF, 0x000FFF00_001FE000),
        (X86_64_4L, "pte", 0x00FFFFFF_FFFFFFFF, 0x000FFF00_00000000),
        # Table 4-8: PAE's top level reserves all but P, PWT, PCD, the address, and software's bits.
        (I386_PAE, "pgd", 0xFFFFFFFF_FFFFFFFF, 0xFFFFFF00_000001E6),
        # Tables 4-9 to 4-11: bits 62:M.
        (I386_PAE, "pmd", 0xFFFFFFFF_FFFFFFFF, 0x7FFFFF00_001FE000),
        (I386_PAE, "pte", 0xFFFFFFFF_FFFFFFFF, 0x7FFFFF00_00000000),
        # Tables 4-4 to 4-6: with 40 bits only bit 21 of a 4 MiB page.
        (I386_2L, "pgd", 0xFFFFFFFF, 0x00200000),
        (I386_2L, "pgd", 0xFFFFFF7F, 0),
        (I386_2L, "pte", 0xFFFFFFFF, 0),
    ],
)
def test_reserved_bits_with_40_physical_bits(
    geometry: Geometry, level: str, word: int, reserved: int
) -> None:
    assert decode(geometry, level, word, physical_bits=40).reserved == reserved


def test_narrower_processors_reserve_more_of_a_4_mib_page() -> None:
    assert decode(I386_2L, "pgd", 0xFFFFFFFF, physical_bits=36).reserved == 0x003E0000
    assert decode(I386_2L, "pgd", 0xFFFFFFFF, physical_bits=32).reserved == 0x003FE000


def test_a_4_mib_page_above_4_gib() -> None:
    assert decode(I386_2L, "pgd", 0x404020E3, physical_bits=40).pfn == 0x140400
    small = decode(I386_2L, "pgd", 0x404020E3, physical_bits=40, pse=False)
    assert (small.large, small.pfn) == (False, 0x40402)


def test_the_pat_bit_moves_in_large_leaves() -> None:
    assert decode(X86_64_4L, "pte", 0x081).pat == 4
    assert decode(X86_64_4L, "pmd", 0x081).pat == 0
    assert decode(X86_64_4L, "pmd", 0x1081).pat == 4
    assert decode(X86_64_4L, "pmd", 0x108B).memory_type == "WP"


def test_only_leaves_of_long_mode_have_keys() -> None:
    key = 0x9 << 59
    assert decode(X86_64_4L, "pte", key).key == 9
    assert decode(X86_64_4L, "pmd", key | 0x80).key == 9
    assert decode(X86_64_4L, "pmd", key).key == 0
    assert decode(I386_PAE, "pte", key).key == 0


@pytest.mark.parametrize(
    ("geometry", "level", "word", "field"),
    [
        (I386_2L, "pte", Word(nx=True), "nx"),
        (I386_PAE, "pgd", Word(writable=True), "writable"),
        (X86_64_4L, "pgd", Word(large=True), "large"),
        (X86_64_4L, "pmd", Word(large=True, pfn=0x201), "pfn"),
        (I386_2L, "pte", Word(pfn=1 << 20), "pfn"),
        (X86_64_4L, "pmd", Word(key=3), "key"),
    ],
)
def test_what_an_entry_cannot_have_is_refused(
    geometry: Geometry, level: str, word: Word, field: str
) -> None:
    with pytest.raises(ValueError, match=rf"entry of {geometry.name} cannot have {field}="):
        encode(geometry, level, word)
