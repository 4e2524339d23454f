"""Hibernation and secrets.

What it checks: no image has a secret in it; hibernation is refused only while somebody has a secret
file, so it is possible again when nobody has.  Invariant 7 of direct-map removal.
Why it matters: an image is on a disk, where the secret outlives its user and the machine.
Kernel precedent: secretmem_active() in hibernation_available(); 87066fdd2e30, which took refcount_t
back.
Smallest counterexample: the first file saturates its count (secretmem-hibernation-refcount).
Not covered: what is copied to the image besides secrets; kexec and crash dumps; suspend to RAM.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, forall, sometimes, step
from mapproof.model.machine.sorts import Task
from mapproof.model.operations.secretmem import Index
from mapproof.model.operations.secretmem_hibernation import (
    FREEZE,
    SAVE,
    THAW,
    WRITE,
    Hibernation,
    hibernate,
)


@always
def images_have_no_secrets(s: Hibernation, i: Index) -> Bool:
    """No image has the secret of a file."""
    return ~s.image[i]


@always
def hibernation_is_refused_for_a_file(s: Hibernation) -> Bool:
    """Hibernation is not available only while a secret file exists."""
    return s.secretmem_active().implies(exists(Index, lambda i: s.open[i]))


@always
def files_are_counted(s: Hibernation, i: Index) -> Bool:
    """A file is counted as long as it exists, and has no secret when it does not."""
    return (s.counted[i] == s.open[i]) & s.written[i].implies(s.open[i])


@always
def processes_are_frozen_for_the_copy(s: Hibernation, t: Task) -> Bool:
    """From when they are frozen until they are thawed, users do nothing."""
    copying = hibernate.at(s, t, SAVE) | hibernate.at(s, t, WRITE)
    return (copying | hibernate.at(s, t, THAW)).implies(s.frozen.now)


@always
def one_task_hibernates(s: Hibernation, a: Task, b: Task) -> Bool:
    """Two tasks do not hibernate at once."""
    return hibernate.idle(s, a) | hibernate.idle(s, b) | (a == b)


@always
def processes_are_frozen_by_somebody(s: Hibernation) -> Bool:
    """Processes are frozen only while a task hibernates."""
    return s.frozen.now.implies(exists(Task, lambda t: ~hibernate.idle(s, t)))


@step
def hibernation_begins_without_a_file(s: Hibernation, new: Hibernation, t: Task) -> Bool:
    """hibernate() refuses at once while a secret file exists, and later for no other reason."""
    begins = hibernate.idle(s, t) & ~hibernate.idle(new, t)
    refuses = hibernate.at(s, t, SAVE) & hibernate.at(new, t, THAW)
    return begins.implies(~s.secretmem_active()) & refuses.implies(s.secretmem_active())


@step
def frozen_processes_do_nothing(s: Hibernation, new: Hibernation, i: Index) -> Bool:
    """While they are frozen nobody makes, writes or closes a file."""
    same = (s.open[i] == new.open[i]) & (s.written[i] == new.written[i])
    return s.frozen.now.implies(same)


@sometimes
def an_image_is_written(s: Hibernation, t: Task) -> Bool:
    """The machine hibernates, and nobody has a secret."""
    return hibernate.at(s, t, WRITE) & forall(Index, lambda i: ~s.open[i])


@sometimes
def a_secret_is_there(s: Hibernation, i: Index) -> Bool:
    """A user has a secret, and hibernation is not available."""
    return s.written[i] & s.secretmem_active()


@sometimes
def a_file_comes_before_the_freeze(s: Hibernation, t: Task, i: Index) -> Bool:
    """A secret is written after hibernate() has asked for the first time."""
    return hibernate.at(s, t, FREEZE) & s.written[i]


@sometimes
def users_go_on(s: Hibernation, t: Task, i: Index) -> Bool:
    """A user with a secret is thawed."""
    return hibernate.at(s, t, THAW) & s.written[i]
