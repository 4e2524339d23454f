"""Page-table entries, bit by bit, at any level.

A level is a group of maps keyed by (table page, slot).  What an entry points to is the table page
of the next level (``table``), a frame (``leaf``), or either, where large leaves exist.  Bits: Intel
SDM vol. 3, section 4.5 (tables of the entry formats); names as in pgtable_types.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ..language import FALSE, NONE, Bool, Enumeration, Group, Map, Opt, Sort, Update, ite
from .geometry import PAT, MemoryType
from .sorts import Frame

T = TypeVar("T", bound=Sort)
S = TypeVar("S", bound=Sort)
N = TypeVar("N", bound=Sort)


class CacheType(Enumeration):
    """The memory type that PWT, PCD and PAT select; WB is all bits clear (Linux programs PAT so)."""

    WB: CacheType
    WC: CacheType
    UC_MINUS: CacheType
    UC: CacheType
    WP: CacheType
    WT: CacheType


_TYPES: dict[MemoryType, CacheType] = {
    "WB": CacheType.WB,
    "WC": CacheType.WC,
    "UC-": CacheType.UC_MINUS,
    "UC": CacheType.UC,
    "WP": CacheType.WP,
    "WT": CacheType.WT,
}


def selected_type(pat: Bool, pcd: Bool, pwt: Bool) -> CacheType:
    """The memory type of the PAT slot that the three bits of a leaf select."""
    slot = [_TYPES[name] for name in PAT]
    high = ite(pcd, ite(pwt, slot[7], slot[6]), ite(pwt, slot[5], slot[4]))
    low = ite(pcd, ite(pwt, slot[3], slot[2]), ite(pwt, slot[1], slot[0]))
    return ite(pat, high, low)


class ProtectionKey(Enumeration):
    """The protection key of a page, bits 62:59 of the entry that maps it (4- and 5-level paging)."""

    K0: ProtectionKey
    K1: ProtectionKey
    K2: ProtectionKey
    K3: ProtectionKey
    K4: ProtectionKey
    K5: ProtectionKey
    K6: ProtectionKey
    K7: ProtectionKey
    K8: ProtectionKey
    K9: ProtectionKey
    K10: ProtectionKey
    K11: ProtectionKey
    K12: ProtectionKey
    K13: ProtectionKey
    K14: ProtectionKey
    K15: ProtectionKey


@dataclass(frozen=True)
class Entry:
    """The value of one entry; what is not said is clear.

    ``reserved``: some bit is set that the processor reserves at this place.
    """

    present: Bool = FALSE
    writable: Bool = FALSE
    user: Bool = FALSE
    nx: Bool = FALSE
    global_: Bool = FALSE
    accessed: Bool = FALSE
    dirty: Bool = FALSE
    cache: CacheType = CacheType.WB
    key: ProtectionKey = ProtectionKey.K0
    reserved: Bool = FALSE
    leaf: Opt[Frame] = NONE
    table: Opt[Any] = NONE

    def but(self, **changes: Any) -> Entry:
        """The same entry with other bits."""
        return replace(self, **changes)


EMPTY = Entry()

# How /sys/kernel/debug/page_tables and dmesg abbreviate the bits.
_LETTERS = {
    "present": "P",
    "writable": "RW",
    "user": "US",
    "nx": "NX",
    "global_": "G",
    "accessed": "A",
    "dirty": "D",
    "reserved": "RSVD",
}


class Entries(Group, Generic[T, S]):
    """The bits that entries have at every level."""

    present: Map[tuple[T, S], Bool]
    writable: Map[tuple[T, S], Bool]
    user: Map[tuple[T, S], Bool]
    nx: Map[tuple[T, S], Bool]
    global_: Map[tuple[T, S], Bool]
    accessed: Map[tuple[T, S], Bool]
    dirty: Map[tuple[T, S], Bool]
    cache: Map[tuple[T, S], CacheType]

    def _maps(self) -> dict[str, Map[Any, Any]]:
        return {name: part for name, part in self._parts.items() if isinstance(part, Map)}

    def entry(self, table: T, slot: S) -> Entry:
        """``*ptep``: all bits of one entry."""
        return Entry(**{name: field[table, slot] for name, field in self._maps().items()})

    def set_entry(self, table: T, slot: S, entry: Entry) -> list[Update]:
        """``set_pte()``, ``set_pgd()`` ...: one store of a whole entry."""
        return [
            field.set((table, slot), getattr(entry, name)) for name, field in self._maps().items()
        ]

    def clear(self, table: T, slot: S) -> list[Update]:
        """``pte_clear()``: a store of zero."""
        return self.set_entry(table, slot, EMPTY)

    def same(self, a: Entry, b: Entry, *, except_for: tuple[str, ...] = ()) -> Bool:
        """Two entries are equal, apart from the named bits."""
        names = [n for n in self._maps() if n not in except_for]
        parts: list[Bool] = [getattr(a, n) == getattr(b, n) for n in names]
        result = parts[0]
        for part in parts[1:]:
            result = result & part
        return result

    def none(self, table: T, slot: S) -> Bool:
        """``pte_none()``: every bit of the entry is zero."""
        return self.same(self.entry(table, slot), EMPTY)

    def fill_entries(
        self, value: Callable[[T, S], Entry], where: Callable[[T, S], Bool] | None = None
    ) -> list[Update]:
        """Entries of all table pages (or where the condition holds) at once, such as at boot."""

        def bit(name: str) -> Callable[[Any, Any], Any]:
            return lambda t, s: getattr(value(t, s), name)

        return [field.fill(bit(name), where) for name, field in self._maps().items()]

    def show_entry(self, values: Mapping[str, str]) -> str:
        bits = [letter for name, letter in _LETTERS.items() if values.get(name) == "yes"]
        cache = values.get("cache", "WB")
        targets = [values[n] for n in ("table", "leaf") if values.get(n, "none") != "none"]
        key = values.get("key", "K0")
        shown = [
            *bits,
            *([] if key == "K0" else [key]),
            *([] if cache == "WB" else [cache.replace("_MINUS", "-")]),
            *targets,
        ]
        return " ".join(shown) or "empty"


class Leaves(Entries[T, S], Generic[T, S]):
    """The last level: entries map frames."""

    leaf: Map[tuple[T, S], Opt[Frame]]


class Directory(Entries[T, S], Generic[T, S, N]):
    """An upper level without large leaves: entries point to table pages of the next level."""

    table: Map[tuple[T, S], Opt[N]]


class LargeDirectory(Directory[T, S, N], Generic[T, S, N]):
    """An upper level with large leaves: an entry points to a table page or maps a large page, of
    which ``leaf`` is the first frame."""

    leaf: Map[tuple[T, S], Opt[Frame]]


class Reserved(Entries[T, S], Generic[T, S]):
    """A level whose entries may have reserved bits set, for designs that are about such entries;
    elsewhere software is taken to keep them clear."""

    reserved: Map[tuple[T, S], Bool]


class Keyed(Entries[T, S], Generic[T, S]):
    """A level whose leaves have protection keys."""

    key: Map[tuple[T, S], ProtectionKey]
