"""Variables that are shared with the host, in pages of their own, and what else got into these."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame
from ..operations import bss_decrypted as op
from ..operations.bss_decrypted import BssDecrypted, Symbol

bss_decrypted = Design(
    name="bss-decrypted",
    state=BssDecrypted,
    init=op.boot,
    operations=[op.place, op.share_section],
    procedures=[op.mem_encrypt_free_decrypted_mem],
    scope={Symbol: 2, Frame: 2},
    doc=""".bss..decrypted of an SEV guest, as merged: pages that hold nothing else are shared, and those
that hold nothing are private before they are freed.""",
    source="arch/x86/kernel/vmlinux.lds.S and arch/x86/mm/mem_encrypt_amd.c of Linux 6.1.192",
)

bss_decrypted_unaligned = bss_decrypted.replacing(
    op.place,
    op.place_unaligned,
    name="bss-decrypted-unaligned",
    doc="bss-decrypted, but pages of the section may hold other variables (defect S-08).",
)

bss_decrypted_middle = bss_decrypted.replacing(
    op.mem_encrypt_free_decrypted_mem,
    op.free_from_the_middle_of_a_page,
    name="bss-decrypted-middle",
    doc="bss-decrypted, but the first page that is freed may hold variables (S-08-unused).",
)

bss_decrypted_freed_anyway = bss_decrypted.replacing(
    op.mem_encrypt_free_decrypted_mem,
    op.free_what_fails,
    name="bss-decrypted-freed-anyway",
    doc="bss-decrypted, but pages that could not be encrypted are freed (S-08-fails).",
)
