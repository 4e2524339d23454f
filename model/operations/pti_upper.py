"""Kernel entries of user tables on x86-64: what is shared by whole entries, and what is not.

cpu_entry_area and espfix are shared by copying one P4D entry each, which is a top-level entry where
P4D pages are folded; with 5 levels they lie under one PGD slot with the kernel image, so nothing above
the P4D may be copied.  Hence slots here are P4D entries, numbered through; with 4 levels every process
has copies of them in its kernel tables, with 5 the pages that they are in are common.  For the image,
and where the per-CPU areas lie, the user tables have tables of their own, which boot fills with entry
text (see pti_clone), the vsyscall page (see vsyscall) and one page of each possible CPU's TSS.  The
per-CPU areas are in the direct map, or in the vmalloc area where they could not be had in one piece.
New processes copy init_mm's kernel entries, once; the LDT's slot is theirs.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Fun,
    Map,
    Opt,
    Step,
    Var,
    assumption,
    forall,
    given,
    ite,
    operation,
    some,
)
from ..machine.sorts import Mm, P4dSlot, Pud
from .kernel_half import KernelHalf, Region


class Upper(KernelHalf):
    """user, init_user: the kernel-half entries of the user tables, of a process and of init_mm.  ldt:
    history, the tables of a process's LDT.  ready: pti_init() is done.  linked: boot links the entry;
    memory may be added at the others.  at: what it links; own: the user tables' own tables for the
    image and the per-CPU areas."""

    user: Map[tuple[Mm, P4dSlot], Opt[Pud]]
    init_user: Map[P4dSlot, Opt[Pud]]
    ldt: Map[Mm, Opt[Pud]]
    ready: Var[Bool]
    linked: Fun[P4dSlot, Bool] = given(lambda scope, i: i > 1)
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


@assumption
def boot_links_what_is_no_memory(s: Upper, i: P4dSlot) -> Bool:
    """Boot links everything but direct map that has no memory yet."""
    return s.linked[i] | ~s.is_needed(i)


@operation(kernel="arch/x86/kernel/head_64.S")
def boot(s: Upper) -> Step:
    """init_mm has the kernel's entries, its user tables are empty."""

    def linked(i: P4dSlot) -> Opt[Pud]:
        return ite((s.region[i] != Region.LDT) & s.linked[i], some(s.at[i]), NONE)

    return Step(
        when=TRUE,
        then=[
            *s.boot_list(),
            s.reference.fill(linked),
            s.copy.fill(lambda m, i: NONE),
            s.init_user.fill(lambda i: NONE),
            s.user.fill(lambda m, i: NONE),
            s.ldt.fill(lambda m: NONE),
            s.ready.become(FALSE),
        ],
    )


def _clone(s: Upper, region: Region) -> Step:
    """pti_clone_p4d(): init_mm's entry of a region is copied to its user tables."""
    copied = s.init_user.fill(lambda i: s.reference[i], lambda i: s.region[i] == region)
    return Step(when=~s.ready.now, then=[copied])


def _link(s: Upper, region: Region) -> Step:
    """pti_user_pagetable_walk_p4d(): init_mm's user tables get tables of their own for a region."""
    linked = s.init_user.fill(lambda i: some(s.own[i]), lambda i: s.region[i] == region)
    return Step(when=~s.ready.now, then=[linked])


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
        return s.is_needed(i).implies(s.init_user[i].is_some)

    return Step(when=~s.ready.now & forall(P4dSlot, done), then=[s.ready.become(TRUE)])


@operation(kernel="arch/x86/mm/pgtable.c: pgd_alloc(), pgd_ctor(), clone_pgd_range()")
def pgd_alloc(s: Upper, m: Mm) -> Step:
    """Under pgd_lock, the kernel entries of both tables are copied, and the process joins pgd_list."""
    return Step(
        when=s.ready.now & ~s.on_list[m] & ~s.pgd_lock.now,
        then=[
            s.copy.fill(lambda n, i: s.reference[i], lambda n, i: n == m),
            s.user.fill(lambda n, i: s.init_user[i], lambda n, i: n == m),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_free(); arch/x86/kernel/ldt.c: free_ldt_pgtables()")
def pgd_free(s: Upper, m: Mm) -> Step:
    """The process leaves pgd_list, under pgd_lock, with its LDT."""
    return Step(
        when=s.on_list[m] & ~s.pgd_lock.now,
        then=[s.on_list.set(m, FALSE), s.ldt.set(m, NONE)],
    )


@operation(kernel="arch/x86/kernel/ldt.c: map_ldt_struct(), map_ldt_struct_to_user()")
def map_ldt(s: Upper, m: Mm, i: P4dSlot, t: Pud) -> Step:
    """A process's first LDT: tables of its own are linked, then the entry is copied."""
    first = s.on_list[m] & s.ldt[m].is_none
    return Step(
        when=first & (s.region[i] == Region.LDT),
        then=[
            s.copy.set((m, i), some(t)),
            s.user.set((m, i), some(t)),
            s.ldt.set(m, some(t)),
        ],
    )
