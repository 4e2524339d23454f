"""The window of kmap() on 32-bit kernels."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Task
from ..operations import pkmap as op
from ..operations.pkmap import Pkmap, Pkmaps

pkmap = Design(
    name="pkmap",
    state=Pkmaps,
    init=op.boot,
    operations=[op.fill_tlb, op.flush_kernel_range, op.kunmap_high],
    procedures=[op.kmap_high, op.flush_unused],
    scope={Cpu: 2, Task: 2, Pkmap: 2, Frame: 3},
    geometry="i386-pae",
    doc="""kmap() of highmem pages, as merged: slots with counts, given up together with one flush of
all CPUs.""",
    source="mm/highmem.c of Linux 6.1",
)

pkmap_another_page = pkmap.replacing(
    op.kunmap_high,
    op.kunmap_high_of_another_page,
    name="pkmap-another-page",
    doc="pkmap, but kunmap() is called with a page that was not mapped by its caller (defect M-08).",
)

pkmap_unflushed = pkmap.but(
    name="pkmap-unflushed", scope={Cpu: 1, Task: 1, Pkmap: 1, Frame: 1}
).replacing(
    op.flush_kernel_range,
    op.nothing_is_flushed,
    name="pkmap-unflushed",
    doc="pkmap, but slots that are given up are not flushed (M-11).",
)
