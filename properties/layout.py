"""Regions of kernel addresses.

What it checks: the slot of a process's LDT is none that KASLR has placed a region in.
Why it matters: write_ldt() would write page tables into the middle of the direct map, and each process
would have another one.
Kernel precedent: d52888aa2753 (the LDT moved next to the guard hole).
Smallest counterexample: place a region, map an LDT (layout-ldt-in-kaslr-range).
Not covered: sizes of regions, 4-level paging, where the range begins and ends (test_geometry has it).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Mm, PgdSlot
from mapproof.model.operations.layout import Layout


@always
def the_ldt_is_in_no_other_region(s: Layout, m: Mm) -> Bool:
    """No region that KASLR has placed has the slot of an LDT."""
    slot = s.ldt_at[m]
    return slot.is_some.implies(~s.region[slot.value])


@step
def regions_stay_where_they_are(old: Layout, new: Layout, m: Mm, i: PgdSlot) -> Bool:
    """Once a process has an LDT, no region is placed any more."""
    return old.ldt_at[m].is_some.implies(new.region[i] == old.region[i])


@sometimes
def a_process_has_an_ldt_beside_a_region(s: Layout, m: Mm, i: PgdSlot) -> Bool:
    """A process has an LDT and a region is placed."""
    return s.ldt_at[m].is_some & s.region[i]
