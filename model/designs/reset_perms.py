"""vfree() of memory whose direct-map alias has other rights."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame
from ..operations import reset_perms as op
from ..operations.reset_perms import ResetPerms

reset_perms = Design(
    name="reset-perms",
    state=ResetPerms,
    init=op.boot,
    operations=[op.fill_tlb, op.vmalloc_exec, op.set_memory_ro, op.do_kernel_range_flush],
    procedures=[op.vfree],
    scope={Cpu: 2, Frame: 1},
    doc="""vfree() of memory with VM_FLUSH_RESET_PERMS, as merged: the aliases are invalid while the TLBs
are flushed, of them as well, and writable before the pages are free.""",
    source="vm_remove_mappings(), mm/vmalloc.c of Linux 6.1",
)

reset_perms_wrong_range = reset_perms.replacing(
    op.do_kernel_range_flush,
    op.flush_without_aliases,
    name="reset-perms-wrong-range",
    doc="reset-perms, but the aliases are not in the range that is flushed (defect V-12).",
)
