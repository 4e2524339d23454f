"""KeyIDs of pages, leaves and dirty lines.

What it checks: a dirty line has the KeyID of its page; a leaf has it too; free pages, and the kernel's
own, have KeyID 0; no key is programmed that a page or a dirty line has; a page of an encrypted VMA costs
one flush of caches when it is allocated and one when it is freed, others none.  Where free pages keep
their KeyID, a page costs one when its KeyID changes.  Invariant 5 of encryption.
Why it matters: caches do not know that two KeyIDs are one page; a line that is late falls on newer data.
Kernel precedent: none was merged; the comments in __prep_encrypted_page() as posted in 2019.
Smallest counterexample: the kernel writes to a page, and it becomes an encrypted VMA's without a flush
(mktme-unflushed).
Not covered: clean lines, which integrity checks would find; TLBs (see gather); swap, migration,
khugepaged, DMA with a KeyID, CPUs of several packages.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, ite, some, sometimes, step
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.enc_pgtable import Rounds
from mapproof.model.operations.mktme import (
    CLEAR,
    CLFLUSH,
    FREE,
    PREP,
    PREP_LAST,
    RESET,
    SET_PTE,
    KeyId,
    KeyIds,
    Mktme,
    MktmeKept,
    Use,
    Vma,
    fault,
    rests,
    zap,
)


@always
def dirty_lines_have_the_keyid(s: KeyIds, f: Frame, k: KeyId) -> Bool:
    """A dirty line of a page has its KeyID."""
    return s.dirty[f, k].implies(k == s.keyid[f])


@always
def leaves_have_the_keyid(s: KeyIds, v: Vma, f: Frame) -> Bool:
    """A leaf has the KeyID of its page, which is that of the VMA."""
    mapped = (s.use[f] == Use.ANON) & (s.leaf[v] == s.keyid[f]) & (s.leaf[v] == s.vma_keyid[v])
    return (s.pte[v] == some(f)).implies(mapped)


@always
def mapped_pages_are_readable(s: KeyIds, v: Vma, f: Frame) -> Bool:
    """What a user's page has was written with its KeyID: in a cache, or in memory."""
    written = s.dirty[f, s.keyid[f]] | (s.memory[f] == s.keyid[f])
    cleared = (s.pte[v] == some(f)) | (fault.at(s, v, SET_PTE) & (s.walk.page[v] == f))
    return cleared.implies(written)


@always
def kernel_pages_have_keyid_zero(s: KeyIds, f: Frame) -> Bool:
    """A page of the kernel's own has KeyID 0."""
    return (s.use[f] == Use.KERNEL).implies(s.keyid[f] == s.zero[()])


@always
def free_pages_have_keyid_zero(s: Mktme, f: Frame) -> Bool:
    """So has a free page."""
    return (s.use[f] == Use.FREE).implies(s.keyid[f] == s.zero[()])


@always
def pages_have_one_vma(s: KeyIds, v: Vma, w: Vma, f: Frame) -> Bool:
    """A page is mapped, or on its way, in one VMA."""
    first = (s.pte[v] == some(f)) | (~rests(s, v) & (s.walk.page[v] == f))
    other = (s.pte[w] == some(f)) | (~rests(s, w) & (s.walk.page[w] == f))
    return (first & other).implies(v == w)


@always
def pages_are_allocated_on_their_way(s: KeyIds, v: Vma) -> Bool:
    """A page that a fault prepares, or that is being freed, is not free; its VMA maps nothing and is in
    one call."""
    own = (s.use[s.walk.page[v]] == Use.ANON) & s.pte[v].is_none
    return rests(s, v) | (own & (fault.idle(s, v) | zap.idle(s, v)))


@always
def keyids_change_in_order(s: Mktme, v: Vma) -> Bool:
    """Before it is prepared a page has KeyID 0, after that the KeyID of its VMA; a page that is freed
    has that of its VMA until it is flushed, then KeyID 0."""
    f = s.walk.page[v]
    zero, own = s.keyid[f] == s.zero[()], s.keyid[f] == s.vma_keyid[v]
    early = fault.at(s, v, PREP) | fault.at(s, v, PREP_LAST) | zap.at(s, v, FREE)
    late = fault.at(s, v, CLEAR) | fault.at(s, v, SET_PTE)
    leaving = zap.at(s, v, CLFLUSH) | zap.at(s, v, RESET)
    return early.implies(zero) & (late | leaving).implies(own)


@always
def pages_are_flushed_before_the_keyid_changes(s: KeyIds, v: Vma) -> Bool:
    """When a page is about to get the KeyID of a VMA, and had another, no line of it is dirty."""
    f = s.walk.page[v]
    changes = fault.at(s, v, PREP_LAST) & (s.keyid[f] != s.vma_keyid[v])
    return changes.implies(~s.dirty[f, s.keyid[f]])


@always
def pages_are_flushed_before_they_are_freed(s: Mktme, v: Vma) -> Bool:
    """When a page is about to get KeyID 0 again, and had another, no line of it is dirty."""
    f = s.walk.page[v]
    changes = zap.at(s, v, RESET) & (s.keyid[f] != s.zero[()])
    return changes.implies(~s.dirty[f, s.keyid[f]])


@always
def prepared_pages_have_the_keyid(s: KeyIds, v: Vma) -> Bool:
    """A page that is cleared, and mapped next, has the KeyID of its VMA."""
    late = fault.at(s, v, CLEAR) | fault.at(s, v, SET_PTE)
    return late.implies(s.keyid[s.walk.page[v]] == s.vma_keyid[v])


@always
def a_change_of_keyid_costs_one_flush(s: MktmeKept, v: Vma) -> Bool:
    """The cost: a page is flushed when it is allocated with another KeyID than it had, and never when it
    is freed."""
    changes = fault.at(s, v, PREP_LAST) & (s.keyid[s.walk.page[v]] != s.vma_keyid[v])
    after = fault.at(s, v, CLEAR) | fault.at(s, v, SET_PTE)
    once = s.walk.flushes[v] == Rounds.ONCE
    none = s.walk.flushes[v] == Rounds.NONE
    return rests(s, v) | ite(changes, once, none | (after & once))


@always
def a_keyid_costs_one_flush_each_way(s: Mktme, v: Vma) -> Bool:
    """The cost: a page of an encrypted VMA is flushed once when it is allocated and once when it is
    freed, any other never."""
    before = fault.at(s, v, PREP) | zap.at(s, v, CLFLUSH)
    never = before | (s.vma_keyid[v] == s.zero[()])
    return rests(s, v) | (s.walk.flushes[v] == ite(never, Rounds.NONE, Rounds.ONCE))


@step
def what_users_wrote_stays(old: KeyIds, new: KeyIds, v: Vma, f: Frame) -> Bool:
    """What memory has of a page that is mapped stays readable with its KeyID."""
    mapped = (old.pte[v] == some(f)) & (old.memory[f] == old.keyid[f])
    return mapped.implies(new.memory[f] == old.keyid[f])


@step
def keys_in_use_are_not_programmed(old: KeyIds, new: KeyIds, v: Vma, f: Frame, k: KeyId) -> Bool:
    """A key that is programmed is that of no page that a VMA has, or that a fault has prepared, nor of
    the kernel's; and no dirty line of any page that is known has it."""
    programmed = old.programmed[k] != new.programmed[k]
    fresh = fault.at(old, v, PREP) | fault.at(old, v, PREP_LAST)
    anon = (old.pte[v] == some(f)) | (~rests(old, v) & (old.walk.page[v] == f))
    owned = (anon & ~fresh) | (old.use[f] == Use.KERNEL)
    known = anon | (old.use[f] != Use.ANON)
    own = owned.implies(old.keyid[f] != k)
    return programmed.implies(own & known.implies(~new.dirty[f, k]))


@step
def lines_go_to_memory(old: KeyIds, new: KeyIds, f: Frame, k: KeyId) -> Bool:
    """A dirty line goes by way of memory; what comes to memory is no longer dirty."""
    gone = old.dirty[f, k] & ~new.dirty[f, k]
    came = (old.memory[f] != k) & (new.memory[f] == k)
    return gone.implies(new.memory[f] == k) & came.implies(~new.dirty[f, k])


@step
def vmas_change_when_they_rest(old: KeyIds, new: KeyIds, v: Vma) -> Bool:
    """A VMA gets another KeyID while no fault and no zap is about it, and with no page."""
    changed = old.vma_keyid[v] != new.vma_keyid[v]
    return changed.implies(rests(old, v) & old.pte[v].is_none)


@sometimes
def a_page_is_encrypted(s: KeyIds, v: Vma, f: Frame) -> Bool:
    """A user's page has a KeyID of its own, and memory has what was written with it."""
    own = (s.pte[v] == some(f)) & (s.keyid[f] != s.zero[()])
    return own & (s.memory[f] == s.keyid[f])


@sometimes
def a_page_changes_its_keyid(s: KeyIds, v: Vma, f: Frame) -> Bool:
    """A user's page with KeyID 0 has in memory what was written with another."""
    own = (s.pte[v] == some(f)) & (s.keyid[f] == s.zero[()])
    return own & (s.memory[f] != s.zero[()])


@sometimes
def a_line_waits_for_the_flush(s: KeyIds, v: Vma) -> Bool:
    """A page becomes an encrypted VMA's while a line of KeyID 0 is dirty."""
    f = s.walk.page[v]
    return fault.at(s, v, PREP) & (s.vma_keyid[v] != s.zero[()]) & s.dirty[f, s.zero[()]]


@sometimes
def the_kernel_has_a_page_of_its_own(s: KeyIds, v: Vma, f: Frame) -> Bool:
    """A page of the kernel's has a dirty line, and an encrypted VMA has none yet."""
    own = (s.use[f] == Use.KERNEL) & s.dirty[f, s.zero[()]]
    return own & rests(s, v) & (s.vma_keyid[v] != s.zero[()])


@sometimes
def a_page_is_written_after_it_was_cleared(s: KeyIds, v: Vma, f: Frame) -> Bool:
    """A user's page is in memory as it was cleared, and newer in a cache."""
    own = (s.pte[v] == some(f)) & (s.keyid[f] != s.zero[()])
    return own & (s.memory[f] == s.keyid[f]) & s.dirty[f, s.keyid[f]]


@sometimes
def a_key_is_programmed_again(s: KeyIds, f: Frame, k: KeyId) -> Bool:
    """A key is programmed, and memory has what was written with it earlier."""
    written = (s.memory[f] == k) & (k != s.zero[()]) & (s.use[f] == Use.FREE)
    return written & s.programmed[k]
