"""Entries for kernel addresses under PCIDs that are not loaded.

What it checks: an entry of an identifier that can be used without another flush is what is mapped, or
waits for this CPU's flush; a page is free only when no CPU can use an entry for it; ring 3 has obeyed
the mask.
Why it matters: kernel pages are not global with isolation, so one INVLPG leaves the copies that other
identifiers have, and with them the next owner's page.
Kernel precedent: the comment of flush_tlb_one_kernel(), and that of clear_asid_other().
Smallest counterexample: none of the designs here breaks these.
Not covered: which process an identifier has (pcid), global entries (pti_global).
"""

from __future__ import annotations

from mapproof.model.language import Bool, Map, Opt, always, sometimes
from mapproof.model.machine.cpu import Mode
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.machine.tlb import Asid
from mapproof.model.operations.pcid_kernel import KernelPcids


def _fresh(
    s: KernelPcids, cpu: Cpu, va: Va, entry: Opt[Frame], mapped: Map[Va, Opt[Frame]]
) -> Bool:
    return entry.is_some.implies((entry == mapped[va]) | s.awaited(cpu, va, entry.value))


@always
def kept_kernel_entries_are_fresh(s: KernelPcids, cpu: Cpu, a: Asid, va: Va) -> Bool:
    """Kernel-PCID entries of an identifier that is kept are what is mapped, or wait for the flush."""
    return s.is_kept(cpu, a).implies(_fresh(s, cpu, va, s.kernel_tlb[cpu, a, va], s.kernel))


@always
def kept_user_entries_are_fresh(s: KernelPcids, cpu: Cpu, a: Asid, va: Va) -> Bool:
    """So are those of its user PCID, unless the exit path flushes them."""
    kept = s.is_kept(cpu, a) & ~s.user_flush[cpu, a]
    return kept.implies(_fresh(s, cpu, va, s.user_tlb[cpu, a, va], s.user))


@always
def ring_3_has_obeyed_the_mask(s: KernelPcids, cpu: Cpu) -> Bool:
    """In ring 3 no flush of the loaded user PCID is due, and the identifier has a process."""
    a = s.asid[cpu]
    return s.valid[cpu, a] & (s.mode[cpu] == Mode.USER).implies(~s.user_flush[cpu, a])


@always
def free_pages_are_flushed_before_use(s: KernelPcids, cpu: Cpu, a: Asid, va: Va) -> Bool:
    """No identifier that is kept has an entry for a free page, but one that the exit path drops."""
    kernel, user = s.kernel_tlb[cpu, a, va], s.user_tlb[cpu, a, va]
    gone = user.is_some & s.free[user.value]
    return s.is_kept(cpu, a).implies(
        kernel.is_some.implies(~s.free[kernel.value]) & gone.implies(s.user_flush[cpu, a])
    )


@sometimes
def an_identifier_keeps_its_entry(s: KernelPcids, cpu: Cpu, a: Asid, va: Va) -> Bool:
    """An identifier that is not loaded has a good entry under both PCIDs."""
    both = s.kernel_tlb[cpu, a, va].is_some & s.user_tlb[cpu, a, va].is_some
    return (s.asid[cpu] != a) & s.is_kept(cpu, a) & ~s.user_flush[cpu, a] & both


@sometimes
def an_entry_waits_for_its_identifier(s: KernelPcids, cpu: Cpu, a: Asid, va: Va) -> Bool:
    """A page is free while an identifier that is not loaded has an entry for it."""
    entry = s.kernel_tlb[cpu, a, va]
    return (s.asid[cpu] != a) & entry.is_some & s.free[entry.value]


@sometimes
def an_entry_waits_for_the_exit_path(s: KernelPcids, cpu: Cpu, va: Va) -> Bool:
    """A page is free while the loaded user PCID has an entry for it."""
    a = s.asid[cpu]
    entry = s.user_tlb[cpu, a, va]
    return s.user_flush[cpu, a] & entry.is_some & s.free[entry.value]
