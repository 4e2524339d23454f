"""Kernel entries of user tables on x86-64: what is shared by whole entries, and what is not.

cpu_entry_area and espfix are shared by copying one P4D entry each, which is a top-level entry where
P4D pages are folded; with 5 levels they lie under one PGD slot with the kernel image, so nothing above
the P4D may be copied.  Hence slots here are P4D entries, numbered through.  For the image, and where
the per-CPU areas lie, the user tables have tables of their own, which boot fills with entry text (see
pti_clone), the vsyscall page (see vsyscall) and one page of each possible CPU's TSS.  The per-CPU areas
are in the direct map, or in the vmalloc area where they could not be had in one piece.  New processes
copy init_mm's kernel entries, once; the LDT's slot is theirs.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Opt,
    State,
    Step,
    Update,
    Var,
    assumption,
    forall,
    given,
    ite,
    operation,
    some,
)
from ..machine.sorts import Mm, P4dSlot, Pud


class Region(Enumeration):
    """What lies under a kernel P4D entry."""

    DIRECT_MAP: Region
    PER_CPU: Region
    LDT: Region
    CPU_ENTRY_AREA: Region
    ESPFIX: Region
    IMAGE: Region


class Upper(State):
    """kernel, user: the kernel-half P4D entries of a process's two tables.  alive: it exists.  ldt:
    history, the tables of its LDT.  ready: pti_init() is done.  init_mm: the first process.  at: what
    boot links; own: the user tables' own tables for the image and the per-CPU areas."""

    kernel: Map[tuple[Mm, P4dSlot], Opt[Pud]]
    user: Map[tuple[Mm, P4dSlot], Opt[Pud]]
    alive: Map[Mm, Bool]
    ldt: Map[Mm, Opt[Pud]]
    ready: Var[Bool]
    init_mm: Fun[tuple[()], Mm] = given(lambda scope: 0)
    region: Fun[P4dSlot, Region] = given(lambda scope, i: i % 6)
    at: Fun[P4dSlot, Pud] = given(lambda scope, i: 0)
    own: Fun[P4dSlot, Pud] = given(lambda scope, i: scope[Pud] - 1)

    def is_needed(self, i: P4dSlot) -> Bool:
        """Entry code or the processor needs something there before CR3 is switched."""
        region = self.region[i]
        return (region != Region.DIRECT_MAP) & (region != Region.LDT)


@assumption
def one_entry_of_a_kind(s: Upper, i: P4dSlot, j: P4dSlot) -> Bool:
    """The LDT has one slot (LDT_PGD_ENTRY, pgtable_64_types.h)."""
    return ((s.region[i] == Region.LDT) & (s.region[j] == Region.LDT)).implies(i == j)


@assumption
def user_tables_have_their_own(s: Upper, i: P4dSlot, j: P4dSlot) -> Bool:
    """The user tables' own tables are none that boot linked."""
    return s.at[i] != s.own[j]


@operation(kernel="arch/x86/kernel/head_64.S")
def boot(s: Upper) -> Step:
    """init_mm has the kernel's entries, its user tables are empty."""

    def linked(m: Mm, i: P4dSlot) -> Opt[Pud]:
        return ite((m == s.init_mm[()]) & (s.region[i] != Region.LDT), some(s.at[i]), NONE)

    return Step(
        when=TRUE,
        then=[
            s.kernel.fill(linked),
            s.user.fill(lambda m, i: NONE),
            s.alive.fill(lambda m: m == s.init_mm[()]),
            s.ldt.fill(lambda m: NONE),
            s.ready.become(FALSE),
        ],
    )


def _clone(s: Upper, region: Region) -> Step:
    """pti_clone_p4d(): init_mm's entry of a region is copied to its user tables."""

    def here(m: Mm, i: P4dSlot) -> Bool:
        return (m == s.init_mm[()]) & (s.region[i] == region)

    return Step(when=~s.ready.now, then=[s.user.fill(lambda m, i: s.kernel[m, i], here)])


def _link(s: Upper, region: Region) -> Step:
    """pti_user_pagetable_walk_p4d(): init_mm's user tables get tables of their own for a region."""

    def here(m: Mm, i: P4dSlot) -> Bool:
        return (m == s.init_mm[()]) & (s.region[i] == region)

    return Step(when=~s.ready.now, then=[s.user.fill(lambda m, i: some(s.own[i]), here)])


@operation(kernel="arch/x86/mm/pti.c: pti_clone_user_shared(), pti_clone_p4d()")
def clone_user_shared(s: Upper) -> Step:
    """cpu_entry_area is shared."""
    return _clone(s, Region.CPU_ENTRY_AREA)


@operation(kernel="arch/x86/mm/pti.c: pti_setup_espfix64(), pti_clone_p4d()")
def setup_espfix64(s: Upper) -> Step:
    """So is espfix."""
    return _clone(s, Region.ESPFIX)


@operation(kernel="arch/x86/mm/pti.c: pti_user_pagetable_walk_p4d(), pti_clone_entry_text()")
def clone_entry_text(s: Upper) -> Step:
    """For the image, new tables are linked."""
    return _link(s, Region.IMAGE)


@operation(kernel="arch/x86/mm/pti.c: pti_clone_user_shared(), cpu_tss_rw of every possible CPU")
def clone_tss(s: Upper) -> Step:
    """So are they for the per-CPU areas, of every CPU that may ever come up."""
    return _link(s, Region.PER_CPU)


@operation(kernel="arch/x86/mm/pti.c: pti_init()")
def pti_init(s: Upper) -> Step:
    """All of it is done."""

    def done(i: P4dSlot) -> Bool:
        return s.is_needed(i).implies(s.user[s.init_mm[()], i].is_some)

    return Step(when=~s.ready.now & forall(P4dSlot, done), then=[s.ready.become(TRUE)])


def _copied(s: Upper, m: Mm) -> list[Update]:
    """Everything of init_mm, in both tables."""
    init = s.init_mm[()]
    return [
        s.kernel.fill(lambda n, i: s.kernel[init, i], lambda n, i: n == m),
        s.user.fill(lambda n, i: s.user[init, i], lambda n, i: n == m),
    ]


@operation(kernel="arch/x86/mm/pgtable.c: pgd_alloc(), pgd_ctor(), clone_pgd_range()")
def pgd_alloc(s: Upper, m: Mm) -> Step:
    """Under pgd_lock, the kernel entries of both tables are copied."""
    return Step(
        when=s.ready.now & ~s.alive[m],
        then=[*_copied(s, m), s.alive.set(m, TRUE)],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_free(); arch/x86/kernel/ldt.c: free_ldt_pgtables()")
def pgd_free(s: Upper, m: Mm) -> Step:
    """The process is gone, with its LDT."""
    return Step(
        when=s.alive[m] & (m != s.init_mm[()]),
        then=[s.alive.set(m, FALSE), s.ldt.set(m, NONE)],
    )


@operation(kernel="arch/x86/kernel/ldt.c: map_ldt_struct(), map_ldt_struct_to_user()")
def map_ldt(s: Upper, m: Mm, i: P4dSlot, t: Pud) -> Step:
    """A process's first LDT: tables of its own are linked, then the entry is copied."""
    first = s.alive[m] & (m != s.init_mm[()]) & s.ldt[m].is_none
    return Step(
        when=first & (s.region[i] == Region.LDT),
        then=[
            s.kernel.set((m, i), some(t)),
            s.user.set((m, i), some(t)),
            s.ldt.set(m, some(t)),
        ],
    )
