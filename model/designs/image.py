"""Freeing pages of the kernel image, with and without their alias."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame
from ..operations import image as op
from ..operations.image import ImagePages, ImagePagesInOrder

image = Design(
    name="image",
    state=ImagePages,
    init=op.boot,
    operations=[op.allocate],
    procedures=[op.free_pages],
    scope={Cpu: 1, Frame: 2},
    doc="""Freeing pages of the kernel image, as merged: the page goes to the allocator, then its mapping
at the link address is removed.""",
    source="c40a56a7818c; free_kernel_image_pages() of Linux 6.1",
)

image_alias_stays = image.but(name="image-alias-stays").replacing(
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
    scope={Cpu: 1, Frame: 2},
    doc="Freeing pages of the kernel image in the other order: unmapped first, freed then.",
    source="what the invariant asks for; not proposed by anybody",
)

image_freed_first = image_unmapped_first.but(name="image-freed-first").replacing(
    op.free_pages_unmapped,
    op.free_pages,
    name="image-freed-first",
    doc="The order of Linux 6.1, held to an invariant without a window (a reading of the code).",
)
