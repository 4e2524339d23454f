"""Memory of devices with a linear mapping, and a failure that kept its range."""

from __future__ import annotations

from ..language import Design
from ..operations import devmap as op
from ..operations.devmap import Devmap
from ..operations.memtype import Mapper, Range, ranges_overlap_themselves

devmap = Design(
    name="devmap",
    state=Devmap,
    init=op.boot,
    operations=[op.mmap_mem, op.munmap],
    procedures=[op.memremap_pages, op.memunmap_pages],
    assumptions=[ranges_overlap_themselves],
    scope={Mapper: 2, Range: 1},
    doc="""memremap_pages() and memunmap_pages(), as merged: every way out gives the range back.""",
    source="mm/memremap.c of Linux 6.1",
)

devmap_without_untrack = devmap.replacing(
    op.memremap_pages,
    op.memremap_pages_without_untrack,
    name="devmap-without-untrack",
    doc="devmap, but a range that cannot be mapped stays reserved (defect C-06).",
)
