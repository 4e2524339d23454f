"""Pages, their leaves in the direct map, what CPUs have of those, and the page allocator.

Leaves are given by page, also where a large one maps a whole region; before one is edited, the region
is split.  A page has one driver or other owner, who does one thing at a time with it: ``call`` says
what.  Who is not the owner (a machine check, hibernation, the purge of vmap areas) does not look at it,
unless a rule says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Group,
    Map,
    Operation,
    Opt,
    Sort,
    State,
    Step,
    Update,
    Var,
    forall,
    operation,
    some,
)
from ...machine.sorts import Cpu, Frame, Mm, Va
from ..vmalloc import Area


@dataclass(frozen=True)
class Rules:
    """Which rules the systems keep.

    owner: who is not recorded as the owner of a page neither edits its leaf nor reads the page.
    alias: a page leaves the allocator's hands, or its leaf changes, when no other alias is left, lazily
    unmapped ones included; an alias has the attributes of the leaf.
    flush: an edit is over, and the page can go on, when every CPU has answered.
    """

    owner: bool = True
    alias: bool = True
    flush: bool = True


class Region(Sort):
    """What one large leaf of the direct map covers; also, what one top-level entry does."""


class Owner(Enumeration):
    """Whose a page is: the allocator's, a driver's, a process's, a process's under XPFO, a secret
    file's, a module's, the kernel image's, persistent memory, coming or going, not plugged in."""

    FREE: Owner
    KERNEL: Owner
    USER: Owner
    XPFO: Owner
    SECRET: Owner
    TEXT: Owner
    IMAGE: Owner
    DEVICE: Owner
    ISOLATED: Owner
    ABSENT: Owner


class Call(Enumeration):
    """What the owner of a page is in the middle of."""

    IDLE: Call
    SET_MEMORY: Call
    DECRYPT: Call
    ENCRYPT: Call
    SECRET_FAULT: Call
    SECRET_FLUSH: Call
    SECRET_ZERO: Call
    TEXT_LOAD: Call
    TEXT_RESET: Call
    XPFO_ALLOC: Call
    XPFO_KUNMAP: Call
    POISON: Call
    FREE_IMAGE: Call
    HOT_ADD: Call
    HOT_REMOVE: Call
    DEV_ADD: Call
    DEV_REMOVE: Call


class Request(Enumeration):
    """Who asks CPUs to flush: the call of a page's owner, a machine check, who frees the image (its own
    addresses)."""

    CALL: Request
    MCE: Request
    ALIAS: Request


class Sleep(Enumeration):
    """How far hibernation is: not begun, allowed, all user processes frozen."""

    RUNNING: Sleep
    PREPARED: Sleep
    FROZEN: Sleep


class Leaf(Group):
    """Leaves of the direct map.  keyed: with the protection key of persistent memory.  legible: the leaf
    is not present, and its PFN is as it was (not inverted)."""

    present: Map[Frame, Bool]
    writable: Map[Frame, Bool]
    uncached: Map[Frame, Bool]
    shared: Map[Frame, Bool]
    keyed: Map[Frame, Bool]
    legible: Map[Frame, Bool]


class Tlb(Group):
    """What CPUs have of small leaves."""

    present: Map[tuple[Cpu, Frame], Bool]
    writable: Map[tuple[Cpu, Frame], Bool]
    uncached: Map[tuple[Cpu, Frame], Bool]
    shared: Map[tuple[Cpu, Frame], Bool]
    keyed: Map[tuple[Cpu, Frame], Bool]


class DirectMap(State):
    """asked: CPUs that have not answered a request to flush a page.  split, split_asked, large_tlb: a
    region's large leaf is gone, CPUs that have not flushed it yet, CPUs that have it.

    high, high_tlb: the image maps the page at its own address, and CPUs have that; user_text: user
    tables map it there, too.  area, page, area_uncached, area_shared, area_tlb: areas of vmap() and
    slots of kmap() (pkmap), what they map and how, and what CPUs have; a lazily unmapped area keeps
    the page on record.  purging, purge_asked: the purge is at it.

    user: a process maps the page.  pinned: GUP has a reference.  kmapped, unmapped: XPFO's marks.
    secret: a secret file's user has written to the page.  host: the hypervisor has it as shared.
    poisoned, consumed: it has a memory error, which somebody has read.  open, stray: the CPU is between
    kmap_local_page() and kunmap_local(); a page of persistent memory was written to by somebody else.
    sleep, image, leaked: hibernation, pages in its image, secrets in it.  init_top, top, alive:
    top-level entries of init_mm and of processes."""

    region: Fun[Frame, Region]
    in_image: Fun[Frame, Bool]
    pkmap: Fun[Va, Bool]
    owner: Map[Frame, Owner]
    call: Map[Frame, Call]
    leaf: Leaf
    tlb: Tlb
    asked: Map[tuple[Request, Frame, Cpu], Bool]
    split: Map[Region, Bool]
    split_asked: Map[tuple[Region, Cpu], Bool]
    large_tlb: Map[tuple[Cpu, Region], Bool]

    high: Map[Frame, Bool]
    high_tlb: Map[tuple[Cpu, Frame], Bool]
    user_text: Map[Frame, Bool]
    area: Map[Va, Area]
    page: Map[Va, Opt[Frame]]
    area_uncached: Map[Va, Bool]
    area_shared: Map[Va, Bool]
    area_tlb: Map[tuple[Cpu, Va], Opt[Frame]]
    purging: Map[Va, Bool]
    purge_asked: Map[tuple[Va, Cpu], Bool]

    user: Map[Frame, Bool]
    pinned: Map[Frame, Bool]
    kmapped: Map[Frame, Bool]
    unmapped: Map[Frame, Bool]
    secret: Map[Frame, Bool]
    host: Map[Frame, Bool]
    poisoned: Map[Frame, Bool]
    consumed: Map[Frame, Bool]
    open: Map[Cpu, Bool]
    stray: Map[Frame, Bool]
    sleep: Var[Sleep]
    image: Map[Frame, Bool]
    leaked: Map[Frame, Bool]
    init_top: Map[Region, Bool]
    top: Map[tuple[Mm, Region], Bool]
    alive: Map[Mm, Bool]

    def idle(self, f: Frame) -> Bool:
        """The owner of the page is in no call about it."""
        return self.call[f] == Call.IDLE

    def is_split(self, f: Frame) -> Bool:
        """The page has a small leaf, and no CPU has a large one any more."""
        region = self.region[f]
        return self.split[region] & forall(Cpu, lambda cpu: ~self.split_asked[region, cpu])

    def is_plain(self, f: Frame) -> Bool:
        """The leaf is as the allocator hands pages out, but perhaps not present."""
        special = self.leaf.uncached[f] | self.leaf.shared[f] | self.leaf.keyed[f]
        return self.leaf.writable[f] & ~special

    def is_available(self, f: Frame) -> Bool:
        """The allocator hands the page out: it is free and has no memory error."""
        return (self.owner[f] == Owner.FREE) & self.idle(f) & ~self.poisoned[f]

    def has_no_area(self, f: Frame) -> Bool:
        """No area and no slot maps the page, or did and was not purged."""
        return forall(Va, lambda va: self.page[va] != some(f))

    def is_unused(self, f: Frame) -> Bool:
        """Nobody has a reference: no process, no GUP, no area or slot in use."""
        busy = forall(Va, lambda v: (self.page[v] == some(f)).implies(self.area[v] != Area.BUSY))
        return ~self.user[f] & ~self.pinned[f] & busy

    def answered(self, request: Request, f: Frame) -> Bool:
        """Every CPU has flushed the page."""
        return forall(Cpu, lambda cpu: ~self.asked[request, f, cpu])

    def ask(self, request: Request, f: Frame) -> Update:
        """IPIs go to every CPU."""
        return self.asked.fill(lambda r, g, cpu: TRUE, lambda r, g, cpu: (r == request) & (g == f))

    def hide(self, f: Frame) -> list[Update]:
        """set_direct_map_invalid_noflush(): P and RW go, the PFN is inverted."""
        return [self.leaf.present.set(f, FALSE), self.leaf.writable.set(f, FALSE)]

    def show(self, f: Frame) -> list[Update]:
        """set_direct_map_default_noflush(): P and RW are set, other bits stay."""
        return [self.leaf.present.set(f, TRUE), self.leaf.writable.set(f, TRUE)]


class Architected(DirectMap):
    """The same, for claims about who holds what, where everybody keeps the rules."""


@operation(kernel="arch/x86/mm/init.c: init_mem_mapping()")
def boot(s: DirectMap) -> Step:
    """Pages are free, the image's, persistent memory or not there; regions that have one of the latter
    are mapped by small leaves, the others by small or large ones."""

    def small(f: Frame) -> Bool:
        return (s.owner[f] == Owner.DEVICE) | (s.owner[f] == Owner.ABSENT)

    def consistent(f: Frame) -> Bool:
        image = s.owner[f] == Owner.IMAGE
        known = image | (s.owner[f] == Owner.FREE) | small(f)
        mapped = (s.owner[f] != Owner.ABSENT).implies(s.init_top[s.region[f]])
        return known & (image == s.in_image[f]) & small(f).implies(s.split[s.region[f]]) & mapped

    def device(f: Frame) -> Bool:
        return s.owner[f] == Owner.DEVICE

    of_pages = (
        s.leaf.uncached,
        s.leaf.legible,
        s.user_text,
        s.user,
        s.pinned,
        s.kmapped,
        s.unmapped,
        s.secret,
        s.poisoned,
        s.consumed,
        s.stray,
        s.image,
        s.leaked,
    )
    return Step(
        when=forall(Frame, consistent),
        then=[
            s.call.fill(lambda f: Call.IDLE),
            s.leaf.present.fill(lambda f: s.owner[f] != Owner.ABSENT),
            s.leaf.writable.fill(lambda f: TRUE),
            s.leaf.shared.fill(device),
            s.leaf.keyed.fill(device),
            s.host.fill(device),
            s.high.fill(lambda f: s.in_image[f]),
            *(m.fill(lambda f: FALSE) for m in of_pages),
            s.tlb.present.fill(lambda cpu, f: FALSE),
            s.high_tlb.fill(lambda cpu, f: FALSE),
            s.large_tlb.fill(lambda cpu, r: FALSE),
            s.asked.fill(lambda r, f, cpu: FALSE),
            s.split_asked.fill(lambda r, cpu: FALSE),
            s.area.fill(lambda va: Area.FREE),
            s.page.fill(lambda va: NONE),
            s.area_tlb.fill(lambda cpu, va: NONE),
            s.purging.fill(lambda va: FALSE),
            s.purge_asked.fill(lambda va, cpu: FALSE),
            s.open.fill(lambda cpu: FALSE),
            s.sleep.become(Sleep.RUNNING),
            s.top.fill(lambda mm, r: s.init_top[r]),
        ],
    )


# The processor.


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: DirectMap, cpu: Cpu, f: Frame) -> Step:
    """A CPU caches a small leaf, needed or not."""
    at = (cpu, f)
    return Step(
        when=s.leaf.present[f] & s.split[s.region[f]],
        then=[
            s.tlb.present.set(at, TRUE),
            s.tlb.writable.set(at, s.leaf.writable[f]),
            s.tlb.uncached.set(at, s.leaf.uncached[f]),
            s.tlb.shared.set(at, s.leaf.shared[f]),
            s.tlb.keyed.set(at, s.leaf.keyed[f]),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_large_tlb(s: DirectMap, cpu: Cpu, r: Region) -> Step:
    """A CPU caches a large leaf."""
    return Step(when=~s.split[r], then=[s.large_tlb.set((cpu, r), TRUE)])


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: DirectMap, cpu: Cpu, f: Frame, request: Request) -> Step:
    """The IPI arrives: the CPU drops what it has of the page, by the addresses that it is asked for."""
    image = request == Request.ALIAS
    return Step(
        when=s.asked[request, f, cpu],
        then=[
            s.asked.set((request, f, cpu), FALSE),
            s.tlb.present.set((cpu, f), s.tlb.present[cpu, f] & image),
            s.high_tlb.set((cpu, f), s.high_tlb[cpu, f] & ~image),
        ],
    )


# Large leaves.


@operation(kernel="arch/x86/mm/pat/set_memory.c: __split_large_page(), flush_tlb_all()")
def split_large_page(s: DirectMap, r: Region) -> Step:
    """The large leaf becomes a table with the same attributes; every CPU is to flush before one of them
    changes, which cpa_lock sees to."""
    return Step(
        when=~s.split[r],
        then=[
            s.split.set(r, TRUE),
            s.split_asked.fill(lambda q, cpu: TRUE, lambda q, cpu: q == r),
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: do_flush_tlb_all()")
def do_flush_tlb_all(s: DirectMap, cpu: Cpu, r: Region) -> Step:
    """The IPI of a split arrives."""
    return Step(
        when=s.split_asked[r, cpu],
        then=[s.split_asked.set((r, cpu), FALSE), s.large_tlb.set((cpu, r), FALSE)],
    )


# The allocator, drivers, processes.


@operation(kernel="mm/page_alloc.c: __alloc_pages()")
def alloc_pages(s: DirectMap, f: Frame) -> Step:
    """A driver gets a page."""
    return Step(when=s.is_available(f), then=[s.owner.set(f, Owner.KERNEL)])


@operation(kernel="mm/page_alloc.c: __free_pages()")
def free_pages(s: DirectMap, f: Frame) -> Step:
    """A driver gives a page back as it was: private, cached, in no area that is in use."""
    clean = ~s.leaf.uncached[f] & ~s.leaf.shared[f] & ~s.host[f] & s.is_unused(f)
    return Step(
        when=(s.owner[f] == Owner.KERNEL) & s.idle(f) & clean,
        then=[s.owner.set(f, Owner.FREE)],
    )


@operation(kernel="mm/memory.c: do_anonymous_page()")
def do_anonymous_page(s: DirectMap, f: Frame) -> Step:
    """A process gets a page."""
    return Step(when=s.is_available(f), then=[s.owner.set(f, Owner.USER), s.user.set(f, TRUE)])


@operation(kernel="mm/memory.c: zap_pte_range()")
def zap_pte_range(s: DirectMap, f: Frame) -> Step:
    """A process unmaps a page."""
    return Step(when=s.user[f] & s.idle(f), then=[s.user.set(f, FALSE)])


@operation(kernel="mm/swap.c: __folio_put()")
def folio_put(s: DirectMap, f: Frame) -> Step:
    """The last reference to a process's page is gone."""
    return Step(
        when=(s.owner[f] == Owner.USER) & s.idle(f) & s.is_unused(f),
        then=[s.owner.set(f, Owner.FREE)],
    )


MACHINE: list[Operation[DirectMap, ...]] = [
    fill_tlb,
    fill_large_tlb,
    do_kernel_range_flush,
    split_large_page,
    do_flush_tlb_all,
    alloc_pages,
    free_pages,
    do_anonymous_page,
    zap_pte_range,
    folio_put,
]
