"""The LDT in the user tables.

What it checks: the LDTR of a CPU points to a slot that is mapped in the user tables of the process it
runs, and to the published one unless a request to load that is on its way; a page that is free is in
no slot, and in no TLB that is used before it is flushed; a process without an LDT has none there.
Why it matters: the processor reads the LDT by itself, in ring 3, where a fault on it cannot be
handled, and what it reads there decides over segments.
Kernel precedent: the comments of arch/x86/kernel/ldt.c, above load_mm_ldt() and switch_ldt().
Smallest counterexample: none of the designs here breaks these.
Not covered: cached DS and ES, LDTs of several pages, failures to allocate, lazy TLB mode.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Mm
from mapproof.model.operations.ldt import Ldt, Slot, write_ldt


@always
def ldtr_points_to_a_mapped_slot(s: Ldt, cpu: Cpu) -> Bool:
    """What LDTR points to is mapped in the tables that are loaded."""
    m, slot = s.loaded_mm[cpu], s.ldtr[cpu]
    mapped = s.user_entry[m] & s.page[m, slot.value].is_some
    return (~s.switching[cpu] & slot.is_some).implies(mapped)


@always
def ldtr_has_the_published_ldt(s: Ldt, cpu: Cpu) -> Bool:
    """LDTR points to the slot of the published LDT, or a request to load it is due."""
    m = s.loaded_mm[cpu]
    published = write_ldt.at(s, m, write_ldt.steps[3])
    asked = write_ldt.at(s, m, write_ldt.steps[4]) & s.write.waits_for[m, cpu]
    return (~s.switching[cpu]).implies((s.ldtr[cpu] == s.published[m]) | published | asked)


@always
def mapped_ldt_pages_are_in_use(s: Ldt, m: Mm, slot: Slot) -> Bool:
    """A page in a slot is not free, and its process is alive."""
    page = s.page[m, slot]
    return page.is_some.implies(~s.free[page.value] & s.on_list[m])


@always
def free_ldt_pages_are_in_no_tlb(s: Ldt, cpu: Cpu, m: Mm, slot: Slot) -> Bool:
    """What a CPU has cached of a process is not free, unless it flushes that before it runs it."""
    entry = s.tlb[cpu, m, slot]
    later = s.behind[cpu, m] & (s.loaded_mm[cpu] != m)
    return (entry.is_some & ~later).implies(~s.free[entry.value])


@always
def user_tables_have_ldts_only_if_there_are_some(s: Ldt, m: Mm) -> Bool:
    """The top-level entry is in the user tables of a process that has an LDT or is getting one."""
    getting = ~write_ldt.idle(s, m)
    return s.user_entry[m].implies(s.published[m].is_some | getting) & s.published[
        m
    ].is_some.implies(s.user_entry[m])


@sometimes
def two_ldts_are_mapped(s: Ldt, cpu: Cpu, m: Mm) -> Bool:
    """A CPU still uses the old LDT while the new one is published."""
    both = s.page[m, Slot.FIRST].is_some & s.page[m, Slot.SECOND].is_some
    old = s.ldtr[cpu].is_some & (s.ldtr[cpu] != s.published[m])
    return (s.loaded_mm[cpu] == m) & ~s.switching[cpu] & both & old


@sometimes
def a_child_has_an_ldt(s: Ldt, m: Mm, child: Mm) -> Bool:
    """Two processes have LDTs."""
    return (m != child) & s.published[m].is_some & s.published[child].is_some
