"""PROT_NONE with its marker and without."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame, Va
from ..operations import protnone as op
from ..operations.protnone import Protected

protnone = Design(
    name="protnone",
    state=Protected,
    init=op.boot,
    operations=[op.map_page, op.protect, op.unprotect, op.unmap],
    scope={Va: 2, Frame: 2},
    doc="""PROT_NONE as in the kernels whose _PAGE_PROTNONE keeps bit 8 although KAISER takes G out of
the default flags.""",
    source="arch/x86/include/asm/pgtable_types.h of the later KAISER backports",
)

protnone_without_marker = protnone.replacing(
    op.protect,
    op.protect_without_marker,
    name="protnone-without-marker",
    doc="protnone, but the marker is 0, like the G that it is an alias of (defect K-12).",
)
