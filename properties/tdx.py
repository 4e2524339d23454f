"""Private translations, acceptance, and words that cross into the next page, in TDX guests.

What it checks: at no moment has a leaf or a TLB entry a private translation of a page that is not
accepted, or that the host may take; so no stray access ends the guest; a word that crosses into a shared
page is completed with zeros.  Invariant 3 of encryption, and 2 as to the secure EPT.
Why it matters: load_unaligned_zeropad() reads up to seven bytes of the next page, whose owner may be
converting it; the host can choose the moment.
Kernel precedent: the comment in tdx_early_init(); 195edce08b63 ("x86/tdx: Fix race between
set_memory_encrypted() and load_unaligned_zeropad()").
Smallest counterexample: a page that is shared becomes private in the leaf before the host is asked
(tdx-converted-after).
Not covered: a host that takes private pages unasked, which ends the guest and tells it nothing;
acceptance of larger pages; debugging and migration.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, ite, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.enc_pgtable import (
    CHANGE_DIRECT_MAP,
    CHANGE_IMAGE_MAP,
    CHANGE_PRIMARY,
    CONFIRM,
    CONVERT,
    FINISH,
    FLUSH_AFTER,
    Key,
    Rounds,
    Use,
    View,
    set_memory_enc,
)
from mapproof.model.operations.tdx import Fate, Sept, Tdx, load_unaligned_zeropad


def _is_the_guests(s: Tdx, f: Frame) -> Bool:
    """The page is accepted, and the host was not asked to take it."""
    return (s.sept[f] == Sept.ACCEPTED) & (s.asked[f] == Key.PRIVATE)


@always
def private_leaves_are_accepted(s: Tdx, view: View, f: Frame) -> Bool:
    """A page with a private leaf is accepted, and the host may not take it."""
    return (s.leaf[view, f] == some(Key.PRIVATE)).implies(_is_the_guests(s, f))


@always
def private_entries_are_accepted(s: Tdx, cpu: Cpu, view: View, f: Frame) -> Bool:
    """So is one with a private TLB entry, of an area unmapped long ago too."""
    return (s.tlb[cpu, view, f] == some(Key.PRIVATE)).implies(_is_the_guests(s, f))


@always
def the_guest_is_not_shut_down(s: Tdx, cpu: Cpu) -> Bool:
    """No access by a private translation finds a page that is not the guest's."""
    return s.fate[cpu] != Fate.SHUTDOWN


@always
def words_end_in_zeros(s: Tdx, cpu: Cpu) -> Bool:
    """A word that crosses into a page with a #VE is completed with zeros: the CPU neither dies of it nor
    takes what the host says for what was in memory."""
    return (s.fate[cpu] != Fate.OOPS) & (s.fate[cpu] != Fate.CONFUSED)


@always
def private_pages_are_accepted(s: Tdx, f: Frame) -> Bool:
    """What is free, or private for its owner, is the guest's; what is shared for its owner was given to
    the host."""
    private = (s.use[f] == Use.FREE) | (s.use[f] == Use.PRIVATE)
    rests = set_memory_enc.idle(s, f)
    kept = (rests & private).implies(_is_the_guests(s, f))
    return kept & (rests & (s.use[f] == Use.SHARED)).implies(s.asked[f] == Key.SHARED)


@always
def pages_are_accepted_before_they_are_private(s: Tdx, f: Frame) -> Bool:
    """On its way to private a page is accepted before its first leaf is changed; on its way to shared it
    stays the guest's until the last is."""
    private = s.call.want[f] == Key.PRIVATE
    late = set_memory_enc.at(s, f, CONFIRM)
    for position in (CHANGE_PRIMARY, CHANGE_DIRECT_MAP, CHANGE_IMAGE_MAP, FLUSH_AFTER, FINISH):
        late |= set_memory_enc.at(s, f, position)
    running = ~set_memory_enc.idle(s, f)
    kept = (running & ~private & ~set_memory_enc.at(s, f, CONFIRM)).implies(_is_the_guests(s, f))
    asked = (set_memory_enc.at(s, f, CONVERT) & private).implies(s.asked[f] == Key.PRIVATE)
    told = (set_memory_enc.at(s, f, CONFIRM) & ~private).implies(s.asked[f] == Key.SHARED)
    return kept & asked & told & (late & private).implies(_is_the_guests(s, f))


@always
def to_private_needs_one_flush(s: Tdx, f: Frame) -> Bool:
    """To private, the TLBs are flushed once, and no cache."""
    over = set_memory_enc.at(s, f, FINISH) | set_memory_enc.at(s, f, CONFIRM)
    private = s.call.want[f] == Key.PRIVATE
    rounds = ite(over, Rounds.ONCE, Rounds.NONE)
    counted = (s.call.tlb_rounds[f] == rounds) & (s.call.cache_rounds[f] == Rounds.NONE)
    return set_memory_enc.idle(s, f) | ~private | counted


@step
def the_host_takes_what_it_was_given(old: Tdx, new: Tdx, f: Frame) -> Bool:
    """A page becomes shared when the host was asked to take it, and accepted when it was added."""
    taken = (old.sept[f] != new.sept[f]) & (new.sept[f] == Sept.SHARED)
    accepted = (old.sept[f] != new.sept[f]) & (new.sept[f] == Sept.ACCEPTED)
    asked = taken.implies(old.asked[f] == Key.SHARED)
    return asked & accepted.implies(old.sept[f] == Sept.PENDING)


@sometimes
def the_host_has_a_page(s: Tdx, f: Frame) -> Bool:
    """The host has taken a page that was private, and its owner uses it shared."""
    return (s.sept[f] == Sept.SHARED) & (s.use[f] == Use.SHARED) & ~s.shared_at_boot[f]


@sometimes
def a_page_is_accepted(s: Tdx, f: Frame) -> Bool:
    """A page that was shared is accepted, and private for its owner."""
    return s.shared_at_boot[f] & (s.sept[f] == Sept.ACCEPTED) & (s.use[f] == Use.PRIVATE)


@sometimes
def the_host_answers_late(s: Tdx, f: Frame) -> Bool:
    """An owner uses a page shared that the host was asked to take and has not taken yet."""
    rests = set_memory_enc.idle(s, f) & (s.use[f] == Use.SHARED)
    return rests & (s.sept[f] == Sept.ACCEPTED)


@sometimes
def a_page_waits_to_be_accepted(s: Tdx, f: Frame) -> Bool:
    """The host has added a page, and its leaf is shared."""
    return (s.sept[f] == Sept.PENDING) & (s.leaf[View.DIRECT, f] == some(Key.SHARED))


@sometimes
def a_word_crosses_into_a_private_page(s: Tdx, cpu: Cpu, f: Frame) -> Bool:
    """A #VE is handled, of a shared translation of a page that is still private."""
    handled = ~load_unaligned_zeropad.idle(s, cpu) & (s.sept[f] == Sept.ACCEPTED)
    return handled & (s.tlb[cpu, View.DIRECT, f] == some(Key.SHARED))


@sometimes
def a_page_is_leaked_to_the_host(s: Tdx, f: Frame) -> Bool:
    """The host said no, and has taken the page."""
    return (s.use[f] == Use.LEAKED) & (s.sept[f] == Sept.SHARED) & ~s.shared_at_boot[f]
