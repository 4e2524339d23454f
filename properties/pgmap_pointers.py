"""Reports of pointers to protected pages.

What it checks: who faults was warned when it got the pointer; nobody was warned who was in a bracket;
with faults alone, who faults is who called kmap() or page_address() (promise 8 of docs/keys.md).
Why it matters: a report that names the wrong caller, or comes when the caller is long gone, does not
lead to the bug; one that comes without a bug is switched off.
Kernel precedent: the review of "[PATCH V8 41/44] kmap: Ensure kmap works for devmap pages" (1 March
2022): is a late fault distinguishable from an early one?
Smallest counterexample: page_address() without a check, and a use (pgmap-early-in-kmap).
Not covered: what a backtrace says beyond its thread and its page; WARN_ONCE() that stays silent the
second time.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Frame, Task
from mapproof.model.operations.pgmap_pointers import Origin, PgmapChecks, PgmapFaults, PgmapPointers


@always
def faults_were_warned_of(s: PgmapChecks, t: Task, f: Frame) -> Bool:
    """A thread that faults on a page was warned when it got the pointer."""
    return s.faulted[t, f].implies(s.warned[t, f])


@always
def unguarded_pointers_were_warned_of(s: PgmapChecks, t: Task, f: Frame) -> Bool:
    """A thread with a pointer that it may not use at any time was warned of it."""
    has = (s.pointer[t, f] != Origin.NONE) & s.unguarded[t, f] & s.protected[f]
    return has.implies(s.warned[t, f])


@step
def warnings_are_of_unguarded_pointers(s: PgmapChecks, new: PgmapChecks, t: Task, f: Frame) -> Bool:
    """Nobody is warned within a bracket, where the pointer is good, nor of a page without a key."""
    warned = ~s.warned[t, f] & new.warned[t, f]
    return warned.implies(~s.bracket[t] & s.protected[f])


@step
def warnings_come_with_the_pointer(s: PgmapChecks, new: PgmapChecks, t: Task, f: Frame) -> Bool:
    """A warning comes when a thread gets a pointer that it may not use at any time."""
    warned = ~s.warned[t, f] & new.warned[t, f]
    return warned.implies((new.pointer[t, f] != Origin.NONE) & new.unguarded[t, f])


@always
def faults_name_who_asked(s: PgmapFaults, t: Task, f: Frame) -> Bool:
    """A thread that faults on a page has called kmap() or page_address() for it itself."""
    return s.faulted[t, f].implies(s.asked[t, f])


@always
def faults_are_of_protected_pages(s: PgmapPointers, t: Task, f: Frame) -> Bool:
    """Pages without a key do not fault."""
    return s.faulted[t, f].implies(s.protected[f])


@always
def guarded_pointers_end_with_their_bracket(s: PgmapPointers, t: Task, f: Frame) -> Bool:
    """A pointer that a thread got in a bracket is gone when that is closed."""
    has = (s.pointer[t, f] != Origin.NONE) & ~s.unguarded[t, f] & s.protected[f]
    return has.implies(s.bracket[t])


@always
def nothing_is_unguarded_without_a_pointer(s: PgmapPointers, t: Task, f: Frame) -> Bool:
    """A pointer that is gone is no danger."""
    return (s.pointer[t, f] == Origin.NONE).implies(~s.unguarded[t, f])


@step
def uses_in_brackets_do_not_fault(s: PgmapPointers, new: PgmapPointers, t: Task, f: Frame) -> Bool:
    """Within a bracket no use of a pointer faults."""
    return (~s.faulted[t, f] & new.faulted[t, f]).implies(~s.bracket[t])


@sometimes
def a_warning_without_a_fault(s: PgmapChecks, t: Task, f: Frame) -> Bool:
    """What only an early check shows: a thread was warned and has let go of its pointer, unused."""
    return s.warned[t, f] & ~s.faulted[t, f] & (s.pointer[t, f] == Origin.NONE)


@sometimes
def a_warned_pointer_is_used_in_a_bracket(s: PgmapChecks, t: Task, f: Frame) -> Bool:
    """A thread was warned, but uses the pointer in a bracket by now."""
    return s.warned[t, f] & s.bracket[t] & (s.pointer[t, f] != Origin.NONE)


@sometimes
def a_pointer_of_each_kind_faults(s: PgmapPointers, t: Task, f: Frame, g: Frame) -> Bool:
    """A thread faults on an address from kmap(), and on one from page_address()."""
    kmap = (s.pointer[t, f] == Origin.KMAP) & s.faulted[t, f]
    return kmap & (s.pointer[t, g] == Origin.PAGE_ADDRESS) & s.faulted[t, g]


@sometimes
def a_pointer_is_good_in_its_bracket(s: PgmapPointers, t: Task, f: Frame) -> Bool:
    """A thread has a pointer to a protected page from within a bracket."""
    return (s.pointer[t, f] != Origin.NONE) & ~s.unguarded[t, f] & s.protected[f]


@sometimes
def a_page_without_key_is_used_after_a_bracket(s: PgmapPointers, t: Task, f: Frame) -> Bool:
    """A pointer from within a bracket to a page without a key stays good when that is closed."""
    return (s.pointer[t, f] != Origin.NONE) & ~s.unguarded[t, f] & ~s.bracket[t]
