"""Kernel memory that is added after boot.

What it checks: memory in use and its struct pages are mapped in every process; whoever initialises the
struct pages reaches them; an entry that init_mm has is in every process or is being pushed by a CPU that
has not returned (invariants 1, 3 and 8 of the vmalloc area, for the direct map and vmemmap).
Why it matters: nobody repairs a fault there; the kernel dies, in the process that adds the memory or in
any other.
Kernel precedent: 6659d0279980 ("define ARCH_PAGE_TABLE_SYNC_MASK and arch_sync_kernel_mappings()").
Smallest counterexample: a process, then memory whose vmemmap needs a new entry (hotplug-compound-pages).
Not covered: lower tables that are freed when memory is removed; KASAN shadow; failures.
"""

from __future__ import annotations

from mapproof.model.language import FALSE, Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Mm, P4dSlot
from mapproof.model.operations.hotplug import Hotplug, Memory, Section, add_memory


def _at(s: Hotplug, cpu: Cpu, *names: str) -> Bool:
    found = FALSE
    for position in add_memory.steps:
        if position.name in names:
            found = found | add_memory.at(s, cpu, position)
    return found


def _walks(s: Hotplug, cpu: Cpu) -> Bool:
    return _at(s, cpu, "direct_sync_one", "vmemmap_sync_one")


@always
def memory_in_use_is_in_every_process(s: Hotplug, m: Mm, x: Section) -> Bool:
    """Every process maps the memory that is in use, and its struct pages."""
    mapped = s.copy[m, s.direct[x]].is_some & s.copy[m, s.vmemmap[x]].is_some
    return (s.on_list[m] & (s.memory[x] == Memory.ONLINE)).implies(mapped)


@always
def struct_pages_are_reached(s: Hotplug, cpu: Cpu, m: Mm) -> Bool:
    """Whoever initialises struct pages reaches them, on the tables of any process."""
    ready = _at(s, cpu, "memmap_init")
    mapped = s.copy[m, s.vmemmap[s.add.section[cpu]]].is_some
    return (ready & s.on_list[m]).implies(mapped)


@always
def copies_are_init_mms_for_good(s: Hotplug, m: Mm, i: P4dSlot) -> Bool:
    """An entry that a process has, but for that of its LDT, is init_mm's."""
    return (s.on_list[m] & s.is_common(i) & s.copy[m, i].is_some).implies(
        s.copy[m, i] == s.reference[i]
    )


@step
def entries_are_pushed_before_the_return(
    old: Hotplug, new: Hotplug, cpu: Cpu, m: Mm, i: P4dSlot
) -> Bool:
    """When memory has been added, no process lacks an entry of init_mm."""
    done = ~add_memory.idle(old, cpu) & add_memory.idle(new, cpu) & new.is_common(i)
    return (done & new.on_list[m]).implies(new.copy[m, i] == new.reference[i])


@step
def top_level_entries_are_for_ever(old: Hotplug, new: Hotplug, i: P4dSlot) -> Bool:
    """What init_mm has at the top level stays."""
    return old.reference[i].is_some.implies(new.reference[i] == old.reference[i])


@always
def only_the_entry_at_hand_is_missing(s: Hotplug, cpu: Cpu, m: Mm, i: P4dSlot) -> Bool:
    """While nobody adds memory, every process has what init_mm has; while somebody does, all but the
    entry that is being pushed, and that if it has been there."""
    missing = s.on_list[m] & s.is_common(i) & (s.copy[m, i] != s.reference[i])
    pushing = _at(s, cpu, "direct_lock", "vmemmap_lock") | _walks(s, cpu)
    mine = (i == s.add.slot[cpu]) & ~(_walks(s, cpu) & s.walk.visited[cpu, m])
    working = ~add_memory.idle(s, cpu)
    return (missing & working).implies(pushing & mine) & missing.implies(s.mem_hotplug_lock.now)


@always
def additions_take_turns(s: Hotplug, a: Cpu, b: Cpu) -> Bool:
    """Who adds memory holds mem_hotplug_lock, alone, and pgd_lock while it walks, not longer."""
    working = ~add_memory.idle(s, a)
    alone = (working & ~add_memory.idle(s, b)).implies(a == b)
    locked = working.implies(s.mem_hotplug_lock.now & (s.pgd_lock.now == _walks(s, a)))
    return alone & locked & s.pgd_lock.now.implies(s.mem_hotplug_lock.now)


@always
def additions_know_their_entries(s: Hotplug, cpu: Cpu) -> Bool:
    """Who adds a section works on its entry of the direct map, then on that of vmemmap; both are filled
    when it uses them."""
    x, i = s.add.section[cpu], s.add.slot[cpu]
    direct = _at(s, cpu, "direct_populate", "direct_lock", "direct_sync_one", "go_on")
    later = ~add_memory.idle(s, cpu) & ~direct
    filled = _at(s, cpu, "direct_lock", "vmemmap_lock", "go_on", "memmap_init", "online")
    return (
        direct.implies(i == s.direct[x])
        & later.implies((i == s.vmemmap[x]) & s.reference[s.direct[x]].is_some)
        & (filled | _walks(s, cpu)).implies(s.reference[i].is_some)
        & (~add_memory.idle(s, cpu)).implies(s.memory[x] == Memory.ADDING)
    )


@always
def memory_in_use_is_in_init_mm(s: Hotplug, x: Section) -> Bool:
    """init_mm has the entries of memory in use."""
    mapped = s.reference[s.direct[x]].is_some & s.reference[s.vmemmap[x]].is_some
    return (s.memory[x] == Memory.ONLINE).implies(mapped)


@step
def sections_go_round(old: Hotplug, new: Hotplug, x: Section) -> Bool:
    """Memory is added before it is used, and removed when nobody adds any."""
    a, b = old.memory[x], new.memory[x]
    begun = (a == Memory.ABSENT) & (b == Memory.ADDING)
    used = (a == Memory.ADDING) & (b == Memory.ONLINE)
    removed = (a == Memory.ONLINE) & (b == Memory.ABSENT) & ~old.mem_hotplug_lock.now
    return (a == b) | begun | used | removed


@step
def lists_change_under_pgd_lock(old: Hotplug, new: Hotplug, m: Mm, i: P4dSlot) -> Bool:
    """Nobody joins or leaves pgd_list while it is walked, and what is not on it is left alone."""
    moved = old.on_list[m] != new.on_list[m]
    gone = ~old.on_list[m] & ~new.on_list[m]
    same = old.copy[m, i] == new.copy[m, i]
    return moved.implies(~old.pgd_lock.now) & gone.implies(same)


@sometimes
def memory_was_added_for_a_process(s: Hotplug, cpu: Cpu, m: Mm, x: Section) -> Bool:
    """Memory is in use, and a process has been given its entries."""
    used = s.on_list[m] & (s.memory[x] == Memory.ONLINE) & ~s.mem_hotplug_lock.now
    return used & s.walk.visited[cpu, m] & (s.direct[x] != s.vmemmap[x])


@sometimes
def removed_memory_leaves_its_entry(s: Hotplug, m: Mm, i: P4dSlot, x: Section) -> Bool:
    """Memory is gone, or not used yet, and a process still has the entry, as has one that exited."""
    left = s.on_list[m] & s.copy[m, i].is_some & ~s.mem_hotplug_lock.now
    return left & (s.memory[x] == Memory.ABSENT) & (s.direct[x] == i)


@sometimes
def an_exited_process_keeps_its_entries(s: Hotplug, m: Mm, x: Section) -> Bool:
    """A process has left pgd_list, and its tables still map memory in use."""
    used = (s.memory[x] == Memory.ONLINE) & s.copy[m, s.direct[x]].is_some
    return ~s.on_list[m] & used


@sometimes
def a_direct_map_entry_is_pushed(s: Hotplug, cpu: Cpu, m: Mm) -> Bool:
    """The walk for the direct map has been to a process."""
    return _at(s, cpu, "direct_sync_one") & s.walk.visited[cpu, m]


@sometimes
def a_vmemmap_entry_is_pushed(s: Hotplug, cpu: Cpu, m: Mm) -> Bool:
    """The walk for vmemmap has been to a process."""
    return _at(s, cpu, "vmemmap_sync_one") & s.walk.visited[cpu, m]
