"""XPFO beside everything else that maps pages.

What it checks: between kunmap() and the next kmap(), no address of the kernel leads to a process's page,
in no table and no TLB.  Invariant 1 of direct-map removal, of all pages of processes.
Why it matters: ret2dir finds a process's page by the direct map, and executes or reads what is in it.
Kernel precedent: none; XPFO was posted in 2016, and never merged.
Smallest counterexample: a page that nobody has used kmap() for stays mapped (direct-map-today).
Not covered: counts of kmap(), locks, costs (xpfo has them).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import DirectMap, Owner


def is_exclusive(s: DirectMap, f: Frame) -> Bool:
    """A process has the page under XPFO, and the kernel does not use it."""
    return (s.owner[f] == Owner.XPFO) & s.user[f] & ~s.kmapped[f] & s.idle(f)


@always
def user_pages_are_not_in_the_direct_map(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """No leaf and no CPU's entry of the direct map leads to the page."""
    entry = s.tlb.present[cpu, f] | s.large_tlb[cpu, s.region[f]]
    return is_exclusive(s, f).implies(~s.leaf.present[f] & ~entry)


@always
def user_pages_are_in_no_area(s: DirectMap, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """No area of vmap() and no slot of kmap() leads to the page, lazily unmapped or not."""
    return is_exclusive(s, f).implies((s.page[va] != some(f)) & (s.area_tlb[cpu, va] != some(f)))


@always
def user_pages_have_no_image_alias(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """The kernel image's own addresses do not lead to the page."""
    return is_exclusive(s, f).implies(~s.high[f] & ~s.high_tlb[cpu, f])


@sometimes
def a_page_is_its_process_alone(s: DirectMap, f: Frame) -> Bool:
    """A process has a page that is out of the direct map."""
    return is_exclusive(s, f) & ~s.leaf.present[f]


@sometimes
def the_kernel_uses_a_user_page(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """Between kmap() and kunmap() a CPU has the page."""
    return s.kmapped[f] & s.tlb.present[cpu, f]
