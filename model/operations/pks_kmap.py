"""kmap() of pages with a supervisor key: an address for every thread, and a register of each.

Without HIGHMEM kmap() returns the direct-map address, which its caller may give to any thread.
"""

from __future__ import annotations

from ..language import FALSE, TRUE, Bool, Map, Step, operation
from ..machine.sorts import Cpu, Frame
from . import pks
from .pks import Pks, kmap_local_page, kunmap_local


class PksKmap(Pks):
    """kmapped: kmap() has returned the address of a page, and somebody still uses it."""

    kmapped: Map[Frame, Bool]


@operation(kernel="arch/x86/mm/pkeys.c: pks_setup() of the PKS series", name="boot")
def boot_kmap(s: PksKmap) -> Step:
    """The same, and kmap() has been called by nobody."""
    start = pks.boot(s)
    return Step(when=start.when, then=[*start.then, s.kmapped.fill(lambda f: FALSE)])


@operation(kernel="include/linux/highmem-internal.h: kmap(), as it is without HIGHMEM")
def kmap(s: PksKmap, cpu: Cpu, f: Frame) -> Step:
    """kmap() of a page without a key: its direct-map address, good in every thread."""
    return Step(when=~s.in_irq[cpu] & ~s.protected[f], then=[s.kmapped.set(f, TRUE)])


@operation(kernel="include/linux/highmem-internal.h: kunmap()")
def kunmap(s: PksKmap, cpu: Cpu, f: Frame) -> Step:
    """Nobody uses the address any more."""
    return Step(when=~s.in_irq[cpu] & s.kmapped[f], then=[s.kmapped.set(f, FALSE)])


# M-01: with a key in the page the same cannot be had.
@operation(kernel="mm/memremap.c: a bracket within kmap()", name="kmap")
def kmap_in_a_bracket(s: PksKmap, cpu: Cpu, f: Frame) -> Step:
    """kmap() as a bracket of the thread that calls it: the key is let through in its register."""
    t = s.current[cpu]
    return Step(
        when=s.runs(cpu, t) & kmap_local_page.idle(s, t) & kunmap_local.idle(s, t),
        then=[
            s.kmapped.set(f, TRUE),
            s.counted.set((t, f), s.counted[t, f] | s.protected[f]),
            s.pointer.set((t, f), s.pointer[t, f] | s.protected[f]),
            s.saved.set(t, s.saved[t] | s.protected[f]),
            s.pkrs.set(cpu, s.pkrs[cpu] | s.protected[f]),
        ],
    )


@operation(kernel="mm/memremap.c: a key that kmap() changes on all CPUs", name="kmap")
def kmap_for_everybody(s: PksKmap, cpu: Cpu, f: Frame) -> Step:
    """kmap() lets the key through for every thread and on every CPU."""
    p = s.protected[f]
    return Step(
        when=~s.in_irq[cpu],
        then=[
            s.kmapped.set(f, TRUE),
            s.saved.fill(lambda t: TRUE, lambda t: p),
            s.pkrs.fill(lambda c: TRUE, lambda c: p),
        ],
    )
