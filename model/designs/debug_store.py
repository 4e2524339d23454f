"""Debug-store buffers in cpu_entry_area, flushed everywhere and on one CPU."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import debug_store as op
from ..operations.debug_store import DebugStore

debug_store = Design(
    name="debug-store",
    state=DebugStore,
    init=op.boot,
    operations=[op.ds_update, op.fill_tlb, op.fill_user_tlb, op.flush_kernel_range],
    procedures=[op.ds_clear],
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
