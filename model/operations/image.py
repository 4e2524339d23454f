"""Freeing pages of the kernel image: they are mapped twice, by the direct map and at their link address.

The allocator hands out what is freed by its direct-map address.  The other mapping, the alias, stays
unless somebody removes it, and part of it may be in the user tables.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Locals,
    Map,
    Procedure,
    State,
    Step,
    operation,
)
from ..machine.sorts import Cpu, Frame


class Owner(Enumeration):
    """Whose a page is: the image's (init text and data, gaps between sections), nobody's, or
    somebody's who got it from the allocator."""

    IMAGE: Owner
    FREE: Owner
    TAKEN: Owner


class Freeing(Locals):
    """The local of free_kernel_image_pages(): the page it is at."""

    frame: Map[Cpu, Frame]


class ImagePages(State):
    """alias: the page is mapped at its link address.  half_freed: history, a CPU has done one of the
    two steps that free the page, and not the other."""

    owner: Map[Frame, Owner]
    alias: Map[Frame, Bool]
    half_freed: Map[Frame, Bool]
    freeing: Freeing


class ImagePagesInOrder(ImagePages):
    """The same, for claims about the order in which a page is freed and its alias removed."""


@operation(kernel="arch/x86/kernel/head_64.S")
def boot(s: ImagePages) -> Step:
    """Every page is the image's and mapped at its link address."""
    return Step(
        when=TRUE,
        then=[
            s.owner.fill(lambda f: Owner.IMAGE),
            s.alias.fill(lambda f: TRUE),
            s.half_freed.fill(lambda f: FALSE),
        ],
    )


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate(s: ImagePages, f: Frame) -> Step:
    """Somebody takes a free page and writes his data."""
    return Step(when=s.owner[f] == Owner.FREE, then=[s.owner.set(f, Owner.TAKEN)])


free_pages = Procedure(
    "free_kernel_image_pages",
    kernel="arch/x86/mm/init.c: free_kernel_image_pages()",
    doc="Free a page of the image, then remove its alias.",
)


@free_pages.step
def free_init_pages(s: ImagePages, cpu: Cpu, f: Frame) -> Step:
    """The allocator gets the page."""
    return Step(
        when=s.owner[f] == Owner.IMAGE,
        then=[s.owner.set(f, Owner.FREE), s.half_freed.set(f, TRUE), s.freeing.frame.set(cpu, f)],
    )


@free_pages.step
def set_memory_np_noalias(s: ImagePages, cpu: Cpu) -> Step:
    """The alias goes, and every CPU flushes it."""
    f = s.freeing.frame[cpu]
    return Step(when=TRUE, then=[s.alias.set(f, FALSE), s.half_freed.set(f, FALSE)])


# P-09: the alias stayed.
@operation(
    kernel="arch/x86/mm/init.c: free_init_pages() before c40a56a7818c",
    name="free_init_pages",
)
def free_pages_with_alias(s: ImagePages, f: Frame) -> Step:
    """The allocator gets the page, and that is all."""
    return Step(when=s.owner[f] == Owner.IMAGE, then=[s.owner.set(f, Owner.FREE)])


free_pages_unmapped = Procedure(
    "free_kernel_image_pages",
    kernel="arch/x86/mm/init.c: free_kernel_image_pages() in the other order",
    doc="Remove the alias of a page of the image, then free the page.",
)


@free_pages_unmapped.step
def remove_alias(s: ImagePages, cpu: Cpu, f: Frame) -> Step:
    """The alias goes, and every CPU flushes it."""
    return Step(
        when=(s.owner[f] == Owner.IMAGE) & s.alias[f],
        then=[s.alias.set(f, FALSE), s.half_freed.set(f, TRUE), s.freeing.frame.set(cpu, f)],
    )


@free_pages_unmapped.step
def free_unmapped_page(s: ImagePages, cpu: Cpu) -> Step:
    """The allocator gets the page."""
    f = s.freeing.frame[cpu]
    return Step(when=TRUE, then=[s.owner.set(f, Owner.FREE), s.half_freed.set(f, FALSE)])
