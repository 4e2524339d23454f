"""Keys of persistent memory in the direct map.

What it checks: a page of a protected dev_pagemap is not written outside of every bracket; its leaf has
the key, and so has every translation of it in a TLB; a range that may be mapped anew is in no TLB
(promise 5 of
docs/keys.md).
Why it matters: a stray write to persistent memory is still there after the reboot.
Kernel precedent: memremap_pages() of the PKS series (PGMAP_PROTECTION), 2022; not merged.
Smallest counterexample: a CPU has cached a page, and then it gets a key (pgmap-key-added).
Not covered: large leaves and their split, stray writes within a bracket, which hit (see
``a_stray_write_within_a_bracket_hits`` of pks), devices that write by DMA.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.entries import ProtectionKey
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.pgmap import Pgmap, memunmap_pages
from mapproof.model.operations.pks import PGMAP_KEY


@always
def stray_writes_miss_protected_pages(s: Pgmap, f: Frame) -> Bool:
    """A page of a protected range has not been written outside of every bracket."""
    return (s.claimed[f] & s.wants_key[f]).implies(~s.stray[f])


@always
def translations_have_the_key(s: Pgmap, cpu: Cpu, f: Frame) -> Bool:
    """What a CPU has cached of a mapped page has the key of its leaf; of another one, it waits for the
    CPU's flush."""
    entry = s.tlb[cpu, f]
    return entry.is_some.implies((s.leaf[f] == entry) | ~s.is_flushed(cpu, f))


@always
def removed_translations_have_the_key(s: Pgmap, cpu: Cpu, f: Frame) -> Bool:
    """Until a range is given up, what is cached of it has the key that the range wants."""
    protected = s.tlb[cpu, f].is_some & s.claimed[f] & s.wants_key[f]
    return protected.implies(s.tlb[cpu, f] == PGMAP_KEY)


@always
def protected_leaves_have_the_key(s: Pgmap, f: Frame) -> Bool:
    """The leaf of a protected page has the key, that of another page has none."""
    right = (s.leaf[f] == PGMAP_KEY) == s.wants_key[f]
    key = (s.leaf[f] == PGMAP_KEY) | (s.leaf[f] == ProtectionKey.K0)
    return s.leaf[f].is_some.implies(s.claimed[f] & right & key)


@always
def free_ranges_are_in_no_tlb(s: Pgmap, cpu: Cpu, f: Frame) -> Bool:
    """A range that may be mapped anew is not mapped and in no TLB."""
    return (~s.claimed[f]).implies(s.leaf[f].is_none & s.tlb[cpu, f].is_none)


@always
def removals_have_their_page(s: Pgmap, a: Cpu, b: Cpu) -> Bool:
    """A page is removed by one CPU, and belongs to its range until that is done."""
    removing = ~memunmap_pages.idle(s, a)
    page = s.removal.page[a]
    alone = (~memunmap_pages.idle(s, b) & (s.removal.page[b] == page)).implies(a == b)
    return removing.implies(s.claimed[page] & s.leaf[page].is_none & alone)


@step
def translations_go_by_request(s: Pgmap, new: Pgmap, cpu: Cpu, f: Frame) -> Bool:
    """The cost: no CPU flushes a page but for its removal."""
    gone = s.tlb[cpu, f].is_some & new.tlb[cpu, f].is_none
    return gone.implies(~s.is_flushed(cpu, f))


@sometimes
def a_range_is_given_up(s: Pgmap, f: Frame) -> Bool:
    """A page that was hit belongs to no device any more."""
    return s.stray[f] & ~s.claimed[f]


@sometimes
def a_page_without_key_is_hit(s: Pgmap, f: Frame) -> Bool:
    """What is not protected can be written by anybody."""
    return s.stray[f] & s.leaf[f].is_some


@sometimes
def a_protected_page_is_used(s: Pgmap, cpu: Cpu, f: Frame) -> Bool:
    """A CPU in a bracket has a protected page in its TLB."""
    return s.pkrs[cpu] & (s.tlb[cpu, f] == PGMAP_KEY)


@sometimes
def a_removed_page_is_still_cached(s: Pgmap, a: Cpu, b: Cpu, f: Frame) -> Bool:
    """One CPU has flushed a page that is being removed, another one has not."""
    return s.leaf[f].is_none & s.tlb[a, f].is_some & s.is_flushed(b, f)
