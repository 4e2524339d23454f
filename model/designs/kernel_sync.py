"""Push and pull on 32-bit kernels whose processes have copies of PMD entries."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Mm, PmdSlot, PteSlot
from ..operations import kernel_sync as op
from ..operations.kernel_sync import Below, KernelSync

kernel_sync_pae = Design(
    name="kernel-sync-pae",
    state=KernelSync,
    init=op.boot,
    operations=[op.fork, op.exit_mm, op.vunmap],
    procedures=[op.vmap_range, op.ioremap_large, op.iounmap_large, op.vmalloc_fault],
    scope={Cpu: 2, Mm: 2, PmdSlot: 1, PteSlot: 2, Below: 2},
    geometry="i386-pae",
    doc="""32-bit PAE with page table isolation since 5.8: whoever changes a PMD entry of init_mm pushes
the change before it returns, and a fault pulls in what was returned before that.""",
    source="arch/x86/mm/fault.c and mm/vmalloc.c of Linux 6.1",
)

kernel_sync_2_level = kernel_sync_pae.but(
    name="kernel-sync-2-level",
    geometry="i386",
    doc="""32-bit without PAE: the PMD is folded into the PGD, of which every process has its own, so
that the same is pushed and pulled there.""",
)

kernel_sync_error_path = kernel_sync_pae.replacing(
    op.vmap_range,
    op.vmap_range_skipping,
    name="kernel-sync-error-path",
    doc="kernel-sync-pae, but a call that fails returns without the push (defect V-06).",
)

kernel_sync_push_only = kernel_sync_pae.replacing(
    op.vmalloc_fault,
    op.vmalloc_fault_unhandled,
    name="kernel-sync-push-only",
    doc="""kernel-sync-pae without vmalloc_fault(): who finds an entry filled has nothing to push, and
returns before the one who filled it has pushed (defect V-19).""",
)
