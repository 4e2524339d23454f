"""Local mappings of highmem pages on 32-bit kernels."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Task
from ..operations import kmap_local as op
from ..operations.kmap_local import KmapNested, KmapThreads, KmIdx

OPERATIONS = (
    op.fill_tlb,
    op.kmap_local,
    op.kmap_atomic,
    op.kunmap_local,
    op.enter_irq,
    op.leave_irq,
    op.dup_task_struct,
    op.kmap_local_fork,
)

kmap_local = Design(
    name="kmap-local",
    state=KmapNested,
    init=op.boot,
    operations=OPERATIONS,
    procedures=[op.context_switch],
    assumptions=[op.depths_are_ordered],
    scope={Cpu: 1, Task: 2, KmIdx: 3, Frame: 2},
    geometry="i386-pae",
    doc="""kmap_local_page() and kmap_atomic() of highmem pages, as merged: slots per CPU, a stack per
thread, and a context switch that takes mappings out and puts them back.""",
    source="mm/highmem.c of Linux 6.1",
)

kmap_local_any_order = kmap_local.replacing(
    op.kunmap_local,
    op.kunmap_local_in_any_order,
    name="kmap-local-any-order",
    doc="kmap-local, but nested mappings are unmapped in any order.",
)

kmap_local_threads = Design(
    name="kmap-local-threads",
    state=KmapThreads,
    init=op.boot,
    operations=[*OPERATIONS, op.migrate, op.exit_thread],
    procedures=[op.context_switch],
    assumptions=[op.depths_are_ordered],
    scope={Cpu: 2, Task: 3, KmIdx: 2, Frame: 1},
    geometry=kmap_local.geometry,
    doc="kmap-local on several CPUs, between which threads migrate; threads exit as well.",
    source=kmap_local.source,
)

kmap_local_migration = kmap_local_threads.replacing(
    op.migrate,
    op.migrate_always,
    name="kmap-local-migration",
    doc="kmap-local-threads, but a thread with mappings may move to another CPU.",
)
