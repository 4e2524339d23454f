"""Entry and exit with two sets of tables, and with the slips they had."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu
from ..operations import entry as op
from ..operations.entry import Entry

entry_kaiser = Design(
    name="entry-kaiser",
    state=Entry,
    init=op.boot,
    operations=[
        op.enter,
        op.enter_swapgs,
        op.enter_switch_cr3,
        op.leave_switch_cr3,
        op.leave_swapgs,
        op.leave,
        op.interrupt,
        op.paranoid_swapgs,
        op.paranoid_switch_cr3,
        op.paranoid_restore_cr3,
        op.paranoid_exit,
    ],
    scope={Cpu: 1},
    doc="""Entry and exit with KAISER, under exceptions that come between any two instructions: whoever
cannot know what is loaded looks at GS, then at CR3, and puts both back.""",
    source="H. Dickins, 'kaiser: paranoid_entry pass cr3 need to paranoid_exit', 26 Sep 2017",
)

entry_cr3_with_swapgs = entry_kaiser.replacing(
    op.paranoid_switch_cr3,
    op.paranoid_switch_cr3_with_gs,
    name="entry-cr3-with-swapgs",
    doc="entry-kaiser, but the paranoid entry switches CR3 only where it swaps GS (defect K-08).",
)

entry_pti = entry_kaiser.replacing(
    op.paranoid_swapgs, op.paranoid_swapgs_second, name="entry-pti"
).replacing(
    op.paranoid_switch_cr3,
    op.paranoid_switch_cr3_first,
    name="entry-pti",
    doc="""Entry and exit with page table isolation, as merged: the paranoid entry looks at CR3 before it
deals with GS.""",
)
entry_pti = entry_pti.but(
    name="entry-pti", source="arch/x86/entry/entry_64.S and calling.h of Linux 6.1"
)

entry_bit_11 = entry_pti.replacing(
    op.leave_switch_cr3,
    op.leave_switch_cr3_with_bit_11,
    name="entry-bit-11",
    doc="entry-pti, but bit 11 of CR3 is set also where there are no PCIDs (defect P-02).",
)
