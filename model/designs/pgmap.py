"""Keys of persistent memory in the direct map."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame
from ..operations import pgmap as op
from ..operations.pgmap import Pgmap

pgmap = Design(
    name="pgmap",
    state=Pgmap,
    init=op.boot,
    operations=[
        op.memremap_protected,
        op.memremap_pages,
        op.flush_kernel_range,
        op.fill_tlb,
        op.change_thread,
        op.stray_write,
    ],
    procedures=[op.memunmap_pages],
    scope={Cpu: 2, Frame: 1},
    doc="""Persistent memory in the direct map with a key in its leaves, from memremap_pages() to
memunmap_pages(), and writes that go astray.""",
    source="I. Weiny, PKS/PMEM stray write protection, V10 (19 April 2022)",
)

pgmap_key_added = pgmap.but(
    name="pgmap-key-added",
    operations=[*pgmap.operations, op.add_protection],
    doc="pgmap, but a range in use may get the key, without a flush.",
)
