"""Splits of large pages for a conversion, with tables and neighbours as they have to be, and not."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame
from ..operations import enc_split as op
from ..operations.enc_split import EncSplit, LargePage

enc_split = Design(
    name="enc-split",
    state=EncSplit,
    init=op.boot,
    operations=[op.alloc_pages, op.free_pages],
    procedures=[op.set_memory_enc],
    assumptions=[op.large_pages_are_disjoint, op.large_pages_are_shared_as_a_whole],
    scope={LargePage: 1, Frame: 2},
    doc="""A conversion that splits a large page, as merged: the table is private, and leaves that were
not given keep their bit.""",
    source="arch/x86/mm/pat/set_memory.c of Linux 6.1.192",
)

enc_split_plain_tables = enc_split.replacing(
    op.set_memory_enc,
    op.set_memory_plain_tables,
    name="enc-split-plain-tables",
    doc="enc-split, but the entry that leads to the table has no C-bit (S-07-table).",
)

enc_split_whole = enc_split.replacing(
    op.set_memory_enc,
    op.set_memory_whole,
    name="enc-split-whole",
    doc="enc-split, but all pages of the large one are converted (S-11-split).",
)

enc_split_shared_tables = enc_split.replacing(
    op.set_memory_enc,
    op.set_memory_shared_tables,
    name="enc-split-shared-tables",
    doc="enc-split, but the table is made in a page that the host can write (S-07-pool).",
)
