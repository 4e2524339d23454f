"""Debug-store buffers in cpu_entry_area, flushed everywhere and on one CPU."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, Frame, Va
from ..operations import debug_store as op
from ..operations.debug_store import DebugStore, ds_clear


@always
def buffers_are_mapped_once(s: DebugStore, va: Va, other: Va) -> Bool:
    """A mapped page is not free, and is mapped once."""
    a, b = s.cea[va], s.cea[other]
    alone = (b.is_some & (a.value == b.value)).implies(va == other)
    return a.is_some.implies(~s.free[a.value] & alone)


@always
def buffers_under_way_wait(s: DebugStore, cpu: Cpu, by: Cpu, va: Va) -> Bool:
    """A page that is being released is neither mapped nor free, and one CPU is at it."""
    f = s.release.frame[cpu]
    alone = (~ds_clear.idle(s, by) & (s.release.frame[by] == f)).implies(by == cpu)
    mapped = s.cea[va].is_some & (s.cea[va].value == f)
    return (~ds_clear.idle(s, cpu)).implies(~s.free[f] & alone & ~mapped)


debug_store = Design(
    name="debug-store",
    state=DebugStore,
    init=op.boot,
    operations=[op.ds_update, op.fill_tlb, op.fill_user_tlb, op.flush_kernel_range],
    procedures=[op.ds_clear],
    lemmas=[buffers_are_mapped_once, buffers_under_way_wait],
    scope={Cpu: 2, Va: 1, Frame: 2},
    doc="""Debug-store buffers in cpu_entry_area, as repaired in 4.14.13: whoever changes an entry has it
flushed on every CPU before the page is used again.""",
    source="arch/x86/events/intel/ds.c of Linux 6.1: ds_update_cea(), ds_clear_cea()",
)

debug_store_local_flush = debug_store.replacing(
    op.ds_clear,
    op.ds_clear_locally,
    name="debug-store-local-flush",
    doc="debug-store, but only the CPU that changes an entry flushes it (defect P-14).",
)
