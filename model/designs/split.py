"""Large pages that are split and made again, with and without the PAT bit."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, PmdSlot, PteSlot
from ..operations import split as op
from ..operations.split import LargePages

split = Design(
    name="split",
    state=LargePages,
    init=op.boot,
    operations=[op.fill_tlb, op.preserve_large_page],
    procedures=[op.set_memory_4k, op.collapse],
    scope={Cpu: 1, PmdSlot: 1, PteSlot: 1},
    doc="""Large pages of the direct map, as merged: a split takes their type to the small pages, with
the PAT bit moved from bit 12 to bit 7, and what makes a large page moves it back.""",
    source="arch/x86/mm/pat/set_memory.c of Linux 6.1; cpa_collapse_large_pages() from memory",
)

split_without_pat = split.but(
    name="split-without-pat", scope={Cpu: 1, PmdSlot: 1, PteSlot: 2}
).replacing(
    op.set_memory_4k,
    op.set_memory_4k_without_pat,
    name="split-without-pat",
    doc="split, but the PAT bit of a large page is lost when it is split (defect C-11).",
)
