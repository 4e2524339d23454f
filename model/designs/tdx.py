"""Conversion of a TDX guest's pages, in the order that load_unaligned_zeropad() needs, and before."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame
from ..operations import tdx as op
from ..operations.enc_pgtable import alloc_pages, fill_tlb, flush
from ..operations.tdx import Tdx

tdx = Design(
    name="tdx",
    state=Tdx,
    init=op.boot,
    operations=op.ALL,
    procedures=[op.set_memory, op.load_unaligned_zeropad],
    scope={Cpu: 1, Frame: 1},
    doc="""set_memory_encrypted() and set_memory_decrypted() of a TDX guest, as merged: a page is
accepted before a leaf says that it is private, and the host may take it when none does.""",
    source="arch/x86/coco/tdx/tdx.c and arch/x86/mm/pat/set_memory.c of Linux 6.1",
)

tdx_converted_after = tdx.replacing(
    op.set_memory,
    op.set_memory_converting_after,
    name="tdx-converted-after",
    doc="tdx, but both ways the host is told after the leaves are changed (defect S-01).",
)

tdx_order_of_snp = tdx.replacing(
    op.set_memory,
    op.set_memory_in_the_order_of_snp,
    name="tdx-order-of-snp",
    doc="tdx in the order that SNP needs: told before to shared, after to private (S-01-order).",
)

tdx_zeropad_mmio = tdx.replacing(
    op.load_unaligned_zeropad,
    op.load_taken_for_mmio,
    name="tdx-zeropad-mmio",
    doc="tdx, but a #VE of a word that crosses pages is taken for MMIO (S-02-split).",
)

tdx_zeropad_without_address = tdx.replacing(
    op.load_unaligned_zeropad,
    op.load_without_address,
    name="tdx-zeropad-without-address",
    doc="tdx, but the fixup of a #VE is not told the address of the fault (defect S-02).",
)

tdx_without_purge = tdx.replacing(
    op.set_memory,
    op.set_memory_without_purge,
    name="tdx-without-purge",
    doc="tdx, but lazily unmapped areas are not flushed before (S-01-purge).",
)

tdx_one_flush = tdx.but(
    name="tdx-one-flush", operations=[fill_tlb, alloc_pages, flush, op.host_converts]
).replacing(
    op.set_memory,
    op.set_memory_without_second_flush,
    name="tdx-one-flush",
    doc="""tdx without areas of vmap(), but TLBs are not flushed again after the leaves are changed
(S-01-flush).""",
)

tdx_without_aliases = tdx.replacing(
    op.set_memory,
    op.set_memory_without_aliases,
    name="tdx-without-aliases",
    doc="tdx, but only the leaf that was given is changed (S-01-alias).",
)

tdx_one_round = tdx.replacing(
    op.set_memory,
    op.set_memory_with_one_round,
    name="tdx-one-round",
    doc="""tdx, but TLBs are flushed once, after the change, as nobody proposed: all that is claimed here
is proved of it too, so nothing here needs the first round for itself; what it does to caches, where the
host cannot flush private lines, is not in the model.""",
)
