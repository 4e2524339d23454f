"""Entries, counts and requests to flush.

What it checks: what an NMI handler may touch, and so any code that has user addresses, is in CR3 and
translated to pages that are mapped, or whose flush waits for this CPU's answer; entries of an identifier
are as new as its count; a CPU that has a process in CR3 is in its mask; a page that is free has no entry
but where it is flushed before it is used.  Invariants 1, 2, 3, 4 and 7 of TLB and table lifetime.
Why it matters: what counts say has been flushed nobody flushes; a count that is ahead of its entries
gives a process the next owner's memory.
Kernel precedent: the comments of flush_tlb_func(), switch_mm_irqs_off(), should_flush_tlb() and
nmi_uaccess_okay() in arch/x86/mm/tlb.c.
Smallest counterexample: a request without a count is taken for an old one (tlb-gen-batch-ignored).
Not covered: PTI's user PCIDs (see pcid), global entries, tables (see lazy, gather), processes that end.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from mapproof.model.language import Bool, always, exists, ite, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Mm, Va
from mapproof.model.machine.tlb import Asid
from mapproof.model.operations.tlb_gen import Extent, TlbGen, munmap, reclaim
from mapproof.model.operations.tlb_gen_cpu import switch_mm


def _nmi_uaccess_okay(s: TlbGen, cpu: Cpu) -> Bool:
    return s.current_mm[cpu].is_some & (s.loaded_mm[cpu] == s.current_mm[cpu])


def _switching(s: TlbGen, cpu: Cpu, *steps: int) -> Bool:
    """A context switch is about to take one of these steps."""
    at = [switch_mm.at(s, cpu, switch_mm.steps[n]) for n in steps]
    return reduce(or_, at)


def _flushes(s: TlbGen, cpu: Cpu, a: Asid) -> Bool:
    """A context switch is about to flush the identifier."""
    return _switching(s, cpu, 5) & s.switch.flush[cpu] & (s.switch.asid[cpu] == a)


def _requests(s: TlbGen, cpu: Cpu, f: Frame) -> Bool:
    """The CPU is going to free the page."""
    return ~(munmap.idle(s, cpu) & reclaim.idle(s, cpu)) & (s.request.frame[cpu] == f)


@always
def nmis_find_their_process_in_cr3(s: TlbGen, cpu: Cpu) -> Bool:
    """Where nmi_uaccess_okay() says yes, CR3 has the current task's process."""
    return _nmi_uaccess_okay(s, cpu).implies(some(s.cr3[cpu]) == s.current_mm[cpu])


@always
def entries_in_use_are_mappings(s: TlbGen, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """There, an entry under the PCID in CR3 is a mapping, or somebody has cleared it and waits for this
    CPU, or will ask it."""
    m = s.cr3[cpu]
    used = _nmi_uaccess_okay(s, cpu) & (s.tlb[cpu, s.asid[cpu], va] == some(f))
    awaited = s.gathered[f, m, va] & (~s.sent[f] | s.waits_for[f, cpu])
    return used.implies((s.maps[m, va] == some(f)) | awaited)


@always
def free_pages_are_not_in_use(s: TlbGen, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """Nor is it one of a free page."""
    used = _nmi_uaccess_okay(s, cpu) & (s.tlb[cpu, s.asid[cpu], va] == some(f))
    return used.implies(~s.free[f])


@always
def tasks_use_no_free_page(s: TlbGen, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """Outside of a context switch, a CPU that runs a user task has no entry for a free page under the
    PCID in CR3."""
    used = switch_mm.idle(s, cpu) & s.current_mm[cpu].is_some
    return (used & (s.tlb[cpu, s.asid[cpu], va] == some(f))).implies(~s.free[f])


@always
def entries_are_as_new_as_their_count(
    s: TlbGen, cpu: Cpu, a: Asid, m: Mm, va: Va, f: Frame
) -> Bool:
    """An entry of an identifier that has a process, and is not behind nor about to be flushed, is a
    mapping, or was one and its flush is not counted yet, or is due."""
    told = (s.ctx[cpu, a] == some(m)) & ~s.behind[cpu, a] & ~_flushes(s, cpu, a)
    old = told & (s.tlb[cpu, a, va] == some(f)) & (s.maps[m, va] != some(f))
    return old.implies(s.gathered[f, m, va] & (~s.counted[f] | s.due[cpu, a, f]))


@always
def users_of_a_process_are_in_its_mask(s: TlbGen, cpu: Cpu) -> Bool:
    """Outside of a context switch, a CPU is in the mask of the process that is loaded, if it is not
    init_mm; its identifier is the process's, and loaded_mm tells what CR3 has."""
    m = s.cr3[cpu]
    known = (s.loaded_mm[cpu] == some(m)) & (s.ctx[cpu, s.asid[cpu]] == some(m))
    masked = (m == s.init_mm[()]) | s.mask[m, cpu]
    return switch_mm.idle(s, cpu).implies(known & masked)


@always
def who_is_not_lazy_is_asked(s: TlbGen, cpu: Cpu, f: Frame) -> Bool:
    """A CPU that runs a user task has missed no flush of its process that is over, and what is due has
    not been asked for yet, or waits for it."""
    a = s.asid[cpu]
    asked = ~s.due[cpu, a, f] | ~s.sent[f] | s.waits_for[f, cpu]
    return _nmi_uaccess_okay(s, cpu).implies(~s.behind[cpu, a] & asked)


@always
def mapped_pages_are_mapped_once(s: TlbGen, m: Mm, va: Va, n: Mm, at: Va, f: Frame) -> Bool:
    """A page that is mapped is not free, and mapped nowhere else."""
    mapped = s.maps[m, va] == some(f)
    return mapped.implies(~s.free[f]) & (mapped & (s.maps[n, at] == some(f))).implies(
        (m == n) & (va == at)
    )


@always
def pages_that_wait_are_mapped_nowhere(s: TlbGen, m: Mm, va: Va, n: Mm, at: Va, f: Frame) -> Bool:
    """A page that waits for a flush is neither mapped nor free."""
    return s.gathered[f, m, va].implies((s.maps[n, at] != some(f)) & ~s.free[f])


@always
def requests_name_the_place(s: TlbGen, cpu: Cpu, m: Mm, va: Va, f: Frame) -> Bool:
    """A request names the only place that its page was mapped at."""
    named = (s.request.mm[cpu] == m) & (s.request.va[cpu] == va)
    return _requests(s, cpu, f).implies(s.gathered[f, m, va] == named)


@always
def pages_wait_for_one_request(s: TlbGen, cpu: Cpu, by: Cpu, f: Frame) -> Bool:
    """No two CPUs free one page."""
    return (_requests(s, cpu, f) & _requests(s, by, f)).implies(cpu == by)


@always
def requests_are_counted_then_sent(s: TlbGen, cpu: Cpu, m: Mm, va: Va, f: Frame) -> Bool:
    """A request is counted, and sent after that."""
    counting = munmap.at(s, cpu, munmap.steps[1]) | reclaim.at(s, cpu, reclaim.steps[1])
    waiting = munmap.at(s, cpu, munmap.steps[3]) | reclaim.at(s, cpu, reclaim.steps[3])
    told = (s.counted[f] == ~counting) & (s.sent[f] == waiting)
    order = (s.gathered[f, m, va] & s.sent[f]).implies(s.counted[f])
    return _requests(s, cpu, f).implies(told) & order


@always
def what_is_due_is_of_the_process(s: TlbGen, cpu: Cpu, a: Asid, m: Mm, va: Va, f: Frame) -> Bool:
    """What is due under an identifier is counted, and was mapped in its process."""
    due = s.due[cpu, a, f]
    waits = due.implies(~s.free[f] & s.counted[f] & (s.maps[m, va] != some(f)))
    return waits & (due & s.gathered[f, m, va]).implies(s.ctx[cpu, a] == some(m))


@always
def loaded_mm_tells_of_a_switch(s: TlbGen, cpu: Cpu) -> Bool:
    """Until a switch has said that CR3 changes, loaded_mm is what is in CR3; from then on it is
    LOADED_MM_SWITCHING, unless the process stays; when CR3 has been written, it is the next one."""
    m, n = s.cr3[cpu], s.switch.next[cpu]
    loaded = s.loaded_mm[cpu]
    return (
        _switching(s, cpu, 1).implies(loaded == some(m))
        & _switching(s, cpu, 3, 4).implies(loaded.is_none)
        & _switching(s, cpu, 5, 6).implies(loaded.is_none | ((loaded == some(n)) & (m == n)))
        & _switching(s, cpu, 6, 7).implies(m == n)
        & _switching(s, cpu, 7).implies(loaded == some(n))
    )


@always
def switches_take_the_identifier(s: TlbGen, cpu: Cpu) -> Bool:
    """The identifier in CR3 is its process's, or is about to be flushed for the next one; so is the one
    that a switch has chosen; the CPU is in the next process's mask before it reads the count."""
    m, n, a, chosen = s.cr3[cpu], s.switch.next[cpu], s.asid[cpu], s.switch.asid[cpu]
    own, masked = s.ctx[cpu, a] == some(m), (m == s.init_mm[()]) | s.mask[m, cpu]
    return (
        _switching(s, cpu, 1, 3, 4).implies(own)
        & _switching(s, cpu, 1).implies(masked)
        & _switching(s, cpu, 4, 5, 6, 7).implies(s.mask[n, cpu])
        & _switching(s, cpu, 5).implies(ite(a == chosen, (m == n) | s.switch.flush[cpu], own))
        & _switching(s, cpu, 5, 6, 7).implies(s.ctx[cpu, chosen] == some(n))
        & _switching(s, cpu, 5).implies((s.loaded_mm[cpu] == some(n)).implies(a == chosen))
        & _switching(s, cpu, 6, 7).implies(a == chosen)
    )


@always
def tasks_run_on_their_process(s: TlbGen, cpu: Cpu) -> Bool:
    """A lazy CPU is in the mask and runs no user task; a user task is on its process's tables, and not
    on init_mm's, until a switch to another process says that CR3 changes."""
    current, before = s.current_mm[cpu], switch_mm.idle(s, cpu) | _switching(s, cpu, 1)
    other = (current != some(s.switch.next[cpu])) & (s.switch.next[cpu] != s.init_mm[()])
    return (
        s.is_lazy[cpu].implies(current.is_none & switch_mm.idle(s, cpu) & s.mask[s.cr3[cpu], cpu])
        & (~switch_mm.idle(s, cpu)).implies(other)
        & (current != some(s.init_mm[()]))
        & (before & current.is_some).implies(current == some(s.cr3[cpu]))
    )


@always
def who_has_read_the_count_is_asked(s: TlbGen, cpu: Cpu, by: Cpu, f: Frame) -> Bool:
    """Likewise a CPU that has read the count of the next process; and reclaim has noted both."""
    a, b = s.switch.asid[cpu], s.asid[cpu]
    read = _switching(s, cpu, 5, 6, 7)
    noted = reclaim.at(s, by, reclaim.steps[2]) & (s.request.frame[by] == f)
    due = (s.due[cpu, a, f] & read) | (s.due[cpu, b, f] & _nmi_uaccess_okay(s, cpu))
    asked = ~s.due[cpu, a, f] | ~s.sent[f] | s.waits_for[f, cpu]
    return read.implies(~s.behind[cpu, a] & asked) & (noted & due).implies(s.waits_for[f, cpu])


@always
def cpus_do_one_thing_at_a_time(s: TlbGen, cpu: Cpu) -> Bool:
    """No CPU switches while it unmaps, nor is in both unmappings."""
    one, two, three = munmap.idle(s, cpu), reclaim.idle(s, cpu), switch_mm.idle(s, cpu)
    return (one | two) & (one | three) & (two | three)


@sometimes
def a_lazy_cpu_is_behind(s: TlbGen, cpu: Cpu) -> Bool:
    """A lazy CPU has missed a flush."""
    return s.is_lazy[cpu] & s.behind[cpu, s.asid[cpu]]


@sometimes
def a_lazy_cpu_has_left(s: TlbGen, cpu: Cpu, by: Cpu, m: Mm) -> Bool:
    """A lazy CPU has answered, and is on init_mm."""
    left = (s.cr3[cpu] == s.init_mm[()]) & exists(Asid, lambda a: s.ctx[cpu, a] == some(m))
    waiting = munmap.at(s, by, munmap.steps[3]) & (s.request.mm[by] == m)
    return left & waiting & (m != s.init_mm[()])


@sometimes
def one_page_is_to_be_flushed(s: TlbGen, cpu: Cpu, by: Cpu, f: Frame) -> Bool:
    """Another CPU is asked for one page, and is one behind."""
    asked = munmap.at(s, by, munmap.steps[3]) & s.waits_for[f, cpu] & (s.request.frame[by] == f)
    return (cpu != by) & asked & s.due[cpu, s.asid[cpu], f] & (s.request.extent[by] == Extent.PAGE)


@sometimes
def reclaim_waits_for_a_cpu(s: TlbGen, cpu: Cpu, by: Cpu) -> Bool:
    """A batched flush waits for another CPU."""
    return (cpu != by) & reclaim.at(s, by, reclaim.steps[3]) & s.waits_for[s.request.frame[by], cpu]


@sometimes
def an_identifier_survives_another_process(
    s: TlbGen, cpu: Cpu, a: Asid, m: Mm, va: Va, f: Frame
) -> Bool:
    """A CPU runs one process and has a good entry of another one."""
    other = switch_mm.idle(s, cpu) & (m != s.cr3[cpu]) & (s.ctx[cpu, a] == some(m))
    return other & ~s.behind[cpu, a] & (s.tlb[cpu, a, va] == some(f)) & (s.maps[m, va] == some(f))
