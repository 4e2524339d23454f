"""Pages of memfd_secret() beside everything else that maps pages, or reads them.

What it checks: once a user has a secret page, no address of the kernel leads to it, in a table or in a
TLB, until the file gives it up; nobody else gets a page with a secret in it; GUP has no secret page.
Invariants 1, 3 and 4 of direct-map removal.
Why it matters: what reads memory by the kernel's addresses, on purpose or in speculation, must not find
what a user has hidden.
Kernel precedent: 1507f51255c9 ("mm: introduce memfd_secret system call to create 'secret'
memory areas").
Smallest counterexample: an area that was unmapped lazily still leads to the page (direct-map-today).
Not covered: files, sizes, races for the page cache (secretmem has them); the window before zeroing.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import DirectMap, Owner


def is_secret(s: DirectMap, f: Frame) -> Bool:
    """A file has the page, and it is neither being prepared nor given up."""
    return (s.owner[f] == Owner.SECRET) & s.idle(f)


@always
def secrets_are_not_in_the_direct_map(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """No leaf and no CPU's entry of the direct map leads to a secret page."""
    entry = s.tlb.present[cpu, f] | s.large_tlb[cpu, s.region[f]]
    return is_secret(s, f).implies(~s.leaf.present[f] & ~entry)


@always
def secrets_are_in_no_area(s: DirectMap, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """No area of vmap() and no slot of kmap() leads to a secret page, lazily unmapped or not."""
    return is_secret(s, f).implies((s.page[va] != some(f)) & (s.area_tlb[cpu, va] != some(f)))


@always
def secrets_have_no_image_alias(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """The kernel image's own addresses do not lead to a secret page."""
    return is_secret(s, f).implies(~s.high[f] & ~s.high_tlb[cpu, f])


@always
def others_get_no_secret(s: DirectMap, f: Frame) -> Bool:
    """A page with a secret in it is a secret file's."""
    return s.secret[f].implies(s.owner[f] == Owner.SECRET)


@always
def secrets_are_not_pinned(s: DirectMap, f: Frame) -> Bool:
    """GUP has no reference to a secret page."""
    return s.pinned[f].implies(s.owner[f] != Owner.SECRET)


@sometimes
def a_secret_is_used(s: DirectMap, f: Frame) -> Bool:
    """A user has written to a page that is out of the direct map."""
    return s.secret[f] & s.user[f] & ~s.leaf.present[f]


@sometimes
def a_secret_awaits_its_flush(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """Between the leaf and the flush, a CPU still has the page."""
    return (s.owner[f] == Owner.SECRET) & ~s.leaf.present[f] & s.tlb.present[cpu, f]
