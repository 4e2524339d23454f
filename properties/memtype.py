"""Reservations of memory types.

What it checks: reservations of ranges that overlap have one type, one of those that a caller can ask
for.  Part of invariants 5 and 6 of cacheability.
Why it matters: a mapping gets the type of its reservation, so two types are two mappings that differ.
Kernel precedent: memtype_check_conflict() in arch/x86/mm/pat/memtype_interval.c.
Smallest counterexample: none of the designs here breaks these.
Not covered: RAM, whose types are page flags (see pageattr), the ISA range, MTRRs.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always
from mapproof.model.machine.entries import CacheType
from mapproof.model.operations.memtype import Mapper, Memtypes


@always
def reservations_agree(s: Memtypes, a: Mapper, b: Mapper) -> Bool:
    """Two reservations of ranges that overlap have the same type."""
    both = s.reserved[a] & s.reserved[b] & s.overlaps[s.range[a], s.range[b]]
    return both.implies(s.type[a] == s.type[b])


@always
def reservations_have_known_types(s: Memtypes, m: Mapper) -> Bool:
    """What is reserved is WB, WC or UC-."""
    t = s.type[m]
    known = (t == CacheType.WB) | (t == CacheType.WC) | (t == CacheType.UC_MINUS)
    return s.reserved[m].implies(known)
