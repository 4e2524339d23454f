"""Encryption of pages beside everything else that maps pages.

What it checks: outside of a conversion, no CPU and no alias has a driver's page with another encryption
than its leaf; what the hypervisor has is shared in the leaf; a page is private when it is free, however
a conversion ended.  Invariants 1, 2 and 6 of memory encryption.
Why it matters: the two plaintexts of a page differ: one of the sides reads noise, or the host a secret.
Kernel precedent: __set_memory_enc_pgtable(); dma_direct_alloc(), which leaks what failed to convert.
Smallest counterexample: a slot of kmap() for a page that is shared (direct-map-today).
Not covered: caches, page validation, the orders of SNP and TDX (sev, snp, tdx).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import Call, DirectMap, Owner


@always
def entries_have_the_encryption_of_the_leaf(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """When no call is under way, what a CPU has of a driver's page is encrypted like the leaf."""
    has = s.tlb.present[cpu, f] & s.idle(f) & (s.owner[f] == Owner.KERNEL)
    large = s.large_tlb[cpu, s.region[f]].implies(~s.leaf.shared[f])
    return has.implies(s.tlb.shared[cpu, f] == s.leaf.shared[f]) & large


@always
def areas_have_the_encryption_of_the_leaf(s: DirectMap, va: Va, f: Frame) -> Bool:
    """An area maps a page of RAM encrypted like its leaf, in use or not purged yet."""
    ram = (s.owner[f] != Owner.DEVICE) & (s.owner[f] != Owner.ABSENT)
    return ((s.page[va] == some(f)) & ram).implies(s.area_shared[va] == s.leaf.shared[f])


@always
def what_the_host_has_is_shared(s: DirectMap, f: Frame) -> Bool:
    """The hypervisor has a page as shared only while the leaf says so, or the way back is under way."""
    return s.host[f].implies(s.leaf.shared[f] | (s.call[f] == Call.ENCRYPT))


@always
def conversions_begin_with_the_leaf(s: DirectMap, f: Frame) -> Bool:
    """While a conversion waits for CPUs, the leaf is what the page is to be."""
    decrypted = (s.call[f] == Call.DECRYPT).implies(s.leaf.shared[f])
    return decrypted & (s.call[f] == Call.ENCRYPT).implies(~s.leaf.shared[f])


@always
def free_pages_are_private(s: DirectMap, f: Frame) -> Bool:
    """Only drivers and devices have pages that are shared."""
    shared = s.leaf.shared[f] | s.host[f]
    return shared.implies((s.owner[f] == Owner.KERNEL) | (s.owner[f] == Owner.DEVICE))


@sometimes
def a_page_is_shared(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """A driver and the hypervisor share a page, and a CPU has it so."""
    driver = (s.owner[f] == Owner.KERNEL) & s.host[f] & s.idle(f)
    return driver & s.tlb.present[cpu, f] & s.tlb.shared[cpu, f]


@sometimes
def a_conversion_fails(s: DirectMap, f: Frame) -> Bool:
    """A driver keeps a page whose leaf is shared, and that the hypervisor does not have."""
    return (s.owner[f] == Owner.KERNEL) & s.leaf.shared[f] & ~s.host[f] & s.idle(f)
