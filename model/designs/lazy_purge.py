"""The lazy purge of unmapped ranges."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import lazy_purge as op
from ..operations.lazy_purge import LazyPurge

lazy_purge = Design(
    name="lazy-purge",
    state=LazyPurge,
    init=op.boot,
    operations=[op.vmap, op.fill_area_tlb, op.vunmap, op.do_kernel_range_flush],
    procedures=[op.purge],
    scope={Cpu: 2, Va: 2, Frame: 2},
    doc="""Lazy unmapping as merged: ranges are queued without a flush, and one flush of all that is
queued comes before any of them is free again.""",
    source="__purge_vmap_area_lazy(), mm/vmalloc.c of Linux 6.1",
)
