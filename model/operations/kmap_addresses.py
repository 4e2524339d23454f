"""What code does with the address of a highmem page: ask for the page, write beyond it, compute it.

An access or a question goes to an address, and what it reaches is compared with what the caller meant.
On x86 fixmap addresses grow downwards, so what lies behind a local mapping is the slot one deeper down
the stack, and behind the bottom another part of the fixmap.  What an address that no table maps leads
to is anybody's guess.
"""

from __future__ import annotations

from ..language import NONE, Map, Opt, Step, ite, operation, some
from ..machine.sorts import Cpu, Frame
from . import kmap_local as kmap
from .kmap_local import KmapNested, KmIdx


class Addresses(KmapNested):
    """meant, reached: the page that the last access or question of a CPU was about, and the page that
    it got.  Without any, both are none."""

    meant: Map[Cpu, Opt[Frame]]
    reached: Map[Cpu, Opt[Frame]]


@operation(kernel="kernel/sched/core.c: sched_init(), init_idle()")
def boot(s: Addresses) -> Step:
    """Nothing is mapped, nothing has been asked."""
    start = kmap.boot(s)
    nothing = [s.meant.fill(lambda cpu: NONE), s.reached.fill(lambda cpu: NONE)]
    return Step(when=start.when, then=[*start.then, *nothing])


def _about(s: Addresses, cpu: Cpu, i: KmIdx, meant: Opt[Frame], reached: Opt[Frame]) -> Step:
    """Code that runs has mapped what is at that depth."""
    return Step(
        when=s.is_installed(cpu, i) & s.runs_code(cpu),
        then=[s.meant.set(cpu, meant), s.reached.set(cpu, reached)],
    )


@operation(kernel="mm/highmem.c: __kmap_to_page()")
def kmap_to_page(s: Addresses, cpu: Cpu, i: KmIdx) -> Step:
    """Which page is mapped there?  The stack of the thread tells."""
    t = s.current[cpu]
    return _about(s, cpu, i, s.pointer[t, i], s.pteval[t, i])


# M-07: only addresses of pkmap and of the direct map were understood.
@operation(kernel="mm/highmem.c: __kmap_to_page() before ef6e06b2ef87", name="kmap_to_page")
def kmap_to_page_by_arithmetic(s: Addresses, cpu: Cpu, i: KmIdx, guess: Frame) -> Step:
    """Which page is mapped there?  virt_to_page() computes one."""
    return _about(s, cpu, i, s.pointer[s.current[cpu], i], some(guess))


@operation(kernel="mm/mempool.c: poison_element(), check_element(), a page at a time")
def poison_page(s: Addresses, cpu: Cpu, i: KmIdx) -> Step:
    """Write a page of an object through a mapping of that page."""
    return _about(s, cpu, i, s.pointer[s.current[cpu], i], s.pte[cpu, i])


# M-09: the object had more than one page.
@operation(kernel="mm/mempool.c: poison_element() before 6.1.159", name="poison_page")
def poison_beyond_the_page(
    s: Addresses, cpu: Cpu, i: KmIdx, behind: KmIdx, second: Frame, fixmap: Frame
) -> Step:
    """Write the second page of an object through the mapping of its first: what comes is the slot that
    was mapped before, or, behind the first slot, something else of the fixmap."""
    first = i == s.bottom[()]
    step = _about(s, cpu, i, some(second), ite(first, some(fixmap), s.pte[cpu, behind]))
    return Step(when=step.when & (first | s.is_next(behind, i)), then=step.then)


@operation(kernel="drivers/net/hyperv/netvsc.c: netvsc_copy_to_send_buf(), kmap_local_page()")
def copy_page(s: Addresses, cpu: Cpu, i: KmIdx) -> Step:
    """Read a page of a packet through its local mapping."""
    return _about(s, cpu, i, s.pointer[s.current[cpu], i], s.pte[cpu, i])


# M-10: the address was computed, as if the page had one in the direct map.
@operation(
    kernel="drivers/net/hyperv/netvsc.c: netvsc_copy_to_send_buf(), phys_to_virt()",
    name="copy_page",
)
def copy_page_by_arithmetic(s: Addresses, cpu: Cpu, f: Frame, guess: Frame) -> Step:
    """Read a highmem page of a packet at the address that phys_to_virt() computes."""
    return Step(
        when=s.runs_code(cpu),
        then=[s.meant.set(cpu, some(f)), s.reached.set(cpu, some(guess))],
    )
