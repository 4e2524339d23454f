"""Populating a MAP_EXCLUSIVE area with one flush, and with one for each page."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm, Task, Va
from ..operations import map_exclusive_batch as op
from ..operations import secretmem as memory
from ..operations.map_exclusive_batch import PopulatedArea

map_exclusive_batched = Design(
    name="map-exclusive-batched",
    state=PopulatedArea,
    init=op.boot,
    operations=[
        memory.fill_tlb,
        memory.allocate,
        memory.write_data,
        memory.free_page,
        op.do_kernel_range_flush,
        op.user_write,
        op.zap_pte,
    ],
    procedures=[op.populate_batched],
    scope={Cpu: 1, Frame: 2, Mm: 1, Task: 1, Va: 2},
    doc="""MAP_EXCLUSIVE with a populate that takes all of its pages out of the direct map, flushes once,
and maps them then.""",
    source="a repair of '[PATCH RFC] mm: add MAP_EXCLUSIVE' (M. Rapoport, 27 October 2019), ours",
)

map_exclusive_each = map_exclusive_batched.replacing(
    op.populate_batched,
    op.populate_each,
    name="map-exclusive-each",
    doc="map-exclusive-batched, but every page is flushed by itself, as posted (defect D-10).",
)
