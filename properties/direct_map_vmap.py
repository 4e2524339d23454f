"""vmap areas beside everything else that maps pages.

What it checks: an area is used again only after every CPU has flushed it, so that an address leads to
the page that it was made for.
Why it matters: an entry of the area's last user reads and writes a page that somebody else has now.
Kernel precedent: db64fe02258f ("mm: rewrite vmap layer").
Smallest counterexample: none in the designs here.
Not covered: the pages of the areas themselves, blocks, huge pages (vmap_blocks, huge_vmap).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import DirectMap, Owner
from mapproof.model.operations.vmalloc import Area


@always
def areas_in_use_lead_to_their_page(s: DirectMap, cpu: Cpu, va: Va) -> Bool:
    """What a CPU has of an area in use is what was mapped."""
    used = (s.area[va] == Area.BUSY) & ~s.pkmap[va] & s.area_tlb[cpu, va].is_some
    return used.implies(s.area_tlb[cpu, va] == s.page[va])


@always
def pages_in_areas_are_not_given_away(s: DirectMap, va: Va, f: Frame) -> Bool:
    """A page that is in an area in use is its driver's."""
    used = (s.area[va] == Area.BUSY) & ~s.pkmap[va] & s.page[va].is_some & (s.page[va].value == f)
    return used.implies((s.owner[f] == Owner.KERNEL) | (s.owner[f] == Owner.DEVICE))


@sometimes
def an_entry_outlives_the_area(s: DirectMap, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """A page is free, and a CPU still has it by an area that was unmapped."""
    freed = (s.owner[f] == Owner.FREE) & s.area_tlb[cpu, va].is_some
    return freed & (s.area_tlb[cpu, va].value == f) & ~s.pkmap[va]
