"""The encryption bit of user mappings.

What it checks: a leaf, and a TLB entry, has the key of its page, which is private for a copy; so has
vm_page_prot for the driver's page; mprotect() and fork() change rights only.  Invariant 7 of encryption,
and 1 as to users.
Why it matters: who maps a shared page as private reads ciphertext, or, in TDX, ends the guest.
Kernel precedent: a0a8d15a798b ("x86/tdx: Preserve shared bit on mprotect()").
Smallest counterexample: map a shared page and call mprotect() (enc-pfnmap-mprotect).
Not covered: large pages, migration, NUMA hints, pages whose key changes while a user has them mapped.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, some, sometimes, step
from mapproof.model.machine.sorts import Cpu
from mapproof.model.operations.enc_pfnmap import FLUSH, EncPfnMap, Vendor, Vma, mprotect
from mapproof.model.operations.enc_pgtable import Key


@always
def user_leaves_have_the_key(s: EncPfnMap, v: Vma) -> Bool:
    """A leaf has the key of its page."""
    return s.leaf[v].is_some.implies(s.leaf[v] == some(s.key(v)))


@always
def user_tlbs_have_the_key(s: EncPfnMap, cpu: Cpu, v: Vma) -> Bool:
    """So has a TLB entry, of a leaf that is there."""
    return s.tlb[cpu, v].is_some.implies(s.tlb[cpu, v] == s.leaf[v])


@always
def faults_to_come_have_the_key(s: EncPfnMap, v: Vma) -> Bool:
    """vm_page_prot has the key of the driver's page."""
    return s.alive[v].implies(s.prot[v] == s.contents[v])


@always
def only_private_mappings_are_copied(s: EncPfnMap, v: Vma) -> Bool:
    """Copies are of private mappings, and mapped; what does not exist is not mapped."""
    mapped = s.copied[v].implies(s.is_private[v] & s.leaf[v].is_some)
    return mapped & s.leaf[v].is_some.implies(s.alive[v])


@always
def protections_change_of_what_exists(s: EncPfnMap, v: Vma) -> Bool:
    """mprotect() is about a VMA that exists."""
    return mprotect.idle(s, v) | s.alive[v]


@always
def rights_follow_mprotect(s: EncPfnMap, cpu: Cpu, v: Vma) -> Bool:
    """When mprotect() has returned, leaf and TLBs allow what it says, and no more."""
    mapped = mprotect.idle(s, v) & s.leaf[v].is_some
    cached = (s.tlb[cpu, v].is_some & s.tlb_rights[cpu, v]).implies(s.rights[v])
    return mapped.implies((s.rights[v] == s.writable[v]) & cached)


@always
def leaves_change_after_the_protection(s: EncPfnMap, v: Vma) -> Bool:
    """When every CPU is about to flush, the leaf allows what mprotect() says."""
    return mprotect.at(s, v, FLUSH).implies(s.rights[v] == s.writable[v])


@step
def mprotect_changes_rights_only(old: EncPfnMap, new: EncPfnMap, v: Vma) -> Bool:
    """While mprotect() is at it, the bit of a VMA does not change, nor that of its leaf."""
    at_it = ~(mprotect.idle(old, v) & mprotect.idle(new, v))
    return at_it.implies((old.prot[v] == new.prot[v]) & (old.leaf[v] == new.leaf[v]))


@step
def mappings_begin_as_new_or_like_another(old: EncPfnMap, new: EncPfnMap, v: Vma) -> Bool:
    """A VMA is a driver's, writable and without a leaf, or as its parent was."""
    fresh = new.writable[v] & new.leaf[v].is_none & ~new.copied[v]

    def parent(w: Vma) -> Bool:
        same = (new.writable[v] == old.writable[w]) & (new.leaf[v] == old.leaf[w])
        kind = (new.is_private[v] == old.is_private[w]) & (new.copied[v] == old.copied[w])
        return old.alive[w] & same & kind & (new.prot[v] == old.prot[w])

    begins = ~old.alive[v] & new.alive[v]
    return begins.implies(fresh | exists(Vma, parent))


@step
def only_writes_make_copies(old: EncPfnMap, new: EncPfnMap, v: Vma) -> Bool:
    """A page is copied when its user may write to it."""
    copied = old.alive[v] & ~old.copied[v] & new.copied[v]
    return copied.implies(old.writable[v])


@step
def entries_go_with_a_flush(old: EncPfnMap, new: EncPfnMap, cpu: Cpu, v: Vma) -> Bool:
    """The cost: what a TLB has of a VMA goes with the flush of mprotect(), when the page is copied, or
    with the VMA, and never for the sake of the bit."""
    gone = old.tlb[cpu, v].is_some & new.tlb[cpu, v].is_none
    flushed = ~mprotect.idle(old, v) & mprotect.idle(new, v)
    return gone.implies(flushed | (~old.copied[v] & new.copied[v]) | ~new.alive[v])


@sometimes
def a_shared_page_is_read_only(s: EncPfnMap, cpu: Cpu, v: Vma) -> Bool:
    """A user of a TDX guest has a shared page mapped, read-only since an mprotect()."""
    shared = (s.tlb[cpu, v] == some(Key.SHARED)) & (s.vendor[()] == Vendor.TDX)
    return shared & ~s.writable[v] & mprotect.idle(s, v)


@sometimes
def a_child_has_a_shared_page(s: EncPfnMap, v: Vma, w: Vma) -> Bool:
    """Two processes have a shared page mapped; one cannot write it."""
    both = (s.leaf[v] == some(Key.SHARED)) & (s.leaf[w] == some(Key.SHARED))
    return (v != w) & both & s.writable[v] & ~s.writable[w]


@sometimes
def a_shared_mapping_has_no_leaf_yet(s: EncPfnMap, v: Vma) -> Bool:
    """A mapping that is not private waits for its first fault."""
    return s.alive[v] & s.leaf[v].is_none & ~s.is_private[v]


@sometimes
def a_copy_is_private(s: EncPfnMap, cpu: Cpu, v: Vma) -> Bool:
    """A user has a copy of a shared page."""
    copy = s.copied[v] & (s.contents[v] == Key.SHARED)
    return copy & (s.tlb[cpu, v] == some(Key.PRIVATE))


@sometimes
def a_leaf_changes_with_an_entry_in_a_tlb(s: EncPfnMap, cpu: Cpu, v: Vma) -> Bool:
    """mprotect() runs while a CPU has the leaf cached."""
    return ~mprotect.idle(s, v) & s.tlb[cpu, v].is_some & ~s.writable[v]
