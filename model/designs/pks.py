"""Supervisor protection keys for persistent memory."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Task
from ..operations import pks as op
from ..operations.pks import Pks

pks = Design(
    name="pks",
    state=Pks,
    init=op.boot,
    operations=[
        op.switch_to,
        op.enter_exception,
        op.leave_exception,
        op.irq_kmap_local_page,
        op.irq_kunmap_local,
        op.pks_fault_relaxed,
    ],
    procedures=[op.kmap_local_page, op.kunmap_local],
    scope={Cpu: 1, Task: 2, Frame: 2},
    doc="""PKS protection of persistent memory with kmap_local_page() as the bracket, as posted in 2022,
except that interrupts have a count and a value of their own.""",
    source="""I. Weiny, PKS/PMEM stray write protection, V10 (19 April 2022); the count of interrupts is
what the invariant asks for and was not proposed""",
)

pks_shared_count = pks.replacing(
    op.irq_kmap_local_page,
    op.irq_kmap_in_the_threads_count,
    name="pks-shared-count",
    doc="pks, but interrupts count in the thread that they interrupt, as in the posted code (M-04).",
)
