"""Hibernation: the image of memory, for which pages that are not in the direct map are put back.

All other CPUs are down and interrupts off while pages are copied, so mapping a page, copying it,
unmapping and flushing it is one step.
"""

from __future__ import annotations

from ...language import FALSE, TRUE, Operation, Step, forall, operation
from ...machine.sorts import Frame
from .frames import DirectMap, Owner, Rules, Sleep


@operation(kernel="kernel/power/hibernate.c: hibernation_available(), secretmem_active()")
def hibernation_available(s: DirectMap) -> Step:
    """Nobody uses a secret file: hibernation begins."""
    unused = forall(Frame, lambda f: s.owner[f] != Owner.SECRET)
    return Step(when=(s.sleep.now == Sleep.RUNNING) & unused, then=[s.sleep.become(Sleep.PREPARED)])


@operation(kernel="kernel/power/process.c: freeze_processes()")
def freeze_processes(s: DirectMap) -> Step:
    """No process runs any more."""
    return Step(when=s.sleep.now == Sleep.PREPARED, then=[s.sleep.become(Sleep.FROZEN)])


@operation(kernel="kernel/power/process.c: thaw_processes()")
def thaw_processes(s: DirectMap) -> Step:
    """The image is written, or hibernation failed."""
    return Step(
        when=s.sleep.now == Sleep.FROZEN,
        then=[s.sleep.become(Sleep.RUNNING), s.image.fill(lambda f: FALSE)],
    )


def hibernation(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """owner: a page that is not in the direct map, or is a secret file's, is its owner's to save."""

    @operation(kernel="kernel/power/snapshot.c: copy_data_page(), hibernate_map_page()")
    def copy_data_page(s: DirectMap, f: Frame) -> Step:
        """A page in use is copied, with a mapping for that if it has none."""
        owner = s.owner[f]
        saved = (owner != Owner.FREE) & (owner != Owner.ABSENT) & (owner != Owner.DEVICE)
        if rules.owner:
            saved = saved & (owner != Owner.SECRET) & s.leaf.present[f]
        return Step(
            when=(s.sleep.now == Sleep.FROZEN) & saved,
            then=[
                s.image.set(f, TRUE),
                s.leaked.set(f, s.leaked[f] | s.secret[f]),
                s.consumed.set(f, s.consumed[f] | s.poisoned[f]),
            ],
        )

    return [hibernation_available, freeze_processes, copy_data_page, thaw_processes]
