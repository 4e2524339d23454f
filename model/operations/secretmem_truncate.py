"""ftruncate() of a secret file: what the kernel zeroes of a page that has left the direct map.

A new size cuts a page in two, and the rest of that page is zeroed by the direct map if the page is in
the page cache.  So the size may be set once, from 0, when there is no page; faults look at the size, and
then the invalidate lock keeps them out until the page cache has been looked at.  Of a file there is the
one page that the new size cuts.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Locals,
    Map,
    Procedure,
    State,
    Step,
    forall,
    operation,
)
from ..machine.sorts import Task
from .secretmem import Index


class Call(Locals):
    """The local of a fault or an ftruncate(): the page of the file."""

    index: Map[Task, Index]


class SizedFiles(State):
    """sized: i_size is not 0, and covers the page in part.  cached: the page is in the page cache, and
    not in the direct map.  shared, exclusive: who has the invalidate lock."""

    sized: Map[Index, Bool]
    cached: Map[Index, Bool]
    shared: Map[tuple[Task, Index], Bool]
    exclusive: Map[Index, Bool]
    call: Call


@operation(kernel="mm/secretmem.c: secretmem_file_create()")
def boot(s: SizedFiles) -> Step:
    """Files have no size and no page."""
    return Step(
        when=TRUE,
        then=[
            s.sized.fill(lambda i: FALSE),
            s.cached.fill(lambda i: FALSE),
            s.shared.fill(lambda t, i: FALSE),
            s.exclusive.fill(lambda i: FALSE),
        ],
    )


secretmem_fault = Procedure(
    "secretmem_fault",
    kernel="mm/secretmem.c: secretmem_fault()",
    doc="Bring in a page below the size, with the invalidate lock shared.",
)


@secretmem_fault.step
def i_size_read(s: SizedFiles, t: Task, i: Index) -> Step:
    """The page is within the size of the file: no lock is held yet."""
    return Step(when=s.sized[i], then=[s.call.index.set(t, i)])


@secretmem_fault.step
def filemap_invalidate_lock_shared(s: SizedFiles, t: Task) -> Step:
    """Wait for an ftruncate()."""
    i = s.call.index[t]
    return Step(when=~s.exclusive[i], then=[s.shared.set((t, i), TRUE)])


@secretmem_fault.step
def bring_in(s: SizedFiles, t: Task) -> Step:
    """The page leaves the direct map and enters the page cache (see secretmem)."""
    return Step(when=TRUE, then=[s.cached.set(s.call.index[t], TRUE)])


@secretmem_fault.step
def filemap_invalidate_unlock_shared(s: SizedFiles, t: Task) -> Step:
    """The fault is over."""
    return Step(when=TRUE, then=[s.shared.set((t, s.call.index[t]), FALSE)])


I_SIZE_READ, LOCK_SHARED, BRING_IN, UNLOCK_SHARED = secretmem_fault.steps


def _secretmem_setattr(*, once: bool = True, locks: bool = True) -> Procedure:
    """once: a file that has a size keeps it.  locks: with the invalidate lock."""
    procedure = Procedure(
        "secretmem_setattr",
        kernel="mm/secretmem.c: secretmem_setattr(); mm/truncate.c: truncate_setsize()",
        doc="Set the size of a file, and zero the page cache behind it.",
    )

    @procedure.step
    def filemap_invalidate_lock(s: SizedFiles, t: Task, i: Index) -> Step:
        """Wait for faults."""
        free = ~s.exclusive[i] & forall(Task, lambda u: ~s.shared[u, i])
        taken = [s.exclusive.set(i, TRUE)] if locks else []
        return Step(when=free if locks else TRUE, then=[s.call.index.set(t, i), *taken])

    @procedure.step(at="i_size_write", to="truncate_pagecache")
    def i_size_write(s: SizedFiles, t: Task) -> Step:
        """The size was 0, and is the new one."""
        i = s.call.index[t]
        return Step(when=~s.sized[i] if once else TRUE, then=[s.sized.set(i, TRUE)])

    @procedure.step(at="i_size_write", to="unlock")
    def einval(s: SizedFiles, t: Task) -> Step:
        """The file has a size: refuse."""
        return Step(when=s.sized[s.call.index[t]] if once else FALSE)

    @procedure.step(at="truncate_pagecache")
    def truncate_pagecache(s: SizedFiles, t: Task) -> Step:
        """If the page is in the page cache, what is behind the size is zeroed, by the direct map."""
        return Step(when=TRUE)

    @procedure.step(at="unlock")
    def filemap_invalidate_unlock(s: SizedFiles, t: Task) -> Step:
        """Let faults in."""
        return Step(when=TRUE, then=[s.exclusive.set(s.call.index[t], FALSE)] if locks else [])

    return procedure


secretmem_setattr = _secretmem_setattr()

LOCK, I_SIZE_WRITE, EINVAL, TRUNCATE, UNLOCK = secretmem_setattr.steps

# D-05: any size could be set.
secretmem_setattr_any = _secretmem_setattr(once=False)
# D-05-race: a fault came in between the size and the page cache.
secretmem_setattr_unlocked = _secretmem_setattr(locks=False)
