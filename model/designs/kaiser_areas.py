"""What KAISER's callers put into the shadow, and the slips they made."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, Va
from ..operations import kaiser_areas as op
from ..operations.kaiser_areas import Area, Areas, create, destroy


@always
def areas_under_way_have_one_cpu(s: Areas, cpu: Cpu, by: Cpu) -> Bool:
    """An area that is set up or released is allocated, not in use, and one CPU is at it."""
    adding, removing = ~create.idle(s, cpu), ~destroy.idle(s, cpu)
    a, b = s.add.area[cpu], s.remove.area[cpu]
    mine = adding.implies(s.allocated[a] & ~s.used[a]) & removing.implies(
        s.allocated[b] & ~s.used[b]
    )
    alone = (
        (adding & ~create.idle(s, by) & (s.add.area[by] == a)).implies(by == cpu)
        & (removing & ~destroy.idle(s, by) & (s.remove.area[by] == b)).implies(by == cpu)
        & ~(adding & ~destroy.idle(s, by) & (s.remove.area[by] == a))
    )
    return mine & alone


@always
def areas_in_use_are_allocated(s: Areas, a: Area) -> Bool:
    """An area in use is allocated."""
    return s.used[a].implies(s.allocated[a])


kaiser_areas = Design(
    name="kaiser-areas",
    state=Areas,
    init=op.boot,
    procedures=[op.create, op.destroy],
    lemmas=[areas_under_way_have_one_cpu, areas_in_use_are_allocated],
    scope={Cpu: 1, Area: 2, Va: 5},
    doc="""Stacks, LDTs and debug stores in KAISER's shadow: what is touched there is mapped before it is
used, and nothing else.""",
    source="arch/x86/mm/kaiser.c, arch/x86/kernel/ldt.c and events/intel/ds.c of the KAISER backports",
)

kaiser_areas_whole = kaiser_areas.replacing(
    op.create,
    op.create_whole,
    name="kaiser-areas-whole",
    doc="kaiser-areas, but all of a thread's stack is mapped (defect K-13).",
)

kaiser_areas_unmapped = kaiser_areas.replacing(
    op.create,
    op.create_unmapped,
    name="kaiser-areas-unmapped",
    doc="kaiser-areas, but the debug store is used without being mapped (defect K-10).",
)

kaiser_areas_without_undo = kaiser_areas.replacing(
    op.create,
    op.create_without_undo,
    name="kaiser-areas-without-undo",
    doc="kaiser-areas, but what was mapped before a failure stays (K-05, a reading of the code).",
)
