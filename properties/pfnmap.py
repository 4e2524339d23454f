"""User mappings of ranges that are not RAM.

What it checks: the leaves of a VMA have the type of its reservation until munmap() gives that back, and
TLBs have it from them; VM_PAT says of a VMA exactly whether it has a reservation; VMAs that are gone
have none.  Invariants 1, 5 and 6 of cacheability.
Why it matters: a reservation that nobody gives back keeps everybody else from the type that they need;
one that is given back too often lets two types meet.
Kernel precedent: "x86/mm/pat: fix VM_PAT handling in COW mappings"; "x86/mm/pat: Fix VM_PAT handling
when fork() fails in copy_page_range()".
Smallest counterexample: write to a private mapping, unmap it (pfnmap-first-page).
Not covered: mappings of a part of a VMA, which have no reservation; mremap(); mmap_lock of the parent
between the steps of a fork(); RAM (see ram_mmap).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, some, sometimes, step
from mapproof.model.machine.entries import CacheType
from mapproof.model.machine.sorts import Cpu
from mapproof.model.operations.memtype import Mapper
from mapproof.model.operations.pfnmap import PfnMap, copy_page_range, munmap, remap_pfn_range


@always
def vmas_have_the_reserved_type(s: PfnMap, m: Mapper) -> Bool:
    """A VMA that is mapped has a reservation, and its type, until munmap() gives that back."""
    kept = s.reserved[m] & (s.leaf[m] == some(s.type[m]))
    return s.leaf[m].is_some.implies(kept | s.leaving[m])


@always
def tlbs_have_the_type_of_the_vma(s: PfnMap, cpu: Cpu, m: Mapper) -> Bool:
    """A TLB entry has the type of the leaves."""
    return s.tlb[cpu, m].is_some.implies(s.tlb[cpu, m] == s.leaf[m])


@always
def vm_pat_tells_of_a_reservation(s: PfnMap, m: Mapper) -> Bool:
    """VM_PAT is set in a VMA that has a reservation, and in no other."""
    return s.vm_pat[m] == s.reserved[m]


@always
def vmas_that_are_gone_have_nothing(s: PfnMap, m: Mapper) -> Bool:
    """A VMA that does not exist has neither a reservation nor leaves."""
    nothing = ~s.reserved[m] & s.leaf[m].is_none & ~s.copied[m] & ~s.leaving[m]
    return s.alive[m] | nothing


@always
def vmas_at_rest_are_mapped(s: PfnMap, m: Mapper) -> Bool:
    """In no call, a VMA is reserved and mapped; while munmap() is at it, no longer reserved."""
    mapped = s.leaf[m].is_some
    outside = remap_pfn_range.idle(s, m) & copy_page_range.idle(s, m) & ~s.leaving[m]
    return (s.alive[m] & outside).implies(s.reserved[m] & mapped) & s.leaving[m].implies(
        ~s.reserved[m] & ~munmap.idle(s, m)
    )


@always
def vmas_are_reserved_before_they_are_mapped(s: PfnMap, m: Mapper) -> Bool:
    """While a VMA is set up, it has a reservation with the type that the leaves will get, which is
    write-back only where that was asked for, and no leaf yet."""
    under_way = ~(remap_pfn_range.idle(s, m) & copy_page_range.idle(s, m))
    reserved = s.alive[m] & s.reserved[m] & (s.type[m] == s.prot.type[m])
    asked = (s.type[m] == CacheType.WB).implies(s.prot.want[m] == CacheType.WB)
    return under_way.implies(reserved & asked & s.leaf[m].is_none & ~s.leaving[m])


@always
def uncached_vmas_are_not_cached(s: PfnMap, m: Mapper) -> Bool:
    """Who did not ask for write-back is not given it."""
    return (s.leaf[m] == some(CacheType.WB)).implies(s.prot.want[m] == CacheType.WB)


@always
def only_private_pages_are_copied(s: PfnMap, m: Mapper) -> Bool:
    """Copies replace pages of private mappings."""
    return s.copied[m].implies(s.is_private[m])


@always
def children_are_like_their_parents(s: PfnMap, cpu: Cpu, m: Mapper, n: Mapper) -> Bool:
    """Two VMAs of one range that are mapped have one type, also in TLBs, but where munmap() is at
    one."""
    both = s.leaf[m].is_some & s.tlb[cpu, n].is_some & (s.range[m] == s.range[n])
    return (both & ~s.leaving[m] & ~s.leaving[n]).implies(s.leaf[m] == s.tlb[cpu, n])


@step
def types_stay(old: PfnMap, new: PfnMap, m: Mapper) -> Bool:
    """While it is mapped, the type of a VMA does not change, nor does its range."""
    stays = old.leaf[m].is_some & new.leaf[m].is_some
    return stays.implies((old.leaf[m] == new.leaf[m]) & (old.range[m] == new.range[m]))


@step
def children_begin_like_their_parents(old: PfnMap, new: PfnMap, m: Mapper) -> Bool:
    """A child's VMA is of a range that somebody maps, with the same rights and the same type, whose
    first page is no copy."""

    def parent(n: Mapper) -> Bool:
        rights = (new.is_private[m] == old.is_private[n]) & (new.writable[m] == old.writable[n])
        same = (new.range[m] == old.range[n]) & (old.leaf[n] == some(new.prot.type[m]))
        return rights & same & ~old.copied[n]

    begins = copy_page_range.idle(old, m) & ~copy_page_range.idle(new, m)
    return begins.implies(exists(Mapper, parent))


@step
def nobody_touches_what_leaves(old: PfnMap, new: PfnMap, m: Mapper) -> Bool:
    """While munmap() is at a VMA, its pages and rights stay."""
    stays = (old.copied[m] == new.copied[m]) & (old.writable[m] == new.writable[m])
    return (old.leaving[m] & new.leaving[m]).implies(stays)


@step
def entries_go_with_their_vma(old: PfnMap, new: PfnMap, cpu: Cpu, m: Mapper) -> Bool:
    """A TLB entry goes when the VMA does."""
    gone = old.tlb[cpu, m].is_some & new.tlb[cpu, m].is_none
    return gone.implies(old.alive[m] & ~new.alive[m])


@sometimes
def a_child_shares_the_range(s: PfnMap, cpu: Cpu, m: Mapper, n: Mapper) -> Bool:
    """A CPU has entries for a private mapping and for its child's, write-combining."""
    both = (s.tlb[cpu, m] == some(CacheType.WC)) & (s.tlb[cpu, n] == some(CacheType.WC))
    return (m != n) & both & s.is_private[m] & s.is_private[n]


@sometimes
def a_shared_mapping_is_read_only(s: PfnMap, m: Mapper) -> Bool:
    """A mapping that is not private is there, and may not be written."""
    return s.leaf[m].is_some & ~s.is_private[m] & ~s.writable[m]


@sometimes
def a_fork_is_under_way(s: PfnMap, m: Mapper) -> Bool:
    """A child has a reservation, and is not mapped yet."""
    return s.reserved[m] & s.leaf[m].is_none & ~copy_page_range.idle(s, m)


@sometimes
def a_vma_gets_the_type_there_is(s: PfnMap, m: Mapper, n: Mapper) -> Bool:
    """Two VMAs that two drivers map have one range, uncached."""
    both = (s.leaf[m] == some(CacheType.UC_MINUS)) & ~remap_pfn_range.idle(s, n)
    return both & (s.range[m] == s.range[n]) & s.reserved[n] & (m != n)


@sometimes
def a_page_is_copied_and_protected(s: PfnMap, m: Mapper) -> Bool:
    """The first page of a mapping is a copy, and may not be written any more."""
    return s.copied[m] & ~s.writable[m] & (s.leaf[m] == some(CacheType.UC_MINUS))
