"""Kernel pages that are mapped and released.

What it checks: a page that is mapped is not free, and is mapped once; one that a CPU releases is neither
mapped nor free until it is done; none is lost.  Both halves agree, and under the PCIDs that are loaded a
CPU has what is mapped.
Why it matters: what TLBs may have of a page is judged by whether the page is free.
Kernel precedent: flush_tlb_kernel_range() before pages are freed, in ds_clear_cea() and vunmap_range().
Smallest counterexample: none of the designs here breaks these.
Not covered: global entries (pti_global), identifiers that are not loaded (pcid_kernel).
"""

from __future__ import annotations

from mapproof.model.language import Bool, Opt, always, exists, sometimes, step
from mapproof.model.machine.cpu import Mode
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.kernel_pages import KernelPages, release


@always
def mapped_pages_are_not_free(s: KernelPages, va: Va, other: Va) -> Bool:
    """A page that is mapped is not free, and is mapped once."""
    a, b = s.kernel[va], s.kernel[other]
    alone = (b.is_some & (a.value == b.value)).implies(va == other)
    return a.is_some.implies(~s.free[a.value] & alone)


@always
def released_pages_wait(s: KernelPages, cpu: Cpu, by: Cpu, va: Va) -> Bool:
    """A page that a CPU releases is neither mapped nor free, and one CPU is at it."""
    f = s.release.frame[cpu]
    alone = (~release.idle(s, by) & (s.release.frame[by] == f)).implies(by == cpu)
    return (~release.idle(s, cpu)).implies(~s.free[f] & alone & (s.kernel[va] != f))


@always
def no_page_is_lost(s: KernelPages, f: Frame) -> Bool:
    """A page that is not free is mapped, or a CPU is releasing it."""

    def released(by: Cpu) -> Bool:
        return ~release.idle(s, by) & (s.release.frame[by] == f)

    return s.free[f] | exists(Va, lambda va: s.kernel[va] == f) | exists(Cpu, released)


@step
def entries_are_not_overwritten(old: KernelPages, new: KernelPages, va: Va) -> Bool:
    """An entry is cleared before it maps another page."""
    present = old.kernel[va].is_some & new.kernel[va].is_some
    return present.implies(new.kernel[va] == old.kernel[va])


@sometimes
def another_cpu_has_answered(s: KernelPages, cpu: Cpu, by: Cpu) -> Bool:
    """Whoever releases a page has another CPU's answer."""
    return (cpu != by) & ~release.idle(s, by) & ~s.release.waits_for[by, cpu]


@always
def both_halves_agree(s: KernelPages, va: Va) -> Bool:
    """What both halves map is the same page with the same global bit; what the user tables map, the
    kernel maps."""
    both = (s.user[va] == s.kernel[va]) & (s.user_g[va] == s.kernel_g[va])
    return s.user[va].is_some.implies(both)


@always
def loaded_entries_are_fresh(s: KernelPages, cpu: Cpu, va: Va) -> Bool:
    """Under the PCIDs that belong to CR3, a CPU has what is mapped, or its flush is awaited, or the exit
    path flushes the user PCID; in ring 3 it has done that."""
    a = s.asid[cpu]
    kernel, user = s.kernel_tlb[cpu, a, va], s.user_tlb[cpu, a, va]

    def fresh(entry: Opt[Frame], mapped: Opt[Frame]) -> Bool:
        return entry.is_some.implies((entry == mapped) | s.awaited(cpu, va, entry.value))

    exit_path = s.user_flush[cpu, a] & (s.mode[cpu] != Mode.USER)
    return fresh(kernel, s.kernel[va]) & (exit_path | fresh(user, s.user[va]))


@always
def ring_3_owes_no_flush(s: KernelPages, cpu: Cpu) -> Bool:
    """In ring 3 no flush of the loaded user PCID is due."""
    return (s.mode[cpu] == Mode.USER).implies(~s.user_flush[cpu, s.asid[cpu]])
