"""References to secret pages.

What it checks: neither the slow walk nor GUP-fast returns a page of a secret file; GUP-fast looks into
no mapping that is NULL; a page is zeroed before it is free, whoever has had a reference.  Invariant 4
of direct-map removal.
Why it matters: who has a reference reads the page by the direct map, which it has left: the kernel
crashes; or, where it is back, reads a secret.
Kernel precedent: 65291dcfcf89 ("mm/secretmem: fix GUP-fast succeeding on secretmem folios").
Smallest counterexample: a page that is mapped and not yet on the LRU (secretmem-gup-lru).
Not covered: huge pages, which secret files have none of; the leaf of the direct map (secretmem);
address spaces that are freed, for which RCU waits.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.secretmem_gup import (
    COMPARE,
    GRAB,
    KEEP,
    READ_A_OPS,
    READ_MAPPING,
    GupSecrets,
    Mapping,
    Page,
    gup_pte_range,
)


@always
def gup_returns_no_secret(s: GupSecrets, cpu: Cpu, f: Frame) -> Bool:
    """What GUP has given to its caller is no page of a secret file, and has no secret in it."""
    given = s.returned[cpu] & (s.held[cpu] == some(f))
    return given.implies((s.page[f] != Page.SECRET) & ~s.written[f])


@always
def a_mapping_that_is_looked_into_is_there(s: GupSecrets, cpu: Cpu) -> Bool:
    """page_is_secretmem() follows page->mapping only where it is not NULL."""
    return gup_pte_range.at(s, cpu, READ_A_OPS).implies(s.walk.mapping[cpu] != Mapping.NULL)


@always
def secrets_are_in_secret_files(s: GupSecrets, f: Frame) -> Bool:
    """A secret is in a page of a secret file, or in one that leaves it and is not zeroed yet."""
    return s.written[f].implies((s.page[f] == Page.SECRET) | (s.page[f] == Page.LEAVING))


@always
def entries_are_of_their_area(s: GupSecrets, va: Va) -> Bool:
    """An area of a secret file maps its pages, and another area pages of other files."""
    entry = s.maps[va]
    secret, other = s.page[entry.value] == Page.SECRET, s.page[entry.value] == Page.FILE
    right = (s.secret_vma[va] & secret) | (~s.secret_vma[va] & other)
    return entry.is_some.implies(right)


@always
def pages_are_mapped_when_all_have_flushed(s: GupSecrets, va: Va, f: Frame, cpu: Cpu) -> Bool:
    """As long as a CPU owes a flush, a page is in the file and nobody has mapped it."""
    pending = (s.page[f] == Page.SECRET) & (s.maps[va] != some(f))
    return s.flush_owed[f, cpu].implies(pending)


@always
def references_keep_pages(s: GupSecrets, cpu: Cpu, f: Frame) -> Bool:
    """A page that somebody has a reference to is not free."""
    return (s.held[cpu] == some(f)).implies(s.page[f] != Page.FREE)


@always
def walkers_hold_what_they_look_at(s: GupSecrets, cpu: Cpu) -> Bool:
    """GUP-fast has the reference from when it takes it until it returns; callers have theirs outside."""
    grabbed = gup_pte_range.at(s, cpu, READ_MAPPING) | gup_pte_range.at(s, cpu, COMPARE)
    asked = gup_pte_range.at(s, cpu, READ_A_OPS) | gup_pte_range.at(s, cpu, KEEP)
    holds = s.held[cpu] == some(s.walk.page[cpu])
    early = gup_pte_range.at(s, cpu, GRAB).implies(s.held[cpu].is_none)
    outside = (s.returned[cpu] == s.held[cpu].is_some) & gup_pte_range.idle(s, cpu)
    return (grabbed | asked).implies(holds) & early & (outside | ~gup_pte_range.idle(s, cpu))


@always
def callers_are_not_in_a_walk(s: GupSecrets, cpu: Cpu) -> Bool:
    """Who has been given a page is not in GUP-fast."""
    return s.returned[cpu].implies(gup_pte_range.idle(s, cpu))


@always
def what_was_read_was_true(s: GupSecrets, cpu: Cpu) -> Bool:
    """What GUP-fast has read of a page that it holds: a secret file's page is so until it leaves, one of
    another file never becomes one."""
    p, m = s.page[s.walk.page[cpu]], s.walk.mapping[cpu]
    comparing = gup_pte_range.at(s, cpu, COMPARE) | gup_pte_range.at(s, cpu, READ_A_OPS)
    secret = (m == Mapping.SECRET).implies((p == Page.SECRET) | (p == Page.LEAVING))
    other = (m == Mapping.OTHER).implies((p == Page.FILE) | (p == Page.TRUNCATED))
    return comparing.implies(secret & other)


@always
def new_pages_wait_for_the_walk(s: GupSecrets, cpu: Cpu) -> Bool:
    """A page that was in no secret file when GUP-fast asked, and is in one now, is not mapped before the
    walk is over and its CPU has flushed."""
    f = s.walk.page[cpu]
    null = gup_pte_range.at(s, cpu, COMPARE) & (s.walk.mapping[cpu] == Mapping.NULL)
    asked = null | gup_pte_range.at(s, cpu, KEEP)
    return (asked & (s.page[f] == Page.SECRET)).implies(s.flush_owed[f, cpu])


@step
def secrets_are_zeroed_before_they_are_free(s: GupSecrets, new: GupSecrets, f: Frame) -> Bool:
    """A page that becomes free has no secret in it, and nobody has a reference."""
    freed = (s.page[f] != Page.FREE) & (new.page[f] == Page.FREE)
    return freed.implies(~s.written[f] & s.not_held(f))


@sometimes
def a_secret_is_refused(s: GupSecrets, cpu: Cpu, va: Va) -> Bool:
    """GUP-fast has found a page with a secret, and is about to refuse it."""
    secret = s.written[s.walk.page[cpu]] & (s.walk.mapping[cpu] == Mapping.SECRET)
    mapped = s.maps[va] == some(s.walk.page[cpu])
    return gup_pte_range.at(s, cpu, READ_A_OPS) & secret & mapped


@sometimes
def a_page_is_returned(s: GupSecrets, cpu: Cpu, f: Frame) -> Bool:
    """GUP has returned a page of a file, which has left it since."""
    return s.returned[cpu] & (s.held[cpu] == some(f)) & (s.page[f] == Page.TRUNCATED)


@sometimes
def a_new_page_is_grabbed(s: GupSecrets, cpu: Cpu) -> Bool:
    """GUP-fast has a reference to a page that is prepared for a secret file; it had another before."""
    return gup_pte_range.at(s, cpu, READ_MAPPING) & (s.page[s.walk.page[cpu]] == Page.NEW)


@sometimes
def a_page_leaves_while_it_is_held(s: GupSecrets, cpu: Cpu) -> Bool:
    """A page with a secret has left its file while GUP-fast looks at it."""
    leaves = s.page[s.walk.page[cpu]] == Page.LEAVING
    return gup_pte_range.at(s, cpu, COMPARE) & leaves & s.written[s.walk.page[cpu]]


@sometimes
def a_secret_is_not_yet_on_the_lru(s: GupSecrets, va: Va, f: Frame) -> Bool:
    """A page with a secret is mapped, and in a batch still."""
    return (s.maps[va] == some(f)) & s.written[f] & ~s.lru[f]


@sometimes
def a_secret_is_on_the_lru(s: GupSecrets, va: Va, f: Frame) -> Bool:
    """A page with a secret is mapped and on the LRU."""
    return (s.maps[va] == some(f)) & s.written[f] & s.lru[f]
