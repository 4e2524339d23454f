"""Page tables of the four geometries, and the walk that combines their levels.

A state has one attribute per level (``pgd`` ... ``pte``) and, beside it, the map that takes an address
to its slot there (``pgd_index`` ...).  Levels that a geometry folds are not there, as in the kernel,
and a design may fold more: :class:`Folded` has everything under a top-level entry in one table page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..language import FALSE, NONE, TRUE, Bool, Enumeration, Fun, Opt, State, ite
from .entries import CacheType, Directory, Entry, LargeDirectory, Leaves, ProtectionKey
from .geometry import I386_2L, I386_PAE, X86_64_4L, X86_64_5L, Geometry, Level
from .sorts import (
    Frame,
    P4d,
    P4dSlot,
    Pgd,
    PgdSlot,
    Pmd,
    PmdSlot,
    Pte,
    PteSlot,
    Pud,
    PudSlot,
    Va,
)

LEVELS = ("pgd", "p4d", "pud", "pmd", "pte")


class PageLevel(Enumeration):
    """The level at which an address is mapped; the geometry says how large a page that is."""

    PGD: PageLevel
    P4D: PageLevel
    PUD: PageLevel
    PMD: PageLevel
    PTE: PageLevel


class X86_64(State):
    """4-level paging: PUD and PMD entries may be large leaves (1 GiB, 2 MiB)."""

    GEOMETRY = X86_64_4L
    pgd: Directory[Pgd, PgdSlot, Pud]
    pud: LargeDirectory[Pud, PudSlot, Pmd]
    pmd: LargeDirectory[Pmd, PmdSlot, Pte]
    pte: Leaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pud_index: Fun[Va, PudSlot]
    pmd_index: Fun[Va, PmdSlot]
    pte_index: Fun[Va, PteSlot]


class X86_64La57(State):
    """5-level paging."""

    GEOMETRY = X86_64_5L
    pgd: Directory[Pgd, PgdSlot, P4d]
    p4d: Directory[P4d, P4dSlot, Pud]
    pud: LargeDirectory[Pud, PudSlot, Pmd]
    pmd: LargeDirectory[Pmd, PmdSlot, Pte]
    pte: Leaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    p4d_index: Fun[Va, P4dSlot]
    pud_index: Fun[Va, PudSlot]
    pmd_index: Fun[Va, PmdSlot]
    pte_index: Fun[Va, PteSlot]


class I386Pae(State):
    """PAE paging: four top-level entries, large leaves of 2 MiB."""

    GEOMETRY = I386_PAE
    pgd: Directory[Pgd, PgdSlot, Pmd]
    pmd: LargeDirectory[Pmd, PmdSlot, Pte]
    pte: Leaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pmd_index: Fun[Va, PmdSlot]
    pte_index: Fun[Va, PteSlot]


class I386(State):
    """32-bit paging without PAE: two levels, large leaves of 4 MiB."""

    GEOMETRY = I386_2L
    pgd: LargeDirectory[Pgd, PgdSlot, Pte]
    pte: Leaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pte_index: Fun[Va, PteSlot]


class Folded(State):
    """Two levels, for designs that are about top-level entries: everything under one of them is one
    table page of 4 KiB leaves."""

    GEOMETRY = X86_64_4L
    pgd: Directory[Pgd, PgdSlot, Pte]
    pte: Leaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pte_index: Fun[Va, PteSlot]


class PageTables(Protocol):
    """What a walk needs of a state: its geometry; and, which no type can say, for each level that it
    does not fold a group of entries and the map that takes an address to its slot there."""

    @property
    def GEOMETRY(self) -> Geometry: ...


@dataclass(frozen=True)
class Hop:
    """One level of a walk: the entry that it reads, if it gets there, and the rights that this level
    and those above leave."""

    level: Level
    entries: Any  # the group of maps that has the entry
    table: Any
    slot: Any
    entry: Entry
    rights: Entry


def path(s: PageTables, root: Any, va: Va, *, top: Any = None) -> tuple[Hop, ...]:
    """The entries that translate ``va``, from the top.

    ``top``: where the entries of the top level are read, if not in the table ``root``: with PAE
    paging the processor keeps them in registers, and ``root`` is the CPU.

    Intel SDM vol. 3A, section 4.6.1: a page is writable, or a user page, only if every level says
    so, and one NX is enough to forbid fetches.  What a geometry's entries do not have counts for
    nothing: NX with 2 levels (4.3), the rights of PAE's top level (4.4.1).
    """
    hops: list[Hop] = []
    rights, table = Entry(present=TRUE, writable=TRUE, user=TRUE), root
    for level in s.GEOMETRY.levels:
        entries = getattr(s, level.name, None)
        if entries is None:
            continue
        if not hops and top is not None:
            entries = top
        slot = getattr(s, f"{level.name}_index")[va]
        here: Entry = entries.entry(table, slot)
        if level.rights:
            rights = Entry(
                writable=rights.writable & here.writable,
                user=rights.user & here.user,
                nx=rights.nx | here.nx if s.GEOMETRY.has_nx else FALSE,
            )
        hops.append(Hop(level, entries, table, slot, here, rights))
        table = here.table.value if hasattr(entries, "table") else None
    return tuple(hops)


@dataclass(frozen=True)
class Translation:
    """What a walk finds: the frame, if any, and the rights that all levels leave.

    For a large leaf, ``frame`` is its first frame.  Global bit, memory type and protection key are
    those of the leaf (Intel SDM vol. 3A, sections 4.10.2.4, 4.9 and 4.6.2).
    """

    frame: Opt[Frame]
    writable: Bool
    user: Bool
    nx: Bool
    global_: Bool
    cache: CacheType
    key: ProtectionKey
    level: PageLevel

    @property
    def present(self) -> Bool:
        """The address is mapped."""
        return self.frame.is_some


def walk(s: PageTables, root: Any, va: Va, *, top: Any = None) -> Translation:
    """Walk the tables below ``root`` as the processor does for ``va``; ``top`` as in :func:`path`.

    Where the address is not mapped, ``frame`` is none and the rights mean nothing.  This is what the
    tables say with large pages enabled and no reserved bit set; :func:`.access.access` is what one
    access does.
    """
    return translation(path(s, root, va, top=top))


def translation(hops: tuple[Hop, ...]) -> Translation:
    """What the entries along a walk come to."""
    result: Translation | None = None
    for hop in reversed(hops):
        here, found = hop.entry, _found(hop, NONE)
        below = found
        if result is not None:
            below = _choose(here.table.is_some, result, found)
        if hasattr(hop.entries, "leaf"):
            below = _choose(here.leaf.is_some, _found(hop, here.leaf), below)
        result = _choose(here.present, below, found)
    assert result is not None  # a state has at least one level
    return result


def _found(hop: Hop, frame: Opt[Frame]) -> Translation:
    rights, here = hop.rights, hop.entry
    level: PageLevel = getattr(PageLevel, hop.level.name.upper())
    return Translation(
        frame,
        rights.writable,
        rights.user,
        rights.nx,
        here.global_,
        here.cache,
        here.key,
        level,
    )


def _choose(condition: Bool, a: Translation, b: Translation) -> Translation:
    return Translation(
        ite(condition, a.frame, b.frame),
        ite(condition, a.writable, b.writable),
        ite(condition, a.user, b.user),
        ite(condition, a.nx, b.nx),
        ite(condition, a.global_, b.global_),
        ite(condition, a.cache, b.cache),
        ite(condition, a.key, b.key),
        ite(condition, a.level, b.level),
    )
