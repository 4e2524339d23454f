"""Slots of kmap() beside everything else that maps pages.

What it checks: a slot is used again only after every CPU has flushed it, so that its address leads to
the page that it was given for; a page is not freed while it has a slot in use.  Invariant 4 of temporary
mappings.
Why it matters: an entry of the slot's last user reads and writes a page that somebody else has now.
Kernel precedent: mm/highmem.c, flush_all_zero_pkmaps().
Smallest counterexample: none in the designs here; pkmap has slips of its own.
Not covered: counts of slots, waiters, the page's address; per-CPU slots (pkmap, kmap_local).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import DirectMap, Owner
from mapproof.model.operations.vmalloc import Area


@always
def slots_lead_to_their_page(s: DirectMap, cpu: Cpu, va: Va) -> Bool:
    """What a CPU has of a slot is what the slot was given for."""
    entry = s.area_tlb[cpu, va]
    return (s.pkmap[va] & entry.is_some).implies(entry == s.page[va])


@always
def pages_with_slots_are_not_free(s: DirectMap, va: Va, f: Frame) -> Bool:
    """A page with a slot in use is not the allocator's."""
    used = s.pkmap[va] & (s.area[va] == Area.BUSY) & (s.page[va] == some(f))
    return used.implies((s.owner[f] != Owner.FREE) & (s.owner[f] != Owner.ABSENT))


@sometimes
def an_entry_outlives_the_slot(s: DirectMap, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """A page is free, and a CPU still has it by a slot that nobody uses."""
    return s.pkmap[va] & (s.owner[f] == Owner.FREE) & (s.area_tlb[cpu, va] == some(f))
