"""Tables that are freed by mmu_gather."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, PmdSlot, Pte
from ..operations import gather as op
from ..operations.gather import Tables

mmu_gather = Design(
    name="mmu-gather",
    state=Tables,
    init=op.boot,
    operations=[
        op.populate,
        op.fill_pmd_cache,
        op.walk,
        op.end_walk,
        op.flush_tlb,
        op.answer_sync,
        op.pass_quiescent_state,
        op.free_after_grace_period,
    ],
    procedures=[op.free_pgtables],
    scope={Cpu: 2, PmdSlot: 1, Pte: 1},
    doc="""Table pages under mmu_gather, as merged: flushed before a batch is left to RCU, and before a
single table is freed behind an IPI when there is no memory for a batch.""",
    source="mm/mmu_gather.c of Linux 6.1 (MMU_GATHER_RCU_TABLE_FREE)",
)

mmu_gather_batch_not_flushed = mmu_gather.replacing(
    op.free_pgtables,
    op.free_without_batch_flush,
    name="mmu-gather-batch-not-flushed",
    doc="mmu-gather, but a batch of tables is left to RCU without a flush (defect T-04).",
)

mmu_gather_single_not_flushed = mmu_gather.replacing(
    op.free_pgtables,
    op.free_without_single_flush,
    name="mmu-gather-single-not-flushed",
    doc="mmu-gather, but a table without a batch is freed without a flush (defect T-05).",
)

mmu_gather_no_sync = mmu_gather.replacing(
    op.free_pgtables,
    op.free_without_sync,
    name="mmu-gather-no-sync",
    doc="mmu-gather, but nothing waits for lockless walkers of a table without a batch (as T-12).",
)
