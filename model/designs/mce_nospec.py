"""Pages with memory errors that leave the direct map, by a decoy of their address."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame
from ..operations import mce_nospec as op
from ..operations.mce_nospec import Poison

mce_nospec = Design(
    name="mce-nospec",
    state=Poison,
    init=op.boot,
    operations=[op.fill_tlb, op.memory_failure, op.speculate, op.flush, op.clear_mce_nospec],
    procedures=[op.set_mce_nospec],
    scope={Cpu: 2, Frame: 1},
    doc="""set_mce_nospec() and clear_mce_nospec(), as merged: the page tables are changed by a decoy,
TLBs are flushed by the true address, and the PFN of the leaf is inverted.""",
    source="arch/x86/mm/pat/set_memory.c and asm/pgtable-invert.h of Linux 6.1",
)

mce_nospec_invlpg_decoy = mce_nospec.replacing(
    op.set_mce_nospec,
    op.set_mce_nospec_invlpg_decoy,
    name="mce-nospec-invlpg-decoy",
    doc="mce-nospec, but INVLPG is given the decoy, and faults (defect C-03).",
)

mce_nospec_not_inverted = mce_nospec.replacing(
    op.set_mce_nospec,
    op.set_mce_nospec_not_inverted,
    name="mce-nospec-not-inverted",
    doc="mce-nospec, but the leaf keeps its PFN (defect C-10).",
)

mce_nospec_by_address = mce_nospec.replacing(
    op.set_mce_nospec,
    op.set_mce_nospec_by_address,
    name="mce-nospec-by-address",
    doc="mce-nospec, but without a decoy (C-03-address).",
)
