"""Pages under PROT_NONE.

What it checks: what a process has mapped is present to the kernel; the
processor sees no entry with the marker of PROT_NONE.
Why it matters: an entry that is neither present nor empty is read as a swap entry, and its page is
lost.
Kernel precedent: _PAGE_PROTNONE of the KAISER versions that had redefined _PAGE_GLOBAL to 0.
Smallest counterexample: map a page, protect it (protnone-without-marker).
Not covered: large pages, NUMA hinting (which uses the same marker), the inversion of the frame number.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, sometimes
from mapproof.model.machine.sorts import Frame, Va
from mapproof.model.operations.protnone import Protected


@always
def mapped_pages_are_present(s: Protected, va: Va) -> Bool:
    """What a process has mapped, pte_present() is true of."""
    return s.mapped[va].is_some.implies(s.pte_present(va) & (s.frame[va] == s.mapped[va]))


@always
def marked_entries_are_hidden(s: Protected, va: Va) -> Bool:
    """An entry has P or the marker, never both."""
    return ~(s.present[va] & s.bit_8[va])


@always
def unmapped_entries_are_empty(s: Protected, va: Va) -> Bool:
    """Where a process has nothing mapped, the entry is empty."""
    return s.mapped[va].is_none.implies(~s.pte_present(va) & s.frame[va].is_none)


@always
def frames_are_mapped_once(s: Protected, va: Va, other: Va) -> Bool:
    """What is mapped is allocated, and is mapped at one address."""
    a, b = s.mapped[va], s.mapped[other]
    alone = (b.is_some & (a.value == b.value)).implies(va == other)
    return a.is_some.implies(s.allocated[a.value] & alone)


@always
def no_frame_is_lost(s: Protected, f: Frame) -> Bool:
    """A frame that is allocated is mapped."""
    return s.allocated[f].implies(exists(Va, lambda va: s.mapped[va] == f))


@sometimes
def a_page_is_protected(s: Protected, va: Va) -> Bool:
    """The processor does not see a page that the process has mapped."""
    return s.mapped[va].is_some & ~s.present[va]


@sometimes
def a_page_is_freed_after_use(s: Protected, f: Frame, va: Va) -> Bool:
    """A frame is free while another one is in use."""
    return ~s.allocated[f] & s.mapped[va].is_some
