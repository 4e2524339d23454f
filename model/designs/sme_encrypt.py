"""Encryption of the kernel in place, and what its flush and its buffer are there against."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame
from ..operations import sme_encrypt as op
from ..operations.sme_encrypt import Area, SmeEncrypt

sme_encrypt = Design(
    name="sme-encrypt",
    state=SmeEncrypt,
    init=op.boot,
    operations=[op.evict, op.fill_cache],
    procedures=[op.sme_encrypt_execute],
    assumptions=[op.areas_are_disjoint],
    scope={Area: 1, Frame: 1},
    doc="""sme_encrypt_kernel(), as merged: caches are written back once, then pages are copied to a
buffer and back with the key.""",
    source="arch/x86/mm/mem_encrypt_boot.S and mem_encrypt_identity.c of Linux 6.1.192",
)

sme_encrypt_unflushed = sme_encrypt.replacing(
    op.sme_encrypt_execute,
    op.execute_without_wbinvd,
    name="sme-encrypt-unflushed",
    doc="sme-encrypt, but lines of the boot loader are not written back before (S-06-wbinvd).",
)

sme_encrypt_unbuffered = sme_encrypt.replacing(
    op.sme_encrypt_execute,
    op.execute_without_buffer,
    name="sme-encrypt-unbuffered",
    doc="sme-encrypt, but words are copied one by one, without a buffer (S-06-buffer).",
)
