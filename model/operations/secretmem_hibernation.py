"""Hibernation and memfd_secret(): the image has every page of RAM, also those out of the direct map.

So hibernation is refused while somebody has a secret file: secretmem_users counts them.  As merged,
hibernate() asks before it freezes processes, and never again; a file that is made in between is in the
image.  Here it asks when all are frozen as well.  A count is who is counted in it; of a file there is
one page.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Map,
    Procedure,
    State,
    Step,
    Var,
    exists,
    forall,
    ite,
    operation,
)
from ..machine.sorts import Task
from .secretmem import Index


class Hibernation(State):
    """open: the file exists; counted: in secretmem_users.  saturated: secretmem_users is a refcount_t
    that was incremented from 0, and stays as it is for ever.  written: a user has written his secret.
    frozen: user processes are.  image: the image has the file's secret."""

    open: Map[Index, Bool]
    counted: Map[Index, Bool]
    saturated: Var[Bool]
    written: Map[Index, Bool]
    frozen: Var[Bool]
    image: Map[Index, Bool]

    def secretmem_active(self) -> Bool:
        """secretmem_users is not 0."""
        return self.saturated.now | exists(Index, lambda i: self.counted[i])


@operation(kernel="mm/secretmem.c: secretmem_init()")
def boot(s: Hibernation) -> Step:
    """No file exists, nobody is frozen."""
    return Step(
        when=TRUE,
        then=[
            s.open.fill(lambda i: FALSE),
            s.counted.fill(lambda i: FALSE),
            s.saturated.become(FALSE),
            s.written.fill(lambda i: FALSE),
            s.frozen.become(FALSE),
            s.image.fill(lambda i: FALSE),
        ],
    )


def _memfd_secret(s: Hibernation, i: Index, saturates: Bool) -> Step:
    return Step(
        when=~s.frozen.now & ~s.open[i],
        then=[
            s.open.set(i, TRUE),
            s.counted.set(i, TRUE),
            s.saturated.become(s.saturated.now | saturates),
        ],
    )


@operation(kernel="mm/secretmem.c: memfd_secret(), atomic_inc()")
def memfd_secret(s: Hibernation, i: Index) -> Step:
    """A new file is counted before its user has it."""
    return _memfd_secret(s, i, FALSE)


# D-13: refcount_t takes an increment of 0 for a use after free, and saturates.
@operation(
    kernel="mm/secretmem.c: memfd_secret() with refcount_inc(), 110860541f44", name="memfd_secret"
)
def memfd_secret_refcount(s: Hibernation, i: Index) -> Step:
    """A new file is counted; the first one saturates the count."""
    return _memfd_secret(s, i, ite(s.secretmem_active(), FALSE, TRUE))


@operation(kernel="arch/x86/entry/entry_64.S: user code")
def user_write(s: Hibernation, i: Index) -> Step:
    """A user writes his secret."""
    return Step(when=s.open[i] & ~s.frozen.now, then=[s.written.set(i, TRUE)])


@operation(kernel="mm/secretmem.c: secretmem_release(), secretmem_free_folio()")
def secretmem_release(s: Hibernation, i: Index) -> Step:
    """The file is gone, and its page zeroed, before the user can be frozen."""
    return Step(
        when=s.open[i] & ~s.frozen.now,
        then=[s.open.set(i, FALSE), s.counted.set(i, FALSE), s.written.set(i, FALSE)],
    )


def _hibernate(*, asks_first: bool = True, asks_frozen: bool = True) -> Procedure:
    """asks_first: before anything else.  asks_frozen: when all processes are frozen."""
    procedure = Procedure(
        "hibernate",
        kernel="kernel/power/hibernate.c: hibernate(), hibernation_available(); "
        "kernel/power/snapshot.c: swsusp_save(), safe_copy_page()",
        doc="Freeze processes, copy all of RAM, write the copy, and thaw.",
    )

    @procedure.step(to="freeze")
    def hibernation_available(s: Hibernation, t: Task) -> Step:
        """Nobody has a secret file, and nobody else is at it: hibernate_acquire()."""
        alone = forall(Task, lambda u: procedure.idle(s, u))
        return Step(when=alone & (~s.secretmem_active() if asks_first else TRUE))

    @procedure.step(at="freeze", to="ask")
    def freeze_processes(s: Hibernation, t: Task) -> Step:
        """User processes stop, wherever they are; not all at once, but none goes on."""
        return Step(when=TRUE, then=[s.frozen.become(TRUE)])

    @procedure.step(at="ask", to="write")
    def swsusp_save(s: Hibernation, t: Task) -> Step:
        """Copy every page; one that is not in the direct map is mapped for that."""
        allowed = ~s.secretmem_active() if asks_frozen else TRUE
        return Step(when=allowed, then=[s.image.fill(lambda i: s.written[i])])

    @procedure.step(at="ask", to="thaw")
    def refuse(s: Hibernation, t: Task) -> Step:
        """Somebody has a secret file by now."""
        return Step(when=s.secretmem_active() if asks_frozen else FALSE)

    @procedure.step(at="write", to="thaw")
    def swsusp_write(s: Hibernation, t: Task) -> Step:
        """The image is written, and the copy freed."""
        return Step(when=TRUE, then=[s.image.fill(lambda i: FALSE)])

    @procedure.step(at="thaw")
    def thaw_processes(s: Hibernation, t: Task) -> Step:
        """The machine has resumed, or not been switched off: users go on."""
        return Step(when=TRUE, then=[s.frozen.become(FALSE)])

    return procedure


hibernate = _hibernate()

AVAILABLE, FREEZE, SAVE, REFUSE, WRITE, THAW = hibernate.steps

# D-19: as merged.
hibernate_asks_first = _hibernate(asks_frozen=False)
# D-19-veto: what secretmem_active() is there against.
hibernate_unasked = _hibernate(asks_first=False, asks_frozen=False)
