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

from mapproof.model.language import FALSE, Bool, ProcedureStep, always, some, sometimes
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


_, COPY_ENTRY, INSTALL, RELOAD, UNMAP, FREE = write_ldt.steps


def _is_at(s: Ldt, m: Mm, *steps: ProcedureStep[Ldt, ...]) -> Bool:
    found = FALSE
    for position in steps:
        found = found | write_ldt.at(s, m, position)
    return found


@always
def ldt_pages_are_in_one_slot(s: Ldt, m: Mm, slot: Slot, n: Mm, other: Slot) -> Bool:
    """No page is in two slots."""
    page = s.page[m, slot]
    return (page.is_some & (page == s.page[n, other])).implies((m == n) & (slot == other))


@always
def slots_are_filled_and_emptied_in_turn(s: Ldt, m: Mm, slot: Slot) -> Bool:
    """What is published is mapped, and nothing else but what a write_ldt() has filled and not published
    yet, or published another for and not unmapped yet."""
    new, old = s.write.new[m] == slot, s.write.old[m] == some(slot)
    mapped, published = s.page[m, slot].is_some, s.published[m] == some(slot)
    filled = _is_at(s, m, COPY_ENTRY, INSTALL)
    outdated = _is_at(s, m, RELOAD, UNMAP)
    return (
        write_ldt.idle(s, m).implies(mapped == published)
        & filled.implies((mapped == (new | old)) & (published == old) & ~(new & old))
        & outdated.implies((mapped == (new | old)) & (published == new) & ~(new & old))
        & _is_at(s, m, FREE).implies((mapped == new) & (published == new) & ~(new & old))
    )


@always
def a_write_remembers_the_old_page(s: Ldt, m: Mm, n: Mm, slot: Slot) -> Bool:
    """A write_ldt() that takes an LDT away knows its page; between unmapping and freeing the page is in
    no slot, nobody else frees it, and it is not free."""
    page, other = s.write.page[m], s.write.old[m]
    before = _is_at(s, m, COPY_ENTRY, INSTALL, RELOAD, UNMAP) & (other == some(slot))
    between = _is_at(s, m, FREE) & other.is_some
    twice = _is_at(s, n, FREE) & s.write.old[n].is_some & (s.write.page[n] == page)
    alone = ~s.free[page] & (s.page[n, slot] != some(page)) & twice.implies(m == n)
    return before.implies(s.page[m, slot] == some(page)) & between.implies(alone)


@always
def cached_ldts_are_mapped_or_behind(s: Ldt, cpu: Cpu, m: Mm, slot: Slot) -> Bool:
    """What a CPU has cached of a process that it is not behind with is mapped; it is behind with the one
    that it runs only until it answers."""
    entry, running = s.tlb[cpu, m, slot], s.loaded_mm[cpu] == m
    mapped = entry == s.page[m, slot]
    old = (s.write.old[m] == some(slot)) & (entry == some(s.write.page[m]))
    asked = _is_at(s, m, FREE) & s.write.waits_for[m, cpu] & (entry.is_none | mapped | old)
    return (entry.is_some & ~s.behind[cpu, m]).implies(mapped) & (
        s.behind[cpu, m] & running
    ).implies(asked)


@always
def ldtr_has_the_old_ldt_until_it_is_told(s: Ldt, cpu: Cpu) -> Bool:
    """Where LDTR has not got the published LDT yet, it has the one before, which is still mapped."""
    m = s.loaded_mm[cpu]
    told = _is_at(s, m, UNMAP) & ~s.write.waits_for[m, cpu]
    old = _is_at(s, m, RELOAD, UNMAP) & ~told & (s.ldtr[cpu] == s.write.old[m])
    return (~s.switching[cpu]).implies((s.ldtr[cpu] == s.published[m]) | old)


@always
def ldts_are_of_living_processes(s: Ldt, cpu: Cpu, m: Mm) -> Bool:
    """Processes that run, write or have an LDT are on pgd_list."""
    busy = ~write_ldt.idle(s, m) | s.published[m].is_some | (s.loaded_mm[cpu] == m)
    entry = _is_at(s, m, INSTALL, RELOAD, UNMAP, FREE).implies(s.user_entry[m])
    return busy.implies(s.on_list[m]) & entry


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
