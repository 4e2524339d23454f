"""Leaves, TLBs and owners of pages that are converted between private and shared.

What it checks: but for the time of a conversion, every leaf of a page and every TLB entry has the key
that its owner uses it with; a free page is private everywhere; a page whose conversion failed stays
with nobody; a conversion flushes the TLBs twice at most and the caches once.  Invariants 1, 2 and 6 of
encryption.
Why it matters: a page that is still shared somewhere and belongs to somebody else can be read by the
host; one with two keys has two contents.
Kernel precedent: __set_memory_enc_pgtable(); b9fa16949d18 ("dma-direct: Leak pages on
dma_set_decrypted() failure"), from memory.
Smallest counterexample: a leaf that CPA was not given, and did not change (sev-without-aliases).
Not covered: several pages in one call, areas of several pages, other users of a page than its owner.
"""

from __future__ import annotations

from mapproof.model.language import Bool, Opt, always, exists, ite, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.enc_pgtable import (
    CHANGE_DIRECT_MAP,
    CHANGE_IMAGE_MAP,
    CHANGE_PRIMARY,
    CONFIRM,
    CONVERT,
    FINISH,
    FLUSH_AFTER,
    FLUSH_BEFORE,
    PREPARE,
    EncPgtable,
    Key,
    Rounds,
    Use,
    View,
    set_memory_enc,
)


def _is_none_or(entry: Opt[Key], wanted: Key) -> Bool:
    return entry.is_none | (entry == some(wanted))


def _unchanged(s: EncPgtable, f: Frame) -> Bool:
    """No conversion has changed a leaf yet, or one has succeeded."""
    early = (FLUSH_BEFORE, PREPARE, CONVERT, CHANGE_PRIMARY)
    rests = set_memory_enc.idle(s, f)
    for position in early:
        rests |= set_memory_enc.at(s, f, position)
    return rests & (s.use[f] != Use.LEAKED)


def _converted(s: EncPgtable, f: Frame) -> Bool:
    """Every leaf is changed."""
    asking = set_memory_enc.at(s, f, FLUSH_AFTER) | set_memory_enc.at(s, f, FINISH)
    return (asking & ~s.call.failed[f]) | set_memory_enc.at(s, f, CONFIRM)


@always
def leaves_have_the_key(s: EncPgtable, view: View, f: Frame) -> Bool:
    """Every leaf has the key that the page is used with, until the first one is changed."""
    return _unchanged(s, f).implies(_is_none_or(s.leaf[view, f], s.key(f)))


@always
def tlbs_have_the_key(s: EncPgtable, cpu: Cpu, view: View, f: Frame) -> Bool:
    """So has every TLB entry."""
    return _unchanged(s, f).implies(_is_none_or(s.tlb[cpu, view, f], s.key(f)))


@always
def free_pages_are_private(s: EncPgtable, cpu: Cpu, view: View, f: Frame) -> Bool:
    """A free page is not being converted, and has no shared leaf and no shared TLB entry."""
    shared = (s.leaf[view, f] == some(Key.SHARED)) | (s.tlb[cpu, view, f] == some(Key.SHARED))
    return (s.use[f] == Use.FREE).implies(set_memory_enc.idle(s, f) & ~shared)


@always
def pages_change_by_a_mapped_address(s: EncPgtable, f: Frame) -> Bool:
    """A conversion is of an owner's page, to the other key, by an address where it is mapped; its owner
    has no other area of it.  Nobody converts what is leaked."""
    view = s.call.view[f]
    alone = (view == View.VMAP) | s.leaf[View.VMAP, f].is_none
    other = s.owned(f) & (s.key(f) != s.call.want[f])
    return set_memory_enc.idle(s, f) | (other & s.leaf[view, f].is_some & alone)


@always
def the_direct_map_is_complete(s: EncPgtable, f: Frame) -> Bool:
    """The direct map has every page, and the image's own addresses those of the image; an area that is
    mapped is not lazily unmapped."""
    mapped = s.leaf[View.DIRECT, f].is_some & (s.leaf[View.IMAGE, f].is_some == s.in_image[f])
    return mapped & ~(s.leaf[View.VMAP, f].is_some & s.lazy[f])


@always
def entries_are_of_mapped_addresses(s: EncPgtable, cpu: Cpu, view: View, f: Frame) -> Bool:
    """What a CPU has cached is mapped, or was until a lazy unmapping."""
    lazily = (view == View.VMAP) & s.lazy[f]
    return s.tlb[cpu, view, f].is_some.implies(s.leaf[view, f].is_some | lazily)


@always
def areas_are_flushed_before_a_change(s: EncPgtable, cpu: Cpu, f: Frame) -> Bool:
    """When the first cpa_flush() is over, and until the call returns, no CPU has an entry of an area
    that the page was in."""
    asking = set_memory_enc.at(s, f, FLUSH_BEFORE) & s.call.waits_for[f, cpu]
    before = set_memory_enc.idle(s, f) | asking
    gone = s.leaf[View.VMAP, f].is_some | s.tlb[cpu, View.VMAP, f].is_none
    return before | gone


@always
def areas_map_pages_in_use(s: EncPgtable, f: Frame) -> Bool:
    """A page that is mapped in an area is not free."""
    return s.leaf[View.VMAP, f].is_some.implies(s.use[f] != Use.FREE)


@always
def leaves_change_after_the_flush(s: EncPgtable, cpu: Cpu, f: Frame) -> Bool:
    """Every CPU has answered the first request when the platform has been told and while leaves are
    changed, and the second when the platform is told again."""
    flushed = set_memory_enc.at(s, f, CONVERT) | set_memory_enc.at(s, f, CONFIRM)
    for position in (CHANGE_PRIMARY, CHANGE_DIRECT_MAP, CHANGE_IMAGE_MAP, FLUSH_AFTER):
        flushed |= set_memory_enc.at(s, f, position)
    return flushed.implies(~s.call.waits_for[f, cpu])


@always
def leaves_change_in_order(s: EncPgtable, f: Frame) -> Bool:
    """The leaf of the address that was given first, then the direct map."""
    want = some(s.call.want[f])
    image = set_memory_enc.at(s, f, CHANGE_IMAGE_MAP)
    given = (set_memory_enc.at(s, f, CHANGE_DIRECT_MAP) | image).implies(
        s.leaf[s.call.view[f], f] == want
    )
    return given & image.implies(s.leaf[View.DIRECT, f] == want)


@always
def aliases_are_changed_with_the_page(s: EncPgtable, view: View, f: Frame) -> Bool:
    """When CPUs are asked to flush after a change, every leaf has the new key, the direct map's and the
    image's as well as the one that was given."""
    return _converted(s, f).implies(_is_none_or(s.leaf[view, f], s.call.want[f]))


@always
def changed_aliases_are_remembered(s: EncPgtable, f: Frame) -> Bool:
    """All of the TLB is to be flushed if a leaf was changed that was not given: none before the direct
    map."""
    image = set_memory_enc.at(s, f, CHANGE_IMAGE_MAP)
    after = set_memory_enc.at(s, f, FLUSH_AFTER) | set_memory_enc.at(s, f, FINISH)
    late = image | after | set_memory_enc.at(s, f, CONFIRM) | set_memory_enc.idle(s, f)
    direct = s.call.view[f] != View.DIRECT
    other = direct | (s.in_image[f] & (s.call.view[f] != View.IMAGE))
    changed = ite(image, direct, other)
    known = image | (after & ~s.call.failed[f])
    whole = s.call.force_flush_all[f]
    return known.implies(whole == changed) & (late | ~whole)


@always
def failures_come_with_the_change(s: EncPgtable, f: Frame) -> Bool:
    """A call that has failed to change a leaf is at its second flush, or waits for it."""
    late = set_memory_enc.at(s, f, FLUSH_AFTER) | set_memory_enc.at(s, f, FINISH)
    return set_memory_enc.idle(s, f) | late | ~s.call.failed[f]


@always
def who_has_flushed_has_the_new_key(s: EncPgtable, cpu: Cpu, view: View, f: Frame) -> Bool:
    """A CPU that has answered has no entry but of the new key."""
    answered = set_memory_enc.at(s, f, FINISH) & ~s.call.waits_for[f, cpu] & ~s.call.failed[f]
    after = answered | set_memory_enc.at(s, f, CONFIRM)
    return after.implies(_is_none_or(s.tlb[cpu, view, f], s.call.want[f]))


@always
def conversions_flush_twice_at_most(s: EncPgtable, f: Frame) -> Bool:
    """A conversion costs two rounds of TLB flushes at most, one before the change and one after, and one
    flush of caches."""
    rounds, caches = s.call.tlb_rounds[f], s.call.cache_rounds[f]
    starts = set_memory_enc.at(s, f, FLUSH_BEFORE)
    over = set_memory_enc.at(s, f, FINISH) | set_memory_enc.at(s, f, CONFIRM)
    once = rounds == Rounds.ONCE
    tlbs = ite(starts, rounds == Rounds.NONE, ite(over, once | (rounds == Rounds.TWICE), once))
    early = starts | set_memory_enc.at(s, f, PREPARE)
    lines = (caches == Rounds.NONE) | ((caches == Rounds.ONCE) & ~early)
    none = ~over & ~starts & (rounds == Rounds.NONE)
    return set_memory_enc.idle(s, f) | ((tlbs | none) & lines)


@step
def leaked_pages_stay(old: EncPgtable, new: EncPgtable, f: Frame) -> Bool:
    """A page whose conversion failed is nobody's for ever."""
    return (old.use[f] == Use.LEAKED).implies(new.use[f] == Use.LEAKED)


@step
def pages_become_shared_by_a_conversion(old: EncPgtable, new: EncPgtable, f: Frame) -> Bool:
    """What an owner has shared becomes private, and the other way, when a conversion returns."""
    changed = old.owned(f) & new.owned(f) & (old.use[f] != new.use[f])
    return changed.implies(set_memory_enc.at(old, f, CONFIRM) & set_memory_enc.idle(new, f))


@step
def entries_go_when_asked_for(old: EncPgtable, new: EncPgtable, cpu: Cpu, f: Frame) -> Bool:
    """A TLB entry of the direct map goes with an answer to a request, and not before."""
    gone = old.tlb[cpu, View.DIRECT, f].is_some & new.tlb[cpu, View.DIRECT, f].is_none
    return gone.implies(
        exists(Frame, lambda g: old.call.waits_for[g, cpu] & ~new.call.waits_for[g, cpu])
    )


@step
def areas_go_with_a_purge(old: EncPgtable, new: EncPgtable, cpu: Cpu, f: Frame) -> Bool:
    """A TLB entry of an area goes with an answer to a request, or with the purge of the area, which was
    mapped once."""
    gone = old.tlb[cpu, View.VMAP, f].is_some & new.tlb[cpu, View.VMAP, f].is_none
    asked = exists(Frame, lambda g: old.call.waits_for[g, cpu] & ~new.call.waits_for[g, cpu])
    unmapped = (~old.lazy[f] & new.lazy[f]).implies(old.leaf[View.VMAP, f].is_some)
    return unmapped & gone.implies(asked | (old.lazy[f] & ~new.lazy[f]))


@step
def pages_are_leaked_when_all_have_flushed(
    old: EncPgtable, new: EncPgtable, cpu: Cpu, f: Frame
) -> Bool:
    """A call that leaks a page waits for no CPU, and nobody maps the page in an area afterwards."""
    leaked = (old.use[f] != Use.LEAKED) & (new.use[f] == Use.LEAKED)
    mapped = old.leaf[View.VMAP, f].is_none & new.leaf[View.VMAP, f].is_some
    return leaked.implies(~old.call.waits_for[f, cpu]) & ~((old.use[f] == Use.LEAKED) & mapped)


@sometimes
def a_page_is_shared(s: EncPgtable, cpu: Cpu, f: Frame) -> Bool:
    """A page of the image was private and is shared, and a CPU has it so."""
    was = s.in_image[f] & ~s.shared_at_boot[f] & set_memory_enc.idle(s, f)
    return was & (s.use[f] == Use.SHARED) & (s.tlb[cpu, View.DIRECT, f] == some(Key.SHARED))


@sometimes
def a_page_is_private_again(s: EncPgtable, cpu: Cpu, f: Frame) -> Bool:
    """A page was shared, and is free again, with a private entry in a TLB."""
    private = s.tlb[cpu, View.DIRECT, f] == some(Key.PRIVATE)
    return s.shared_at_boot[f] & (s.use[f] == Use.FREE) & private


@sometimes
def a_page_is_changed_by_its_area(s: EncPgtable, f: Frame) -> Bool:
    """A page that is mapped by an area is shared, in the area and in the direct map."""
    both = (s.leaf[View.VMAP, f] == some(Key.SHARED)) & ~s.shared_at_boot[f]
    return both & (s.leaf[View.DIRECT, f] == some(Key.SHARED)) & set_memory_enc.idle(s, f)


@sometimes
def a_lazy_entry_waits_for_a_conversion(s: EncPgtable, cpu: Cpu, f: Frame) -> Bool:
    """A conversion has begun while a CPU has an entry of an area that was unmapped."""
    return set_memory_enc.at(s, f, FLUSH_BEFORE) & s.lazy[f] & s.tlb[cpu, View.VMAP, f].is_some


@sometimes
def keys_differ_during_a_change(s: EncPgtable, cpu: Cpu, f: Frame) -> Bool:
    """While a page is converted, a CPU has an entry with the old key for a leaf with the new one."""
    view = s.call.view[f]
    old = s.tlb[cpu, view, f].is_some & (s.tlb[cpu, view, f] != s.leaf[view, f])
    return set_memory_enc.at(s, f, FINISH) & old


@sometimes
def a_page_is_leaked(s: EncPgtable, f: Frame) -> Bool:
    """A conversion has failed with one leaf changed and the other not."""
    halves = s.leaf[View.DIRECT, f] != s.leaf[View.IMAGE, f]
    return (s.use[f] == Use.LEAKED) & s.in_image[f] & halves


@sometimes
def a_page_is_given_back(s: EncPgtable, f: Frame) -> Bool:
    """A page that was shared at boot is free."""
    return s.shared_at_boot[f] & (s.use[f] == Use.FREE)
