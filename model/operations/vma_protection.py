"""From the rights of a VMA to the bits of its PTEs.

mmap() and mprotect() turn the flags of a VMA into a page protection, once, and keep it in vm_page_prot;
faults use what is kept.  On i386 with PAE a page protection has 64 bits, of which NX is the highest,
and vm_get_page_prot() keeps it in an unsigned long, which has 32.
"""

from __future__ import annotations

from ..language import FALSE, NONE, TRUE, Bool, Fun, Map, Step, Update, given, operation, some
from ..machine.halves import UserPages
from ..machine.sorts import Frame, Va


class Protection(UserPages):
    """prot_w, prot_x: what vm_page_prot allows.  A VMA has one page here."""

    prot_w: Map[Va, Bool]
    prot_x: Map[Va, Bool]
    in_user_half: Fun[Va, Bool] = given(lambda scope, va: va % 2 == 0)


@operation(kernel="kernel/fork.c: mm_alloc()")
def boot(s: Protection) -> Step:
    """No VMA, no page."""
    return Step(
        when=TRUE,
        then=[
            s.user.fill(lambda va: NONE),
            s.vma_known.fill(lambda va: FALSE),
            *(
                right.fill(lambda va: FALSE)
                for right in (s.user_w, s.user_x, s.vma_w, s.vma_x, s.prot_w, s.prot_x)
            ),
        ],
    )


def _set_flags(s: Protection, va: Va, w: Bool, x: Bool, prot_x: Bool) -> list[Update]:
    """``vm_flags`` and ``vm_page_prot``."""
    return [
        s.vma_known.set(va, TRUE),
        s.vma_w.set(va, w),
        s.vma_x.set(va, x),
        s.prot_w.set(va, w),
        s.prot_x.set(va, prot_x),
    ]


@operation(kernel="mm/mmap.c: mmap_region(), arch/x86/mm/pgprot.c: vm_get_page_prot()")
def mmap(s: Protection, va: Va, w: Bool, x: Bool) -> Step:
    """A new VMA with these rights."""
    return Step(when=s.in_user_half[va] & ~s.vma_known[va], then=_set_flags(s, va, w, x, x))


@operation(kernel="mm/mprotect.c: mprotect_fixup(), change_protection()")
def mprotect(s: Protection, va: Va, w: Bool, x: Bool) -> Step:
    """Other rights, for the pages that are there as well.  A page does not become writable by this:
    it may be shared, and a write fault has to see it first."""
    return Step(
        when=s.vma_known[va],
        then=[
            *_set_flags(s, va, w, x, x),
            s.user_w.set(va, s.user_w[va] & w),
            s.user_x.set(va, x),
        ],
    )


@operation(kernel="mm/memory.c: do_anonymous_page(), do_wp_page()")
def handle_mm_fault(s: Protection, va: Va, f: Frame) -> Step:
    """A fault brings a page in, or makes it writable, with the protection that is kept."""
    return Step(
        when=s.vma_known[va] & (s.user[va].is_none | (s.user[va] == f)),
        then=[
            s.user.set(va, some(f)),
            s.user_w.set(va, s.prot_w[va]),
            s.user_x.set(va, s.prot_x[va]),
        ],
    )


@operation(kernel="mm/mmap.c: do_munmap(), unmap_region()")
def munmap(s: Protection, va: Va) -> Step:
    """The VMA and its page go."""
    return Step(when=s.vma_known[va], then=[s.vma_known.set(va, FALSE), s.user.set(va, NONE)])


# bit 63 does not survive the unsigned long.
@operation(kernel="arch/x86/mm/pgprot.c: vm_get_page_prot() of 6.1 on i386 PAE", name="mmap")
def mmap_32_bits(s: Protection, va: Va, w: Bool, x: Bool) -> Step:
    """A new VMA, whose protection has lost NX."""
    return Step(when=s.in_user_half[va] & ~s.vma_known[va], then=_set_flags(s, va, w, x, TRUE))


@operation(kernel="arch/x86/mm/pgprot.c: vm_get_page_prot() of 6.1 on i386 PAE", name="mprotect")
def mprotect_32_bits(s: Protection, va: Va, w: Bool, x: Bool) -> Step:
    """Other rights, without NX in either case."""
    return Step(
        when=s.vma_known[va],
        then=[
            *_set_flags(s, va, w, x, TRUE),
            s.user_w.set(va, s.user_w[va] & w),
            s.user_x.set(va, TRUE),
        ],
    )
