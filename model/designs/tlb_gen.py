"""Generations of the TLB, and what each check of them is there against."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..machine.tlb import Asid
from ..operations import tlb_gen as op
from ..operations import tlb_gen_cpu as cpu
from ..operations.tlb_gen import TlbGen

tlb_gen = Design(
    name="tlb-gen",
    state=TlbGen,
    init=op.boot,
    operations=[
        op.map_page,
        op.fill_tlb,
        cpu.enter_lazy_tlb,
        cpu.flush_tlb_func,
        cpu.leave_mm,
    ],
    procedures=[cpu.switch_mm, op.munmap, op.reclaim],
    scope={Mm: 3, Cpu: 2, Va: 1, Frame: 1, Asid: 2},
    doc="""Generations of the TLB, as merged: flushes are counted before they are asked for, and each
CPU flushes what its identifier's count lacks, when it is asked or when it loads the process.""",
    source="arch/x86/mm/tlb.c of Linux 6.1.192",
)

tlb_gen_in_part = tlb_gen.but(
    name="tlb-gen-in-part", scope={Mm: 2, Cpu: 2, Va: 2, Frame: 2, Asid: 2}
).replacing(
    cpu.flush_tlb_func,
    cpu.flush_in_part,
    name="tlb-gen-in-part",
    doc="tlb-gen, but a CPU flushes one page though it is further behind (T-15, not history).",
)

tlb_gen_batch_ignored = tlb_gen.replacing(
    cpu.flush_tlb_func,
    cpu.flush_by_count_only,
    name="tlb-gen-batch-ignored",
    doc="tlb-gen, but a request without a count is taken for one that was met (defect T-16).",
)

tlb_gen_without_switching = tlb_gen.replacing(
    cpu.switch_mm,
    cpu.switch_without_indicating,
    name="tlb-gen-without-switching",
    doc="tlb-gen, but loaded_mm is the process before while CR3 changes (defect T-17).",
)

tlb_gen_switching_late = tlb_gen.replacing(
    cpu.switch_mm,
    cpu.switch_indicating_late,
    name="tlb-gen-switching-late",
    doc="tlb-gen, but that CR3 changes is said after the count was read (defect T-18).",
)

tlb_gen_asked_first = tlb_gen.replacing(
    op.munmap,
    op.munmap_counting_last,
    name="tlb-gen-asked-first",
    doc="tlb-gen, but CPUs are asked before the flush is counted (T-15-order, not history).",
)

tlb_gen_read_after_cr3 = tlb_gen.replacing(
    cpu.switch_mm,
    cpu.switch_reading_after_cr3,
    name="tlb-gen-read-after-cr3",
    doc="tlb-gen, but the count is read when CR3 has been loaded (T-15-read, not history).",
)

tlb_gen_lazy_until_read = tlb_gen.replacing(
    cpu.switch_mm,
    cpu.switch_lazy_until_read,
    name="tlb-gen-lazy-until-read",
    doc="tlb-gen, but a CPU is lazy until it has read the count (T-15-lazy, not history).",
)
