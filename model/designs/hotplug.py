"""Top-level entries that memory hotplug adds on x86-64."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Mm, P4dSlot, Pud
from ..operations import hotplug as op
from ..operations.hotplug import Hotplug, Section

hotplug_x86_64 = Design(
    name="hotplug-x86-64",
    state=Hotplug,
    init=op.boot,
    operations=[op.fork, op.exit_mm, op.remove_memory],
    procedures=[op.add_memory],
    assumptions=[op.sections_lie_in_the_direct_map],
    scope={Cpu: 2, Mm: 2, P4dSlot: 2, Pud: 2, Section: 2},
    doc="""Memory hotplug as merged: whoever fills a top-level entry pushes it to every process before it
goes on, whichever region the entry is of.""",
    source="6659d0279980; arch/x86/mm/init_64.c and mm/sparse-vmemmap.c of Linux 6.1.192",
)

hotplug_compound_pages = hotplug_x86_64.replacing(
    op.add_memory,
    op.add_memory_compound_pages,
    name="hotplug-compound-pages",
    doc="hotplug-x86-64, but what fills vmemmap for compound pages pushes nothing (defect V-07).",
)
