"""Conversion of pages of an SEV guest, on processors with coherent keys and without."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame
from ..operations import sev as op
from ..operations.enc_pgtable import fill_tlb, flush, free_pages
from ..operations.sev import Sev

sev = Design(
    name="sev",
    state=Sev,
    init=op.boot,
    operations=op.ALL,
    procedures=[op.set_memory],
    scope={Cpu: 1, Frame: 1},
    doc="""set_memory_encrypted() and set_memory_decrypted() of an SEV guest, as merged: TLBs and, on
processors without SME_COHERENT, caches are flushed before the C-bit changes, TLBs again after it.""",
    source="arch/x86/mm/mem_encrypt_amd.c and arch/x86/mm/pat/set_memory.c of Linux 6.1",
)

sev_without_clflush = sev.but(
    name="sev-without-clflush", operations=[fill_tlb, flush, op.store]
).replacing(
    op.set_memory,
    op.set_memory_without_clflush,
    name="sev-without-clflush",
    doc="sev without areas of vmap(), but caches are not flushed (S-06-clflush).",
)

sev_freed_shared = sev.replacing(
    free_pages,
    op.free_shared_pages,
    name="sev-freed-shared",
    doc="sev, but pages of .bss..decrypted are given back as they are (S-08-free).",
)

sev_one_round = sev.replacing(
    op.set_memory,
    op.set_memory_with_one_round,
    name="sev-one-round",
    doc="""sev, but coherent processors flush TLBs once, after the change, as nobody proposed: all that
is claimed here is proved of it too, so nothing here needs the first round for itself.""",
)
