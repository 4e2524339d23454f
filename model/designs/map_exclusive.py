"""MAP_EXCLUSIVE as posted, and with every way that a page gets into the area covered."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm, Task, Va
from ..operations import map_exclusive as op
from ..operations import secretmem as memory
from ..operations.map_exclusive import Exclusive

OPERATIONS = (
    memory.fill_tlb,
    memory.allocate,
    memory.write_data,
    memory.free_page,
    op.do_kernel_range_flush,
    op.user_write,
)

map_exclusive = Design(
    name="map-exclusive",
    state=Exclusive,
    init=op.boot,
    operations=OPERATIONS,
    procedures=[op.populate, op.zap],
    scope={Cpu: 1, Frame: 2, Mm: 1, Task: 2, Va: 1},
    doc="""MAP_EXCLUSIVE with what its review asks for: every fault takes its page out of the direct map
before it maps it, and what is unmapped is zeroed before it is free.""",
    source="a repair of '[PATCH RFC] mm: add MAP_EXCLUSIVE' (M. Rapoport, 27 October 2019), ours",
)

ALONE = {Cpu: 1, Frame: 1, Mm: 1, Task: 1, Va: 1}

map_exclusive_mapped_first = map_exclusive.but(
    name="map-exclusive-mapped-first", scope=ALONE
).replacing(
    op.populate,
    op.populate_mapped,
    name="map-exclusive-mapped-first",
    doc="map-exclusive, but a page is mapped before it leaves the direct map (D-09-window).",
)

map_exclusive_migrates = map_exclusive.but(
    name="map-exclusive-migrates",
    operations=[*OPERATIONS, op.migrate_page],
    scope=ALONE | {Frame: 2},
    doc="map-exclusive, but its pages migrate as others do (D-09-migrate).",
)

map_exclusive_forks = map_exclusive.but(
    name="map-exclusive-forks",
    operations=[*OPERATIONS, op.fork],
    scope=ALONE | {Mm: 2},
    doc="map-exclusive, but fork() copies its entries (D-09-fork).",
)

map_exclusive_not_zeroed = map_exclusive.but(
    name="map-exclusive-not-zeroed", scope=ALONE
).replacing(
    op.zap,
    op.zap_without_zeroing,
    name="map-exclusive-not-zeroed",
    doc="map-exclusive, but a page is freed with what is in it (D-09-zero).",
)

map_exclusive_posted = map_exclusive_not_zeroed.but(
    name="map-exclusive-posted",
    operations=[*OPERATIONS, op.do_anonymous_page, op.migrate_page],
    procedures=[op.populate_mapped, op.zap_without_zeroing],
    doc="""MAP_EXCLUSIVE as posted: a populate takes the pages that it has mapped out of the direct map;
pages that get into the area otherwise stay (defect D-09); none is zeroed.""",
    source="'[PATCH RFC] mm: add MAP_EXCLUSIVE' (M. Rapoport, 27 October 2019)",
)
