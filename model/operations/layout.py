"""Where the LDT goes with 5-level paging, and what KASLR may choose for the direct map.

kernel_randomize_memory() places the direct map, the vmalloc area and vmemmap at PGD boundaries within
a range; the LDT of each process has a PGD slot at a fixed place, which write_ldt() fills.
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
    State,
    Step,
    assumption,
    forall,
    given,
    operation,
    some,
)
from ..machine.sorts import Mm, PgdSlot


class Layout(State):
    """region: KASLR has placed a region there.  ldt_at: the slot that a process's LDT was entered in.
    kaslr_range: the slots that KASLR may choose; ldt_slot, old_ldt_slot: those of the LDT, next to
    the guard hole and before."""

    region: Map[PgdSlot, Bool]
    ldt_at: Map[Mm, Opt[PgdSlot]]
    kaslr_range: Fun[PgdSlot, Bool] = given(lambda scope, i: i > 0)
    ldt_slot: Fun[tuple[()], PgdSlot] = given(lambda scope: 0)
    old_ldt_slot: Fun[tuple[()], PgdSlot] = given(lambda scope: scope[PgdSlot] - 1)


@assumption
def the_ldt_slot_is_outside(s: Layout) -> Bool:
    """LDT_PGD_ENTRY is -240, below __PAGE_OFFSET_BASE_L5 (pgtable_64_types.h, page_64_types.h)."""
    return ~s.kaslr_range[s.ldt_slot[()]]


@operation(kernel="arch/x86/mm/kaslr.c")
def boot(s: Layout) -> Step:
    """Nothing is placed yet."""
    return Step(when=TRUE, then=[s.region.fill(lambda i: FALSE), s.ldt_at.fill(lambda m: NONE)])


@operation(kernel="arch/x86/mm/kaslr.c: kernel_randomize_memory()")
def kernel_randomize_memory(s: Layout, i: PgdSlot) -> Step:
    """At boot, a region that KASLR places takes a slot of its range."""
    early = forall(Mm, lambda m: s.ldt_at[m].is_none)
    return Step(when=early & s.kaslr_range[i], then=[s.region.set(i, TRUE)])


@operation(kernel="arch/x86/kernel/ldt.c: map_ldt_struct(), LDT_BASE_ADDR")
def map_ldt(s: Layout, m: Mm) -> Step:
    """A process's first LDT is entered in the LDT's slot."""
    return Step(when=s.ldt_at[m].is_none, then=[s.ldt_at.set(m, some(s.ldt_slot[()]))])


# P-08: with 5 levels the slot lay in the range that KASLR chooses from.
@operation(
    kernel="arch/x86/kernel/ldt.c: map_ldt_struct(), LDT_BASE_ADDR before d52888aa2753",
    name="map_ldt",
)
def map_ldt_in_kaslr_range(s: Layout, m: Mm) -> Step:
    """A process's first LDT is entered in a slot of KASLR's range."""
    return Step(when=s.ldt_at[m].is_none, then=[s.ldt_at.set(m, some(s.old_ldt_slot[()]))])
