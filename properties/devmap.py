"""Memory of devices that has a linear mapping.

What it checks: a dev_pagemap has a reservation exactly while it may have a linear mapping, of the same
type; two of them share no memory.  Part of invariants 3 and 6 of cacheability.
Why it matters: whoever maps the range next gets the type that was left, and not the one he needs.
Kernel precedent: "mm/memremap: fix missing call to untrack_pfn() in pagemap_range()" (5.18.3).
Smallest counterexample: a range that cannot be mapped (devmap-without-untrack).
Not covered: several ranges, private device memory, the users of its pages.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.entries import CacheType
from mapproof.model.operations.devmap import (
    ADD,
    TRACK,
    Devmap,
    memremap_pages,
    memunmap_pages,
    pgmap_array_delete,
    untrack_pfn,
)
from mapproof.model.operations.memtype import Mapper


@always
def linear_mappings_have_the_reserved_type(s: Devmap, m: Mapper) -> Bool:
    """A linear mapping is of a dev_pagemap and has a reservation, and its type."""
    reserved = s.stored[m] & s.reserved[m]
    return s.linear[m].is_some.implies(reserved & (s.linear[m] == some(s.type[m])))


@always
def pagemaps_share_no_memory(s: Devmap, m: Mapper, n: Mapper) -> Bool:
    """Two dev_pagemaps are of ranges that do not overlap."""
    both = s.stored[m] & s.stored[n] & s.overlaps[s.range[m], s.range[n]]
    return both.implies(m == n)


@always
def pagemaps_give_back_their_range(s: Devmap, m: Mapper) -> Bool:
    """What is reserved is a dev_pagemap's, or a process's; outside of the two calls each of the former
    is mapped, and each of the latter always."""
    outside = memremap_pages.idle(s, m) & memunmap_pages.idle(s, m)
    mapped = s.stored[m].implies(s.linear[m].is_some)
    owned = s.reserved[m].implies(s.stored[m] | s.by_user[m])
    return owned & s.by_user[m].implies(s.reserved[m]) & outside.implies(mapped)


@always
def pagemaps_are_reserved_before_they_are_mapped(s: Devmap, m: Mapper) -> Bool:
    """On its way to a linear mapping a dev_pagemap is stored first, then reserved, and on its way back
    it goes in the other order, one way at a time; none of this is of a process."""
    storing = memremap_pages.at(s, m, TRACK).implies(s.stored[m] & ~s.reserved[m])
    adding = memremap_pages.at(s, m, ADD).implies(s.stored[m] & s.reserved[m])
    removing = memunmap_pages.at(s, m, untrack_pfn).implies(s.stored[m] & s.reserved[m])
    calls = ~(memremap_pages.idle(s, m) & memunmap_pages.idle(s, m))
    alone = (s.stored[m] | calls).implies(~s.by_user[m])
    unmapped = calls.implies(s.linear[m].is_none & s.stored[m])
    deleting = memunmap_pages.at(s, m, pgmap_array_delete).implies(~s.reserved[m])
    one_call = memremap_pages.idle(s, m) | memunmap_pages.idle(s, m)
    return storing & adding & removing & deleting & one_call & alone & unmapped


@step
def ranges_are_kept_while_mapped(old: Devmap, new: Devmap, m: Mapper) -> Bool:
    """A reservation stays where it is, with its type, and a range is nobody's when its linear mapping
    has gone."""
    stays = old.reserved[m] & new.reserved[m]
    same = (old.type[m] == new.type[m]) & (old.range[m] == new.range[m])
    leaves = old.stored[m] & ~new.stored[m]
    return stays.implies(same) & leaves.implies(~new.reserved[m] & new.linear[m].is_none)


@step
def linear_mappings_go_before_the_reservation(old: Devmap, new: Devmap, m: Mapper) -> Bool:
    """A reservation goes when there is no linear mapping, before the range is anybody's."""
    goes = old.reserved[m] & ~new.reserved[m]
    return goes.implies(old.linear[m].is_none & (old.stored[m] | old.by_user[m]))


@sometimes
def a_range_is_write_combining(s: Devmap, m: Mapper, n: Mapper) -> Bool:
    """A range is mapped write-combining, for a process that wanted it uncached as well."""
    both = (s.linear[m] == some(CacheType.WC)) & s.by_user[n] & (s.type[n] == CacheType.WC)
    return both & memunmap_pages.idle(s, m) & (s.range[m] == s.range[n])


@sometimes
def a_range_waits(s: Devmap, m: Mapper) -> Bool:
    """A range that was unmapped is still somebody's."""
    return s.stored[m] & ~s.reserved[m] & ~memunmap_pages.idle(s, m)
