"""A protected dev_pagemap in the direct map: its leaves get a key, and TLBs know it.

memremap_pages() maps the range where nothing was mapped, with the key in its leaves; memunmap_pages()
removes the mapping, has all CPUs flush it, and only then may the range be used for something else.  A
processor checks the key that it has cached with the translation, not the one in the leaf.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    Update,
    forall,
    operation,
    some,
)
from ..machine.entries import ProtectionKey
from ..machine.sorts import Cpu, Frame
from .pks import PGMAP_KEY, forbidden_by_pkrs


class Removal(Locals):
    """The locals of memunmap_pages(): the page, CPUs whose answer is missing."""

    page: Map[Cpu, Frame]
    waits_for: Map[tuple[Cpu, Cpu], Bool]


class Pgmap(State):
    """claimed: the range belongs to a dev_pagemap, or is about to leave one; wants_key: one with
    PGMAP_PROTECTION.  leaf: the key in its direct-map entry, if there is one.  tlb: the key that a CPU
    has cached with the translation.  pkrs: the CPU is in a bracket.  stray: the page was written by an
    access outside of every bracket."""

    claimed: Map[Frame, Bool]
    wants_key: Map[Frame, Bool]
    leaf: Map[Frame, Opt[ProtectionKey]]
    tlb: Map[tuple[Cpu, Frame], Opt[ProtectionKey]]
    pkrs: Map[Cpu, Bool]
    stray: Map[Frame, Bool]
    removal: Removal

    def is_flushed(self, cpu: Cpu, f: Frame) -> Bool:
        """No removal of the page waits for the CPU."""
        return forall(
            Cpu,
            lambda by: (
                memunmap_pages.idle(self, by)
                | (self.removal.page[by] != f)
                | ~self.removal.waits_for[by, cpu]
            ),
        )


@operation(kernel="mm/memremap.c")
def boot(s: Pgmap) -> Step:
    """No device has been mapped."""
    return Step(
        when=TRUE,
        then=[
            s.claimed.fill(lambda f: FALSE),
            s.leaf.fill(lambda f: NONE),
            s.tlb.fill(lambda cpu, f: NONE),
            s.pkrs.fill(lambda cpu: FALSE),
            s.stray.fill(lambda f: FALSE),
        ],
    )


def _map(s: Pgmap, f: Frame, key: ProtectionKey, wants_key: Bool) -> list[Update]:
    return [
        s.claimed.set(f, TRUE),
        s.wants_key.set(f, wants_key),
        s.leaf.set(f, some(key)),
    ]


@operation(kernel="mm/memremap.c: memremap_pages() with PGMAP_PROTECTION, of the PKS series")
def memremap_protected(s: Pgmap, f: Frame) -> Step:
    """A range appears in the direct map, with the key in its leaves from the first."""
    return Step(when=~s.claimed[f], then=[*_map(s, f, PGMAP_KEY, TRUE), s.stray.set(f, FALSE)])


@operation(kernel="mm/memremap.c: memremap_pages()")
def memremap_pages(s: Pgmap, f: Frame) -> Step:
    """A range appears without protection."""
    return Step(when=~s.claimed[f], then=_map(s, f, ProtectionKey.K0, FALSE))


# Why the key is there from the first: a key that is added to a leaf in use needs a flush.
@operation(kernel="mm/memremap.c: a key that is added to a range in use", name="add_protection")
def add_protection(s: Pgmap, f: Frame) -> Step:
    """A range that is mapped gets the key, without a flush."""
    return Step(
        when=s.leaf[f] == ProtectionKey.K0,
        then=[s.leaf.set(f, some(PGMAP_KEY)), s.wants_key.set(f, TRUE)],
    )


memunmap_pages = Procedure(
    "memunmap_pages",
    kernel="mm/memremap.c: memunmap_pages(); arch/x86/mm/init_64.c: arch_remove_memory()",
    doc="Remove a range from the direct map, flush it everywhere, give it up.",
)


@memunmap_pages.step
def remove_pagetable(s: Pgmap, cpu: Cpu, f: Frame) -> Step:
    """The leaf is cleared; all CPUs have to flush it."""
    return Step(
        when=s.claimed[f] & s.leaf[f].is_some,
        then=[
            s.leaf.set(f, NONE),
            s.removal.page.set(cpu, f),
            s.removal.waits_for.fill(lambda by, c: TRUE, lambda by, c: by == cpu),
        ],
    )


@memunmap_pages.step
def release_region(s: Pgmap, cpu: Cpu) -> Step:
    """When all have answered, the range may be mapped again."""
    answered = forall(Cpu, lambda c: ~s.removal.waits_for[cpu, c])
    return Step(when=answered, then=[s.claimed.set(s.removal.page[cpu], FALSE)])


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def flush_kernel_range(s: Pgmap, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives."""
    f = s.removal.page[by]
    return Step(
        when=~memunmap_pages.idle(s, by) & s.removal.waits_for[by, cpu],
        then=[s.tlb.set((cpu, f), NONE), s.removal.waits_for.set((by, cpu), FALSE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: Pgmap, cpu: Cpu, f: Frame) -> Step:
    """A CPU caches a translation and its key, needed or not."""
    return Step(when=s.leaf[f].is_some, then=[s.tlb.set((cpu, f), s.leaf[f])])


@operation(kernel="arch/x86/kernel/process_64.c: x86_pkrs_load() of the PKS series")
def change_thread(s: Pgmap, cpu: Cpu) -> Step:
    """A CPU comes to run a thread within a bracket, or one outside of every bracket (see ``pks``)."""
    return Step(when=TRUE, then=[s.pkrs.set(cpu, ~s.pkrs[cpu])])


@operation(kernel="any bug")
def stray_write(s: Pgmap, cpu: Cpu, f: Frame) -> Step:
    """A CPU writes to an address that it should not write, by the translation that it has cached."""
    entry, bracket = s.tlb[cpu, f], s.pkrs[cpu]
    hits = entry.is_some & ~forbidden_by_pkrs(entry.value, bracket)
    return Step(when=hits, then=[s.stray.set(f, s.stray[f] | ~bracket)])
