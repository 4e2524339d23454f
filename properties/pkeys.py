"""User protection keys.

What it checks: a thread runs with the rights that it was given and chose, on whatever CPU; a CPU has
cached the key that the page has, but until its flush arrives; so a thread reads and writes what its
rights for the page's key allow; a key that some page has is allocated.
Why it matters: PKRU is all that separates two threads of a process that share their pages.
Kernel precedent: x86_pkru_load() and the comments of arch/x86/mm/pkeys.c; pkeys(7) on pkey_free().
Smallest counterexample: a page has a key that is given back (pkeys-freed-in-use).
Not covered: execute-only keys, signal handlers, accesses of the kernel for another process, which
ignore PKRU, fork.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.access import Kind
from mapproof.model.machine.sorts import Cpu, Task, Va
from mapproof.model.operations.pkeys import Pkey, Pkeys, Rights, pkey_mprotect


@always
def threads_have_the_rights_they_chose(s: Pkeys, cpu: Cpu, k: Pkey) -> Bool:
    """PKRU of a CPU is that of its thread."""
    return s.pkru[cpu, k] == s.chosen[s.current[cpu], k]


@always
def rights_are_kept_for_threads(s: Pkeys, t: Task, k: Pkey) -> Bool:
    """A thread that no CPU runs has its rights kept."""
    return (s.alive[t] & s.is_off_cpu(t)).implies(s.saved[t, k] == s.chosen[t, k])


@always
def cached_keys_are_the_pages(s: Pkeys, cpu: Cpu, va: Va) -> Bool:
    """The key that a CPU has cached is the page's, or its flush is waited for."""
    entry = s.tlb[cpu, va]
    return entry.is_some.implies((entry == s.leaf[va]) | ~s.is_flushed(cpu, va))


@always
def threads_read_what_their_rights_allow(s: Pkeys, cpu: Cpu, va: Va) -> Bool:
    """A thread reads a page only if its rights for the key of the page let it, once that is flushed."""
    read = s.can_access(cpu, va, Kind.READ) & s.is_flushed(cpu, va)
    return read.implies(s.chosen[s.current[cpu], s.leaf[va]] != Rights.NOTHING)


@always
def threads_write_what_their_rights_allow(s: Pkeys, cpu: Cpu, va: Va) -> Bool:
    """A thread writes a page only if its rights for the key of the page are all rights."""
    write = s.can_access(cpu, va, Kind.WRITE) & s.is_flushed(cpu, va)
    return write.implies(s.chosen[s.current[cpu], s.leaf[va]] == Rights.ALL)


@always
def keys_of_pages_are_allocated(s: Pkeys, va: Va) -> Bool:
    """A page has key 0 or one that is allocated."""
    return s.allocated[s.leaf[va]] & s.allocated[s.default[()]]


@always
def leaves_change_under_the_lock(s: Pkeys, t: Task, u: Task) -> Bool:
    """One thread at a time changes keys, with mmap_lock."""
    works = ~pkey_mprotect.idle(s, t)
    alone = (~pkey_mprotect.idle(s, u)).implies(t == u)
    return works.implies(s.mmap_lock.now & alone)


@always
def threads_run_on_one_cpu(s: Pkeys, a: Cpu, b: Cpu) -> Bool:
    """Two CPUs run two threads, which exist."""
    return (s.current[a] == s.current[b]).implies(a == b) & s.alive[s.current[a]]


@step
def rights_change_in_the_thread_that_runs(s: Pkeys, new: Pkeys, k: Pkey, t: Task) -> Bool:
    """The rights of threads that no CPU runs stay, whoever allocates a key."""
    kept = s.is_off_cpu(t) & s.alive[t]
    return kept.implies(s.chosen[t, k] == new.chosen[t, k])


@step
def children_have_the_rights_that_are_kept(s: Pkeys, new: Pkeys, t: Task, k: Pkey) -> Bool:
    """A new thread will run with the rights that it was given."""
    made = ~s.alive[t] & new.alive[t]
    return made.implies(new.saved[t, k] == new.chosen[t, k])


@step
def free_keys_are_not_given_to_pages(s: Pkeys, new: Pkeys, va: Va) -> Bool:
    """A page gets a key that is allocated, under the lock."""
    changed = s.leaf[va] != new.leaf[va]
    return changed.implies(s.allocated[new.leaf[va]] & ~s.mmap_lock.now)


@step
def the_key_map_changes_under_the_lock(s: Pkeys, new: Pkeys, k: Pkey) -> Bool:
    """While somebody changes leaves, no key is allocated or given back."""
    return (s.allocated[k] != new.allocated[k]).implies(~s.mmap_lock.now)


@step
def system_calls_are_of_threads_that_run(s: Pkeys, new: Pkeys, t: Task) -> Bool:
    """pkey_mprotect() begins and ends in a thread that runs."""
    moved = pkey_mprotect.idle(s, t) != pkey_mprotect.idle(new, t)
    return moved.implies(~s.is_off_cpu(t))


@step
def translations_go_for_a_key(s: Pkeys, new: Pkeys, cpu: Cpu, va: Va) -> Bool:
    """The cost: no CPU flushes a page but when its key changes."""
    gone = s.tlb[cpu, va].is_some & new.tlb[cpu, va].is_none
    return gone.implies(~s.is_flushed(cpu, va))


@sometimes
def two_threads_differ(s: Pkeys, cpu: Cpu, t: Task, va: Va) -> Bool:
    """A thread can read a page but not write it, and one that does not run may write it."""
    reads = s.can_access(cpu, va, Kind.READ) & ~s.can_access(cpu, va, Kind.WRITE)
    writes = s.alive[t] & s.is_off_cpu(t) & (s.saved[t, s.leaf[va]] == Rights.ALL)
    return reads & writes


@sometimes
def a_key_is_changed_under_a_cpu(s: Pkeys, cpu: Cpu, va: Va) -> Bool:
    """A CPU uses the old key of a page, and its flush is waited for."""
    entry = s.tlb[cpu, va]
    return entry.is_some & (entry != s.leaf[va])


@sometimes
def rights_outlive_keys(s: Pkeys, cpu: Cpu, k: Pkey) -> Bool:
    """A thread has all rights for a key that is not allocated."""
    return ~s.allocated[k] & (s.pkru[cpu, k] == Rights.ALL)


@sometimes
def a_page_has_another_key(s: Pkeys, va: Va) -> Bool:
    """pkey_mprotect() has returned."""
    return (s.leaf[va] != s.default[()]) & ~s.mmap_lock.now
