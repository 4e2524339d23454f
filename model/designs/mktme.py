"""MKTME as proposed in 2019, and what its flushes, its order and its counts are there against."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame
from ..operations import mktme as op
from ..operations.mktme import KeyId, Mktme, MktmeKept, Vma

mktme = Design(
    name="mktme",
    state=Mktme,
    init=op.boot,
    operations=op.OPERATIONS,
    procedures=[op.fault, op.zap],
    scope={KeyId: 2, Frame: 1, Vma: 1},
    doc="""MKTME as proposed, never merged: a page is flushed before its KeyID changes, a VMA has no page
when it gets another KeyID, a key is programmed when no VMA has it.""",
    source="[PATCH, RFC 00/62] Intel MKTME enabling, May 2019, and its update of July; never merged",
)

mktme_flushed_late = mktme.replacing(
    op.fault,
    op.fault_flushing_late,
    name="mktme-flushed-late",
    doc="mktme, but a page is flushed after its KeyID has changed (S-06-keyid).",
)

mktme_unflushed = mktme.replacing(
    op.fault,
    op.fault_without_flush,
    name="mktme-unflushed",
    doc="mktme, but a page for an encrypted VMA is not flushed (S-06-keyid-alloc).",
)

mktme_freed_unflushed = mktme.replacing(
    op.zap,
    op.zap_without_flush,
    name="mktme-freed-unflushed",
    doc="mktme, but an encrypted page that is freed is not flushed (S-06-keyid-free).",
)

mktme_in_place = mktme.replacing(
    op.encrypt_mprotect,
    op.encrypt_mprotect_in_place,
    name="mktme-in-place",
    doc="mktme, but a VMA that has a page gets another KeyID (S-06-keyid-alias).",
)

mktme_programmed_in_use = mktme.replacing(
    op.mktme_key_program,
    op.mktme_key_program_anytime,
    name="mktme-programmed-in-use",
    doc="mktme, but a key is programmed while VMAs have it (S-06-keyid-program).",
)

# As its second version was to have it: cheaper for encrypted pages, and what that takes.
mktme_kept = Design(
    name="mktme-kept",
    state=MktmeKept,
    init=op.boot,
    operations=[
        op.evict,
        op.alloc_pages_prepared,
        op.free_pages,
        op.kernel_store,
        op.user_store,
        op.store_by_direct_map,
        op.encrypt_mprotect,
        op.mktme_key_program_flushed,
    ],
    procedures=[op.fault, op.zap_keeping_keyid],
    scope={KeyId: 2, Frame: 1, Vma: 1},
    doc="""MKTME, where free pages keep their KeyID: whoever gets a page flushes it if its KeyID changes,
and a key is programmed after a flush of all caches.""",
    source="the cover letter of [PATCHv2 00/17] MKTME enabling, 2018, which wants to avoid flushes",
)

mktme_kept_unprepared = mktme_kept.replacing(
    op.alloc_pages_prepared,
    op.alloc_pages,
    name="mktme-kept-unprepared",
    doc="mktme-kept, but the kernel takes pages as they are (S-06-keyid-kernel).",
)

mktme_kept_programmed = mktme_kept.replacing(
    op.mktme_key_program_flushed,
    op.mktme_key_program,
    name="mktme-kept-programmed",
    doc="mktme-kept, but a key is programmed while free pages have lines of it (S-06-keyid-lines).",
)
