"""Entries as the 4 or 8 bytes that lie in memory.

Layouts: Intel SDM vol. 3A, tables 4-4 to 4-6 (2 levels), 4-8 to 4-11 (PAE), 4-14 to 4-20 (4 and 5
levels); bit names as in pgtable_types.h.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .geometry import PAGE_SHIFT, PAT, Geometry, Level, MemoryType, PageBit

MOST_PHYSICAL_BITS = 52
_KEY_MASK = 0xF << PageBit.PKEY_BIT0
_FLAGS = {
    "present": PageBit.PRESENT,
    "writable": PageBit.RW,
    "user": PageBit.USER,
    "accessed": PageBit.ACCESSED,
    "dirty": PageBit.DIRTY,
    "global_": PageBit.GLOBAL,
    "nx": PageBit.NX,
}
_WITHOUT_RIGHTS = ("present",)  # what a PAE top-level entry has of these


@dataclass(frozen=True)
class Word:
    """The fields of one entry.

    pfn: the first page frame of the page, or the frame of the table, that the entry points to.
    large: PS, at a level where it makes an entry a large leaf.
    pat: index of the memory type.  key: protection key.
    reserved: those bits that the processor reserves here and that are set.
    ignored: the other bits, which software may use.
    """

    present: bool = False
    writable: bool = False
    user: bool = False
    nx: bool = False
    global_: bool = False
    accessed: bool = False
    dirty: bool = False
    large: bool = False
    pfn: int = 0
    pat: int = 0
    key: int = 0
    reserved: int = 0
    ignored: int = 0

    @property
    def memory_type(self) -> MemoryType:
        """What ``pat`` selects as Linux programs the PAT."""
        return PAT[self.pat]


@dataclass(frozen=True)
class Layout:
    """Where the fields of an entry lie; masks, and for ``pfn`` the pieces (lowest bit in the entry,
    number of bits, lowest bit in the frame number)."""

    flags: dict[str, int]
    pfn: tuple[tuple[int, int, int], ...]
    pat: tuple[int, ...]  # masks of PWT, PCD and PAT
    key: int
    large: int
    reserved: int


def _bits(low: int, high: int) -> int:
    """The mask of bits ``low`` to ``high``, both included."""
    return (1 << (high + 1)) - (1 << low) if high >= low else 0


def layout_of(
    geometry: Geometry, level: Level, large: bool, physical_bits: int = MOST_PHYSICAL_BITS
) -> Layout:
    """Where the fields of an entry of that level lie, of a large leaf or of any other entry."""
    last = level is geometry.levels[-1]
    wide = level.entry_bytes == 8
    flags = {
        name: bit.mask
        for name, bit in _FLAGS.items()
        if (level.rights or name in _WITHOUT_RIGHTS) and (wide or bit is not PageBit.NX)
    }
    pat = [PageBit.PWT.mask, PageBit.PCD.mask]
    if last or large:
        pat.append((PageBit.PAT_LARGE if large else PageBit.PAT).mask)
    shift = level.shift if large else PAGE_SHIFT
    key = _KEY_MASK if geometry.long_mode and (last or large) else 0
    if not wide:
        # A 4 MiB leaf has address bits 39:32 in bits 20:13, as far as there are any (PSE-36).
        high = min(physical_bits, 40) - 32
        pfn = [(shift, 32 - shift, shift - PAGE_SHIFT)]
        if large:
            pfn.append((13, high, 32 - PAGE_SHIFT))
        reserved = _bits(13 + high, 21) if large else 0
    else:
        pfn = [(shift, physical_bits - shift, shift - PAGE_SHIFT)]
        reserved = _bits(physical_bits, 51 if geometry.long_mode else 62)
        if not level.rights:
            reserved |= _bits(1, 2) | _bits(5, 8) | PageBit.NX.mask
        elif large:
            reserved |= _bits(13, shift - 1)
        elif not level.leaf:
            reserved |= PageBit.PSE.mask
    takes_large = level.leaf and not last
    return Layout(
        flags, tuple(pfn), tuple(pat), key, PageBit.PSE.mask if takes_large else 0, reserved
    )


def decode(
    geometry: Geometry,
    level_name: str,
    word: int,
    *,
    physical_bits: int = MOST_PHYSICAL_BITS,
    pse: bool = True,
) -> Word:
    """The fields of the entry ``word`` at that level; bits of an entry that is not present are read
    as if it were.

    physical_bits: MAXPHYADDR.  pse: CR4.PSE, without which 2-level paging has no large leaves.
    """
    level = geometry.level(level_name)
    large = _is_large(geometry, level, word, pse)
    layout = layout_of(geometry, level, large, physical_bits)
    known = layout.key | (layout.large if large else 0) | layout.reserved
    values: dict[str, int] = {}
    for name, mask in layout.flags.items():
        values[name] = bool(word & mask)
        known |= mask
    values["pfn"] = values["pat"] = 0
    for low, count, place in layout.pfn:
        values["pfn"] |= (word >> low & _bits(0, count - 1)) << place
        known |= _bits(low, low + count - 1)
    for place, mask in enumerate(layout.pat):
        values["pat"] |= bool(word & mask) << place
        known |= mask
    key = (word & layout.key) >> PageBit.PKEY_BIT0
    return Word(
        large=large,
        key=key,
        reserved=word & layout.reserved,
        ignored=word & ~known,
        **values,  # type: ignore[arg-type]
    )


def encode(
    geometry: Geometry, level_name: str, word: Word, *, physical_bits: int = MOST_PHYSICAL_BITS
) -> int:
    """The entry with these fields: the inverse of :func:`decode`.

    Raises ValueError if an entry of that level does not have one of them, or has too few bits for it.
    """
    level = geometry.level(level_name)
    layout = layout_of(geometry, level, word.large, physical_bits)
    value = word.reserved | word.ignored | (layout.large if word.large else 0)
    for name, mask in layout.flags.items():
        value |= mask if getattr(word, name) else 0
    for low, count, place in layout.pfn:
        value |= (word.pfn >> place & _bits(0, count - 1)) << low
    for place, mask in enumerate(layout.pat):
        value |= mask if word.pat >> place & 1 else 0
    value |= (word.key << PageBit.PKEY_BIT0) & layout.key
    back = decode(geometry, level_name, value, physical_bits=physical_bits)
    for field in fields(Word):
        if getattr(back, field.name) != getattr(word, field.name):
            raise ValueError(
                f"a {level.name} entry of {geometry.name} cannot have "
                f"{field.name}={getattr(word, field.name)!r}"
            )
    return value


def _is_large(geometry: Geometry, level: Level, word: int, pse: bool) -> bool:
    if not level.leaf or level is geometry.levels[-1]:
        return False
    return bool(word & PageBit.PSE.mask) and (pse or geometry.has_nx)
