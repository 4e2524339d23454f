"""set_direct_map_invalid_noflush() and its like: one page of the direct map, and the leaves it lies in.

RAM is mapped by leaves of 1 GiB, 2 MiB and 4 KiB.  A change of one page demotes what covers it, level by
level: a table with the old rights takes the leaf's place, and every CPU flushes before any entry of the
table is changed, so that no TLB has one address with two sizes and two rights.  The table is allocated
without the lock, so somebody else may be faster.  A page that was taken out has a leaf of 4 KiB; putting
it back needs no memory and cannot fail.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    Update,
    Var,
    forall,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, PmdSlot, PudSlot
from .reset_perms import Rights


class Demoted(Enumeration):
    """How many leaves a call has demoted."""

    NONE: Demoted
    ONE: Demoted
    TWO: Demoted
    MORE: Demoted


class Change(Locals):
    """The locals of a CPU that changes a page: the page, its old and its new rights, CPUs that have not
    flushed.  demoted: history, for claims about costs."""

    page: Map[Cpu, Frame]
    old: Map[Cpu, Rights]
    want: Map[Cpu, Rights]
    waits_for: Map[tuple[Cpu, Cpu], Bool]
    demoted: Map[Cpu, Demoted]


class Tlb(Locals):
    """What CPUs have cached, by the size of the leaf: its rights, which are never INVALID."""

    pud: Map[tuple[Cpu, PudSlot], Opt[Rights]]
    pmd: Map[tuple[Cpu, PmdSlot], Opt[Rights]]
    pte: Map[tuple[Cpu, Frame], Opt[Rights]]


class DirectMapLeaves(State):
    """pmd_of, pud_of: the entries that a page lies in.  pud_leaf, pmd_leaf: the entry is a leaf, and no
    table.  pud, pmd, pte: the rights of leaves.  inverted: the PFN of a leaf of 4 KiB is.
    wanted: what the owner of a page has asked for last; busy: he is in the call.  lock: who has cpa_lock
    and pgd_lock over several steps."""

    pmd_of: Fun[Frame, PmdSlot]
    pud_of: Fun[PmdSlot, PudSlot]
    pud_leaf: Map[PudSlot, Bool]
    pmd_leaf: Map[PmdSlot, Bool]
    pud: Map[PudSlot, Rights]
    pmd: Map[PmdSlot, Rights]
    pte: Map[Frame, Rights]
    inverted: Map[Frame, Bool]
    wanted: Map[Frame, Rights]
    busy: Map[Frame, Bool]
    lock: Var[Opt[Cpu]]
    tlb: Tlb
    change: Change

    def in_1g(self, f: Frame) -> Bool:
        """A leaf of 1 GiB maps the page."""
        return self.pud_leaf[self.pud_of[self.pmd_of[f]]]

    def in_2m(self, f: Frame) -> Bool:
        """A leaf of 2 MiB maps the page."""
        return ~self.in_1g(f) & self.pmd_leaf[self.pmd_of[f]]

    def in_4k(self, f: Frame) -> Bool:
        """The page has a leaf of its own."""
        return ~self.in_1g(f) & ~self.pmd_leaf[self.pmd_of[f]]

    def rights(self, f: Frame) -> Rights:
        """What the direct map says of a page, by whatever leaf."""
        i = self.pmd_of[f]
        small = ite(self.pmd_leaf[i], self.pmd[i], self.pte[f])
        return ite(self.in_1g(f), self.pud[self.pud_of[i]], small)

    def answered(self, cpu: Cpu) -> Bool:
        """Every CPU has flushed for that one."""
        return forall(Cpu, lambda c: ~self.change.waits_for[cpu, c])


@operation(kernel="arch/x86/mm/init.c: init_mem_mapping()")
def boot(s: DirectMapLeaves) -> Step:
    """RAM is mapped and writable, by leaves of any size; memory of tables to come has anything in it."""
    return Step(
        when=TRUE,
        then=[
            s.pud.fill(lambda g: Rights.WRITABLE),
            s.pmd.fill(lambda i: Rights.WRITABLE, lambda i: ~s.pud_leaf[s.pud_of[i]]),
            s.pte.fill(lambda f: Rights.WRITABLE, s.in_4k),
            s.inverted.fill(lambda f: FALSE, s.in_4k),
            s.wanted.fill(lambda f: Rights.WRITABLE),
            s.busy.fill(lambda f: FALSE),
            s.lock.become(NONE),
            s.tlb.pud.fill(lambda cpu, g: NONE),
            s.tlb.pmd.fill(lambda cpu, i: NONE),
            s.tlb.pte.fill(lambda cpu, f: NONE),
            s.change.waits_for.fill(lambda by, cpu: FALSE),
        ],
    )


# The machine.


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb_1g(s: DirectMapLeaves, cpu: Cpu, g: PudSlot) -> Step:
    """A CPU caches a leaf of 1 GiB."""
    return Step(when=s.pud_leaf[g], then=[s.tlb.pud.set((cpu, g), some(s.pud[g]))])


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb_2m(s: DirectMapLeaves, cpu: Cpu, i: PmdSlot) -> Step:
    """A CPU caches a leaf of 2 MiB."""
    leaf = ~s.pud_leaf[s.pud_of[i]] & s.pmd_leaf[i]
    return Step(when=leaf, then=[s.tlb.pmd.set((cpu, i), some(s.pmd[i]))])


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb_4k(s: DirectMapLeaves, cpu: Cpu, f: Frame) -> Step:
    """A CPU caches a leaf of 4 KiB, if it is present."""
    leaf = s.in_4k(f) & (s.pte[f] != Rights.INVALID)
    return Step(when=leaf, then=[s.tlb.pte.set((cpu, f), some(s.pte[f]))])


@operation(kernel="arch/x86/mm/pat/set_memory.c: __should_split_large_page(), set_memory_ro()")
def preserve_large_page(s: DirectMapLeaves, i: PmdSlot) -> Step:
    """All of a large page becomes read-only at once: its leaf stays, and is flushed."""
    unused = forall(Frame, lambda f: (s.pmd_of[f] != i) | ~s.busy[f])
    leaf = ~s.pud_leaf[s.pud_of[i]] & s.pmd_leaf[i]
    return Step(
        when=leaf & unused & s.lock.now.is_none,
        then=[
            s.pmd.set(i, Rights.READ_ONLY),
            s.wanted.fill(lambda f: Rights.READ_ONLY, lambda f: s.pmd_of[f] == i),
            s.tlb.pmd.fill(lambda cpu, j: NONE, lambda cpu, j: j == i),
        ],
    )


@operation(kernel="arch/x86/mm/pat/set_memory.c: __should_split_large_page(), set_memory_ro()")
def preserve_huge_page(s: DirectMapLeaves, g: PudSlot) -> Step:
    """The same of all of a page of 1 GiB."""

    def inside(f: Frame) -> Bool:
        return s.pud_of[s.pmd_of[f]] == g

    unused = forall(Frame, lambda f: ~inside(f) | ~s.busy[f])
    return Step(
        when=s.pud_leaf[g] & unused & s.lock.now.is_none,
        then=[
            s.pud.set(g, Rights.READ_ONLY),
            s.wanted.fill(lambda f: Rights.READ_ONLY, inside),
            s.tlb.pud.fill(lambda cpu, h: NONE, lambda cpu, h: h == g),
        ],
    )


def _change_page_attr(
    *,
    flushes: bool = True,
    looks_again: bool = True,
    keeps_rights: bool = True,
    inverts: bool = True,
) -> Procedure:
    """flushes: between the split and the change.  looks_again: under the locks, whether the leaf is
    still there.  keeps_rights: the table has the rights of the leaf.  inverts: the PFN of a leaf that is
    not present is inverted."""
    procedure = Procedure(
        "change_page_attr",
        kernel="arch/x86/mm/pat/set_memory.c: set_direct_map_invalid_noflush(), "
        "set_direct_map_default_noflush(), set_memory_ro(), __change_page_attr(), split_large_page()",
        doc="Change the rights of one page, and demote the leaves that cover it and others.",
    )

    def more(s: DirectMapLeaves, cpu: Cpu) -> Update:
        so_far = s.change.demoted[cpu]
        second = ite(so_far == Demoted.ONE, Demoted.TWO, Demoted.MORE)
        return s.change.demoted.set(cpu, ite(so_far == Demoted.NONE, Demoted.ONE, second))

    @procedure.step(to="lookup")
    def begin(s: DirectMapLeaves, cpu: Cpu, f: Frame, want: Rights) -> Step:
        """The owner of a page takes it out of the direct map, puts it back, or makes it read-only."""
        return Step(
            when=~s.busy[f] & (want != s.wanted[f]),
            then=[
                s.busy.set(f, TRUE),
                s.change.page.set(cpu, f),
                s.change.old.set(cpu, s.wanted[f]),
                s.change.want.set(cpu, want),
                s.change.demoted.set(cpu, Demoted.NONE),
                s.wanted.set(f, want),
            ],
        )

    @procedure.step(at="lookup", to="split_1g")
    def lookup_1g(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """A leaf of 1 GiB covers it: without the locks, allocate a table."""
        return Step(when=s.in_1g(s.change.page[cpu]))

    @procedure.step(at="lookup", to="split_2m")
    def lookup_2m(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """A leaf of 2 MiB covers it: the same."""
        return Step(when=s.in_2m(s.change.page[cpu]))

    @procedure.step(at="lookup", to=Procedure.DONE)
    def no_memory(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """There is no memory for a table: the page stays as it is."""
        f = s.change.page[cpu]
        return Step(
            when=~s.in_4k(f),
            then=[s.wanted.set(f, s.change.old[cpu]), s.busy.set(f, FALSE)],
        )

    @procedure.step(at="lookup", to="flush_tlb_kernel_range")
    def set_pte_atomic(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """The page has a leaf of its own, which gets the new rights."""
        f, want = s.change.page[cpu], s.change.want[cpu]
        gone = want == Rights.INVALID
        return Step(
            when=s.lock.now.is_none & s.in_4k(f),
            then=[s.pte.set(f, want), s.inverted.set(f, gone if inverts else FALSE)],
        )

    @procedure.step(at="split_1g", to="link_pmd")
    def split_pud_page(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """Under the locks: the entries of the new table have the rights of the leaf."""
        g = s.pud_of[s.pmd_of[s.change.page[cpu]]]
        rights = s.pud[g] if keeps_rights else Rights.WRITABLE
        return Step(
            when=s.lock.now.is_none & (s.pud_leaf[g] if looks_again else TRUE),
            then=[
                s.lock.become(some(cpu)),
                s.pmd.fill(lambda i: rights, lambda i: s.pud_of[i] == g),
                s.pmd_leaf.fill(lambda i: TRUE, lambda i: s.pud_of[i] == g),
            ],
        )

    @procedure.step(at="split_2m", to="link_pte")
    def split_pmd_page(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """The same, one level below."""
        i = s.pmd_of[s.change.page[cpu]]
        rights = s.pmd[i] if keeps_rights else Rights.WRITABLE
        return Step(
            when=s.lock.now.is_none & (s.pmd_leaf[i] if looks_again else TRUE),
            then=[
                s.lock.become(some(cpu)),
                s.pte.fill(lambda f: rights, lambda f: s.pmd_of[f] == i),
                s.inverted.fill(lambda f: FALSE, lambda f: s.pmd_of[f] == i),
            ],
        )

    if looks_again:

        @procedure.step(at="split_1g", to="lookup")
        def lost_race_1g(s: DirectMapLeaves, cpu: Cpu) -> Step:
            """Somebody else has demoted the leaf: free the table."""
            return Step(when=s.lock.now.is_none & ~s.in_1g(s.change.page[cpu]))

        @procedure.step(at="split_2m", to="lookup")
        def lost_race_2m(s: DirectMapLeaves, cpu: Cpu) -> Step:
            """The same, one level below."""
            return Step(when=s.lock.now.is_none & ~s.in_2m(s.change.page[cpu]))

    @procedure.step(at="link_pmd", to="flush_tlb_all")
    def set_pud(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """The table takes the leaf's place."""
        g = s.pud_of[s.pmd_of[s.change.page[cpu]]]
        return Step(when=TRUE, then=[s.pud_leaf.set(g, FALSE), more(s, cpu)])

    @procedure.step(at="link_pte", to="flush_tlb_all")
    def set_pmd(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """The same, one level below."""
        i = s.pmd_of[s.change.page[cpu]]
        return Step(when=TRUE, then=[s.pmd_leaf.set(i, FALSE), more(s, cpu)])

    def ask(s: DirectMapLeaves, cpu: Cpu, asked: Bool) -> Update:
        return s.change.waits_for.fill(lambda by, c: asked, lambda by, c: by == cpu)

    @procedure.step(at="flush_tlb_all", to="unlock")
    def flush_tlb_all(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """Every CPU is asked to flush, before any entry of the table is changed."""
        return Step(when=TRUE, then=[ask(s, cpu, TRUE if flushes else FALSE)])

    @procedure.step(at="unlock", to="lookup")
    def unlock(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """When all have answered, release the locks, and look again."""
        return Step(when=s.answered(cpu), then=[s.lock.become(NONE)])

    @procedure.step(at="flush_tlb_kernel_range", to="return")
    def flush_tlb_kernel_range(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """The caller asks every CPU to flush the page, unless nobody can have it cached."""
        return Step(when=TRUE, then=[ask(s, cpu, s.change.old[cpu] != Rights.INVALID)])

    @procedure.step(at="return", to=Procedure.DONE)
    def return_to_owner(s: DirectMapLeaves, cpu: Cpu) -> Step:
        """When all have answered, the page is as its owner wants it."""
        return Step(when=s.answered(cpu), then=[s.busy.set(s.change.page[cpu], FALSE)])

    return procedure


change_page_attr = _change_page_attr()

(
    BEGIN,
    LOOKUP_1G,
    LOOKUP_2M,
    NO_MEMORY,
    SET_PTE,
    SPLIT_1G,
    SPLIT_2M,
    LOST_1G,
    LOST_2M,
    LINK_PMD,
    LINK_PTE,
    FLUSH_ALL,
    UNLOCK,
    FLUSH_PAGE,
    RETURN,
) = change_page_attr.steps

# D-20: a small leaf is changed while TLBs have the large one.
change_page_attr_unflushed = _change_page_attr(flushes=False)
# D-21: who allocates a table without the locks may be late.
change_page_attr_once = _change_page_attr(looks_again=False)
# D-22: neighbours whose rights were others than the usual.
change_page_attr_usual = _change_page_attr(keeps_rights=False)
# D-11: a leaf that is not present has its PFN.
change_page_attr_not_inverted = _change_page_attr(inverts=False)


def is_splitting(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """The CPU has the locks, to link a table or to flush."""
    linking = change_page_attr.at(s, cpu, LINK_PMD) | change_page_attr.at(s, cpu, LINK_PTE)
    flushing = change_page_attr.at(s, cpu, FLUSH_ALL) | change_page_attr.at(s, cpu, UNLOCK)
    return linking | flushing


@operation(kernel="arch/x86/mm/tlb.c: do_flush_tlb_all(), do_kernel_range_flush()")
def flush(s: DirectMapLeaves, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU drops all that it has, or of any size what covers the page."""
    i = s.pmd_of[s.change.page[by]]
    every = change_page_attr.at(s, by, UNLOCK)
    return Step(
        when=s.change.waits_for[by, cpu],
        then=[
            s.tlb.pud.fill(
                lambda c, g: NONE, lambda c, g: (c == cpu) & (every | (g == s.pud_of[i]))
            ),
            s.tlb.pmd.fill(lambda c, j: NONE, lambda c, j: (c == cpu) & (every | (j == i))),
            s.tlb.pte.fill(
                lambda c, f: NONE, lambda c, f: (c == cpu) & (every | (f == s.change.page[by]))
            ),
            s.change.waits_for.set((by, cpu), FALSE),
        ],
    )
