"""Entry and exit with two sets of tables, and with the slips they had."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu
from ..operations import entry as op
from ..operations.entry import Entry, Level, Nested, Stage


def _task_shadow(s: Entry, cpu: Cpu) -> Bool:
    """What CR3 is where the task is."""
    return s.stage[cpu] != Stage.KERNEL


def _task_user(s: Entry, cpu: Cpu) -> Bool:
    """What GS is where the task is."""
    stage = s.stage[cpu]
    return (stage == Stage.RING3) | (stage == Stage.ENTERED) | (stage == Stage.LEAVING_SWAPGS)


def _has_swapped(at: Nested) -> Bool:
    """An exception there has dealt with GS."""
    return (at != Nested.OUT) & (at != Nested.ENTERED) & (at != Nested.ENTERED_CR3)


def _inside(s: Entry, cpu: Cpu, level: Level, shadow: Bool, user: Bool) -> tuple[Bool, Bool]:
    """What CR3 and GS are where an exception is, given what it interrupted."""
    at = s.nested[cpu, level]
    switched = (at == Nested.HANDLER) | (at == Nested.ENTERED_CR3)
    return ~switched & shadow, ~_has_swapped(at) & user


def _remembers(s: Entry, cpu: Cpu, level: Level, shadow: Bool, user: Bool) -> Bool:
    """An exception has remembered what it interrupted."""
    at = s.nested[cpu, level]
    cr3 = (at != Nested.OUT) & (at != Nested.ENTERED) & (at != Nested.ENTERED_SWAPGS)
    return _has_swapped(at).implies(s.was_user[cpu, level] == user) & cr3.implies(
        s.was_shadow[cpu, level] == shadow
    )


@always
def exceptions_put_back_what_they_found(s: Entry, cpu: Cpu) -> Bool:
    """What is loaded, and what each exception has remembered, follows from where all of them are."""
    shadow, user = _task_shadow(s, cpu), _task_user(s, cpu)
    paranoid = _remembers(s, cpu, Level.PARANOID, shadow, user)
    shadow, user = _inside(s, cpu, Level.PARANOID, shadow, user)
    nmi = _remembers(s, cpu, Level.NMI, shadow, user)
    shadow, user = _inside(s, cpu, Level.NMI, shadow, user)
    return paranoid & nmi & (s.cr3_shadow[cpu] == shadow) & (s.gs_user[cpu] == user)


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
    lemmas=[exceptions_put_back_what_they_found],
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
