"""User mappings of device memory that goes away."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import pfnmap as op
from ..operations.pfnmap import PfnMap

pfnmap_flushed = Design(
    name="pfnmap-flushed",
    state=PfnMap,
    init=op.boot,
    operations=[op.allocate, op.mmap, op.fault, op.fill_tlb, op.flush_tlb_func],
    procedures=[op.munmap, op.unmap_mapping_range],
    scope={Cpu: 2, Va: 1, Frame: 2},
    doc="""Device memory in user mappings, as merged: the entries of a PFN mapping are flushed before the
mapping leaves i_mmap, where the driver looks for it.""",
    source="mm/mmu_gather.c and include/asm-generic/tlb.h: tlb_end_vma(); b67fbebd4cf9",
)

pfnmap_flushed_last = pfnmap_flushed.replacing(
    op.munmap,
    op.munmap_flushing_last,
    name="pfnmap-flushed-last",
    doc="pfnmap-flushed, but the mapping leaves i_mmap before the flush (defect T-03).",
)

pfnmap_flush_not_nested = pfnmap_flushed.replacing(
    op.unmap_mapping_range,
    op.unmap_mapping_range_alone,
    name="pfnmap-flush-not-nested",
    doc="""pfnmap-flushed, but whoever finds an entry cleared by another mmu_gather does not flush for it
(tlb_flush_pending, before mm_tlb_flush_nested()).""",
)
