"""Tables that processes share.

What it checks: no CPU has an entry for a free page (invariant 1 of TLB and table lifetime); an entry is
of a table that the CPU's process has, or is being flushed under the lock.
Why it matters: the page of a truncated file is anybody's; a process that once shared its table could
still write it.
Kernel precedent: "hugetlbfs: flush TLBs correctly after huge_pmd_unshare" (CVE-2021-4002).
Smallest counterexample: a process gives up the table, the file is truncated
(hugetlb-unshare-not-flushed).
Not covered: several pages, faults under the table's own lock, PCIDs of processes that do not run.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Mm
from mapproof.model.operations.shared_pmd import SharedPmd, unmap_file, unshare


@always
def free_huge_pages_are_in_no_tlb(s: SharedPmd, cpu: Cpu) -> Bool:
    """No CPU has an entry for a free page."""
    return s.tlb[cpu].is_some.implies(~s.free[s.tlb[cpu].value])


@always
def the_shared_page_is_not_free(s: SharedPmd, f: Frame) -> Bool:
    """What the table maps is not free."""
    return (s.page.now == f).implies(~s.free[f])


@always
def entries_are_of_shared_tables(s: SharedPmd, cpu: Cpu) -> Bool:
    """An entry is what the process's tables lead to, unless somebody holds the lock for its flush."""
    mapped = s.shares[s.loaded_mm[cpu]] & (s.tlb[cpu] == s.page.now)
    return s.tlb[cpu].is_some.implies(mapped | s.i_mmap_rwsem.now)


@always
def one_unmaps_from_the_file(s: SharedPmd, a: Cpu, b: Cpu) -> Bool:
    """Whoever changes what others share holds the lock, alone."""
    busy_a = ~(unshare.idle(s, a) & unmap_file.idle(s, a))
    busy_b = ~(unshare.idle(s, b) & unmap_file.idle(s, b))
    return busy_a.implies(s.i_mmap_rwsem.now) & (busy_a & busy_b).implies(a == b)


@step
def the_table_changes_without_the_lock_held(old: SharedPmd, new: SharedPmd, m: Mm) -> Bool:
    """While somebody unmaps from the file, nobody joins the table or maps a page in it."""
    same = (old.shares[m] == new.shares[m]) & (old.page.now == new.page.now)
    return same | ~old.i_mmap_rwsem.now


@step
def only_sharers_map_free_pages(old: SharedPmd, new: SharedPmd, f: Frame) -> Bool:
    """A page that is mapped was free, and a process shares the table."""
    mapped = (old.page.now != f) & (new.page.now == f)
    return mapped.implies(old.free[f] & exists(Mm, lambda m: old.shares[m]))


@step
def truncation_frees_the_page(old: SharedPmd, new: SharedPmd, by: Cpu) -> Bool:
    """A truncation ends with the page that it has unmapped free."""
    ends = ~unmap_file.idle(old, by) & unmap_file.idle(new, by)
    page = old.sharing.page[by]
    return ends.implies(page.is_some & new.free[page.value] & ~old.free[page.value])


@step
def the_lock_is_released_at_the_end(old: SharedPmd, new: SharedPmd, by: Cpu) -> Bool:
    """Whoever is done has released i_mmap_rwsem, and everybody has answered him."""
    ends = (~unmap_file.idle(old, by) & unmap_file.idle(new, by)) | (
        ~unshare.idle(old, by) & unshare.idle(new, by)
    )
    return ends.implies(~new.i_mmap_rwsem.now & old.answered(by))


@step
def a_process_gives_up_what_it_shares(old: SharedPmd, new: SharedPmd, by: Cpu) -> Bool:
    """Unsharing takes the table from a process that has it."""
    begins = unshare.idle(old, by) & ~unshare.idle(new, by)
    return begins.implies(exists(Mm, lambda m: old.shares[m] & ~new.shares[m]))


@sometimes
def two_processes_use_the_page(s: SharedPmd, a: Cpu, b: Cpu) -> Bool:
    """CPUs of two processes have an entry for the page."""
    return (s.loaded_mm[a] != s.loaded_mm[b]) & s.tlb[a].is_some & (s.tlb[a] == s.tlb[b])


@sometimes
def one_has_left_and_another_stays(s: SharedPmd, by: Cpu, m: Mm, cpu: Cpu) -> Bool:
    """A process gives the table up while another one uses it and its own CPU has still an entry."""
    stale = (s.loaded_mm[cpu] == m) & ~s.shares[m] & s.tlb[cpu].is_some
    return ~unshare.idle(s, by) & stale & s.page.now.is_some


@sometimes
def a_truncation_waits_for_a_user(s: SharedPmd, by: Cpu, cpu: Cpu) -> Bool:
    """A CPU has an entry for the page of a file that is being truncated."""
    return unmap_file.at(s, by, unmap_file.steps[1]) & s.tlb[cpu].is_some


@sometimes
def a_page_is_free_again(s: SharedPmd, by: Cpu, f: Frame) -> Bool:
    """A page was truncated, and the table maps another one."""
    freed = (s.sharing.page[by] == f) & s.free[f] & unmap_file.idle(s, by)
    return freed & s.page.now.is_some & ~s.i_mmap_rwsem.now
