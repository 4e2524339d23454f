"""Leaves and page states of SEV-SNP guests.

What it checks: at no moment has a leaf or a TLB entry a shared translation of a page that is validated,
or that the host was not asked to take; what is private for its owner is validated.  Invariant 4 of
encryption, and 2 as to the RMP.
Why it matters: what is validated is what the guest trusts to be its own; where it would let the host
have a page that is still validated, the host could give it another one in its place.
Kernel precedent: the comments in amd_enc_status_change_prepare() and amd_enc_status_change_finish().
Smallest counterexample: a page is validated while its leaves are shared (snp-order-of-tdx).
Not covered: what a stray access does to a page with a private leaf that is not validated; a host that
takes validated pages unasked; large pages in the RMP; VMPLs.
"""

from __future__ import annotations

from mapproof.model.language import Bool, Opt, always, ite, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.enc_pgtable import (
    CONFIRM,
    CONVERT,
    FLUSH_BEFORE,
    PREPARE,
    Key,
    Rounds,
    Use,
    View,
    set_memory_enc,
)
from mapproof.model.operations.snp import Rmp, Snp


def _is_given(s: Snp, f: Frame) -> Bool:
    """The page is not validated, and the host was asked to take it."""
    return (s.rmp[f] != Rmp.VALIDATED) & (s.asked[f] == Key.SHARED)


def _is_rescinded(s: Snp, f: Frame) -> Bool:
    """The page is not validated, and the host was asked for nothing else than that it is the guest's."""
    return (s.rmp[f] != Rmp.VALIDATED) & (s.asked[f] == Key.PRIVATE)


def _is_trusted(s: Snp, f: Frame) -> Bool:
    """The page is validated, and the host was not asked to take it."""
    return (s.rmp[f] == Rmp.VALIDATED) & (s.asked[f] == Key.PRIVATE)


def _agrees(s: Snp, f: Frame, entry: Opt[Key]) -> Bool:
    return (entry == some(Key.SHARED)).implies(_is_given(s, f))


@always
def shared_leaves_are_not_validated(s: Snp, view: View, f: Frame) -> Bool:
    """A page with a shared leaf is not validated, and the host was asked to take it."""
    return _agrees(s, f, s.leaf[view, f])


@always
def shared_entries_are_not_validated(s: Snp, cpu: Cpu, view: View, f: Frame) -> Bool:
    """So is one with a shared TLB entry."""
    return _agrees(s, f, s.tlb[cpu, view, f])


@always
def private_pages_are_validated(s: Snp, f: Frame) -> Bool:
    """What is free, or private for its owner, is validated; what is shared for its owner is not, and the
    host was asked to take it."""
    rests = set_memory_enc.idle(s, f)
    private = (s.use[f] == Use.FREE) | (s.use[f] == Use.PRIVATE)
    kept = (rests & private).implies(_is_trusted(s, f))
    return kept & (rests & (s.use[f] == Use.SHARED)).implies(_is_given(s, f))


@always
def validation_is_taken_back_before_the_change(s: Snp, f: Frame) -> Bool:
    """On its way to shared a page is trusted at first, and the host was asked to take it before the
    first leaf is changed; on its way to private it is the host's until the last leaf is changed."""
    running = ~set_memory_enc.idle(s, f)
    converting, confirming = set_memory_enc.at(s, f, CONVERT), set_memory_enc.at(s, f, CONFIRM)
    early = set_memory_enc.at(s, f, FLUSH_BEFORE) | set_memory_enc.at(s, f, PREPARE)
    trusted = ite(early, _is_trusted(s, f), ite(converting, _is_rescinded(s, f), _is_given(s, f)))
    to_private = ite(confirming, _is_rescinded(s, f), _is_given(s, f))
    to_shared = s.call.want[f] == Key.SHARED
    return running.implies(ite(to_shared, trusted, to_private))


@always
def no_caches_are_flushed(s: Snp, f: Frame) -> Bool:
    """The keys are coherent: a conversion flushes no caches."""
    return set_memory_enc.idle(s, f) | (s.call.cache_rounds[f] == Rounds.NONE)


@step
def pages_are_validated_when_they_are_private(old: Snp, new: Snp, view: View, f: Frame) -> Bool:
    """A page is validated when every leaf of it is private."""
    validated = (old.rmp[f] != Rmp.VALIDATED) & (new.rmp[f] == Rmp.VALIDATED)
    assigned = old.rmp[f] == Rmp.ASSIGNED
    return validated.implies(assigned & (new.leaf[view, f] != some(Key.SHARED)))


@sometimes
def a_private_leaf_has_no_valid_page(s: Snp, f: Frame) -> Bool:
    """The moment that TDX may not have: a leaf is private while the page is the host's."""
    private = s.leaf[View.DIRECT, f] == some(Key.PRIVATE)
    return (s.rmp[f] == Rmp.SHARED) & private & (s.use[f] != Use.LEAKED)


@sometimes
def a_page_is_validated_again(s: Snp, f: Frame) -> Bool:
    """A page that was shared is validated, and private for its owner."""
    return s.shared_at_boot[f] & (s.rmp[f] == Rmp.VALIDATED) & (s.use[f] == Use.PRIVATE)
