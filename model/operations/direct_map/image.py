"""free_kernel_image_pages(): pages of the image that nobody needs any more, and their alias."""

from __future__ import annotations

from ...language import FALSE, Operation, Step, Update, operation
from ...machine.sorts import Frame
from .frames import Call, DirectMap, Owner, Request, Rules


def _remove_alias(s: DirectMap, f: Frame) -> list[Update]:
    return [s.high.set(f, FALSE), s.user_text.set(f, FALSE), s.ask(Request.ALIAS, f)]


# As merged: first the pages, then the alias.


@operation(kernel="arch/x86/mm/init.c: free_kernel_image_pages(), free_init_pages()")
def free_init_pages(s: DirectMap, f: Frame) -> Step:
    """The page goes to the allocator."""
    return Step(when=(s.owner[f] == Owner.IMAGE) & s.idle(f), then=[s.owner.set(f, Owner.FREE)])


@operation(kernel="arch/x86/mm/init.c: free_kernel_image_pages(), set_memory_np_noalias()")
def set_memory_np_noalias(s: DirectMap, f: Frame) -> Step:
    """The image does not map a page any more that was freed, and every CPU is asked to flush."""
    return Step(when=s.high[f] & (s.owner[f] != Owner.IMAGE), then=_remove_alias(s, f))


# The other way round.


@operation(
    kernel="arch/x86/mm/init.c: free_kernel_image_pages(), set_memory_np_noalias()",
    name="set_memory_np_noalias",
)
def set_memory_np_noalias_first(s: DirectMap, f: Frame) -> Step:
    """The image does not map the page any more, and every CPU is asked to flush."""
    return Step(
        when=(s.owner[f] == Owner.IMAGE) & s.idle(f),
        then=[*_remove_alias(s, f), s.call.set(f, Call.FREE_IMAGE)],
    )


@operation(
    kernel="arch/x86/mm/init.c: free_kernel_image_pages(), free_init_pages()",
    name="free_init_pages",
)
def free_init_pages_last(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the page goes to the allocator."""
    return Step(
        when=(s.call[f] == Call.FREE_IMAGE) & s.answered(Request.ALIAS, f),
        then=[s.owner.set(f, Owner.FREE), s.call.set(f, Call.IDLE)],
    )


def image(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """flush: a page is free when its alias is gone from every CPU."""
    if rules.flush:
        return [set_memory_np_noalias_first, free_init_pages_last]
    return [free_init_pages, set_memory_np_noalias]
