"""The key of what is not the kernel's own memory, and which kinds of it were forgotten."""

from __future__ import annotations

from ..language import Design
from ..operations import enc_ioremap as op
from ..operations.enc_ioremap import EncIoremap, Range

enc_ioremap = Design(
    name="enc-ioremap",
    state=EncIoremap,
    init=op.boot,
    operations=op.OPERATIONS,
    scope={Range: 2},
    doc="""ioremap() and memremap() with SME and SEV, as merged, memremap_pages() and DAX as they would
have to be: whatever maps a range gives it the key that it was written with.""",
    source="arch/x86/mm/ioremap.c of Linux 6.1.192",
)

enc_ioremap_dax = enc_ioremap.replacing(
    op.memremap_pages,
    op.memremap_pages_with_key,
    name="enc-ioremap-dax",
    doc="enc-ioremap, but persistent memory is mapped with the key (defect S-05).",
)

enc_ioremap_pci = enc_ioremap.replacing(
    op.memremap_pages,
    op.memremap_pages_merged,
    name="enc-ioremap-pci",
    doc="enc-ioremap, with memremap_pages() as merged: memory of PCI devices has the key (S-05-pci).",
)

enc_ioremap_user = enc_ioremap.replacing(
    op.dax_fault,
    op.dax_fault_merged,
    name="enc-ioremap-user",
    doc="enc-ioremap, with DAX faults as merged: the user's leaf has the key (S-05-user).",
)

enc_ioremap_setup_data = enc_ioremap.replacing(
    op.memremap,
    op.memremap_without_header,
    name="enc-ioremap-setup-data",
    doc="enc-ioremap, but setup_data ends as far before its end as its header is long (defect S-09).",
)

enc_ioremap_reserved = enc_ioremap.replacing(
    op.ioremap,
    op.ioremap_reserved_without_key,
    name="enc-ioremap-reserved",
    doc="enc-ioremap, but what efi_mem_reserve() keeps is not known to be in memory (defect S-12).",
)
