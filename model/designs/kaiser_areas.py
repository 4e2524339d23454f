"""What KAISER's callers put into the shadow, and the slips they made."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Va
from ..operations import kaiser_areas as op
from ..operations.kaiser_areas import Area, Areas

kaiser_areas = Design(
    name="kaiser-areas",
    state=Areas,
    init=op.boot,
    procedures=[op.create, op.destroy],
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
