"""exec() against the end of a process."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Mm
from ..operations import exec_mm as op
from ..operations.exec_mm import Tasks

exec_irqs_off = Design(
    name="exec-irqs-off",
    state=Tasks,
    init=op.boot,
    operations=[op.enter_lazy_tlb, op.switch_mm, op.exit_flush_lazy_tlb],
    procedures=[op.exec_mmap, op.exit_mmap],
    scope={Mm: 3, Cpu: 2},
    doc="""exec() as merged: interrupts are off from the change of current->mm to that of CR3, so that
whoever asks a lazy CPU to leave a process is not told that it already has.""",
    source="fs/exec.c of Linux 6.1; d53c3dfb23c4 (hash from memory)",
)

exec_irqs_on = exec_irqs_off.replacing(
    op.exit_flush_lazy_tlb,
    op.exit_flush_lazy_tlb_anytime,
    name="exec-irqs-on",
    doc="exec-irqs-off, but interrupts come through in the middle of exec() (defect T-09).",
)
