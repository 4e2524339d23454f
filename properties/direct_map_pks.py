"""Keys of persistent memory beside everything else that maps pages.

What it checks: the leaf of persistent memory has its key, and so has what CPUs have of it; no write
arrives there outside of a bracket.  Invariants 5 and 8 of temporary mappings.
Why it matters: a stray write to memory is gone with the next boot; one to persistent memory is not.
Kernel precedent: none; PKS for persistent memory was posted until 2022, and excludes HIGHMEM.
Smallest counterexample: an area of vmap() has no key (direct-map-today, a hypothesis).
Not covered: threads, interrupts, faults (pgmap, pks_kmap).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.direct_map.frames import DirectMap, Owner


@always
def device_pages_have_the_key(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """The leaf of persistent memory has the key, and so has every CPU's entry."""
    entry = s.tlb.present[cpu, f].implies(s.tlb.keyed[cpu, f]) & ~s.large_tlb[cpu, s.region[f]]
    return (s.owner[f] == Owner.DEVICE).implies(s.leaf.keyed[f] & entry)


@always
def no_stray_write_arrives(s: DirectMap, f: Frame) -> Bool:
    """Nothing is written to persistent memory but in a bracket."""
    return ~s.stray[f]


@sometimes
def a_bracket_is_open(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """A CPU may write to persistent memory, and has it."""
    return s.open[cpu] & s.tlb.present[cpu, f] & s.tlb.keyed[cpu, f]
