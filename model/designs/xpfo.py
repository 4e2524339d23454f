"""XPFO as posted, and with a page that leaves the direct map, and all TLBs, before a user has it."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Task
from ..operations import xpfo as op
from ..operations.xpfo import UserPages

xpfo_global = Design(
    name="xpfo-global",
    state=UserPages,
    init=op.boot,
    operations=[
        op.fill_tlb,
        op.do_kernel_range_flush,
        op.alloc_kernel_page,
        op.xpfo_free_page,
    ],
    procedures=[op.xpfo_alloc_page, op.xpfo_kmap, op.xpfo_kunmap],
    scope={Cpu: 2, Frame: 1, Task: 2},
    doc="""XPFO with two repairs: the allocator takes a user's page out of the direct map, and the last
kunmap() has every CPU flush.""",
    source="mm/xpfo.c of J. Haefliger's tree (2016 to 2017); no version was merged",
)

# Without a second CPU nothing is stale; one task shows it.
xpfo_kunmap_local = xpfo_global.but(
    name="xpfo-kunmap-local", scope={Cpu: 2, Frame: 1, Task: 1}
).replacing(
    op.xpfo_kunmap,
    op.xpfo_kunmap_posted,
    name="xpfo-kunmap-local",
    doc="xpfo-global, but kunmap() flushes the CPU that it runs on, as posted (defect D-07).",
)

xpfo_posted = xpfo_kunmap_local.but(
    name="xpfo-posted", scope={Cpu: 1, Frame: 1, Task: 1}
).replacing(
    op.xpfo_alloc_page,
    op.xpfo_alloc_page_posted,
    name="xpfo-posted",
    doc="""XPFO as posted: a page leaves the direct map with the first kunmap() only (defect D-08), which
flushes one CPU.""",
)
