"""Single pages of the direct map, and what the order of a split is there against."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, PmdSlot, PudSlot
from ..operations import direct_map_split as op
from ..operations.direct_map_split import DirectMapLeaves

direct_map_split = Design(
    name="direct-map-split",
    state=DirectMapLeaves,
    init=op.boot,
    operations=[
        op.fill_tlb_1g,
        op.fill_tlb_2m,
        op.fill_tlb_4k,
        op.preserve_large_page,
        op.preserve_huge_page,
        op.flush,
    ],
    procedures=[op.change_page_attr],
    scope={Cpu: 2, PudSlot: 1, PmdSlot: 1, Frame: 2},
    doc="""set_direct_map_invalid_noflush(), set_direct_map_default_noflush() and set_memory_ro() of one
page, as merged: leaves are demoted one level at a time, each with a flush before the next.""",
    source="arch/x86/mm/pat/set_memory.c of Linux 6.1.192",
)

ALONE = {Cpu: 1, PudSlot: 1, PmdSlot: 1, Frame: 1}

direct_map_split_unflushed = direct_map_split.but(
    name="direct-map-split-unflushed", scope=ALONE
).replacing(
    op.change_page_attr,
    op.change_page_attr_unflushed,
    name="direct-map-split-unflushed",
    doc="direct-map-split, but a small leaf is changed before the large one is flushed (D-20).",
)

direct_map_split_once = direct_map_split.replacing(
    op.change_page_attr,
    op.change_page_attr_once,
    name="direct-map-split-once",
    doc="direct-map-split, but nobody looks whether the leaf is still there (D-21).",
)

direct_map_split_usual = direct_map_split.but(
    name="direct-map-split-usual", scope=ALONE | {Frame: 2}
).replacing(
    op.change_page_attr,
    op.change_page_attr_usual,
    name="direct-map-split-usual",
    doc="direct-map-split, but the table has the usual rights, not those of the leaf (D-22).",
)

direct_map_split_not_inverted = direct_map_split.but(
    name="direct-map-split-not-inverted", scope=ALONE
).replacing(
    op.change_page_attr,
    op.change_page_attr_not_inverted,
    name="direct-map-split-not-inverted",
    doc="direct-map-split, but a leaf that is not present keeps its PFN (defect D-11).",
)
