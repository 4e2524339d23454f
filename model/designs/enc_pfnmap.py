"""User mappings of shared pages, and what changed their bit."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu
from ..operations import enc_pfnmap as op
from ..operations.enc_pfnmap import EncPfnMap, Vma

enc_pfnmap = Design(
    name="enc-pfnmap",
    state=EncPfnMap,
    init=op.boot,
    operations=[
        op.fill_tlb,
        op.mmap,
        op.insert_pfn,
        op.wp_page_copy_private,
        op.fork,
        op.munmap,
    ],
    procedures=[op.mprotect],
    scope={Cpu: 1, Vma: 2},
    doc="""mmap() of shared pages, fork() and mprotect() in guests, as merged: the bit is kept in
vm_page_prot and in the leaf; and copies of private mappings are private, which is not as merged.""",
    source="mm/mprotect.c, mm/memory.c and arch/x86/include/asm/pgtable.h of Linux 6.1.192",
)

enc_pfnmap_mprotect = enc_pfnmap.replacing(
    op.mprotect,
    op.mprotect_of_amd,
    name="enc-pfnmap-mprotect",
    doc="enc-pfnmap, but _PAGE_CHG_MASK has AMD's bit only (defect S-03).",
)

enc_pfnmap_fork = enc_pfnmap.replacing(
    op.fork,
    op.fork_by_rights,
    name="enc-pfnmap-fork",
    doc="enc-pfnmap, but fork() makes leaves of rights alone (S-03-fork).",
)

enc_pfnmap_plain = enc_pfnmap.replacing(
    op.mmap,
    op.mmap_private,
    name="enc-pfnmap-plain",
    doc="enc-pfnmap, but a driver maps shared pages without pgprot_decrypted() (S-03-driver).",
)

enc_pfnmap_copies = enc_pfnmap.replacing(
    op.wp_page_copy_private,
    op.wp_page_copy,
    name="enc-pfnmap-copies",
    doc="enc-pfnmap, with copies of private mappings as merged: they are mapped shared (S-03-copy).",
)
