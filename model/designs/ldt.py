"""The LDT under page table isolation."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, Frame, Mm
from ..operations import ldt as op
from ..operations.ldt import Ldt, Slot, write_ldt


def _between(s: Ldt, m: Mm, first: int, last: int) -> Bool:
    """write_ldt() is about to take one of these steps."""
    positions = [write_ldt.at(s, m, step) for step in write_ldt.steps[first : last + 1]]
    found = positions[0]
    for position in positions[1:]:
        found = found | position
    return found


@always
def slots_follow_the_writer(s: Ldt, m: Mm, slot: Slot) -> Bool:
    """A slot has a page if its LDT is published, is about to be, or has just been."""
    page, published = s.page[m, slot].is_some, s.published[m] == slot
    old, new = s.write.old[m] == slot, s.write.new[m] == slot
    return (
        write_ldt.idle(s, m).implies(page == published)
        & _between(s, m, 1, 2).implies((page == (published | new)) & (old == published))
        & _between(s, m, 1, 2).implies(~(published & new))
        & _between(s, m, 3, 4).implies((page == (new | old)) & (published == new) & ~(new & old))
        & _between(s, m, 5, 5).implies((page == new) & (published == new) & ~(new & old))
    )


@always
def the_old_page_is_known(s: Ldt, m: Mm, slot: Slot) -> Bool:
    """Until it is unmapped, the writer's page is that of the old slot."""
    old = _between(s, m, 1, 4) & (s.write.old[m] == slot)
    return old.implies(s.page[m, slot].is_some & (s.page[m, slot].value == s.write.page[m]))


@always
def pages_have_one_slot(s: Ldt, m: Mm, slot: Slot, n: Mm, other: Slot) -> Bool:
    """A page is in one slot."""
    a, b = s.page[m, slot], s.page[n, other]
    same = a.is_some & b.is_some & (a.value == b.value)
    return same.implies((m == n) & (slot == other))


@always
def unmapped_pages_wait(s: Ldt, m: Mm, n: Mm, slot: Slot) -> Bool:
    """The page that a writer is about to free is in no slot, and he is alone with it."""
    f = s.write.page[m]
    mine = _between(s, m, 5, 5) & s.write.old[m].is_some
    theirs = _between(s, n, 5, 5) & s.write.old[n].is_some & (s.write.page[n] == f)
    mapped = s.page[n, slot].is_some & (s.page[n, slot].value == f)
    return mine.implies(~s.free[f] & ~mapped & theirs.implies(m == n))


@always
def cached_pages_are_mapped_or_wait(s: Ldt, cpu: Cpu, m: Mm, slot: Slot) -> Bool:
    """What a CPU has cached is mapped, or is flushed before it is used, or before it is freed."""
    entry = s.tlb[cpu, m, slot]
    mapped = s.page[m, slot] == entry
    later = s.behind[cpu, m] & (s.loaded_mm[cpu] != m)
    waits = (
        _between(s, m, 5, 5)
        & (s.write.old[m] == slot)
        & (s.write.page[m] == entry.value)
        & s.write.waits_for[m, cpu]
        & s.behind[cpu, m]
    )
    return entry.is_some.implies(mapped | later | waits)


@always
def what_runs_is_alive(s: Ldt, cpu: Cpu) -> Bool:
    """A CPU runs a process that exists."""
    return s.on_list[s.loaded_mm[cpu]]


@always
def dead_processes_have_no_ldt(s: Ldt, m: Mm) -> Bool:
    """A process that does not exist writes no LDT and has none."""
    nothing = s.published[m].is_none & ~s.user_entry[m] & write_ldt.idle(s, m)
    return (~s.on_list[m]).implies(nothing)


@always
def first_ldts_have_their_entry(s: Ldt, m: Mm) -> Bool:
    """Past the second step the user tables have the top-level entry."""
    return _between(s, m, 2, 5).implies(s.user_entry[m]) & _between(s, m, 1, 1).implies(
        s.user_entry[m] == s.write.old[m].is_some
    )


@always
def old_ldts_are_in_use_until_the_answer(s: Ldt, cpu: Cpu) -> Bool:
    """A CPU that has not loaded the published LDT has the old one, or none."""
    m = s.loaded_mm[cpu]
    current = s.ldtr[cpu] == s.published[m]
    old = s.ldtr[cpu] == s.write.old[m]
    asked = _between(s, m, 3, 3) | (_between(s, m, 4, 4) & s.write.waits_for[m, cpu])
    return (~s.switching[cpu]).implies(current | (asked & old))


ldt_pti = Design(
    name="ldt-pti",
    state=Ldt,
    init=op.boot,
    operations=[
        op.switch_mm,
        op.switch_ldt,
        op.fill_tlb,
        op.flush_ldt,
        op.flush_tlb,
        op.fork,
        op.fork_without_ldt,
        op.exit_mm,
    ],
    procedures=[op.write_ldt],
    lemmas=[
        slots_follow_the_writer,
        the_old_page_is_known,
        pages_have_one_slot,
        unmapped_pages_wait,
        cached_pages_are_mapped_or_wait,
        what_runs_is_alive,
        dead_processes_have_no_ldt,
        first_ldts_have_their_entry,
        old_ldts_are_in_use_until_the_answer,
    ],
    scope={Cpu: 2, Mm: 2, Frame: 3},
    doc="""The LDT under page table isolation, as merged: two slots for each process, and the old LDT is
unmapped only when every CPU has loaded the new one.""",
    source="arch/x86/kernel/ldt.c of Linux 6.1",
)
