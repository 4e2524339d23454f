"""Encryption bits of small leaves, their neighbours and their tables.

What it checks: a page is mapped with the key that it is used with, whether its leaf is large or small; a
page table is a private page, nobody else's, and the entry that leads to it says private; a conversion
changes the leaf of one page, and allocates one table at most.  Invariants 1 and 8 of encryption.
Why it matters: a host that can write to a page table can map what it likes; one that is read with
another key than it was written with is noise.
Kernel precedent: _KERNPG_TABLE has _PAGE_ENC; "the page table pages are always private" of SEV.
Smallest counterexample: convert a page of a large one, with an entry that has no C-bit
(enc-split-plain-tables).
Not covered: TLBs (see enc_pgtable), the race for a table (see split), making a large page again; what
the walk of an SEV guest does, which reads tables with the key whatever the entry says.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.enc_pgtable import Key
from mapproof.model.operations.enc_split import (
    ALLOC,
    CHANGE,
    FILL,
    POPULATE,
    EncSplit,
    LargePage,
    Use,
    set_memory_enc,
)


def _has_base(s: EncSplit, p: LargePage) -> Bool:
    """A table is allocated for the large page, and not used yet."""
    return set_memory_enc.at(s, p, FILL) | set_memory_enc.at(s, p, POPULATE)


@always
def pages_are_mapped_with_their_key(s: EncSplit, p: LargePage, f: Frame) -> Bool:
    """A leaf, large or small, has the key that the page is used with; a page table is private."""
    return s.within[p, f].implies(s.leaf(p, f) == s.key(f))


@always
def tables_are_private(s: EncSplit, p: LargePage, f: Frame) -> Bool:
    """What leads to a table says private, and the table is nobody else's page."""
    own = (s.use[f] == Use.TABLE) & (s.entry[p] == Key.PRIVATE)
    return (s.table[p] == some(f)).implies(own)


@always
def large_pages_have_a_leaf_or_a_table(s: EncSplit, p: LargePage) -> Bool:
    """A large page has its leaf until it has a table; a call that is about to change a small leaf finds
    one."""
    split = set_memory_enc.at(s, p, CHANGE).implies(s.large[p].is_none)
    return (
        (s.large[p].is_some == s.table[p].is_none)
        & split
        & _has_base(s, p).implies(s.large[p].is_some)
    )


@always
def calls_are_about_an_owners_page(s: EncSplit, p: LargePage) -> Bool:
    """A call is about a page of the large one whose owner uses it with the other key; the table that it
    prepares is a table."""
    f = s.cpa.page[p]
    owned = (s.use[f] == Use.DATA) | (s.use[f] == Use.SHARED)
    other = s.within[p, f] & owned & (s.key(f) != s.cpa.want[p])
    base = _has_base(s, p).implies(s.use[s.cpa.base[p]] == Use.TABLE)
    return (set_memory_enc.idle(s, p) | other) & base


@always
def new_leaves_are_like_the_large_one(s: EncSplit, p: LargePage, f: Frame) -> Bool:
    """Before the table is used, its leaves have the bit of the large one."""
    filled = set_memory_enc.at(s, p, POPULATE)
    return filled.implies(some(s.pte[p, f]) == s.large[p])


@step
def one_leaf_changes(old: EncSplit, new: EncSplit, p: LargePage, f: Frame) -> Bool:
    """The key of a page changes by a call about this page, and no other."""
    changed = old.within[p, f] & (old.leaf(p, f) != new.leaf(p, f))
    given = set_memory_enc.at(old, p, CHANGE) & (old.cpa.page[p] == f)
    return changed.implies(given)


@step
def a_large_page_costs_one_table(old: EncSplit, new: EncSplit, p: LargePage, f: Frame) -> Bool:
    """The cost: a page becomes a table when a large page has none, and stays that."""
    came = (old.use[f] != Use.TABLE) & (new.use[f] == Use.TABLE)
    starts = set_memory_enc.at(old, p, ALLOC) & ~set_memory_enc.at(new, p, ALLOC)
    stays = (old.use[f] == Use.TABLE).implies(new.use[f] == Use.TABLE)
    return stays & (came & starts).implies(old.table[p].is_none)


@sometimes
def a_page_beside_others_is_shared(s: EncSplit, p: LargePage, f: Frame, g: Frame) -> Bool:
    """A page is shared, and another of the same large page is private."""
    both = s.within[p, f] & s.within[p, g] & (s.leaf(p, f) == Key.SHARED)
    return both & (s.leaf(p, g) == Key.PRIVATE) & set_memory_enc.idle(s, p)


@sometimes
def a_page_of_a_shared_one_is_private(s: EncSplit, p: LargePage, f: Frame) -> Bool:
    """A page of a large one that was shared at boot is private, and free."""
    return s.shared_at_boot[p] & s.within[p, f] & (s.use[f] == Use.FREE)


@sometimes
def a_page_is_converted_again(s: EncSplit, p: LargePage, f: Frame) -> Bool:
    """A page is being made private that a call has shared."""
    again = set_memory_enc.at(s, p, CHANGE) & (s.cpa.page[p] == f) & ~s.reserved[f]
    return again & (s.cpa.want[p] == Key.PRIVATE)
