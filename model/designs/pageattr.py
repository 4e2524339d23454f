"""set_memory_*() of pages of RAM, and what CPA was before it flushed every alias."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import pageattr as op
from ..operations.pageattr import PageAttr

pageattr = Design(
    name="pageattr",
    state=PageAttr,
    init=op.boot,
    operations=[
        op.fill_tlb,
        op.fill_cache,
        op.vmap,
        op.vunmap,
        op.purge_at_once,
        op.fill_area_tlb,
        op.fill_cache_by_area,
        op.remap_pfn_range,
        op.munmap,
        op.flush,
    ],
    procedures=[op.set_memory],
    scope={Cpu: 1, Frame: 1, Va: 1},
    doc="""set_memory_uc(), set_memory_wc() and set_memory_wb(), as merged: the page is marked, lazily
unmapped areas are flushed, every leaf is changed, then TLBs are flushed, then caches.""",
    source="arch/x86/mm/pat/set_memory.c of Linux 6.1; ab5130186d74",
)

pageattr_primary_flush = pageattr.replacing(
    op.flush,
    op.flush_primary_only,
    name="pageattr-primary-flush",
    doc="pageattr, but only the addresses that CPA was given are flushed (defect C-01).",
)

pageattr_user_as_asked = pageattr.replacing(
    op.remap_pfn_range,
    op.remap_pfn_range_as_asked,
    name="pageattr-user-as-asked",
    doc="pageattr, but a process gets the type that the driver asks for (defect C-00).",
)


pageattr_without_purge = pageattr.replacing(
    op.set_memory,
    op.set_memory_without_purge,
    name="pageattr-without-purge",
    doc="pageattr, but lazily unmapped areas are not flushed before (C-01-purge).",
)

pageattr_caches_first = pageattr.replacing(
    op.set_memory,
    op.set_memory_caches_first,
    name="pageattr-caches-first",
    doc="pageattr, but the caches are flushed before the TLBs (C-01-order).",
)
