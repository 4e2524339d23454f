"""Flushes that are put off."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import batched as op
from ..operations.batched import Batched

batched_flush = Design(
    name="batched-flush",
    state=Batched,
    init=op.boot,
    operations=[op.map_page, op.fill_tlb, op.flush_for_reclaim, op.flush_for_munmap],
    procedures=[op.shrink_folio_list, op.munmap],
    scope={Cpu: 2, Va: 1, Frame: 2},
    doc="""Batched flushes of reclaim, as merged: pages are freed after the flush, and whoever changes a
mapping for a user flushes what is pending first.""",
    source="mm/rmap.c and mm/vmscan.c of Linux 6.1; 3ea277194daa (from memory)",
)

batched_flush_not_seen = batched_flush.replacing(
    op.munmap,
    op.munmap_of_present_only,
    name="batched-flush-not-seen",
    doc="batched-flush, but munmap() does not look for a pending flush (defect T-11).",
)

batched_flush_after_free = batched_flush.replacing(
    op.shrink_folio_list,
    op.shrink_freeing_first,
    name="batched-flush-after-free",
    doc="batched-flush, but pages are freed before the flush that was put off (defect T-14).",
)
