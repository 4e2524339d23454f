"""Freed pages of the kernel image beside everything else that maps pages.

What it checks: a page that is not the image's any more is not mapped at the image's own addresses, in no
table and no TLB.  Invariant 5 of page table isolation.
Why it matters: user tables may map those addresses; whoever gets the page next does not know of them.
Kernel precedent: c40a56a7818c ("x86/mm/init: Remove freed kernel image areas from alias mapping").
Smallest counterexample: free_kernel_image_pages() gives pages away, then removes the alias, which is a
hypothesis about the merged order (direct-map-today).
Not covered: how user tables share entries with the kernel's (image has that).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.direct_map.frames import DirectMap, Owner


@always
def freed_pages_have_no_image_alias(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """What is not the image's has no address in it, in no table and in no TLB."""
    return (s.owner[f] != Owner.IMAGE).implies(~s.high[f] & ~s.high_tlb[cpu, f])


@sometimes
def an_image_page_is_free(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """A page of the image is the allocator's, and its alias is gone."""
    return s.in_image[f] & (s.owner[f] == Owner.FREE) & ~s.high[f] & ~s.high_tlb[cpu, f]
