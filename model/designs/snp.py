"""Conversion of pages of an SEV-SNP guest, in its own order and in that of TDX."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame
from ..operations import snp as op
from ..operations.enc_pgtable import fill_tlb, flush
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
