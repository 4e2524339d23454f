"""Supervisor protection keys for persistent memory (PKS, PGMAP protection), as posted in 2022.

Pages of a protected dev_pagemap have a key in their direct-map leaf, and IA32_PKRS of every CPU forbids
that key.  kmap_local_page(), which on 64-bit kernels returns the direct-map address, is the bracket: a
thread counts the brackets it is in, and with the first one lets its key through.  The register is the
CPU's, its value the thread's: the context switch loads it; exceptions and interrupts start with the
default and restore what they found.  The count is modelled by who is counted in it; a thread opens at
most one bracket for each page.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Fun,
    Locals,
    Map,
    Procedure,
    State,
    Step,
    Update,
    forall,
    ite,
    operation,
)
from ..machine.access import KeyRights, Kind, forbidden_by_key
from ..machine.entries import ProtectionKey
from ..machine.sorts import Cpu, Frame, Task

# PKS_KEY_PGMAP_PROTECTION; which of the 15 it is does not matter.
PGMAP_KEY = ProtectionKey.K1


def forbidden_by_pkrs(key: ProtectionKey, readwrite: Bool) -> Bool:
    """IA32_PKRS forbids a write to a page with that key; readwrite: it lets PGMAP_KEY through.  Key 0
    is always let through, and other keys have no users here."""
    shut = (key == PGMAP_KEY) & ~readwrite
    return forbidden_by_key(KeyRights(access_disabled=shut, write_disabled=shut), Kind.WRITE)


class Bracket(Locals):
    """The local of kmap_local_page(): its page."""

    page: Map[Task, Frame]


class Pks(State):
    """current: the thread of a CPU.  pkrs: IA32_PKRS lets the CPU use pages with the key.  saved:
    ``thread.pks_saved_pkrs`` does.  counted: the brackets in ``pgmap_prot_count`` of a thread.
    pointer: the thread has the address and may use it.  in_irq: the CPU is in an exception or
    interrupt; frame: what its ``pt_regs`` keep of IA32_PKRS; irq_counted: its brackets.  relaxed,
    irq_relaxed: a fault has let the thread, or the interrupt, through.

    protected: ``devmap_protected(page)``.  strict: ``pks_fault_mode``."""

    current: Map[Cpu, Task]
    pkrs: Map[Cpu, Bool]
    saved: Map[Task, Bool]
    counted: Map[tuple[Task, Frame], Bool]
    pointer: Map[tuple[Task, Frame], Bool]
    in_irq: Map[Cpu, Bool]
    frame: Map[Cpu, Bool]
    irq_counted: Map[tuple[Cpu, Frame], Bool]
    relaxed: Map[Cpu, Bool]
    irq_relaxed: Map[Cpu, Bool]
    bracket: Bracket

    protected: Fun[Frame, Bool]
    strict: Fun[tuple[()], Bool]

    def key(self, f: Frame) -> ProtectionKey:
        """The key in the direct-map leaf of a page."""
        return ite(self.protected[f], PGMAP_KEY, ProtectionKey.K0)

    def can_access(self, cpu: Cpu, f: Frame) -> Bool:
        """The CPU reads or writes a page by its direct-map address without a fault."""
        return ~forbidden_by_pkrs(self.key(f), self.pkrs[cpu])

    def runs(self, cpu: Cpu, t: Task) -> Bool:
        """The CPU runs the thread itself, not an interrupt."""
        return (self.current[cpu] == t) & ~self.in_irq[cpu]

    def count_is_zero(self, t: Task) -> Bool:
        """The thread is in no bracket."""
        return forall(Frame, lambda f: ~self.counted[t, f])

    def irq_count_is_zero(self, cpu: Cpu) -> Bool:
        """The interrupt is in no bracket."""
        return forall(Frame, lambda f: ~self.irq_counted[cpu, f])

    def is_off_cpu(self, t: Task) -> Bool:
        """No CPU runs the thread."""
        return forall(Cpu, lambda cpu: self.current[cpu] != t)


@operation(kernel="arch/x86/mm/pkeys.c: pks_setup() of the PKS series")
def boot(s: Pks) -> Step:
    """Every CPU runs a thread of its own, and its key is shut."""
    return Step(
        when=forall(Cpu, Cpu, lambda a, b: (s.current[a] == s.current[b]).implies(a == b)),
        then=[
            s.pkrs.fill(lambda cpu: FALSE),
            s.saved.fill(lambda t: FALSE),
            s.counted.fill(lambda t, f: FALSE),
            s.pointer.fill(lambda t, f: FALSE),
            s.in_irq.fill(lambda cpu: FALSE),
            s.frame.fill(lambda cpu: FALSE),
            s.irq_counted.fill(lambda cpu, f: FALSE),
            s.relaxed.fill(lambda cpu: FALSE),
            s.irq_relaxed.fill(lambda cpu: FALSE),
        ],
    )


# The bracket, in a thread, which may be preempted and migrated between any two steps.

kmap_local_page = Procedure(
    "kmap_local_page",
    kernel="include/linux/mm.h, mm/memremap.c: __pgmap_set_readwrite() of the PKS series",
    doc="Map a protected page: count, and for the first one let the key through.",
)
kunmap_local = Procedure(
    "kunmap_local",
    kernel="include/linux/mm.h, mm/memremap.c: __pgmap_set_noaccess() of the PKS series",
    doc="Unmap a protected page: count, and after the last one shut the key.",
)


def _count(s: Pks, t: Task, f: Frame) -> list[Update]:
    return [s.counted.set((t, f), TRUE), s.bracket.page.set(t, f)]


@kmap_local_page.step(to="pks_set_readwrite")
def count_first(s: Pks, t: Task, cpu: Cpu, f: Frame) -> Step:
    """The count was 0, and is 1."""
    first = s.count_is_zero(t)
    return Step(when=s.runs(cpu, t) & s.protected[f] & first, then=_count(s, t, f))


@kmap_local_page.step(at=Procedure.IDLE, to="return_address")
def count_another(s: Pks, t: Task, cpu: Cpu, f: Frame) -> Step:
    """The count was not 0, and the key is let through already."""
    nested = ~s.count_is_zero(t) & ~s.counted[t, f]
    return Step(when=s.runs(cpu, t) & s.protected[f] & nested, then=_count(s, t, f))


@kmap_local_page.step(at="pks_set_readwrite", to="write_readwrite")
def save_readwrite(s: Pks, t: Task, cpu: Cpu) -> Step:
    """pks_update_protection() changes the value of the thread."""
    return Step(when=s.runs(cpu, t), then=[s.saved.set(t, TRUE)])


def _write_pkrs(s: Pks, t: Task, cpu: Cpu) -> list[Update]:
    """pks_write_pkrs(): the register gets the value of the thread, whatever a fault has put there."""
    return [s.pkrs.set(cpu, s.saved[t]), s.relaxed.set(cpu, FALSE)]


@kmap_local_page.step(at="write_readwrite", to="return_address")
def write_readwrite(s: Pks, t: Task, cpu: Cpu) -> Step:
    """The register of the CPU gets it, with preemption off."""
    return Step(when=s.runs(cpu, t), then=_write_pkrs(s, t, cpu))


@kmap_local_page.step(at="return_address", to=Procedure.DONE)
def return_address(s: Pks, t: Task, cpu: Cpu) -> Step:
    """Return page_address(page)."""
    return Step(when=s.runs(cpu, t), then=[s.pointer.set((t, s.bracket.page[t]), TRUE)])


def _uncount(s: Pks, t: Task, f: Frame) -> list[Update]:
    return [s.counted.set((t, f), FALSE), s.pointer.set((t, f), FALSE)]


def _is_last(s: Pks, t: Task, f: Frame) -> Bool:
    return forall(Frame, lambda g: s.counted[t, g].implies(g == f))


@kunmap_local.step(to="pks_set_noaccess")
def uncount_last(s: Pks, t: Task, cpu: Cpu, f: Frame) -> Step:
    """The count was 1, and is 0; until the key is shut, nobody but this function runs in the thread."""
    last = s.pointer[t, f] & _is_last(s, t, f)
    return Step(when=s.runs(cpu, t) & last, then=_uncount(s, t, f))


@kunmap_local.step(at=Procedure.IDLE, to=Procedure.DONE)
def uncount_another(s: Pks, t: Task, cpu: Cpu, f: Frame) -> Step:
    """The count stays above 0."""
    nested = s.pointer[t, f] & ~_is_last(s, t, f)
    return Step(when=s.runs(cpu, t) & nested, then=_uncount(s, t, f))


@kunmap_local.step(at="pks_set_noaccess", to="write_noaccess")
def save_noaccess(s: Pks, t: Task, cpu: Cpu) -> Step:
    """The value of the thread shuts the key."""
    return Step(when=s.runs(cpu, t), then=[s.saved.set(t, FALSE)])


@kunmap_local.step(at="write_noaccess", to=Procedure.DONE)
def write_noaccess(s: Pks, t: Task, cpu: Cpu) -> Step:
    """So does the register of the CPU."""
    return Step(when=s.runs(cpu, t), then=_write_pkrs(s, t, cpu))


@operation(kernel="arch/x86/kernel/process_64.c: __switch_to(), x86_pkrs_load() of the PKS series")
def switch_to(s: Pks, cpu: Cpu, t: Task) -> Step:
    """Another thread runs, with its value in the register; threads migrate at will."""
    return Step(
        when=~s.in_irq[cpu] & s.is_off_cpu(t),
        then=[s.current.set(cpu, t), *_write_pkrs(s, t, cpu)],
    )


# Exceptions and interrupts.


@operation(kernel="arch/x86/mm/pkeys.c: pks_save_pt_regs() of the PKS series")
def enter_exception(s: Pks, cpu: Cpu) -> Step:
    """The register is kept in pt_regs, and gets the default."""
    return Step(
        when=~s.in_irq[cpu],
        then=[
            s.in_irq.set(cpu, TRUE),
            s.frame.set(cpu, s.pkrs[cpu]),
            s.pkrs.set(cpu, FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/pkeys.c: pks_restore_pt_regs() of the PKS series")
def leave_exception(s: Pks, cpu: Cpu) -> Step:
    """The register gets back what pt_regs have; every bracket has been closed."""
    return Step(
        when=s.in_irq[cpu] & s.irq_count_is_zero(cpu),
        then=[
            s.in_irq.set(cpu, FALSE),
            s.pkrs.set(cpu, s.frame[cpu]),
            s.irq_relaxed.set(cpu, FALSE),
        ],
    )


def _irq_kmap(s: Pks, cpu: Cpu, f: Frame, first: Bool) -> Step:
    return Step(
        when=s.in_irq[cpu] & s.protected[f] & ~s.irq_counted[cpu, f],
        then=[s.irq_counted.set((cpu, f), TRUE), s.pkrs.set(cpu, s.pkrs[cpu] | first)],
    )


def _irq_kunmap(s: Pks, cpu: Cpu, f: Frame, last: Bool) -> Step:
    only = forall(Frame, lambda g: s.irq_counted[cpu, g].implies(g == f))
    return Step(
        when=s.irq_counted[cpu, f],
        then=[
            s.irq_counted.set((cpu, f), FALSE),
            s.pkrs.set(cpu, s.pkrs[cpu] & ~(only & last)),
            s.irq_relaxed.set(cpu, s.irq_relaxed[cpu] & ~(only & last)),
        ],
    )


@operation(kernel="include/linux/highmem-internal.h: kmap_local_page(), with a count of its own")
def irq_kmap_local_page(s: Pks, cpu: Cpu, f: Frame) -> Step:
    """An interrupt counts its own brackets, and lets the key through in the register only."""
    return _irq_kmap(s, cpu, f, s.irq_count_is_zero(cpu))


@operation(kernel="include/linux/highmem-internal.h: kunmap_local(), with a count of its own")
def irq_kunmap_local(s: Pks, cpu: Cpu, f: Frame) -> Step:
    """After its last bracket it shuts the key."""
    return _irq_kunmap(s, cpu, f, TRUE)


# M-04, a reading of the posted code: the interrupt counts in the thread that it interrupts.
@operation(
    kernel="mm/memremap.c: __pgmap_set_readwrite() of the PKS series", name="irq_kmap_local_page"
)
def irq_kmap_in_the_threads_count(s: Pks, cpu: Cpu, f: Frame) -> Step:
    """An interrupt lets the key through only if neither it nor the thread was in a bracket."""
    return _irq_kmap(s, cpu, f, s.irq_count_is_zero(cpu) & s.count_is_zero(s.current[cpu]))


@operation(kernel="arch/x86/mm/pkeys.c: pks_update_exception() of the PKS series")
def pks_fault_relaxed(s: Pks, cpu: Cpu, f: Frame) -> Step:
    """An access faults; in relaxed mode it is reported, and pt_regs are changed to let it through."""
    irq = s.in_irq[cpu]
    return Step(
        when=~s.can_access(cpu, f) & ~s.strict[()],
        then=[
            s.pkrs.set(cpu, TRUE),
            s.relaxed.set(cpu, s.relaxed[cpu] | ~irq),
            s.irq_relaxed.set(cpu, s.irq_relaxed[cpu] | irq),
        ],
    )
