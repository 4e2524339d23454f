"""Memory hotplug beside everything else that maps pages.

What it checks: a page that is in use is reached by every process; one that is not plugged in is in no
table, no area and no TLB.
Why it matters: an address that a process does not reach is an oops; one that leads to memory that was
pulled, or is another device's by now, is a machine check, or worse.
Kernel precedent: 6659d0279980 (top-level additions that were not pushed).
Smallest counterexample: memory is removed that an area led to until it was unmapped lazily
(direct-map-today, a hypothesis).
Not covered: vmemmap, tables that are freed, user tables (hotplug; compositions.md).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Mm, Va
from mapproof.model.operations.direct_map.frames import Call, DirectMap, Owner


@always
def memory_has_a_top_level_entry(s: DirectMap, f: Frame) -> Bool:
    """What is plugged in is in init_mm's table."""
    return (s.owner[f] != Owner.ABSENT).implies(s.init_top[s.region[f]])


@always
def memory_is_reached_by_all(s: DirectMap, mm: Mm, f: Frame) -> Bool:
    """What is plugged in, and not being added, is in every process's table."""
    adds = (s.call[f] == Call.HOT_ADD) | (s.call[f] == Call.DEV_ADD)
    used = (s.owner[f] != Owner.ABSENT) & ~adds
    return (used & s.alive[mm]).implies(s.top[mm, s.region[f]])


@always
def absent_memory_is_in_no_tlb(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """The direct map does not lead to what is not plugged in."""
    entry = s.tlb.present[cpu, f] | s.large_tlb[cpu, s.region[f]]
    return (s.owner[f] == Owner.ABSENT).implies(~s.leaf.present[f] & ~entry)


@always
def absent_memory_is_in_no_area(s: DirectMap, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """No area of vmap() and no slot of kmap() leads to what is not plugged in."""
    gone = s.owner[f] == Owner.ABSENT
    return gone.implies((s.page[va] != some(f)) & (s.area_tlb[cpu, va] != some(f)))


@sometimes
def memory_is_added(s: DirectMap, mm: Mm, f: Frame) -> Bool:
    """A page is being added, and a process has the entry."""
    return (s.call[f] == Call.HOT_ADD) & s.alive[mm] & s.top[mm, s.region[f]]


@sometimes
def memory_awaits_its_flush(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """A page is being removed, and a CPU still has it."""
    return (s.call[f] == Call.HOT_REMOVE) & s.tlb.present[cpu, f]
