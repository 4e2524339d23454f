"""Freeing pages of the kernel image, with and without their alias."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, Frame
from ..operations import image as op
from ..operations.image import ImagePages, ImagePagesInOrder, Owner


@always
def pages_with_alias_are_the_images(s: ImagePages, f: Frame) -> Bool:
    """A page that left the image has its alias only while that is being removed."""
    return ((s.owner[f] != Owner.IMAGE) & s.alias[f]).implies(s.is_removed(f))


@always
def removals_are_under_way(s: ImagePages, cpu: Cpu) -> Bool:
    """Who is about to remove an alias is in the procedure that does."""
    return s.removing[cpu].implies(~op.free_pages.idle(s, cpu))


@always
def pages_are_freed_without_alias(s: ImagePagesInOrder, cpu: Cpu) -> Bool:
    """The page that a CPU is about to free is not mapped at its link address."""
    return (~op.free_pages_unmapped.idle(s, cpu)).implies(~s.alias[s.freeing.frame[cpu]])


image = Design(
    name="image",
    state=ImagePages,
    init=op.boot,
    operations=[op.allocate],
    procedures=[op.free_pages],
    lemmas=[pages_with_alias_are_the_images, removals_are_under_way],
    scope={Cpu: 1, Frame: 2},
    doc="""Freeing pages of the kernel image, as merged: the page goes to the allocator, then its mapping
at the link address is removed.""",
    source="c40a56a7818c; free_kernel_image_pages() of Linux 6.1",
)

image_alias_stays = image.but(name="image-alias-stays", lemmas=[]).replacing(
    op.free_pages,
    op.free_pages_with_alias,
    name="image-alias-stays",
    doc="image, but the mapping at the link address stays (defect P-09).",
)

image_unmapped_first = Design(
    name="image-unmapped-first",
    state=ImagePagesInOrder,
    init=op.boot,
    operations=[op.allocate],
    procedures=[op.free_pages_unmapped],
    lemmas=[pages_are_freed_without_alias],
    scope={Cpu: 1, Frame: 2},
    doc="Freeing pages of the kernel image in the other order: unmapped first, freed then.",
    source="what the invariant asks for; not proposed by anybody",
)

image_freed_first = image_unmapped_first.but(name="image-freed-first", lemmas=[]).replacing(
    op.free_pages_unmapped,
    op.free_pages,
    name="image-freed-first",
    doc="The order of Linux 6.1, held to an invariant without a window (a reading of the code).",
)
