"""Persistent memory in the direct map beside everything else that edits it.

What it checks: the leaf of a device's page is decrypted, and so is what CPUs have of it.  Invariant 7 of
memory encryption, of device memory.
Why it matters: the host writes to the page as it is; encrypted, it reads as noise.
Kernel precedent: "mm/memremap.c: map FS_DAX device memory as decrypted" (6.0.9).
Smallest counterexample: none in the designs here.
Not covered: reservations of memory types, references (devmap has them).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.direct_map.frames import Call, DirectMap, Owner


@always
def device_pages_are_decrypted(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """The leaf of a device's page is decrypted, and so is every CPU's entry."""
    entry = s.tlb.present[cpu, f].implies(s.tlb.shared[cpu, f]) & ~s.large_tlb[cpu, s.region[f]]
    return (s.owner[f] == Owner.DEVICE).implies(s.leaf.shared[f] & entry)


@sometimes
def a_device_awaits_its_flush(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """A device's page is being unmapped, and a CPU still has it."""
    return (s.call[f] == Call.DEV_REMOVE) & s.tlb.present[cpu, f]
