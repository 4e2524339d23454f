"""The LDT under page table isolation."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm
from ..operations import ldt as op
from ..operations.ldt import Ldt

ldt_pti = Design(
    name="ldt-pti",
    state=Ldt,
    init=op.boot,
    operations=[
        op.switch_mm,
        op.switch_ldt,
        op.fill_tlb,
        op.flush_ldt,
        op.flush_tlb,
        op.fork,
        op.fork_without_ldt,
        op.exit_mm,
    ],
    procedures=[op.write_ldt],
    scope={Cpu: 2, Mm: 2, Frame: 3},
    doc="""The LDT under page table isolation, as merged: two slots for each process, and the old LDT is
unmapped only when every CPU has loaded the new one.""",
    source="arch/x86/kernel/ldt.c of Linux 6.1",
)
