"""Kernel pages that are mapped and released.

What it checks: a page that is mapped is not free, and is mapped once; one that a CPU releases is neither
mapped nor free until it is done; none is lost.
Why it matters: what TLBs may have of a page is judged by whether the page is free.
Kernel precedent: flush_tlb_kernel_range() before pages are freed, in ds_clear_cea() and vunmap_range().
Smallest counterexample: none of the designs here breaks these.
Not covered: what TLBs have (pti_global, pcid_kernel).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, sometimes, step
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
