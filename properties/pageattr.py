"""Memory types of pages of RAM.

What it checks: but for the time of a set_memory_*(), every leaf that maps a page, and every TLB entry
for it, has the type that its page flags track; a page whose type is not write-back is in no cache;
RAM has only the types that page flags can hold.  Invariants 1, 2, 4 and 5 of cacheability.
Why it matters: one page with two types is undefined behaviour, machine checks on some CPUs, and on
others data that are read from memory while newer ones are in a cache.
Kernel precedent: Documentation/x86/pat.rst; ab5130186d74 ("x86/mm/cpa: Flush direct map alias during
cpa").
Smallest counterexample: set_memory_uc() at the link address of a page that a CPU has used by its
direct-map address (pageattr-primary-flush).
Not covered: CPUs without CLFLUSH, MTRRs, failures to split large pages, several pages in one call.
"""

from __future__ import annotations

from mapproof.model.language import Bool, Opt, always, exists, some, sometimes, step
from mapproof.model.machine.entries import CacheType
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.pageattr import (
    CHANGE_DIRECT,
    CHANGE_HIGH,
    CHANGE_PRIMARY,
    CPA_FLUSH,
    FINISH,
    PageAttr,
    View,
    set_memory,
)
from mapproof.model.operations.vmalloc import Area


def _is_none_or(entry: Opt[CacheType], wanted: CacheType) -> Bool:
    return entry.is_none | (entry == some(wanted))


@always
def leaves_have_the_tracked_type(s: PageAttr, view: View, f: Frame) -> Bool:
    """Every leaf has the type that is tracked, but while the owner has it changed."""
    return ~set_memory.idle(s, f) | _is_none_or(s.leaf[view, f], s.memtype[f])


@always
def tlbs_have_the_tracked_type(s: PageAttr, cpu: Cpu, view: View, f: Frame) -> Bool:
    """So has every TLB entry."""
    return ~set_memory.idle(s, f) | _is_none_or(s.tlb[cpu, view, f], s.memtype[f])


@always
def areas_have_the_tracked_type(s: PageAttr, va: Va, f: Frame) -> Bool:
    """So has the leaf of every vmap area that maps the page."""
    mapped = set_memory.idle(s, f) & (s.page[va] == some(f))
    return mapped.implies(s.area_type[va] == s.memtype[f])


@always
def area_entries_have_the_tracked_type(s: PageAttr, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """So has what a CPU has cached of an area, mapped or unmapped lazily."""
    cached = set_memory.idle(s, f) & (s.area_tlb[cpu, va] == some(f))
    return cached.implies(s.area_tlb_type[cpu, va] == s.memtype[f])


@always
def uncached_pages_are_in_no_cache(s: PageAttr, f: Frame) -> Bool:
    """A page that is tracked with another type than write-back has no line in a cache, but while the
    owner has it changed."""
    return ~set_memory.idle(s, f) | (s.memtype[f] == CacheType.WB) | ~s.line[f]


@always
def ram_has_types_of_page_flags(s: PageAttr, f: Frame) -> Bool:
    """RAM is tracked as WB, WC or UC-."""
    m = s.memtype[f]
    return (m == CacheType.WB) | (m == CacheType.WC) | (m == CacheType.UC_MINUS)


@always
def the_direct_map_is_complete(s: PageAttr, f: Frame) -> Bool:
    """The direct map has every page, and the high map those of the image."""
    return s.leaf[View.DIRECT, f].is_some & (s.leaf[View.HIGH, f].is_some == s.in_image[f])


@always
def types_change_by_a_mapped_address(s: PageAttr, va: Va, f: Frame) -> Bool:
    """What a set_memory_*() is given is an address in the direct map, or in the high map of a page that
    is the image's; meanwhile the owner has no area of the page, and no process has it."""
    view = s.cpa.view[f]
    mapped = (view == View.DIRECT) | ((view == View.HIGH) & s.in_image[f])
    return set_memory.idle(s, f) | (mapped & (s.page[va] != some(f)) & s.leaf[View.USER, f].is_none)


@always
def user_entries_are_mappings(s: PageAttr, cpu: Cpu, f: Frame) -> Bool:
    """What a CPU has cached of a process is mapped there."""
    return s.leaf[View.USER, f].is_some | s.tlb[cpu, View.USER, f].is_none


@always
def areas_are_flushed_before_a_change(s: PageAttr, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """When the first leaf is changed, and until the call returns, no CPU has an entry for an area that
    the page was in."""
    waits = set_memory.at(s, f, CHANGE_PRIMARY) & s.cpa.waits_for[f, cpu]
    lazy = waits & (s.area[va] == Area.LAZY)
    return set_memory.idle(s, f) | lazy | (s.area_tlb[cpu, va] != some(f))


@always
def areas_are_flushed_before_they_are_free(s: PageAttr, cpu: Cpu, va: Va) -> Bool:
    """A CPU has cached of an area what it maps, or what it mapped if it waits for the purge."""
    entry, area = s.area_tlb[cpu, va], s.area[va]
    good = (area == Area.LAZY) | ((area == Area.BUSY) & (entry == s.page[va]))
    return entry.is_some.implies(good) & (s.page[va].is_some == (area == Area.BUSY))


@always
def leaves_are_changed_before_the_flush(s: PageAttr, view: View, f: Frame) -> Bool:
    """When CPUs are asked to flush, every leaf has the new type, and if the page has two leaves all of
    the TLB is flushed."""
    asking = set_memory.at(s, f, CPA_FLUSH) | set_memory.at(s, f, FINISH)
    two = (s.cpa.view[f] == View.HIGH) | s.in_image[f]
    changed = _is_none_or(s.leaf[view, f], s.cpa.now[f])
    return asking.implies(changed & (s.cpa.force_flush_all[f] == two))


@always
def who_has_flushed_has_the_new_type(s: PageAttr, cpu: Cpu, view: View, f: Frame) -> Bool:
    """A CPU that has answered has no entry but of the new type."""
    answered = set_memory.at(s, f, FINISH) & ~s.cpa.waits_for[f, cpu]
    return answered.implies(_is_none_or(s.tlb[cpu, view, f], s.cpa.now[f]))


@always
def write_combining_is_reached_through_uncached(s: PageAttr, f: Frame) -> Bool:
    """A pass sets write-back only where that is wanted; otherwise UC-, or then WC if that is."""
    now, want = s.cpa.now[f], s.cpa.want[f]
    towards = (now == want) | (now == CacheType.UC_MINUS)
    cached = (now == CacheType.WB) == (want == CacheType.WB)
    return set_memory.idle(s, f) | (towards & cached)


@always
def leaves_change_in_order(s: PageAttr, f: Frame) -> Bool:
    """The leaf of the address that was given first, then the direct map, then the high map."""
    now, high = some(s.cpa.now[f]), set_memory.at(s, f, CHANGE_HIGH)
    given = (set_memory.at(s, f, CHANGE_DIRECT) | high).implies(s.leaf[s.cpa.view[f], f] == now)
    return given & high.implies(s.leaf[View.DIRECT, f] == now)


@always
def types_are_tracked_before_they_are_set(s: PageAttr, f: Frame) -> Bool:
    """The type that is wanted is tracked from the start, unless it is write-back."""
    want = s.cpa.want[f]
    return set_memory.idle(s, f) | (want == s.memtype[f]) | (want == CacheType.WB)


@always
def high_entries_are_of_image_pages(s: PageAttr, cpu: Cpu, f: Frame) -> Bool:
    """What a CPU has cached of the high map is a page of the image."""
    return s.in_image[f] | s.tlb[cpu, View.HIGH, f].is_none


@always
def a_changed_direct_map_is_remembered(s: PageAttr, f: Frame) -> Bool:
    """Between the direct map and the high map, everything is to be flushed if the address that was given
    is in the high map."""
    between = set_memory.at(s, f, CHANGE_HIGH)
    return between.implies(s.cpa.force_flush_all[f] == (s.cpa.view[f] == View.HIGH))


@step
def pages_are_tracked_from_write_back(old: PageAttr, new: PageAttr, f: Frame) -> Bool:
    """The tracked type of a page changes from write-back, or back to that."""
    a, b = old.memtype[f], new.memtype[f]
    return (a == b) | (a == CacheType.WB) | (b == CacheType.WB)


@step
def passes_end_flushed(old: PageAttr, new: PageAttr, f: Frame) -> Bool:
    """A pass ends when every CPU has flushed, with the page in no cache unless the type is write-back;
    the next one has another type."""
    ends = set_memory.at(old, f, FINISH) & ~set_memory.at(new, f, FINISH)
    now = old.cpa.now[f]
    clean = (now == CacheType.WB) | ~new.line[f]
    other = set_memory.idle(new, f) | (now != new.cpa.now[f])
    return ends.implies(old.flushed_by_all(f) & clean & other)


@step
def entries_go_when_asked_for(old: PageAttr, new: PageAttr, cpu: Cpu, view: View, f: Frame) -> Bool:
    """A TLB entry of the kernel's goes with an answer to a request, and not before."""
    gone = old.tlb[cpu, view, f].is_some & new.tlb[cpu, view, f].is_none & (view != View.USER)
    return gone.implies(
        exists(Frame, lambda g: old.cpa.waits_for[g, cpu] & ~new.cpa.waits_for[g, cpu])
    )


@sometimes
def an_area_is_unmapped_lazily(s: PageAttr, cpu: Cpu, va: Va) -> Bool:
    """An area maps nothing, and a CPU has an entry for it."""
    return s.page[va].is_none & s.area_tlb[cpu, va].is_some


@sometimes
def a_type_changes_after_a_lazy_unmapping(s: PageAttr, va: Va, f: Frame) -> Bool:
    """A page is uncached while the area that it was in waits for its purge."""
    return (s.area[va] == Area.LAZY) & (s.leaf[View.DIRECT, f] == some(CacheType.UC_MINUS))


@sometimes
def a_page_is_write_combining(s: PageAttr, cpu: Cpu, f: Frame) -> Bool:
    """A page of the image is write-combining, in both maps and in a TLB."""
    high = s.leaf[View.HIGH, f] == some(CacheType.WC)
    return set_memory.idle(s, f) & high & (s.tlb[cpu, View.DIRECT, f] == some(CacheType.WC))


@sometimes
def a_page_is_uncached(s: PageAttr, va: Va, f: Frame) -> Bool:
    """A page is uncached in the direct map, and in an area."""
    area = (s.page[va] == some(f)) & (s.area_type[va] == CacheType.UC_MINUS)
    return set_memory.idle(s, f) & area & (s.leaf[View.DIRECT, f] == some(CacheType.UC_MINUS))


@sometimes
def a_process_has_an_uncached_page(s: PageAttr, cpu: Cpu, f: Frame) -> Bool:
    """A process uses a page of RAM uncached, and a CPU has an entry of the direct map."""
    used = s.tlb[cpu, View.USER, f] == some(CacheType.UC_MINUS)
    return used & s.tlb[cpu, View.DIRECT, f].is_some


@sometimes
def types_differ_during_a_change(s: PageAttr, f: Frame) -> Bool:
    """While the type of a page is changed, its two maps differ."""
    return s.leaf[View.HIGH, f].is_some & (s.leaf[View.DIRECT, f] != s.leaf[View.HIGH, f])


@sometimes
def a_page_is_written_back_later(s: PageAttr, cpu: Cpu, f: Frame) -> Bool:
    """A line comes in while its page is on its way to another type."""
    on_its_way = (
        ~set_memory.idle(s, f) & s.line[f] & (s.tlb[cpu, View.DIRECT, f] == some(CacheType.WB))
    )
    return on_its_way & (s.leaf[View.DIRECT, f] == some(CacheType.UC_MINUS))


@sometimes
def a_page_is_cached_again(s: PageAttr, cpu: Cpu, f: Frame) -> Bool:
    """A page is on its way back to write-back, and one CPU has a newer entry than another map."""
    back = ~set_memory.idle(s, f) & (s.memtype[f] == CacheType.UC_MINUS)
    return back & s.line[f] & (s.tlb[cpu, View.HIGH, f] == some(CacheType.UC_MINUS))
