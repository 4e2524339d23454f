"""Splitting a large page of the direct map, and making one of small pages, with the PAT bit on the move.

A leaf's memory type is selected by three bits.  In a small page they are PWT, PCD and bit 7; in a large
one bit 7 is PSE, and the third is bit 12.  CPA changes one page of a large page after a split, which
leaves the types of the others as they are, or the whole large page in place.  Types are the pages'
tracked ones; with PAT as Linux programs it, bit 7 or 12 is set for WP and WT only.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Group,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    Update,
    Var,
    forall,
    operation,
    some,
)
from ..machine.entries import CacheType, selected_type
from ..machine.sorts import Cpu, PmdSlot, PteSlot


class PmdBits(Group):
    """The bits of a PMD entry: large leaf or pointer to a table."""

    pwt: Map[PmdSlot, Bool]
    pcd: Map[PmdSlot, Bool]
    pse: Map[PmdSlot, Bool]
    pat_large: Map[PmdSlot, Bool]


class PteBits(Group):
    """The bits of the entries of a PMD entry's table."""

    pwt: Map[tuple[PmdSlot, PteSlot], Bool]
    pcd: Map[tuple[PmdSlot, PteSlot], Bool]
    pat: Map[tuple[PmdSlot, PteSlot], Bool]


class Change(Locals):
    """The locals of a set_memory_*(): the page, and the type that it gets."""

    slot: Map[Cpu, PmdSlot]
    page: Map[Cpu, PteSlot]
    want: Map[Cpu, CacheType]


class LargePages(State):
    """memtype: the tracked type of each page.  busy: its owner is in a set_memory_*().  tlb: its type as
    CPUs have cached it.  lock: who has cpa_lock and pgd_lock."""

    pmd: PmdBits
    pte: PteBits
    memtype: Map[tuple[PmdSlot, PteSlot], CacheType]
    busy: Map[tuple[PmdSlot, PteSlot], Bool]
    tlb: Map[tuple[Cpu, PmdSlot, PteSlot], Opt[CacheType]]
    lock: Var[Opt[Cpu]]
    change: Change

    def large(self, i: PmdSlot) -> CacheType:
        """The type that a large leaf selects."""
        return selected_type(self.pmd.pat_large[i], self.pmd.pcd[i], self.pmd.pwt[i])

    def small(self, i: PmdSlot, j: PteSlot) -> CacheType:
        """The type that an entry of the table selects."""
        return selected_type(self.pte.pat[i, j], self.pte.pcd[i, j], self.pte.pwt[i, j])

    def has_type(self, i: PmdSlot, j: PteSlot, t: CacheType) -> Bool:
        """A page is mapped with that type, whatever maps it."""
        large = self.pmd.pse[i]
        return (large & (self.large(i) == t)) | (~large & (self.small(i, j) == t))

    def flush_tlb_all(self) -> Update:
        """Every CPU drops what it has cached of the direct map."""
        return self.tlb.fill(lambda cpu, i, j: NONE)


def _pat(t: CacheType) -> Bool:
    return (t == CacheType.WT) | (t == CacheType.WP)


def _pcd(t: CacheType) -> Bool:
    return (t == CacheType.WT) | (t == CacheType.UC_MINUS) | (t == CacheType.UC)


def _pwt(t: CacheType) -> Bool:
    return _pat(t) | (t == CacheType.WC) | (t == CacheType.UC)


@operation(kernel="arch/x86/mm/init.c: init_mem_mapping()")
def boot(s: LargePages) -> Step:
    """The direct map has large pages, of the types that calls for all of them have given them."""
    return Step(
        when=TRUE,
        then=[
            s.pmd.pse.fill(lambda i: TRUE),
            s.pte.pwt.fill(lambda i, j: FALSE),
            s.pte.pcd.fill(lambda i, j: FALSE),
            s.pte.pat.fill(lambda i, j: FALSE),
            s.memtype.fill(lambda i, j: s.large(i)),
            s.busy.fill(lambda i, j: FALSE),
            s.tlb.fill(lambda cpu, i, j: NONE),
            s.lock.become(NONE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: LargePages, cpu: Cpu, i: PmdSlot, j: PteSlot, t: CacheType) -> Step:
    """A CPU caches the type of a page."""
    return Step(when=s.has_type(i, j, t), then=[s.tlb.set((cpu, i, j), some(t))])


@operation(kernel="arch/x86/mm/pat/set_memory.c: __should_split_large_page()")
def preserve_large_page(s: LargePages, i: PmdSlot, want: CacheType) -> Step:
    """A change of all of a large page at once: it stays one, and is flushed."""
    unused = s.lock.now.is_none & forall(PteSlot, lambda j: ~s.busy[i, j])
    return Step(
        when=s.pmd.pse[i] & unused,
        then=[
            s.pmd.pwt.set(i, _pwt(want)),
            s.pmd.pcd.set(i, _pcd(want)),
            s.pmd.pat_large.set(i, _pat(want)),
            s.memtype.fill(lambda k, j: want, lambda k, j: k == i),
            s.flush_tlb_all(),
        ],
    )


def _set_memory(*, moves_pat: bool) -> Procedure:
    """A set_memory_*() of one page.  moves_pat: a split moves bit 12 of the large leaf to bit 7 of the
    small ones."""
    procedure = Procedure(
        "set_memory_4k",
        kernel="arch/x86/mm/pat/set_memory.c: __change_page_attr(), split_large_page()",
        doc="Change the type of one page, and split the large page that it lies in.",
    )

    @procedure.step(to="lookup")
    def memtype_reserve(s: LargePages, cpu: Cpu, i: PmdSlot, j: PteSlot, want: CacheType) -> Step:
        """The page is tracked with the new type; nobody else is at it."""
        return Step(
            when=~s.busy[i, j],
            then=[
                s.change.slot.set(cpu, i),
                s.change.page.set(cpu, j),
                s.change.want.set(cpu, want),
                s.memtype.set((i, j), want),
                s.busy.set((i, j), TRUE),
            ],
        )

    @procedure.step(at="lookup", to="split_set_pte")
    def lookup_large(s: LargePages, cpu: Cpu) -> Step:
        """The page lies in a large one: without the lock, a page for the table is allocated."""
        return Step(when=s.pmd.pse[s.change.slot[cpu]])

    @procedure.step(at="lookup", to="cpa_flush")
    def set_pte_atomic(s: LargePages, cpu: Cpu) -> Step:
        """The page has an entry of its own, which gets the new type."""
        i, j, want = s.change.slot[cpu], s.change.page[cpu], s.change.want[cpu]
        return Step(
            when=s.lock.now.is_none & ~s.pmd.pse[i],
            then=[
                s.pte.pwt.set((i, j), _pwt(want)),
                s.pte.pcd.set((i, j), _pcd(want)),
                s.pte.pat.set((i, j), _pat(want)),
            ],
        )

    @procedure.step(at="split_set_pte", to="lookup")
    def lost_race(s: LargePages, cpu: Cpu) -> Step:
        """Somebody else has split the large page meanwhile."""
        return Step(when=~s.pmd.pse[s.change.slot[cpu]])

    @procedure.step(at="split_set_pte", to="set_pmd_pte")
    def split_set_pte(s: LargePages, cpu: Cpu) -> Step:
        """Under the locks: the entries of the new table get the bits of the large leaf."""
        i = s.change.slot[cpu]

        def here(k: PmdSlot, j: PteSlot) -> Bool:
            return k == i

        pat = s.pmd.pat_large[i] if moves_pat else FALSE
        return Step(
            when=s.lock.now.is_none & s.pmd.pse[i],
            then=[
                s.lock.become(some(cpu)),
                s.pte.pwt.fill(lambda k, j: s.pmd.pwt[i], here),
                s.pte.pcd.fill(lambda k, j: s.pmd.pcd[i], here),
                s.pte.pat.fill(lambda k, j: pat, here),
            ],
        )

    @procedure.step(to="flush_tlb_all")
    def set_pmd_pte(s: LargePages, cpu: Cpu) -> Step:
        """The table takes the large leaf's place."""
        return Step(when=TRUE, then=[s.pmd.pse.set(s.change.slot[cpu], FALSE)])

    @procedure.step(to="lookup")
    def flush_tlb_all(s: LargePages, cpu: Cpu) -> Step:
        """Every CPU flushes, before any of the small pages is changed; the locks are released."""
        return Step(when=TRUE, then=[s.flush_tlb_all(), s.lock.become(NONE)])

    @procedure.step
    def cpa_flush(s: LargePages, cpu: Cpu) -> Step:
        """Every CPU flushes the page."""
        i, j = s.change.slot[cpu], s.change.page[cpu]
        flush = s.tlb.fill(lambda c, k, n: NONE, lambda c, k, n: (k == i) & (n == j))
        return Step(when=TRUE, then=[flush, s.busy.set((i, j), FALSE)])

    return procedure


set_memory_4k = _set_memory(moves_pat=True)

RESERVE, LOOKUP, SET_PTE, LOST, FILL, SET_PMD, FLUSH_ALL, CPA_FLUSH = set_memory_4k.steps

collapse = Procedure(
    "cpa_collapse",
    kernel="arch/x86/mm/pat/set_memory.c: cpa_collapse_large_pages(), since 6.15",
    doc="Make a large page of small ones that have the same bits, flush, free their table.",
)


@collapse.step
def collapse_pmd_page(s: LargePages, cpu: Cpu, i: PmdSlot, first: PteSlot) -> Step:
    """Under the locks: the large leaf takes the table's place."""

    def same(j: PteSlot) -> Bool:
        pwt = s.pte.pwt[i, j] == s.pte.pwt[i, first]
        pcd = s.pte.pcd[i, j] == s.pte.pcd[i, first]
        return pwt & pcd & (s.pte.pat[i, j] == s.pte.pat[i, first])

    alike = forall(PteSlot, same)
    return Step(
        when=s.lock.now.is_none & ~s.pmd.pse[i] & alike,
        then=[
            s.lock.become(some(cpu)),
            s.pmd.pse.set(i, TRUE),
            s.pmd.pwt.set(i, s.pte.pwt[i, first]),
            s.pmd.pcd.set(i, s.pte.pcd[i, first]),
            s.pmd.pat_large.set(i, s.pte.pat[i, first]),
        ],
    )


@collapse.step
def flush_and_free(s: LargePages, cpu: Cpu) -> Step:
    """Every CPU flushes; the locks are released, the table is freed."""
    return Step(when=TRUE, then=[s.flush_tlb_all(), s.lock.become(NONE)])


# C-11: bit 12 of a large leaf was not taken along.
set_memory_4k_without_pat = _set_memory(moves_pat=False)
