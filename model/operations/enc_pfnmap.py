"""User mappings of pages that are shared with the host: mmap(), faults, mprotect(), fork(), copies.

A driver maps a page of a shared buffer for a user with ``pgprot_decrypted()``.  The bit is then kept in
two places, in ``vm_page_prot`` for faults to come and in the leaf, and mprotect() computes both anew:
pgprot_modify() and pte_modify() keep of the old value what ``_PAGE_CHG_MASK`` has, and take the rest,
private, from the rights.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Opt,
    Procedure,
    Sort,
    State,
    Step,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu
from .enc_pgtable import Key


class Vma(Sort):
    """``struct vm_area_struct`` of one page of a driver's."""


class Vendor(Enumeration):
    """Which bit it is: the C-bit, set for private; TDX's, set for shared."""

    AMD: Vendor
    TDX: Vendor


class EncPfnMap(State):
    """vendor: of the guest.  contents: the key of the page that the driver would map in this VMA.
    alive: the VMA exists.  is_private: writes to it get copies (is_cow_mapping()).  prot: the bit in
    vm_page_prot.  leaf: that in the leaf, if there is one.  copied: the leaf is of a copy, a page of the
    user's own.  writable: what mprotect() says; rights: what the leaf says of that.  tlb, tlb_rights:
    the leaf as CPUs have cached it."""

    vendor: Fun[tuple[()], Vendor]
    contents: Fun[Vma, Key]
    alive: Map[Vma, Bool]
    is_private: Map[Vma, Bool]
    prot: Map[Vma, Key]
    leaf: Map[Vma, Opt[Key]]
    copied: Map[Vma, Bool]
    writable: Map[Vma, Bool]
    rights: Map[Vma, Bool]
    tlb: Map[tuple[Cpu, Vma], Opt[Key]]
    tlb_rights: Map[tuple[Cpu, Vma], Bool]

    def key(self, v: Vma) -> Key:
        """The key of the page that a leaf of the VMA is of."""
        return ite(self.copied[v], Key.PRIVATE, self.contents[v])


@operation(kernel="arch/x86/mm/mem_encrypt.c: mem_encrypt_init()")
def boot(s: EncPfnMap) -> Step:
    """There is no VMA."""
    return Step(
        when=TRUE,
        then=[
            s.alive.fill(lambda v: FALSE),
            s.is_private.fill(lambda v: FALSE),
            s.leaf.fill(lambda v: NONE),
            s.copied.fill(lambda v: FALSE),
            s.writable.fill(lambda v: FALSE),
            s.rights.fill(lambda v: FALSE),
            s.tlb.fill(lambda cpu, v: NONE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: EncPfnMap, cpu: Cpu, v: Vma) -> Step:
    """A CPU caches a translation, with its bit."""
    return Step(
        when=s.leaf[v].is_some,
        then=[s.tlb.set((cpu, v), s.leaf[v]), s.tlb_rights.set((cpu, v), s.rights[v])],
    )


@operation(kernel="kernel/dma/direct.c: dma_direct_mmap(), dma_pgprot(), pgprot_decrypted()")
def mmap(s: EncPfnMap, v: Vma, is_private: Bool) -> Step:
    """A driver's mmap(): vm_page_prot gets the bit that the page has."""
    return _mmap(s, v, is_private, s.contents[v])


# What pgprot_decrypted() is there for.
@operation(kernel="a driver's mmap() that leaves vm_page_prot as it is", name="mmap")
def mmap_private(s: EncPfnMap, v: Vma, is_private: Bool) -> Step:
    """A driver's mmap(): vm_page_prot is that of the rights, private."""
    return _mmap(s, v, is_private, Key.PRIVATE)


def _mmap(s: EncPfnMap, v: Vma, is_private: Bool, key: Key) -> Step:
    return Step(
        when=~s.alive[v] & mprotect.idle(s, v),
        then=[
            s.alive.set(v, TRUE),
            s.is_private.set(v, is_private),
            s.writable.set(v, TRUE),
            s.prot.set(v, key),
        ],
    )


@operation(kernel="mm/memory.c: vmf_insert_pfn_prot(), remap_pfn_range()")
def insert_pfn(s: EncPfnMap, v: Vma) -> Step:
    """The leaf of the driver's page, with vm_page_prot."""
    return Step(
        when=s.alive[v] & s.leaf[v].is_none & mprotect.idle(s, v),
        then=[s.leaf.set(v, some(s.prot[v])), s.rights.set(v, s.writable[v])],
    )


def _copy(s: EncPfnMap, v: Vma, key: Key) -> Step:
    writes = s.leaf[v].is_some & s.is_private[v] & s.writable[v] & ~s.copied[v]
    return Step(
        when=writes & mprotect.idle(s, v),
        then=[
            s.copied.set(v, TRUE),
            s.leaf.set(v, some(key)),
            s.tlb.fill(lambda cpu, w: NONE, lambda cpu, w: w == v),
        ],
    )


@operation(kernel="mm/memory.c: wp_page_copy(), mk_pte(new_page, vma->vm_page_prot)")
def wp_page_copy(s: EncPfnMap, v: Vma) -> Step:
    """A write to a private mapping: the leaf of a copy, with vm_page_prot."""
    return _copy(s, v, s.prot[v])


# Nobody has proposed it.
@operation(
    kernel="mm/memory.c: wp_page_copy(), with vm_get_page_prot(vma->vm_flags)", name="wp_page_copy"
)
def wp_page_copy_private(s: EncPfnMap, v: Vma) -> Step:
    """A write to a private mapping: the leaf of a copy, private as all anonymous pages."""
    return _copy(s, v, Key.PRIVATE)


def _fork(s: EncPfnMap, v: Vma, parent: Vma, key: Opt[Key]) -> Step:
    """The child's VMA, of the same page."""
    same = s.contents[v] == s.contents[parent]
    free = ~s.alive[v] & mprotect.idle(s, v)
    return Step(
        when=s.alive[parent] & mprotect.idle(s, parent) & free & same,
        then=[
            s.alive.set(v, TRUE),
            s.is_private.set(v, s.is_private[parent]),
            s.writable.set(v, s.writable[parent]),
            s.prot.set(v, s.prot[parent]),
            s.copied.set(v, s.copied[parent]),
            s.rights.set(v, s.rights[parent]),
            s.leaf.set(v, key),
        ],
    )


@operation(kernel="mm/memory.c: copy_present_pte(); kernel/fork.c: vm_area_dup()")
def fork(s: EncPfnMap, v: Vma, parent: Vma) -> Step:
    """A child gets vm_page_prot and the leaf as they are, but for rights."""
    return _fork(s, v, parent, s.leaf[parent])


# What copying the leaf is there for.
@operation(kernel="mm/memory.c: copy_present_pte(), with rights alone", name="fork")
def fork_by_rights(s: EncPfnMap, v: Vma, parent: Vma) -> Step:
    """A child gets a leaf that is made of the page and the rights."""
    leaf = ite(s.leaf[parent].is_some, some(Key.PRIVATE), NONE)
    return _fork(s, v, parent, leaf)


@operation(kernel="mm/memory.c: unmap_single_vma()")
def munmap(s: EncPfnMap, v: Vma) -> Step:
    """The leaf goes, every CPU flushes, the VMA is gone."""
    return Step(
        when=s.alive[v] & mprotect.idle(s, v),
        then=[
            s.alive.set(v, FALSE),
            s.leaf.set(v, NONE),
            s.copied.set(v, FALSE),
            s.tlb.fill(lambda cpu, w: NONE, lambda cpu, w: w == v),
        ],
    )


def _modify(s: EncPfnMap, old: Key, *, mask_has_cc: bool) -> Key:
    """pgprot_modify(), pte_modify(): the bit is kept if _PAGE_CHG_MASK has it.  Before a0a8d15a798b that
    had sme_me_mask, which is AMD's alone."""
    if mask_has_cc:
        return old
    return ite(s.vendor[()] == Vendor.AMD, old, Key.PRIVATE)


def _mprotect(*, mask_has_cc: bool) -> Procedure:
    """mask_has_cc: whose bit _PAGE_CHG_MASK has: that of the platform, or AMD's."""
    procedure = Procedure(
        "mprotect",
        kernel="mm/mprotect.c: mprotect_fixup(), change_pte_range()",
        doc="Compute vm_page_prot anew, then the leaf, then flush.",
    )

    @procedure.step
    def vma_set_page_prot(s: EncPfnMap, v: Vma, writable: Bool) -> Step:
        """vm_pgprot_modify(), for faults to come."""
        kept = _modify(s, s.prot[v], mask_has_cc=mask_has_cc)
        return Step(when=s.alive[v], then=[s.writable.set(v, writable), s.prot.set(v, kept)])

    @procedure.step
    def change_pte_range(s: EncPfnMap, v: Vma) -> Step:
        """pte_modify(), where there is a leaf."""
        old = s.leaf[v]
        kept = some(_modify(s, old.value, mask_has_cc=mask_has_cc))
        return Step(
            when=TRUE,
            then=[
                s.leaf.set(v, ite(old.is_some, kept, NONE)),
                s.rights.set(v, s.writable[v]),
            ],
        )

    @procedure.step
    def flush_tlb_range(s: EncPfnMap, v: Vma) -> Step:
        """Every CPU flushes it, since rights may have gone."""
        gone = s.tlb.fill(lambda cpu, w: NONE, lambda cpu, w: w == v)
        return Step(when=TRUE, then=[gone])

    return procedure


mprotect = _mprotect(mask_has_cc=True)
SET_PROT, CHANGE, FLUSH = mprotect.steps

# S-03: the shared bit of TDX was not in _PAGE_CHG_MASK.
mprotect_of_amd = _mprotect(mask_has_cc=False)
