"""User mappings of device memory that goes away."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import unmap_mapping as op
from ..operations.unmap_mapping import PfnMap

unmap_mapping = Design(
    name="unmap-mapping",
    state=PfnMap,
    init=op.boot,
    operations=[op.allocate, op.mmap, op.fault, op.fill_tlb, op.flush_tlb_func],
    procedures=[op.munmap, op.unmap_mapping_range],
    scope={Cpu: 2, Va: 1, Frame: 2},
    doc="""Device memory in user mappings, as merged: the entries of a PFN mapping are flushed before the
mapping leaves i_mmap, where the driver looks for it.""",
    source="mm/mmu_gather.c and include/asm-generic/tlb.h: tlb_end_vma(); b67fbebd4cf9",
)

unmap_mapping_flush_last = unmap_mapping.replacing(
    op.munmap,
    op.munmap_flushing_last,
    name="unmap-mapping-flush-last",
    doc="unmap-mapping, but the mapping leaves i_mmap before the flush (defect T-03).",
)

unmap_mapping_not_nested = unmap_mapping.replacing(
    op.unmap_mapping_range,
    op.unmap_mapping_range_alone,
    name="unmap-mapping-not-nested",
    doc="""unmap-mapping, but whoever finds an entry cleared by another mmu_gather does not flush for it
(tlb_flush_pending, before mm_tlb_flush_nested()).""",
)
