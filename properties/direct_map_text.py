"""Text of modules beside everything else that maps pages.

What it checks: a module that can run is not writable by the direct map, a TLB or any area.
Why it matters: whoever can write to text needs no other hole.
Kernel precedent: d53d2f78cead ("bpf: Use vmalloc special flag"); VM_FLUSH_RESET_PERMS.
Smallest counterexample: none in the designs here; V-12 has a wrong range.
Not covered: the module's own addresses and their NX (reset_perms).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import Call, DirectMap, Owner


@always
def text_is_not_writable(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """No leaf and no CPU's entry of the direct map lets anybody write to text."""
    entry = (s.tlb.present[cpu, f] & s.tlb.writable[cpu, f]) | s.large_tlb[cpu, s.region[f]]
    running = (s.owner[f] == Owner.TEXT) & s.idle(f)
    return running.implies(~(s.leaf.present[f] & s.leaf.writable[f]) & ~entry)


@always
def text_is_in_no_area(s: DirectMap, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """No area of vmap() and no slot of kmap() leads to text."""
    running = (s.owner[f] == Owner.TEXT) & s.idle(f)
    return running.implies((s.page[va] != some(f)) & (s.area_tlb[cpu, va] != some(f)))


@sometimes
def a_module_runs(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """A CPU has the text of a module, read-only."""
    return (s.owner[f] == Owner.TEXT) & s.idle(f) & s.tlb.present[cpu, f]


@sometimes
def permissions_are_reset(s: DirectMap, f: Frame) -> Bool:
    """Every CPU has flushed a module that goes."""
    return s.call[f] == Call.TEXT_RESET
