"""Synchronisation inside flush_tlb_kernel_range(): an alternative to that of July 2019."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm, PmdSlot
from ..operations import flush_sync as op
from ..operations.flush_sync import FlushSync

flush_sync = Design(
    name="flush-sync",
    state=FlushSync,
    init=op.boot,
    operations=[
        op.fork,
        op.exit_mm,
        op.switch_mm,
        op.fill_tlb,
        op.ioremap,
        op.vmalloc_fault,
        op.iounmap,
        op.do_kernel_range_flush,
    ],
    procedures=[op.purge],
    scope={Cpu: 2, Mm: 2, PmdSlot: 1, Frame: 2},
    geometry="i386-pae",
    doc="""flush_tlb_kernel_range() pushes init_mm's entries to every process before it has the TLBs
flushed, wherever the range lies in the vmalloc area of a 32-bit kernel.  Nobody has merged this.""",
    source="A. Lutomirski, 18 July 2019, on 'mm/vmalloc: Sync unmappings in vunmap_page_range()'",
)

flush_sync_last = flush_sync.replacing(
    op.purge,
    op.purge_flushing_first,
    name="flush-sync-last",
    doc="flush-sync, but the TLBs are flushed first, and can be filled from a copy that is stale.",
)
