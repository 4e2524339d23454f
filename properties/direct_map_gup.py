"""References of GUP beside everything that takes pages out of the direct map.

What it checks: a page that GUP has a reference to stays a process's, and the kernel can read it by its
address.  Invariant 4 of direct-map removal, seen from the other side.
Why it matters: who has a reference reads the page by page_address(), now or much later; if the leaf is
gone, that is an oops in a driver that did nothing wrong.
Kernel precedent: 1507f51255c9, which refuses GUP for secret pages.
Smallest counterexample: XPFO takes a page out that is pinned (direct-map-today).
Not covered: how GUP-fast looks twice, tables (gup, secretmem_gup).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.direct_map.frames import DirectMap, Owner


@always
def pinned_pages_are_a_users(s: DirectMap, f: Frame) -> Bool:
    """A page is not freed while GUP has a reference."""
    return s.pinned[f].implies((s.owner[f] == Owner.USER) | (s.owner[f] == Owner.XPFO))


@always
def pinned_pages_can_be_read(s: DirectMap, f: Frame) -> Bool:
    """A page that GUP has a reference to is in the direct map, if it can be read at all."""
    return (s.pinned[f] & ~s.poisoned[f]).implies(s.leaf.present[f])


@sometimes
def a_pinned_page_is_read(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """A CPU has a page that is pinned."""
    return s.pinned[f] & s.tlb.present[cpu, f]
