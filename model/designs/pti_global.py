"""The global bit under page table isolation."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import Asid
from ..operations import kernel_pages as pages
from ..operations import pti_global as op
from ..operations.pti_global import Globals

pti_global = Design(
    name="pti-global",
    state=Globals,
    init=op.boot,
    operations=[
        pages.return_to_user,
        pages.enter_kernel,
        op.fill_tlb,
        op.map_kernel_page,
        op.clone,
        op.clone_tss,
        pages.cea_set_pte,
        op.flush_kernel_range,
    ],
    procedures=[pages.release],
    scope={Cpu: 2, Asid: 1, Va: 3, Frame: 2},
    doc="""The global bit under page table isolation, as merged: what both halves map may be global, and
nothing else.""",
    source="arch/x86/mm/pti.c and cpu_entry_area.c of Linux 6.1",
)

pti_global_invlpg = pti_global.replacing(
    op.flush_kernel_range,
    op.flush_kernel_range_not_global,
    name="pti-global-invlpg",
    doc="pti-global, but INVLPG leaves global entries while PCIDs are in use (defect T-08).",
)
