"""Whose PMD page a push writes to.

What it checks: arch_sync_kernel_mappings() writes to pages that are PMD pages of processes on pgd_list,
and to nothing else (invariant 4 of the vmalloc area, for private kernel PMD pages).
Why it matters: a top-level entry that is empty leads to physical address 0, and one that was read before
it was cleared leads to a page that is anybody's by the time it is written.
Kernel precedent: none; the comment in pgd_alloc() says of the way in what is asked here of the way out.
Smallest counterexample: clear the top-level entry, then walk (pae-exit-leaves-last), derived from the
code of 6.1 and not from a report.
Not covered: user PMD pages, Xen, which entries are written (kernel_sync has that).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Mm, Pmd
from mapproof.model.operations.lazy import Use
from mapproof.model.operations.pae_exit import PaeExit, arch_sync_kernel_mappings, pgd_free

_LOCK, _FIND, _WRITE, _UNLOCK = arch_sync_kernel_mappings.steps


@always
def pushes_go_to_pmd_pages(s: PaeExit, cpu: Cpu) -> Bool:
    """Where a push is about to write there is the PMD page of the process that it is at."""
    writes = arch_sync_kernel_mappings.at(s, cpu, _WRITE)
    page = s.push.page[cpu]
    table = page.is_some & (s.use[page.value] == Use.TABLE)
    return writes.implies(table & (s.slot[s.push.mm[cpu]] == page))


@always
def processes_on_the_list_have_their_page(s: PaeExit, m: Mm) -> Bool:
    """A process on pgd_list has its kernel PMD page."""
    return s.on_list[m].implies(s.slot[m].is_some)


@always
def linked_pages_are_tables(s: PaeExit, m: Mm) -> Bool:
    """A top-level entry that is not empty leads to a PMD page."""
    return s.slot[m].is_some.implies(s.use[s.slot[m].value] == Use.TABLE)


@always
def pmd_pages_have_one_process(s: PaeExit, m: Mm, n: Mm) -> Bool:
    """Two processes never share a kernel PMD page."""
    return (s.slot[m].is_some & (s.slot[m] == s.slot[n])).implies(m == n)


@always
def walks_hold_the_lock(s: PaeExit, a: Cpu, b: Cpu) -> Bool:
    """A CPU that walks pgd_list holds pgd_lock, alone, and stays with a process that is on it."""
    walks = ~arch_sync_kernel_mappings.idle(s, a)
    both = walks & ~arch_sync_kernel_mappings.idle(s, b)
    writes = arch_sync_kernel_mappings.at(s, a, _WRITE)
    return (
        walks.implies(s.pgd_lock.now)
        & both.implies(a == b)
        & writes.implies(s.on_list[s.push.mm[a]])
    )


@always
def pages_are_freed_by_one(s: PaeExit, a: Cpu, b: Cpu) -> Bool:
    """Two CPUs never free the page of one process, nor one page."""
    clear, free = pgd_free.steps[1], pgd_free.steps[2]
    m, n = s.leave.mm[a], s.leave.mm[b]
    both = ~pgd_free.idle(s, a) & ~pgd_free.idle(s, b)
    clears = pgd_free.at(s, a, clear) & pgd_free.at(s, b, clear) & (m == n)
    frees = pgd_free.at(s, a, free) & pgd_free.at(s, b, free) & (s.leave.page[a] == s.leave.page[b])
    return (both & (clears | frees)).implies(a == b)


@always
def pages_to_free_are_nobodys(s: PaeExit, cpu: Cpu, m: Mm) -> Bool:
    """A process that is about to lose its page has one and is off pgd_list; the page that is about to be
    freed is a PMD page still, and no process's."""
    clear, free = pgd_free.steps[1], pgd_free.steps[2]
    mine, page = s.leave.mm[cpu], s.leave.page[cpu]
    has = s.slot[mine].is_some & ~s.on_list[mine]
    table = (s.use[page] == Use.TABLE) & (s.slot[m] != page)
    return pgd_free.at(s, cpu, clear).implies(has) & pgd_free.at(s, cpu, free).implies(table)


@step
def pages_come_and_go_with_their_process(old: PaeExit, new: PaeExit, cpu: Cpu) -> Bool:
    """When pgd_free() returns, the page is free."""
    done = ~pgd_free.idle(old, cpu) & pgd_free.idle(new, cpu)
    return done.implies(new.use[old.leave.page[cpu]] == Use.FREE)


@step
def the_list_changes_under_its_lock(old: PaeExit, new: PaeExit, m: Mm) -> Bool:
    """Nobody joins or leaves pgd_list while it is walked."""
    return old.pgd_lock.now.implies(old.on_list[m] == new.on_list[m])


@step
def walks_end_with_the_lock_free(old: PaeExit, new: PaeExit, cpu: Cpu, m: Mm) -> Bool:
    """When a push returns, it has been to every process, and pgd_lock is free."""
    done = ~arch_sync_kernel_mappings.idle(old, cpu) & arch_sync_kernel_mappings.idle(new, cpu)
    visited = new.on_list[m].implies(old.walk.visited[cpu, m])
    return done.implies(visited & ~new.pgd_lock.now)


@sometimes
def a_process_exits_during_a_push(s: PaeExit, by: Cpu, cpu: Cpu, m: Mm) -> Bool:
    """One CPU is about to write to a process, another is about to free the page of a second one."""
    writes = arch_sync_kernel_mappings.at(s, cpu, _WRITE)
    return writes & pgd_free.at(s, by, pgd_free.steps[2]) & (s.leave.mm[by] != s.push.mm[cpu])


@sometimes
def a_push_has_been_to_two_processes(s: PaeExit, cpu: Cpu, m: Mm, n: Mm) -> Bool:
    """A walk that has two processes behind it."""
    walks = ~arch_sync_kernel_mappings.idle(s, cpu) & (m != n)
    return walks & s.walk.visited[cpu, m] & s.walk.visited[cpu, n]


@sometimes
def a_freed_page_is_used_again(s: PaeExit, p: Pmd, m: Mm) -> Bool:
    """A page is data, a process has another one."""
    return (s.use[p] == Use.DATA) & s.on_list[m]
