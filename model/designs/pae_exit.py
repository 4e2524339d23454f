"""Exit and push on 32-bit PAE with unshared kernel PMDs."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Mm, Pmd
from ..operations import pae_exit as op
from ..operations.pae_exit import PaeExit

pae_exit = Design(
    name="pae-exit",
    state=PaeExit,
    init=op.boot,
    operations=[op.allocate, op.pgd_alloc],
    procedures=[op.pgd_free, op.arch_sync_kernel_mappings],
    scope={Cpu: 2, Mm: 2, Pmd: 3},
    geometry="i386-pae",
    doc="""A process leaves pgd_list before its kernel PMD page is unlinked and freed.  This is no
kernel's order: see pae-exit-leaves-last.""",
    source="derived from arch/x86/mm/pgtable.c",
)

pae_exit_leaves_last = pae_exit.replacing(
    op.pgd_free,
    op.pgd_free_leaving_last,
    name="pae-exit-leaves-last",
    doc="""pae-exit in the order of 6.1: the page is freed, then the process leaves pgd_list (hypothesis
V-16).""",
)
