"""Conversion of pages of an SEV-SNP guest, in its own order and in that of TDX."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame
from ..operations import snp as op
from ..operations.enc_pgtable import alloc_pages, fill_tlb, flush
from ..operations.snp import Snp

snp = Design(
    name="snp",
    state=Snp,
    init=op.boot,
    operations=op.ALL,
    procedures=[op.set_memory],
    scope={Cpu: 1, Frame: 1},
    doc="""set_memory_encrypted() and set_memory_decrypted() of an SEV-SNP guest, as merged: the
validation of a page is taken back before a leaf says that it is shared, and made when none does.""",
    source="arch/x86/mm/mem_encrypt_amd.c and arch/x86/kernel/sev.c of Linux 6.1",
)

snp_order_of_tdx = snp.but(
    name="snp-order-of-tdx", operations=[fill_tlb, flush, op.rmpupdate]
).replacing(
    op.set_memory,
    op.set_memory_in_the_order_of_tdx,
    name="snp-order-of-tdx",
    doc="""snp without areas of vmap() in the order that TDX needs: validated before leaves are private,
asked after they are shared (S-10-order).""",
)

snp_one_round = snp.replacing(
    op.set_memory,
    op.set_memory_with_one_round,
    name="snp-one-round",
    doc="""snp, but TLBs are flushed once, after the change, as nobody proposed: all that is claimed here
is proved of it too, so nothing here needs the first round for itself.""",
)

snp_one_flush = snp.but(
    name="snp-one-flush", operations=[fill_tlb, alloc_pages, flush, op.rmpupdate]
).replacing(
    op.set_memory,
    op.set_memory_without_second_flush,
    name="snp-one-flush",
    doc="""snp without areas of vmap(), but TLBs are not flushed again after the leaves are changed
(S-10-flush).""",
)
