"""Entries for cpu_entry_area.

What it checks: no CPU has an entry for a debug-store page that is no longer mapped there, but until
its flush arrives; none for a page that is free.
Why it matters: the processor writes its records through such an entry, into somebody else's memory.
Kernel precedent: "x86/events/intel/ds: Use the proper cache flush method for mapping ds buffers"
(4.14.13).
Smallest counterexample: a second CPU uses a buffer, the first one takes it away
(debug-store-local-flush).
Not covered: PCIDs of other processes (invalidate_other), the registers that hold the addresses.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.debug_store import DebugStore, ds_clear


@always
def entry_area_entries_are_fresh(s: DebugStore, cpu: Cpu, va: Va) -> Bool:
    """An entry for cpu_entry_area is what is mapped there, or waits for this CPU's flush."""
    kernel, user = s.kernel_tlb[cpu, va], s.user_tlb[cpu, va]
    fresh = (kernel == s.cea[va]) | s.being_cleared(cpu, va, kernel.value)
    user_fresh = (user == s.cea[va]) | s.being_cleared(cpu, va, user.value)
    return kernel.is_some.implies(fresh) & user.is_some.implies(user_fresh)


@always
def no_entry_for_a_free_buffer(s: DebugStore, cpu: Cpu, va: Va) -> Bool:
    """No CPU has an entry for a page that is free."""
    kernel, user = s.kernel_tlb[cpu, va], s.user_tlb[cpu, va]
    return kernel.is_some.implies(~s.free[kernel.value]) & user.is_some.implies(~s.free[user.value])


@sometimes
def two_cpus_know_a_buffer(s: DebugStore, a: Cpu, b: Cpu, va: Va) -> Bool:
    """Two CPUs have an entry for a buffer, one for each half."""
    return (a != b) & s.kernel_tlb[a, va].is_some & s.user_tlb[b, va].is_some


@sometimes
def a_buffer_moves(s: DebugStore, cpu: Cpu, va: Va) -> Bool:
    """A CPU has an entry that is no longer mapped."""
    entry = s.user_tlb[cpu, va]
    return entry.is_some & (entry != s.cea[va])


@sometimes
def another_cpu_has_answered(s: DebugStore, cpu: Cpu, by: Cpu) -> Bool:
    """Whoever releases a buffer has another CPU's answer."""
    return (cpu != by) & ~ds_clear.idle(s, by) & ~s.release.waits_for[by, cpu]


@sometimes
def released_buffers_are_free(s: DebugStore, a: Cpu, b: Cpu, f: Frame, g: Frame) -> Bool:
    """Two CPUs have released a page each, and both are free."""
    released = (s.release.frame[a] == f) & (s.release.frame[b] == g) & (f != g)
    return released & s.free[f] & s.free[g]
