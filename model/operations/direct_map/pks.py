"""Protection keys of persistent memory (PGMAP, as posted): the kernel's only way in is a bracket.

PKRS belongs to a thread; here a CPU runs one (pks_kmap and pgmap have threads, interrupts and faults).
"""

from __future__ import annotations

from ...language import FALSE, TRUE, Operation, Step, operation
from ...machine.sorts import Cpu, Frame, Va
from .frames import DirectMap, Owner, Rules


@operation(kernel="include/linux/highmem-internal.h: kmap_local_page(), pgmap_set_readwrite()")
def kmap_local_page(s: DirectMap, cpu: Cpu) -> Step:
    """The bracket opens: PKRS lets this CPU in."""
    return Step(when=~s.open[cpu], then=[s.open.set(cpu, TRUE)])


@operation(kernel="include/linux/highmem-internal.h: kunmap_local(), pgmap_set_noaccess()")
def kunmap_local(s: DirectMap, cpu: Cpu) -> Step:
    """The bracket is closed."""
    return Step(when=s.open[cpu], then=[s.open.set(cpu, FALSE)])


@operation(kernel="Intel SDM vol. 3, section 4.6.2: protection keys")
def stray_write(s: DirectMap, cpu: Cpu, f: Frame) -> Step:
    """A write that nobody meant goes to persistent memory by the direct map; a key stops it."""
    reached = s.tlb.present[cpu, f] & ~s.tlb.keyed[cpu, f] & ~s.open[cpu]
    return Step(when=(s.owner[f] == Owner.DEVICE) & reached, then=[s.stray.set(f, TRUE)])


@operation(kernel="Intel SDM vol. 3, section 4.6.2: protection keys")
def stray_write_by_area(s: DirectMap, cpu: Cpu, va: Va) -> Step:
    """The same by an area or a slot, which has no key."""
    entry = s.area_tlb[cpu, va]
    device = entry.is_some & (s.owner[entry.value] == Owner.DEVICE)
    return Step(when=device & ~s.open[cpu], then=[s.stray.set(entry.value, TRUE)])


def pks(_: Rules) -> list[Operation[DirectMap, ...]]:
    """The same under any rules."""
    return [kmap_local_page, kunmap_local, stray_write, stray_write_by_area]
