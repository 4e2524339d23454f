"""The LDT's slot and KASLR."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Mm, PgdSlot
from ..operations import layout as op
from ..operations.layout import Layout

layout_la57 = Design(
    name="layout-la57",
    state=Layout,
    init=op.boot,
    operations=[op.kernel_randomize_memory, op.map_ldt],
    assumptions=[op.the_ldt_slot_is_outside],
    scope={Mm: 1, PgdSlot: 3},
    geometry="x86-64-la57",
    doc="""5-level paging, as merged: the LDT's slot lies next to the guard hole, outside the range that
KASLR chooses from.""",
    source="d52888aa2753; pgtable_64_types.h of Linux 6.1",
)

layout_ldt_in_kaslr_range = layout_la57.replacing(
    op.map_ldt,
    op.map_ldt_in_kaslr_range,
    name="layout-ldt-in-kaslr-range",
    doc="layout-la57, but the LDT's slot lies inside that range (defect P-08).",
)
