"""Entries under KAISER's two PCIDs.

What it checks: no CPU can use an entry of either PCID that is not, or is just ceasing to be, a
mapping of the process it runs; a frame is free only when no CPU can; no CPU is given an instruction
that it does not know.
Why it matters: an entry that outlives its mapping, or its process, gives user code the next owner's
memory.
Kernel precedent: H. Dickins, "kaiser: load_new_mm_cr3() let SWITCH_USER_CR3 flush user", 17 August
2017; a035795499ca ("x86/paravirt: Dont patch flush_tlb_single").
Smallest counterexample: use a page in ring 3, unmap it by a bare INVLPG (kaiser-pcid-bare-invlpg).
Not covered: kernel addresses, global entries, paging-structure caches, generations of the TLB.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.cpu import Mode
from mapproof.model.machine.sorts import Cpu, Frame, Mm, Va
from mapproof.model.operations.kaiser_pcid import KaiserPcid


def _stale(s: KaiserPcid, cpu: Cpu, va: Va, f: Frame) -> Bool:
    m = s.loaded_mm[cpu]
    mapped = s.maps[m, va].is_some & (s.maps[m, va].value == f)
    return ~(mapped | s.being_unmapped(cpu, m, va, f))


@always
def user_pcid_entries_are_fresh(s: KaiserPcid, cpu: Cpu, va: Va) -> Bool:
    """An entry of the user PCID that is not dropped before use is of the loaded process, and its
    mapping is there or waits for this CPU's flush."""
    entry = s.user_tlb[cpu, va]
    return (entry.is_some & ~s.user_flush[cpu]).implies(~_stale(s, cpu, va, entry.value))


@always
def kernel_pcid_entries_are_fresh(s: KaiserPcid, cpu: Cpu, va: Va) -> Bool:
    """Likewise of the kernel PCID, which is never left unflushed."""
    entry = s.kernel_tlb[cpu, va]
    return entry.is_some.implies(~_stale(s, cpu, va, entry.value))


@always
def free_frames_are_out_of_use(s: KaiserPcid, cpu: Cpu, va: Va) -> Bool:
    """No CPU has an entry for a free frame, but one that it drops before it can use it."""
    user, kernel = s.user_tlb[cpu, va], s.kernel_tlb[cpu, va]
    dropped_first = s.user_flush[cpu] & (s.mode[cpu] == Mode.KERNEL)
    return (user.is_some & s.free[user.value]).implies(dropped_first) & kernel.is_some.implies(
        ~s.free[kernel.value]
    )


@always
def no_undefined_instruction(s: KaiserPcid, cpu: Cpu) -> Bool:
    """No CPU meets an instruction that it does not have."""
    return ~s.undefined[cpu]


@always
def ring_3_has_flushed(s: KaiserPcid, cpu: Cpu) -> Bool:
    """No CPU is in ring 3 while the flag still asks it to flush the user PCID."""
    return (s.mode[cpu] == Mode.USER).implies(~s.user_flush[cpu])


@sometimes
def both_pcids_have_a_page(s: KaiserPcid, cpu: Cpu, va: Va) -> Bool:
    """A CPU has an entry for a page under each PCID."""
    return s.kernel_tlb[cpu, va].is_some & s.user_tlb[cpu, va].is_some


@sometimes
def an_entry_outlives_its_process(s: KaiserPcid, cpu: Cpu, m: Mm, va: Va) -> Bool:
    """A CPU has an entry of the process that it ran before, to be dropped on its way out."""
    entry = s.user_tlb[cpu, va]
    return entry.is_some & (s.maps[m, va] == entry) & (s.loaded_mm[cpu] != m)


@sometimes
def an_entry_waits_for_the_exit_path(s: KaiserPcid, cpu: Cpu, va: Va) -> Bool:
    """A frame is free while a CPU still has an entry for it, to be dropped on its way out."""
    entry = s.user_tlb[cpu, va]
    return entry.is_some & s.free[entry.value]


@sometimes
def two_cpus_use_a_page(s: KaiserPcid, a: Cpu, b: Cpu, va: Va) -> Bool:
    """Two CPUs in ring 3 have the same entry."""
    user = (s.mode[a] == Mode.USER) & (s.mode[b] == Mode.USER) & (a != b)
    return user & s.user_tlb[a, va].is_some & (s.user_tlb[a, va] == s.user_tlb[b, va])
