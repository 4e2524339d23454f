"""Pages of the kernel image that were freed.

What it checks: a page that left the image is not mapped at its link address, but while
free_kernel_image_pages() is at it; where the order is under discussion, not even then.
Why it matters: parts of that mapping are in the user tables, or next to them in one large page, where
the next owner's data can be read by Meltdown.
Kernel precedent: c40a56a7818c (removal of the alias of freed image pages).
Smallest counterexample: free_initmem() and an allocation (image-alias-stays).
Not covered: the direct map, which the next owner uses; pages of the initrd, which have no alias.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.image import ImagePages, ImagePagesInOrder, Owner


@always
def only_pages_being_freed_have_half_a_place(s: ImagePages, f: Frame) -> Bool:
    """A page has its alias exactly while it is the image's, but between the two steps of freeing it."""
    return ((s.owner[f] == Owner.IMAGE) == s.alias[f]) | s.half_freed[f]


@always
def taken_pages_have_no_alias(s: ImagePages, f: Frame) -> Bool:
    """A page with somebody's data is not mapped at its link address, once that is being removed."""
    return ((s.owner[f] == Owner.TAKEN) & s.alias[f]).implies(s.half_freed[f])


@always
def freed_pages_have_no_alias(s: ImagePagesInOrder, f: Frame) -> Bool:
    """A page that left the image is not mapped at its link address, at any time."""
    return (s.owner[f] != Owner.IMAGE).implies(~s.alias[f])


@step
def what_was_taken_is_not_freed(old: ImagePages, new: ImagePages, f: Frame) -> Bool:
    """A page that the allocator gave away is not freed as a page of the image."""
    return (old.owner[f] == Owner.TAKEN).implies(new.owner[f] == Owner.TAKEN)


@sometimes
def a_page_of_the_image_is_taken(s: ImagePages, f: Frame) -> Bool:
    """Somebody has a page that was the image's."""
    return s.owner[f] == Owner.TAKEN


@sometimes
def a_page_is_freed_for_good(s: ImagePages, f: Frame) -> Bool:
    """A page has left the image, and nobody is at it."""
    return (s.owner[f] == Owner.FREE) & ~s.alias[f] & ~s.half_freed[f]
