"""pti_clone_kernel_text(): with pti=auto and no PCID, user tables map the image's text, global."""

from __future__ import annotations

from ...language import TRUE, Operation, Step, operation
from ...machine.sorts import Frame
from .frames import DirectMap, Owner, Rules


@operation(kernel="arch/x86/mm/pti.c: pti_clone_kernel_text()")
def pti_clone_kernel_text(s: DirectMap, f: Frame) -> Step:
    """User tables get the image's entry of a page."""
    return Step(when=(s.owner[f] == Owner.IMAGE) & s.high[f], then=[s.user_text.set(f, TRUE)])


def pti(_: Rules) -> list[Operation[DirectMap, ...]]:
    """The same under any rules."""
    return [pti_clone_kernel_text]
