"""User mappings of ranges that are not RAM, and what fork() and munmap() made of their reservations."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu
from ..operations import pfnmap as op
from ..operations.memtype import Mapper, Range, ranges_overlap_themselves
from ..operations.pfnmap import PfnMap

pfnmap = Design(
    name="pfnmap",
    state=PfnMap,
    init=op.boot,
    operations=[op.fill_tlb, op.copy_on_write, op.mprotect],
    procedures=[op.remap_pfn_range, op.copy_page_range, op.munmap],
    assumptions=[ranges_overlap_themselves],
    scope={Cpu: 1, Mapper: 2, Range: 1},
    doc="""remap_pfn_range(), fork(), mprotect() and munmap() of device memory, as merged: every VMA has
a reservation of its own, and gives it back whatever its first page has become.""",
    source="arch/x86/mm/pat/memtype.c and mm/memory.c of Linux 6.1.192",
)

pfnmap_first_page = pfnmap.replacing(
    op.munmap,
    op.munmap_by_first_page,
    name="pfnmap-first-page",
    doc="pfnmap, but munmap() believes the entry of the first page (defect C-05).",
)

pfnmap_failed_fork = pfnmap.replacing(
    op.copy_page_range,
    op.copy_page_range_without_undo,
    name="pfnmap-failed-fork",
    doc="pfnmap, but a fork() that fails keeps the child's reservation (defect C-05-fork).",
)

pfnmap_mprotect_type = pfnmap.replacing(
    op.mprotect,
    op.mprotect_with_type,
    name="pfnmap-mprotect-type",
    doc="pfnmap, but mprotect() sets the memory type as well (C-05-mprotect).",
)
