"""Preallocated tables: copied entries of the vmalloc area that never change once a process exists.

x86-64 allocates at boot the page below every top-level entry of the area: a P4D page with 5 levels, a
PUD page with 4, where the P4D is folded.  PAE without page table isolation has one kernel PMD page, to
which the top-level entry of every process leads.  What lies below is shared, so that one store there is
seen by all.  Nobody has built the third, PTE pages below every PMD entry of a 32-bit kernel, for
which the review of July 2019 asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Fun,
    Map,
    Opt,
    Sort,
    State,
    Step,
    Var,
    assumption,
    forall,
    given,
    operation,
    some,
)
from ..machine.geometry import I386_PAE, X86_64_4L, X86_64_5L
from ..machine.sorts import Frame, Mm


class Slot(Sort):
    """An entry of the vmalloc area at the level that processes copy."""


class Table(Sort):
    """A table page below such an entry."""


class Entry(Sort):
    """The index of an entry in such a page; what is below that is folded."""


class Preallocated(State):
    """reference, copy: the entries of init_mm and of processes.  below: what the table pages map;
    taken: the range is in use.  page_of: the page that boot allocates for a slot.  booted: mem_init()
    is over."""

    reference: Map[Slot, Opt[Table]]
    copy: Map[tuple[Mm, Slot], Opt[Table]]
    below: Map[tuple[Table, Entry], Opt[Frame]]
    taken: Map[tuple[Slot, Entry], Bool]
    on_list: Map[Mm, Bool]
    booted: Var[Bool]
    page_of: Fun[Slot, Table] = given(lambda scope, i: i)

    GEOMETRY = X86_64_4L
    LEVEL = "pgd"
    PAGE = "PUD page"

    @classmethod
    def show_element(
        cls, sort: Any, index: int, look: Callable[..., int], scope: Mapping[Any, int]
    ) -> str | None:
        if sort is Slot:
            size = cls.GEOMETRY.level(cls.LEVEL).size
            start = -(-cls.GEOMETRY.region("vmalloc").start // size) * size
            return cls.GEOMETRY.show_va(start + index * size)
        return f"{cls.PAGE} {index}" if sort is Table else None


class FiveLevels(Preallocated):
    """The top level of x86-64 with 5 levels."""

    GEOMETRY = X86_64_5L
    PAGE = "P4D page"


class SharedPmd(Preallocated):
    """The top level of 32-bit PAE, SHARED_KERNEL_PMD: one kernel entry, which leads to the kernel's PMD
    page."""

    GEOMETRY = I386_PAE
    PAGE = "PMD page"


class PmdEntries(Preallocated):
    """PMD entries of 32-bit PAE with page table isolation, if they were preallocated."""

    GEOMETRY = I386_PAE
    LEVEL = "pmd"
    PAGE = "PTE page"


@assumption
def pages_have_one_slot(s: Preallocated, i: Slot, k: Slot) -> Bool:
    """Every slot has a page of its own."""
    return (s.page_of[i] == s.page_of[k]).implies(i == k)


@operation(kernel="arch/x86/mm/init.c: init_mem_mapping()")
def boot(s: Preallocated) -> Step:
    """The area is empty, and init_mm is alone."""
    return Step(
        when=TRUE,
        then=[
            s.reference.fill(lambda i: NONE),
            s.copy.fill(lambda m, i: NONE),
            s.below.fill(lambda t, e: NONE),
            s.taken.fill(lambda i, e: FALSE),
            s.on_list.fill(lambda m: FALSE),
            s.booted.become(FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/init_64.c: preallocate_vmalloc_pages()")
def preallocate(s: Preallocated, i: Slot) -> Step:
    """Link the page below an entry, whichever is next; if that fails, the boot ends in a panic."""
    return Step(when=~s.booted.now, then=[s.reference.set(i, some(s.page_of[i]))])


@operation(kernel="arch/x86/mm/init_64.c: mem_init()", name="mem_init")
def mem_init(s: Preallocated) -> Step:
    """The boot goes on when every entry has its page."""
    linked = forall(Slot, lambda i: s.reference[i].is_some)
    return Step(when=linked, then=[s.booted.become(TRUE)])


# What x86-64 would have with 4 levels if it stopped at the P4D level, which is folded there.
@operation(kernel="arch/x86/mm/init_64.c: mem_init(), without preallocated pages", name="mem_init")
def mem_init_at_once(s: Preallocated) -> Step:
    """The boot goes on."""
    return Step(when=TRUE, then=[s.booted.become(TRUE)])


@operation(kernel="arch/x86/mm/pgtable.c: pgd_ctor(), clone_pgd_range()")
def fork(s: Preallocated, m: Mm) -> Step:
    """Copy init_mm's entries; there are no processes before the boot is over."""
    return Step(
        when=s.booted.now & ~s.on_list[m],
        then=[
            s.copy.fill(lambda n, i: s.reference[i], lambda n, i: n == m),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_dtor()")
def exit_mm(s: Preallocated, m: Mm) -> Step:
    """The process is gone."""
    return Step(when=s.on_list[m], then=[s.on_list.set(m, FALSE)])


@operation(kernel="mm/vmalloc.c: alloc_vmap_area(), vmap_range_noflush()")
def vmap(s: Preallocated, i: Slot, e: Entry, f: Frame) -> Step:
    """Take a free range and map something there, by the page that is below the entry."""
    ready = s.booted.now & s.reference[i].is_some & ~s.taken[i, e]
    return Step(
        when=ready,
        then=[s.taken.set((i, e), TRUE), s.below.set((s.page_of[i], e), some(f))],
    )


@operation(kernel="mm/vmalloc.c: vunmap_range_noflush(), free_vmap_area_noflush()")
def vunmap(s: Preallocated, i: Slot, e: Entry) -> Step:
    """Unmap a range and free it; table pages stay."""
    return Step(
        when=s.taken[i, e],
        then=[s.taken.set((i, e), FALSE), s.below.set((s.page_of[i], e), NONE)],
    )


# Only where something is left to allocate.
@operation(kernel="mm/memory.c: p4d_alloc_track(), pud_alloc_track()")
def alloc_track(s: Preallocated, i: Slot) -> Step:
    """Mapping needs a page below an entry that has none: link one, in init_mm."""
    empty = s.booted.now & s.reference[i].is_none
    return Step(when=empty, then=[s.reference.set(i, some(s.page_of[i]))])


@operation(kernel="arch/x86/mm/pgtable.c: pmd_free_pte_page(), pmd_set_huge()")
def ioremap_large(s: Preallocated, i: Slot) -> Step:
    """A large page takes the place of an empty table page: init_mm's entry leads there no more."""
    t = s.reference[i].value
    empty = forall(Entry, lambda e: s.below[t, e].is_none)
    return Step(when=s.booted.now & s.reference[i].is_some & empty, then=[s.reference.set(i, NONE)])
