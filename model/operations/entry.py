"""Entry and exit: which tables and which GS base a CPU has, one instruction after the other.

System calls and interrupts from ring 3 swap GS and then switch CR3; the way out does it in reverse.
Some exceptions (#DB, #MC) and NMIs come at any time, also between two of these instructions, so their
entry code must find out what is loaded, and leave it as found.  KAISER looked at GS first and then at
CR3; since FSGSBASE the kernel does it the other way round.  The names of the stages say what is done
already.
"""

from __future__ import annotations

from itertools import combinations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    State,
    Step,
    Update,
    forall,
    ite,
    operation,
)
from ..machine.sorts import Cpu


class Stage(Enumeration):
    """Where the task on a CPU is."""

    RING3: Stage
    ENTERED: Stage
    ENTERED_SWAPGS: Stage
    KERNEL: Stage
    LEAVING_CR3: Stage
    LEAVING_SWAPGS: Stage


class Level(Enumeration):
    """What can interrupt kernel code anywhere: a #DB or #MC, an NMI, which can interrupt those, too,
    and a #MC that interrupts an NMI, which does not block it."""

    PARANOID: Level
    NMI: Level
    MC_IN_NMI: Level


NESTING = (Level.PARANOID, Level.NMI, Level.MC_IN_NMI)  # each can interrupt those before it


class Nested(Enumeration):
    """Where such an exception is; OUT: there is none."""

    OUT: Nested
    ENTERED: Nested
    ENTERED_SWAPGS: Nested
    ENTERED_CR3: Nested
    HANDLER: Nested
    LEAVING_CR3: Nested


class Entry(State):
    """cr3_shadow: CR3 has the shadow (user) tables.  cr3_pcid_bit: CR3 has bit 11.  gs_user: GS has
    the user's base.  was_shadow, was_user: what an exception found.  has_pcid: CR4.PCIDE is set."""

    stage: Map[Cpu, Stage]
    nested: Map[tuple[Cpu, Level], Nested]
    cr3_shadow: Map[Cpu, Bool]
    cr3_pcid_bit: Map[Cpu, Bool]
    gs_user: Map[Cpu, Bool]
    was_shadow: Map[tuple[Cpu, Level], Bool]
    was_user: Map[tuple[Cpu, Level], Bool]
    has_pcid: Fun[tuple[()], Bool]

    def out(self, cpu: Cpu, level: Level) -> Bool:
        """There is no such exception."""
        return self.nested[cpu, level] == Nested.OUT

    def running(self, cpu: Cpu, level: Level) -> Bool:
        """The exception of that level is what the CPU executes."""
        return ~self.out(cpu, level) & self.none_above(cpu, level)

    def none_above(self, cpu: Cpu, level: Level) -> Bool:
        """No exception has interrupted one of that level."""
        none = TRUE
        for below, above in combinations(NESTING, 2):
            none = none & (level == below).implies(self.out(cpu, above))
        return none

    def task_runs(self, cpu: Cpu) -> Bool:
        """No exception is nested."""
        return forall(Level, lambda level: self.out(cpu, level))


@operation(kernel="arch/x86/entry/entry_64.S")
def boot(s: Entry) -> Step:
    """Every CPU runs kernel code on the kernel's tables."""
    return Step(
        when=TRUE,
        then=[
            s.stage.fill(lambda cpu: Stage.KERNEL),
            s.nested.fill(lambda cpu, level: Nested.OUT),
            s.cr3_shadow.fill(lambda cpu: FALSE),
            s.cr3_pcid_bit.fill(lambda cpu: FALSE),
            s.gs_user.fill(lambda cpu: FALSE),
            s.was_shadow.fill(lambda cpu, level: FALSE),
            s.was_user.fill(lambda cpu, level: FALSE),
        ],
    )


def _load_shadow(s: Entry, cpu: Cpu, pcid_bit: Bool) -> list[Update]:
    return [s.cr3_shadow.set(cpu, TRUE), s.cr3_pcid_bit.set(cpu, pcid_bit)]


def _load_kernel(s: Entry, cpu: Cpu) -> list[Update]:
    return [s.cr3_shadow.set(cpu, FALSE), s.cr3_pcid_bit.set(cpu, FALSE)]


def _task(s: Entry, cpu: Cpu, at: Stage, to: Stage, *then: Update) -> Step:
    ready = s.task_runs(cpu) & (s.stage[cpu] == at)
    return Step(when=ready, then=[s.stage.set(cpu, to), *then])


@operation(kernel="arch/x86/entry/entry_64.S: entry_SYSCALL_64, error_entry")
def enter(s: Entry, cpu: Cpu) -> Step:
    """A system call or an interrupt: ring 0, with everything else as it was in ring 3."""
    return _task(s, cpu, Stage.RING3, Stage.ENTERED)


@operation(kernel="arch/x86/entry/entry_64.S: swapgs on entry")
def enter_swapgs(s: Entry, cpu: Cpu) -> Step:
    """SWAPGS exchanges the bases: GS gets the kernel's."""
    swapped = s.gs_user.set(cpu, ~s.gs_user[cpu])
    return _task(s, cpu, Stage.ENTERED, Stage.ENTERED_SWAPGS, swapped)


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_KERNEL_CR3")
def enter_switch_cr3(s: Entry, cpu: Cpu) -> Step:
    """CR3 gets the kernel's tables, and C code runs."""
    return _task(s, cpu, Stage.ENTERED_SWAPGS, Stage.KERNEL, *_load_kernel(s, cpu))


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_USER_CR3_STACK")
def leave_switch_cr3(s: Entry, cpu: Cpu) -> Step:
    """CR3 gets the shadow; bit 11 only if there are PCIDs (ALTERNATIVE on X86_FEATURE_PCID)."""
    loaded = _load_shadow(s, cpu, s.has_pcid[()])
    return _task(s, cpu, Stage.KERNEL, Stage.LEAVING_CR3, *loaded)


# P-02: without PCIDs the bit is no part of a PCID (Intel SDM vol. 3, section 4.5, formats of CR3).
@operation(
    kernel="arch/x86/entry/calling.h: SWITCH_TO_USER_CR3 before f10ee3dcc9f0",
    name="leave_switch_cr3",
)
def leave_switch_cr3_with_bit_11(s: Entry, cpu: Cpu) -> Step:
    """CR3 gets the shadow and bit 11."""
    return _task(s, cpu, Stage.KERNEL, Stage.LEAVING_CR3, *_load_shadow(s, cpu, TRUE))


@operation(kernel="arch/x86/entry/entry_64.S: swapgs on exit")
def leave_swapgs(s: Entry, cpu: Cpu) -> Step:
    """SWAPGS exchanges the bases: GS gets the user's."""
    swapped = s.gs_user.set(cpu, ~s.gs_user[cpu])
    return _task(s, cpu, Stage.LEAVING_CR3, Stage.LEAVING_SWAPGS, swapped)


@operation(kernel="arch/x86/entry/entry_64.S: SYSRET or IRET")
def leave(s: Entry, cpu: Cpu) -> Step:
    """Back in ring 3."""
    return _task(s, cpu, Stage.LEAVING_SWAPGS, Stage.RING3)


# Exceptions that may come between any two instructions of ring 0.


@operation(kernel="Intel SDM vol. 3, section 6.7.1 (NMIs block NMIs); entry_64.S: paranoid_entry")
def interrupt(s: Entry, cpu: Cpu, level: Level) -> Step:
    """An exception interrupts ring 0, where one of its kind is not under way already."""
    free = s.out(cpu, level) & s.none_above(cpu, level)
    return Step(
        when=free & (s.stage[cpu] != Stage.RING3),
        then=[s.nested.set((cpu, level), Nested.ENTERED)],
    )


def _nested(s: Entry, cpu: Cpu, level: Level, at: Nested, to: Nested, *then: Update) -> Step:
    ready = s.running(cpu, level) & (s.nested[cpu, level] == at)
    return Step(when=ready, then=[s.nested.set((cpu, level), to), *then])


def _look_at_gs(s: Entry, cpu: Cpu, level: Level, at: Nested, to: Nested) -> Step:
    """GS gets the kernel's base, whatever it had; that is remembered."""
    found = s.was_user.set((cpu, level), s.gs_user[cpu])
    return _nested(s, cpu, level, at, to, found, s.gs_user.set(cpu, FALSE))


def _look_at_cr3(s: Entry, cpu: Cpu, level: Level, at: Nested, to: Nested) -> Step:
    """CR3 is remembered; if it has the shadow it gets the kernel's tables."""
    found = s.was_shadow.set((cpu, level), s.cr3_shadow[cpu])
    return _nested(s, cpu, level, at, to, found, *_load_kernel(s, cpu))


@operation(kernel="arch/x86/entry/entry_64.S: paranoid_entry of KAISER, the test of MSR_GS_BASE")
def paranoid_swapgs(s: Entry, cpu: Cpu, level: Level) -> Step:
    """First, GS gets the kernel's base, whatever it had."""
    return _look_at_gs(s, cpu, level, Nested.ENTERED, Nested.ENTERED_SWAPGS)


@operation(kernel="arch/x86/entry/entry_64.S: paranoid_entry of KAISER since 26 Sep 2017")
def paranoid_switch_cr3(s: Entry, cpu: Cpu, level: Level) -> Step:
    """Then CR3 gets the kernel's tables, whatever it had."""
    return _look_at_cr3(s, cpu, level, Nested.ENTERED_SWAPGS, Nested.HANDLER)


@operation(kernel="arch/x86/entry/calling.h: SAVE_AND_SWITCH_TO_KERNEL_CR3")
def paranoid_switch_cr3_first(s: Entry, cpu: Cpu, level: Level) -> Step:
    """First, CR3 gets the kernel's tables, whatever it had."""
    return _look_at_cr3(s, cpu, level, Nested.ENTERED, Nested.ENTERED_CR3)


@operation(kernel="arch/x86/entry/entry_64.S: paranoid_entry, SAVE_AND_SET_GSBASE or SWAPGS")
def paranoid_swapgs_second(s: Entry, cpu: Cpu, level: Level) -> Step:
    """Then GS gets the kernel's base, whatever it had."""
    return _look_at_gs(s, cpu, level, Nested.ENTERED_CR3, Nested.HANDLER)


# K-08: the switch belonged to the branch that had swapped GS.
@operation(
    kernel="arch/x86/entry/entry_64.S: paranoid_entry of KAISER before 26 Sep 2017",
    name="paranoid_switch_cr3",
)
def paranoid_switch_cr3_with_gs(s: Entry, cpu: Cpu, level: Level) -> Step:
    """Then CR3 gets the kernel's tables if GS had the user's base, and only then."""
    swapped = s.was_user[cpu, level]
    return _nested(
        s,
        cpu,
        level,
        Nested.ENTERED_SWAPGS,
        Nested.HANDLER,
        s.was_shadow.set((cpu, level), swapped),
        s.cr3_shadow.set(cpu, s.cr3_shadow[cpu] & ~swapped),
        s.cr3_pcid_bit.set(cpu, s.cr3_pcid_bit[cpu] & ~swapped),
    )


@operation(kernel="arch/x86/entry/calling.h: RESTORE_CR3")
def paranoid_restore_cr3(s: Entry, cpu: Cpu, level: Level) -> Step:
    """CR3 gets what it had."""
    shadow = s.was_shadow[cpu, level]
    return _nested(
        s,
        cpu,
        level,
        Nested.HANDLER,
        Nested.LEAVING_CR3,
        s.cr3_shadow.set(cpu, shadow),
        s.cr3_pcid_bit.set(cpu, ite(shadow, s.has_pcid[()], FALSE)),
    )


@operation(kernel="arch/x86/entry/entry_64.S: paranoid_exit")
def paranoid_exit(s: Entry, cpu: Cpu, level: Level) -> Step:
    """GS gets what it had, and IRET goes back to what was interrupted."""
    return _nested(
        s,
        cpu,
        level,
        Nested.LEAVING_CR3,
        Nested.OUT,
        s.gs_user.set(cpu, s.was_user[cpu, level]),
    )
