"""PCIDs under page table isolation."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..machine.tlb import Asid
from ..operations import pcid as op
from ..operations.pcid import Pcids

pcid_pti = Design(
    name="pcid-pti",
    state=Pcids,
    init=op.boot,
    operations=[
        op.map_page,
        op.fill_tlb,
        op.enter_kernel,
        op.return_to_user,
        op.flush_tlb_func,
    ],
    procedures=[op.switch_mm, op.unmap],
    scope={Mm: 2, Cpu: 2, Va: 1, Frame: 2, Asid: 2},
    doc="""PCIDs under page table isolation, as merged: identifiers with counts, requests to the CPUs in
the mask, and user PCIDs that the exit path flushes.""",
    source="arch/x86/mm/tlb.c and entry/calling.h of Linux 6.1",
)
