"""The size of a secret file.

What it checks: when an ftruncate() looks at the page cache, the page that the new size cuts is not
there, so that the kernel writes to no page that has left the direct map; pages are below the size;
faults and ftruncate() exclude each other.
Why it matters: the kernel would fault at an address that nothing handles, and crash.
Kernel precedent: "mm/secretmem: fix panic when growing a memfd_secret" (5.17.4), "secretmem: fix
unhandled fault in truncate" (5.18.16).
Smallest counterexample: set a size, touch the page, set another size (secretmem-truncate-any).
Not covered: sizes in pages; holes, which these files refuse.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Task
from mapproof.model.operations.secretmem import Index
from mapproof.model.operations.secretmem_truncate import (
    BRING_IN,
    I_SIZE_WRITE,
    LOCK_SHARED,
    TRUNCATE,
    UNLOCK,
    UNLOCK_SHARED,
    SizedFiles,
    secretmem_fault,
    secretmem_setattr,
)


@always
def no_secret_page_is_zeroed_for_a_size(s: SizedFiles, t: Task) -> Bool:
    """When an ftruncate() looks at the page cache, the page is not there."""
    return secretmem_setattr.at(s, t, TRUNCATE).implies(~s.cached[s.call.index[t]])


@always
def pages_are_below_the_size(s: SizedFiles, i: Index) -> Bool:
    """A file without a size has no page, and nobody brings one in."""
    return s.cached[i].implies(s.sized[i])


@always
def faults_are_below_the_size(s: SizedFiles, t: Task) -> Bool:
    """Who brings in a page has seen that the size covers it, and sizes never shrink."""
    return secretmem_fault.idle(s, t) | s.sized[s.call.index[t]]


@always
def faults_share_the_lock(s: SizedFiles, t: Task, i: Index) -> Bool:
    """Who brings in a page has the invalidate lock, shared."""
    inside = secretmem_fault.at(s, t, BRING_IN) | secretmem_fault.at(s, t, UNLOCK_SHARED)
    return s.shared[t, i] == (inside & (s.call.index[t] == i))


@always
def calls_exclude_each_other(s: SizedFiles, t: Task, u: Task) -> Bool:
    """Who sets a size has the lock for himself: no fault, and no other ftruncate()."""
    i = s.call.index[t]
    sets = ~secretmem_setattr.idle(s, t)
    other = ~secretmem_setattr.idle(s, u) & (s.call.index[u] == i)
    return sets.implies(s.exclusive[i] & ~s.shared[u, i] & other.implies(t == u))


@always
def calls_are_one_at_a_time(s: SizedFiles, t: Task) -> Bool:
    """A task is in a fault or in an ftruncate()."""
    return secretmem_fault.idle(s, t) | secretmem_setattr.idle(s, t)


@step
def sizes_are_set_once(s: SizedFiles, new: SizedFiles, t: Task, i: Index) -> Bool:
    """A size is written where there was none, and stays."""
    written = secretmem_setattr.at(s, t, I_SIZE_WRITE) & secretmem_setattr.at(new, t, TRUNCATE)
    first = ~s.sized[s.call.index[t]]
    return s.sized[i].implies(new.sized[i]) & written.implies(first)


@sometimes
def a_file_with_a_page_refuses_a_size(s: SizedFiles, t: Task) -> Bool:
    """An ftruncate() of a file that has a size and a page is about to be refused."""
    return secretmem_setattr.at(s, t, I_SIZE_WRITE) & s.cached[s.call.index[t]]


@sometimes
def a_fault_waits_for_an_ftruncate(s: SizedFiles, t: Task, u: Task) -> Bool:
    """A fault has seen the new size, and waits until the page cache has been looked at."""
    same = s.call.index[t] == s.call.index[u]
    waits = secretmem_fault.at(s, t, LOCK_SHARED) & secretmem_setattr.at(s, u, TRUNCATE)
    return same & waits


@sometimes
def a_size_was_set(s: SizedFiles, t: Task) -> Bool:
    """An ftruncate() is about to return with a new size."""
    return secretmem_setattr.at(s, t, UNLOCK) & ~s.cached[s.call.index[t]]
