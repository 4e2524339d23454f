"""Entries under the PCIDs of page table isolation.

What it checks: what a CPU can use in ring 3, or on the kernel's tables, is mapped in the process that
it runs, or waits for this CPU's answer to a flush; entries of an identifier that is not behind are as
new as its process's count; a CPU that runs a process is in its mask; a frame is free only when every
entry for it is flushed before use; a page that waits for answers is in some munmap()'s mmu_gather.
Why it matters: an entry that outlives its mapping gives user code the next owner's memory.
Kernel precedent: the comments of arch/x86/mm/tlb.c (switch_mm_irqs_off(), flush_tlb_func()).
Smallest counterexample: none of the designs here breaks these.
Not covered: kernel addresses, global entries, lazy mode, flushes of single pages, paging-structure
caches, NMIs that touch user memory during a switch.
"""

from __future__ import annotations

from mapproof.model.language import Bool, Opt, always, exists, some, sometimes
from mapproof.model.machine.cpu import Mode
from mapproof.model.machine.sorts import Cpu, Frame, Mm, Va
from mapproof.model.machine.tlb import Asid
from mapproof.model.operations.pcid import Pcids, switch_mm, unmap


def _mapped(s: Pcids, m: Mm, va: Va, entry: Opt[Frame]) -> Bool:
    return s.maps[m, va].is_some & (s.maps[m, va].value == entry.value)


@always
def ring_3_uses_only_mappings(s: Pcids, cpu: Cpu, va: Va) -> Bool:
    """In ring 3, an entry under the PCID in CR3 is a mapping of the loaded process, or somebody is
    unmapping it and waits for this CPU."""
    m, entry = s.loaded_mm[cpu], s.user_tlb[cpu, s.asid[cpu], va]
    used = (s.mode[cpu] == Mode.USER) & entry.is_some
    return used.implies(_mapped(s, m, va, entry) | s.awaited(cpu, m, va, entry.value))


def _loaded(s: Pcids, cpu: Cpu, va: Va, entry: Opt[Frame]) -> Bool:
    m = s.loaded_mm[cpu]
    good = _mapped(s, m, va, entry) | s.awaited(cpu, m, va, entry.value)
    return (switch_mm.idle(s, cpu) & entry.is_some).implies(good)


@always
def loaded_kernel_entries_are_mappings(s: Pcids, cpu: Cpu, va: Va) -> Bool:
    """Likewise under the kernel PCID in CR3, outside of a context switch."""
    return _loaded(s, cpu, va, s.kernel_tlb[cpu, s.asid[cpu], va])


@always
def loaded_user_entries_are_mappings(s: Pcids, cpu: Cpu, va: Va) -> Bool:
    """Likewise under the user PCID that belongs to it, unless the exit path will flush it."""
    a = s.asid[cpu]
    return s.user_flush[cpu, a] | _loaded(s, cpu, va, s.user_tlb[cpu, a, va])


def _counted(s: Pcids, cpu: Cpu, a: Asid, m: Mm, va: Va, entry: Opt[Frame]) -> Bool:
    loading = switch_mm.at(s, cpu, switch_mm.steps[2])
    flushing = loading & s.switch.flush[cpu] & (s.switch.asid[cpu] == a)
    current = (s.ctx[cpu, a] == m) & ~s.behind[cpu, a] & ~flushing
    good = _mapped(s, m, va, entry) | s.counts_late(m, va, entry.value)
    return (current & entry.is_some).implies(good)


@always
def kernel_entries_are_as_new_as_their_count(s: Pcids, cpu: Cpu, a: Asid, m: Mm, va: Va) -> Bool:
    """Kernel-PCID entries of an identifier that has a process and is not behind, nor about to be
    flushed, are mappings, or somebody is about to count their flush."""
    return _counted(s, cpu, a, m, va, s.kernel_tlb[cpu, a, va])


@always
def user_entries_are_as_new_as_their_count(s: Pcids, cpu: Cpu, a: Asid, m: Mm, va: Va) -> Bool:
    """Likewise of the user PCID, unless the exit path will flush it."""
    return s.user_flush[cpu, a] | _counted(s, cpu, a, m, va, s.user_tlb[cpu, a, va])


@always
def users_of_a_process_are_in_its_mask(s: Pcids, cpu: Cpu) -> Bool:
    """A CPU that runs a process, or is about to, is in its mask, and its identifier is the process's."""
    running = switch_mm.idle(s, cpu)
    return running.implies(
        s.mask[s.loaded_mm[cpu], cpu] & (s.ctx[cpu, s.asid[cpu]] == some(s.loaded_mm[cpu]))
    ) & (~running).implies(s.mask[s.switch.next[cpu], cpu])


@always
def free_frames_are_flushed_before_use(s: Pcids, cpu: Cpu, a: Asid, va: Va) -> Bool:
    """An entry for a free frame belongs to an identifier that is flushed before it is used, or the
    exit path flushes it; a context switch is on its way to that."""
    kernel, user = s.kernel_tlb[cpu, a, va], s.user_tlb[cpu, a, va]
    loaded = (s.asid[cpu] == a) & switch_mm.idle(s, cpu)
    later = ~loaded & (s.behind[cpu, a] | s.ctx[cpu, a].is_none | ~switch_mm.idle(s, cpu))
    gone = user.is_some & s.free[user.value] & ~s.user_flush[cpu, a]
    return (kernel.is_some & s.free[kernel.value]).implies(later) & gone.implies(later)


@always
def gathered_pages_are_being_unmapped(s: Pcids, m: Mm, va: Va, f: Frame) -> Bool:
    """A page in an mmu_gather is some munmap()'s of that process, which counts its flush first."""

    def owns(by: Cpu) -> Bool:
        counts = unmap.at(s, by, unmap.steps[1])
        mine = (s.unmap.mm[by] == m) & (s.unmap.frame[by] == f)
        return ~unmap.idle(s, by) & mine & s.uncounted[f].implies(counts)

    return s.gathered[f, m, va].implies(exists(Cpu, owns))


@sometimes
def an_identifier_survives_another_process(s: Pcids, cpu: Cpu, a: Asid, va: Va) -> Bool:
    """A CPU runs one process and has good entries of another one."""
    other = (s.asid[cpu] != a) & s.ctx[cpu, a].is_some & ~s.behind[cpu, a]
    return other & s.user_tlb[cpu, a, va].is_some & (s.ctx[cpu, a] != some(s.loaded_mm[cpu]))


@sometimes
def a_flush_is_left_to_the_exit_path(s: Pcids, cpu: Cpu, va: Va) -> Bool:
    """A frame is free while the user PCID still has an entry for it."""
    a = s.asid[cpu]
    entry = s.user_tlb[cpu, a, va]
    return s.user_flush[cpu, a] & entry.is_some & s.free[entry.value]
