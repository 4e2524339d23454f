"""Kernel addresses under the PCIDs of page table isolation."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import Asid
from ..operations import kernel_pages as pages
from ..operations import pcid_kernel as op
from ..operations.pcid_kernel import KernelPcids

pcid_kernel = Design(
    name="pcid-kernel",
    state=KernelPcids,
    init=op.boot,
    operations=[
        pages.cea_set_pte,
        op.fill_tlb,
        pages.enter_kernel,
        pages.return_to_user,
        op.switch_mm,
        op.flush_kernel_range,
    ],
    procedures=[pages.release],
    scope={Cpu: 2, Asid: 2, Va: 1, Frame: 2},
    doc="""Flushes of kernel addresses under page table isolation, as merged: by INVLPG and INVPCID for
the identifier that is loaded, at their next use for the others.""",
    source="arch/x86/mm/tlb.c: flush_tlb_one_kernel() and clear_asid_other() of Linux 6.1",
)
