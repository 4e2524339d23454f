"""DMA buffers of guests, and what went wrong with their sizes and failures."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame
from ..operations import dma_direct as op
from ..operations.dma_direct import Buffer, DmaDirect

dma_direct = Design(
    name="dma-direct",
    state=DmaDirect,
    init=op.boot,
    operations=[op.alloc_pages, op.free_pages, op.set_memory_wc, op.set_memory_wb],
    procedures=[op.dma_direct_alloc, op.dma_direct_free],
    assumptions=[op.buffers_start_within, op.buffers_fit_into_their_block],
    scope={Buffer: 1, Frame: 2},
    doc="""dma_direct_alloc() and dma_direct_free() in a guest, as merged: exactly the pages of a buffer
are shared while a driver has it, and a buffer whose conversion failed is leaked.""",
    source="kernel/dma/direct.c of Linux 6.1.192",
)

dma_direct_rounded_up = dma_direct.replacing(
    op.dma_direct_alloc,
    op.alloc_rounding_up,
    name="dma-direct-rounded-up",
    doc="dma-direct, but a power of two of pages is decrypted (defect S-11).",
)

dma_direct_wrong_size = dma_direct.replacing(
    op.dma_direct_free,
    op.free_by_number_of_pages,
    name="dma-direct-wrong-size",
    doc="dma-direct, but the number of pages is taken for a size when they are encrypted (S-11-size).",
)

dma_direct_freed_on_failure = dma_direct.replacing(
    op.dma_direct_alloc,
    op.alloc_freeing_on_failure,
    name="dma-direct-freed-on-failure",
    doc="dma-direct, but pages that could not all be decrypted are freed (S-11-leak).",
)

dma_direct_freed_anyway = dma_direct.replacing(
    op.dma_direct_free,
    op.free_on_failure,
    name="dma-direct-freed-anyway",
    doc="dma-direct, but pages that could not all be encrypted are freed (S-11-free).",
)

dma_direct_freed_wc = dma_direct.replacing(
    op.dma_direct_free,
    op.free_write_combining,
    name="dma-direct-freed-wc",
    doc="dma-direct, but a driver frees a buffer as it is, write-combining (S-11-type).",
)
