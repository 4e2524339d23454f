"""Page tables of the four geometries, and the walk that combines their levels.

A state has one attribute per level (``pgd`` ... ``pte``) and, beside it, the map that takes an address
to its slot there (``pgd_index`` ...).  Levels that a geometry folds are not there, as in the kernel,
and a design may fold more: :class:`Folded` has everything under a top-level entry in one table page.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..language import NONE, TRUE, Bool, Fun, Opt, State, ite
from .entries import CacheType, Directory, Entry, LargeDirectory, Leaves
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


class X86_64(State):
    """4-level paging: PUD and PMD entries may be large leaves (1 GiB, 2 MiB)."""

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

    pgd: Directory[Pgd, PgdSlot, Pmd]
    pmd: LargeDirectory[Pmd, PmdSlot, Pte]
    pte: Leaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pmd_index: Fun[Va, PmdSlot]
    pte_index: Fun[Va, PteSlot]


class I386(State):
    """32-bit paging without PAE: two levels, large leaves of 4 MiB."""

    pgd: LargeDirectory[Pgd, PgdSlot, Pte]
    pte: Leaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pte_index: Fun[Va, PteSlot]


class Folded(State):
    """Two levels, for designs that are about top-level entries: everything under one of them is one
    table page of 4 KiB leaves."""

    pgd: Directory[Pgd, PgdSlot, Pte]
    pte: Leaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pte_index: Fun[Va, PteSlot]


PageTables = X86_64 | X86_64La57 | I386Pae | I386 | Folded


@dataclass(frozen=True)
class Translation:
    """What a walk finds: the frame, if any, and the rights that all levels leave.

    For a large leaf, ``frame`` is its first frame.  Intel SDM vol. 3, section 4.6: a page is
    writable, or a user page, only if every level says so; one NX is enough to forbid fetches;
    global bit and memory type are those of the leaf.
    """

    frame: Opt[Frame]
    writable: Bool
    user: Bool
    nx: Bool
    global_: Bool
    cache: CacheType

    @property
    def present(self) -> Bool:
        """The address is mapped."""
        return self.frame.is_some


def walk(s: PageTables, root: Pgd, va: Va) -> Translation:
    """Walk the tables below ``root`` as the processor does for ``va``.

    Where the address is not mapped, ``frame`` is none and the rights mean nothing.
    """
    names = [name for name in LEVELS if hasattr(s, name)]
    return _walk(s, names, root, va, Entry(present=TRUE, writable=TRUE, user=TRUE))


def _walk(s: PageTables, names: list[str], table: object, va: Va, above: Entry) -> Translation:
    level = getattr(s, names[0])
    here: Entry = level.entry(table, getattr(s, f"{names[0]}_index")[va])
    rights = Entry(
        writable=above.writable & here.writable,
        user=above.user & here.user,
        nx=above.nx | here.nx,
    )
    found = Translation(NONE, rights.writable, rights.user, rights.nx, here.global_, here.cache)
    below = found
    if len(names) > 1:
        below = _choose(
            here.table.is_some, _walk(s, names[1:], here.table.value, va, rights), found
        )
    if hasattr(level, "leaf"):
        leaf = Translation(
            here.leaf, found.writable, found.user, found.nx, here.global_, here.cache
        )
        below = _choose(here.leaf.is_some, leaf, below)
    return _choose(here.present, below, found)


def _choose(condition: Bool, a: Translation, b: Translation) -> Translation:
    return Translation(
        ite(condition, a.frame, b.frame),
        ite(condition, a.writable, b.writable),
        ite(condition, a.user, b.user),
        ite(condition, a.nx, b.nx),
        ite(condition, a.global_, b.global_),
        ite(condition, a.cache, b.cache),
    )
