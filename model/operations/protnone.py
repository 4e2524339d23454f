"""PROT_NONE: a page stays where it is, and the processor must not see it.

pte_present() is true of two kinds of entries: those with P, and those that have the marker of
PROT_NONE instead.  The marker is bit 8, which is G where P is set.  What has neither is empty, or
something that was swapped out.
"""

from __future__ import annotations

from ..language import FALSE, NONE, TRUE, Bool, Map, Opt, State, Step, operation, some
from ..machine.sorts import Frame, Va


class Protected(State):
    """One process's last-level entries: P, bit 8 and the frame.  allocated: the frame is in use;
    mapped: history, what the process has at an address since mmap()."""

    present: Map[Va, Bool]
    bit_8: Map[Va, Bool]
    frame: Map[Va, Opt[Frame]]
    allocated: Map[Frame, Bool]
    mapped: Map[Va, Opt[Frame]]

    def pte_present(self, va: Va) -> Bool:
        """P or the marker."""
        return self.present[va] | self.bit_8[va]


@operation(kernel="mm/mmap.c")
def boot(s: Protected) -> Step:
    """Nothing is mapped."""
    return Step(
        when=TRUE,
        then=[
            s.present.fill(lambda va: FALSE),
            s.bit_8.fill(lambda va: FALSE),
            s.frame.fill(lambda va: NONE),
            s.allocated.fill(lambda f: FALSE),
            s.mapped.fill(lambda va: NONE),
        ],
    )


@operation(kernel="mm/memory.c: do_anonymous_page()")
def map_page(s: Protected, va: Va, f: Frame) -> Step:
    """Map a free frame; user pages are never global."""
    return Step(
        when=~s.pte_present(va) & s.frame[va].is_none & ~s.allocated[f],
        then=[
            s.present.set(va, TRUE),
            s.frame.set(va, some(f)),
            s.allocated.set(f, TRUE),
            s.mapped.set(va, some(f)),
        ],
    )


@operation(kernel="mm/mprotect.c: change_pte_range(), pte_modify(), PAGE_NONE")
def protect(s: Protected, va: Va) -> Step:
    """mprotect(PROT_NONE): P goes, the marker comes, the frame stays."""
    return Step(when=s.present[va], then=[s.present.set(va, FALSE), s.bit_8.set(va, TRUE)])


# K-12: _PAGE_GLOBAL was redefined to 0, and _PAGE_PROTNONE is _PAGE_GLOBAL.
@operation(
    kernel="arch/x86/include/asm/pgtable_types.h: _PAGE_PROTNONE with _PAGE_GLOBAL 0",
    name="protect",
)
def protect_without_marker(s: Protected, va: Va) -> Step:
    """mprotect(PROT_NONE): P goes, and nothing marks the entry."""
    return Step(when=s.present[va], then=[s.present.set(va, FALSE)])


@operation(kernel="mm/mprotect.c: change_pte_range(), pte_modify()")
def unprotect(s: Protected, va: Va) -> Step:
    """mprotect(PROT_READ): P is back."""
    return Step(
        when=s.pte_present(va) & ~s.present[va],
        then=[s.present.set(va, TRUE), s.bit_8.set(va, FALSE)],
    )


@operation(kernel="mm/memory.c: zap_pte_range()")
def unmap(s: Protected, va: Va) -> Step:
    """munmap(): the page of a present entry is freed; of any other it is taken for a swap entry."""
    f = s.frame[va]
    freed = s.allocated.fill(lambda g: FALSE, lambda g: s.pte_present(va) & (f == some(g)))
    return Step(
        when=f.is_some,
        then=[
            freed,
            s.present.set(va, FALSE),
            s.bit_8.set(va, FALSE),
            s.frame.set(va, NONE),
            s.mapped.set(va, NONE),
        ],
    )
