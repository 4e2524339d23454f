"""What CR3 and GS have, wherever exceptions come.

What it checks: ring 3 runs on the shadow and with the user's GS base, C code on the kernel's tables
and with the kernel's base; CR3 has the user PCID with the shadow only, and no reserved bit.
Why it matters: C code on the shadow faults where the fault cannot be handled; ring 3 on the kernel's
tables has everything mapped that isolation takes away.
Kernel precedent: H. Dickins, "kaiser: paranoid_entry pass cr3 need to paranoid_exit", 26 September
2017; f10ee3dcc9f0 (bit 11 of CR3).
Smallest counterexample: #MC between the switch of CR3 and SWAPGS on the way out
(entry-cr3-with-swapgs).
Not covered: stacks, the scratch slot of the CR3 switch, interrupts that are masked there.
"""

from __future__ import annotations

from mapproof.model.language import TRUE, Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu
from mapproof.model.operations.entry import NESTING, Entry, Level, Nested, Stage


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
    remembered = TRUE
    for level in NESTING:
        remembered = remembered & _remembers(s, cpu, level, shadow, user)
        shadow, user = _inside(s, cpu, level, shadow, user)
    return remembered & (s.cr3_shadow[cpu] == shadow) & (s.gs_user[cpu] == user)


@always
def ring_3_runs_on_the_shadow(s: Entry, cpu: Cpu) -> Bool:
    """In ring 3 CR3 has the shadow and GS the user's base."""
    return (s.stage[cpu] == Stage.RING3).implies(
        s.cr3_shadow[cpu] & s.gs_user[cpu] & s.task_runs(cpu)
    )


@always
def c_code_runs_on_the_kernel_tables(s: Entry, cpu: Cpu, level: Level) -> Bool:
    """In C code, of a task or of a handler, CR3 has the kernel's tables and GS the kernel's base."""
    task = s.task_runs(cpu) & (s.stage[cpu] == Stage.KERNEL)
    handler = s.running(cpu, level) & (s.nested[cpu, level] == Nested.HANDLER)
    return (task | handler).implies(~s.cr3_shadow[cpu] & ~s.gs_user[cpu])


@always
def cr3_has_no_reserved_bit(s: Entry, cpu: Cpu) -> Bool:
    """Bit 11 of CR3 is set only where PCIDs are in use."""
    return s.cr3_pcid_bit[cpu].implies(s.has_pcid[()])


@always
def user_pcid_goes_with_the_shadow(s: Entry, cpu: Cpu) -> Bool:
    """Where there are PCIDs, CR3 has the user's exactly when it has the shadow."""
    return s.has_pcid[()].implies(s.cr3_pcid_bit[cpu] == s.cr3_shadow[cpu])


@sometimes
def an_exception_interrupts_an_entry(s: Entry, cpu: Cpu) -> Bool:
    """A handler runs between SWAPGS and the switch of CR3 on the way in."""
    handler = s.nested[cpu, Level.PARANOID] == Nested.HANDLER
    return handler & (s.stage[cpu] == Stage.ENTERED_SWAPGS)


@sometimes
def an_nmi_interrupts_an_exception_on_the_way_out(s: Entry, cpu: Cpu) -> Bool:
    """An NMI's handler runs within an exception's, between two instructions of the exit path."""
    nested = (s.nested[cpu, Level.PARANOID] == Nested.HANDLER) & (
        s.nested[cpu, Level.NMI] == Nested.HANDLER
    )
    return nested & (s.stage[cpu] == Stage.LEAVING_CR3)


@sometimes
def ring_3_is_reached(s: Entry, cpu: Cpu) -> Bool:
    """A CPU is in ring 3."""
    return s.stage[cpu] == Stage.RING3


@sometimes
def what_was_interrupted_goes_on(s: Entry, cpu: Cpu, level: Level) -> Bool:
    """An exception interrupted the first instructions of a system call, which is now served."""
    return s.was_user[cpu, level] & s.task_runs(cpu) & (s.stage[cpu] == Stage.KERNEL)


@sometimes
def a_machine_check_interrupts_an_nmi(s: Entry, cpu: Cpu) -> Bool:
    """A machine check is handled while an NMI is about to switch CR3."""
    handled = s.nested[cpu, Level.MC_IN_NMI] == Nested.HANDLER
    return handled & (s.nested[cpu, Level.NMI] == Nested.ENTERED)
