"""Page protections as wide as PTEs, and narrower."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame, Va
from ..operations import vma_protection as op
from ..operations.vma_protection import Protection

vma_protection = Design(
    name="vma-protection",
    state=Protection,
    init=op.boot,
    operations=[op.mmap, op.mprotect, op.handle_mm_fault, op.munmap],
    scope={Va: 2, Frame: 2},
    geometry="i386-pae",
    doc="""The protection of user pages, with page protections that are as wide as a PTE: the repair of
A-01, which is to keep the value in a pteval_t.""",
    source="arch/x86/mm/pgprot.c of Linux 6.1 with the type changed; not merged",
)

vma_protection_32_bits = (
    vma_protection.replacing(op.mmap, op.mmap_32_bits, name="")
    .replacing(
        op.mprotect,
        op.mprotect_32_bits,
        name="vma-protection-32-bits",
        doc="""vma-protection, but page protections go through an unsigned long of 32 bits, as on i386
with PAE (defect A-01).""",
    )
    .but(name="vma-protection-32-bits", source="arch/x86/mm/pgprot.c of Linux 6.1")
)
