"""kmap() of highmem pages on 32-bit kernels: one window of slots for everybody.

A slot has a count: 0 is free, 1 is unused but perhaps still in some TLB, 2 and more is in use.  What
is unused stays mapped, so that kmap() of the same page finds it again, until all slots that are unused
are given up at once, with one flush on all CPUs.  A count is modelled by the one thing that is asked of
it and by the references in it; a thread has at most one of each page.  The address is good in every
thread, so a thread that holds one stands for all that were given it.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Locals,
    Map,
    Opt,
    Procedure,
    Sort,
    State,
    Step,
    Update,
    Var,
    exists,
    forall,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Task


class Pkmap(Sort):
    """A slot of the window, ``PKMAP_NR(vaddr)``."""


class Count(Enumeration):
    """``pkmap_count[]``: 0, 1, or more."""

    FREE: Count
    UNUSED: Count
    USED: Count


class Kmap(Locals):
    """The locals of kmap_high(): the page, and the slot that was found for it."""

    page: Map[Task, Frame]
    slot: Map[Task, Pkmap]


class Pkmaps(State):
    """pte: ``pkmap_page_table``.  address: the pairs in ``page_address_htable``.  reference: who is
    counted.  pointer: the page that a thread mapped there and may use.  tlb: what a CPU has cached of
    the window.  kmap_lock: who holds it.  waits_for: CPUs whose answer to the flush of its holder is
    missing."""

    count: Map[Pkmap, Count]
    pte: Map[Pkmap, Opt[Frame]]
    address: Map[tuple[Frame, Pkmap], Bool]
    reference: Map[tuple[Task, Pkmap], Bool]
    pointer: Map[tuple[Task, Pkmap], Opt[Frame]]
    tlb: Map[tuple[Cpu, Pkmap], Opt[Frame]]
    kmap_lock: Var[Opt[Task]]
    waits_for: Map[Cpu, Bool]
    kmap: Kmap

    def counts_another(self, t: Task, slot: Pkmap) -> Bool:
        """There are references beside that thread's."""
        return exists(Task, lambda other: self.reference[other, slot] & (other != t))

    @property
    def answered(self) -> Bool:
        """All CPUs have flushed the window."""
        return forall(Cpu, lambda cpu: ~self.waits_for[cpu])


@operation(kernel="arch/x86/mm/init_32.c: permanent_kmaps_init()")
def boot(s: Pkmaps) -> Step:
    """The window is empty."""
    return Step(
        when=TRUE,
        then=[
            s.count.fill(lambda slot: Count.FREE),
            s.pte.fill(lambda slot: NONE),
            s.address.fill(lambda f, slot: FALSE),
            s.reference.fill(lambda t, slot: FALSE),
            s.pointer.fill(lambda t, slot: NONE),
            s.tlb.fill(lambda cpu, slot: NONE),
            s.kmap_lock.become(NONE),
            s.waits_for.fill(lambda cpu: FALSE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: Pkmaps, cpu: Cpu, slot: Pkmap) -> Step:
    """A CPU caches a translation, needed or not."""
    return Step(when=s.pte[slot].is_some, then=[s.tlb.set((cpu, slot), s.pte[slot])])


def _give_up_unused(s: Pkmaps) -> list[Update]:
    """The loop of flush_all_zero_pkmaps(): what is unused is unmapped, and all CPUs have to flush."""

    def unused(slot: Pkmap) -> Bool:
        return s.count[slot] == Count.UNUSED

    return [
        s.count.fill(lambda slot: Count.FREE, unused),
        s.pte.fill(lambda slot: NONE, unused),
        s.address.fill(lambda f, slot: FALSE, lambda f, slot: unused(slot) & (s.pte[slot] == f)),
        s.waits_for.fill(lambda cpu: TRUE),
    ]


kmap_high = Procedure(
    "kmap_high",
    kernel="mm/highmem.c: kmap_high(), map_new_virtual()",
    doc="Map a page in the window, or find where it is.",
)


@kmap_high.step(to="look")
def lock_kmap(s: Pkmaps, t: Task, f: Frame) -> Step:
    """Take the lock: only under it is page_address() to be trusted."""
    known = exists(Pkmap, lambda slot: s.pointer[t, slot] == f)
    return Step(
        when=s.kmap_lock.now.is_none & ~known,
        then=[s.kmap_lock.become(some(t)), s.kmap.page.set(t, f)],
    )


@kmap_high.step(at="look", to="found")
def find_address(s: Pkmaps, t: Task, slot: Pkmap) -> Step:
    """The page has an address already."""
    return Step(when=s.address[s.kmap.page[t], slot], then=[s.kmap.slot.set(t, slot)])


@kmap_high.step(at="look", to="search")
def no_address(s: Pkmaps, t: Task) -> Step:
    """It has none, and gets none while the lock is held."""
    f = s.kmap.page[t]
    return Step(when=forall(Pkmap, lambda slot: ~s.address[f, slot]))


@kmap_high.step(at="search", to="found")
def map_new_virtual(s: Pkmaps, t: Task, slot: Pkmap) -> Step:
    """A free slot gets the page."""
    f = s.kmap.page[t]
    return Step(
        when=s.count[slot] == Count.FREE,
        then=[
            s.pte.set(slot, some(f)),
            s.count.set(slot, Count.UNUSED),
            s.address.set((f, slot), TRUE),
            s.kmap.slot.set(t, slot),
        ],
    )


@kmap_high.step(at="search", to="flushing")
def flush_all_zero_pkmaps(s: Pkmaps, t: Task) -> Step:
    """At the end of the window, what is unused is given up, and all CPUs have to flush."""
    return Step(when=TRUE, then=_give_up_unused(s))


@kmap_high.step(at="flushing", to="search")
def flushed(s: Pkmaps, t: Task) -> Step:
    """When all have answered, the search goes on."""
    return Step(when=s.answered, then=[])


@kmap_high.step(at="search", to="asleep")
def sleep(s: Pkmaps, t: Task) -> Step:
    """Every slot is in use: sleep, without the lock."""
    full = forall(Pkmap, lambda slot: s.count[slot] == Count.USED)
    return Step(when=full, then=[s.kmap_lock.become(NONE)])


@kmap_high.step(at="asleep", to="look")
def wake_up(s: Pkmaps, t: Task) -> Step:
    """Take the lock again, and look again whether the page has an address."""
    return Step(when=s.kmap_lock.now.is_none, then=[s.kmap_lock.become(some(t))])


@kmap_high.step(at="found", to=Procedure.DONE)
def unlock_kmap(s: Pkmaps, t: Task) -> Step:
    """Count the reference, and return the address."""
    slot = s.kmap.slot[t]
    return Step(
        when=TRUE,
        then=[
            s.count.set(slot, Count.USED),
            s.reference.set((t, slot), TRUE),
            s.pointer.set((t, slot), some(s.kmap.page[t])),
            s.kmap_lock.become(NONE),
        ],
    )


flush_unused = Procedure(
    "kmap_flush_unused",
    kernel="mm/highmem.c: __kmap_flush_unused(), for change_page_attr_set_clr()",
    doc="Give up what is unused, before the attributes of its page change.",
)


@flush_unused.step
def give_up_unused(s: Pkmaps, t: Task) -> Step:
    """Under the lock, give up what is unused."""
    return Step(
        when=s.kmap_lock.now.is_none,
        then=[s.kmap_lock.become(some(t)), *_give_up_unused(s)],
    )


@flush_unused.step
def unlock_flushed(s: Pkmaps, t: Task) -> Step:
    """When all have answered, release the lock."""
    return Step(when=s.answered, then=[s.kmap_lock.become(NONE)])


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def flush_kernel_range(s: Pkmaps, cpu: Cpu) -> Step:
    """The IPI arrives: the whole window is flushed."""
    return Step(
        when=s.waits_for[cpu],
        then=[
            s.tlb.fill(lambda c, slot: NONE, lambda c, slot: c == cpu),
            s.waits_for.set(cpu, FALSE),
        ],
    )


# M-11: what flush_all_zero_pkmaps() flushes for.
@operation(
    kernel="mm/highmem.c: flush_all_zero_pkmaps() without flush_tlb_kernel_range()",
    name="flush_kernel_range",
)
def nothing_is_flushed(s: Pkmaps, cpu: Cpu) -> Step:
    """Nobody waits for the CPU any more, which has flushed nothing."""
    return Step(when=s.waits_for[cpu], then=[s.waits_for.set(cpu, FALSE)])


def _put(s: Pkmaps, owner: Task, slot: Pkmap) -> list[Update]:
    """``--pkmap_count[nr]``: no flush, and the page stays mapped."""
    return [
        s.reference.set((owner, slot), FALSE),
        s.count.set(slot, ite(s.counts_another(owner, slot), Count.USED, Count.UNUSED)),
    ]


@operation(kernel="mm/highmem.c: kunmap_high()")
def kunmap_high(s: Pkmaps, t: Task, slot: Pkmap) -> Step:
    """A thread is done with a page; page_address() of the page is the slot that it holds."""
    return Step(
        when=s.kmap_lock.now.is_none & s.pointer[t, slot].is_some,
        then=[*_put(s, t, slot), s.pointer.set((t, slot), NONE)],
    )


# M-08: the page that was unmapped was not the one that had been mapped.
@operation(kernel="mm/highmem.c: kunmap_high(), called with another page", name="kunmap_high")
def kunmap_high_of_another_page(s: Pkmaps, t: Task, f: Frame, slot: Pkmap, owner: Task) -> Step:
    """A thread names a page that it has not mapped: the count loses the reference of another one."""
    return Step(
        when=s.kmap_lock.now.is_none
        & s.address[f, slot]
        & s.pointer[t, slot].is_none
        & s.reference[owner, slot],
        then=_put(s, owner, slot),
    )
