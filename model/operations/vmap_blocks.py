"""vmap blocks: vm_map_ram() and vm_unmap_ram(), and what vm_unmap_aliases() flushes of them.

A block is a range that is given away in slices, each once; slices that have been unmapped are dirty, and
nobody flushes them before the block as a whole goes to the purge, which it does when all of it is dirty
(vb_free()) or when nothing of it is in use (purge_fragmented_block()).  Their pages are free
before that.  vm_unmap_aliases() promises that no CPU has anything cached of pages that were free when it
was called.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    Sort,
    State,
    Step,
    Var,
    forall,
    given,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Va


class Block(Sort):
    """A range of VMAP_BLOCK_SIZE bytes, aligned."""


class Slice(Enumeration):
    """A slice of a block: not given away yet, mapped, being unmapped by vb_free(), or dirty."""

    UNUSED: Slice
    MAPPED: Slice
    CLEARED: Slice
    DIRTY: Slice


class Life(Enumeration):
    """A block: none (its range is free), alive, full of dirty slices but not queued yet, queued."""

    NONE: Life
    ALIVE: Life
    DYING: Life
    LAZY: Life


class Freeing(Locals):
    """The locals of vb_free()."""

    va: Map[Cpu, Va]


class Aliases(Locals):
    """The locals of vm_unmap_aliases(): the blocks it has looked at, the slices in the range to flush,
    the blocks in local_purge_list, and the CPUs whose answer is missing.  owed: the slices that had been
    unmapped when it was called, history of what is promised."""

    visited: Map[tuple[Cpu, Block], Bool]
    flushed: Map[tuple[Cpu, Va], Bool]
    listed: Map[tuple[Cpu, Block], Bool]
    waits_for: Map[tuple[Cpu, Cpu], Bool]
    owed: Map[tuple[Cpu, Va], Bool]


class VmapBlocks(State):
    """page: what a slice maps; tlb: what CPUs have cached of it; freeing: the slice that a CPU in
    vb_free() is at.  vmap_purge_lock: the mutex of whoever flushes."""

    life: Map[Block, Life]
    slice: Map[Va, Slice]
    page: Map[Va, Opt[Frame]]
    tlb: Map[tuple[Cpu, Va], Opt[Frame]]
    vmap_purge_lock: Var[Bool]
    freeing: Freeing
    aliases: Aliases
    block_of: Fun[Va, Block] = given(lambda scope, va: va % scope[Block])

    def every(self, b: Block, *values: Slice) -> Bool:
        """Each slice of a block is one of these."""

        def one(va: Va) -> Bool:
            found = FALSE
            for value in values:
                found = found | (self.slice[va] == value)
            return found

        return forall(Va, lambda va: (self.block_of[va] == b).implies(one(va)))


@operation(kernel="mm/vmalloc.c: vmalloc_init()")
def boot(s: VmapBlocks) -> Step:
    """There are no blocks."""
    return Step(
        when=TRUE,
        then=[
            s.life.fill(lambda b: Life.NONE),
            s.slice.fill(lambda va: Slice.UNUSED),
            s.page.fill(lambda va: NONE),
            s.tlb.fill(lambda cpu, va: NONE),
            s.vmap_purge_lock.become(FALSE),
        ],
    )


@operation(kernel="mm/vmalloc.c: new_vmap_block()")
def new_vmap_block(s: VmapBlocks, b: Block) -> Step:
    """A free range becomes a block."""
    return Step(when=s.life[b] == Life.NONE, then=[s.life.set(b, Life.ALIVE)])


@operation(kernel="mm/vmalloc.c: vm_map_ram(), vb_alloc()")
def vm_map_ram(s: VmapBlocks, va: Va, f: Frame) -> Step:
    """The next slice of a block maps a page; there is nothing to flush."""
    unused = (s.slice[va] == Slice.UNUSED) & (s.life[s.block_of[va]] == Life.ALIVE)
    return Step(when=unused, then=[s.slice.set(va, Slice.MAPPED), s.page.set(va, some(f))])


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: VmapBlocks, cpu: Cpu, va: Va) -> Step:
    """A CPU caches what is mapped."""
    return Step(when=s.page[va].is_some, then=[s.tlb.set((cpu, va), s.page[va])])


vb_free = Procedure(
    "vb_free",
    kernel="mm/vmalloc.c: vm_unmap_ram(), vb_free(), free_vmap_block()",
    doc="Unmap a slice and make it dirty; queue the block if that was its last one.",
)


@vb_free.step
def vunmap_range(s: VmapBlocks, cpu: Cpu, va: Va) -> Step:
    """Clear the PTEs."""
    return Step(
        when=s.slice[va] == Slice.MAPPED,
        then=[
            s.slice.set(va, Slice.CLEARED),
            s.page.set(va, NONE),
            s.freeing.va.set(cpu, va),
        ],
    )


@vb_free.step(to=Procedure.DONE)
def expand_dirty_range(s: VmapBlocks, cpu: Cpu) -> Step:
    """Under the block's lock, account for the slice, which is not the last one; the caller may free
    the page."""
    va = s.freeing.va[cpu]
    last = _is_last(s, va)
    return Step(when=~last, then=[s.slice.set(va, Slice.DIRTY)])


@vb_free.step(at="expand_dirty_range", to="free_vmap_block")
def find_block_dirty(s: VmapBlocks, cpu: Cpu) -> Step:
    """Under the block's lock, account for the slice, which is the last one, and drop the lock."""
    va = s.freeing.va[cpu]
    return Step(
        when=_is_last(s, va),
        then=[s.slice.set(va, Slice.DIRTY), s.life.set(s.block_of[va], Life.DYING)],
    )


@vb_free.step
def free_vmap_block(s: VmapBlocks, cpu: Cpu) -> Step:
    """Queue the block for the purge; the caller may free the page."""
    return Step(when=TRUE, then=[s.life.set(s.block_of[s.freeing.va[cpu]], Life.LAZY)])


def _is_last(s: VmapBlocks, va: Va) -> Bool:
    """Every other slice of the block is dirty."""

    def other(w: Va) -> Bool:
        return (s.block_of[w] == s.block_of[va]) & (w != va)

    return forall(Va, lambda w: other(w).implies(s.slice[w] == Slice.DIRTY))


def _vm_unmap_aliases(*, sees: Callable[[VmapBlocks, Block], Bool]) -> Procedure:
    """sees: the blocks whose dirty slices are looked at.  (6.1 takes the mutex after that, which is no
    difference to whoever called: the next purge would flush the same.)"""
    procedure = Procedure(
        "vm_unmap_aliases",
        kernel="mm/vmalloc.c: _vm_unmap_aliases(), __purge_vmap_area_lazy()",
        doc="Flush dirty slices and queued blocks on every CPU; free the blocks.",
    )

    def lock(s: VmapBlocks, cpu: Cpu) -> Step:
        """Take vmap_purge_lock."""

        def owed(c: Cpu, va: Va) -> Bool:
            returned = forall(
                Cpu,
                lambda by: (s.freeing.va[by] != va) | ~vb_free.at(s, by, vb_free.steps[3]),
            )
            return (s.slice[va] == Slice.DIRTY) & returned

        return Step(
            when=~s.vmap_purge_lock.now,
            then=[
                s.vmap_purge_lock.become(TRUE),
                s.aliases.visited.fill(lambda c, b: FALSE, lambda c, b: c == cpu),
                s.aliases.flushed.fill(lambda c, va: FALSE, lambda c, va: c == cpu),
                s.aliases.owed.fill(owed, lambda c, va: c == cpu),
            ],
        )

    def gather(s: VmapBlocks, cpu: Cpu, b: Block) -> Step:
        """Under a block's lock, have its dirty slices flushed."""

        def dirty(c: Cpu, va: Va) -> Bool:
            here = (c == cpu) & (s.block_of[va] == b) & (s.slice[va] == Slice.DIRTY)
            return here & sees(s, b)

        return Step(
            when=TRUE,
            then=[
                s.aliases.flushed.fill(lambda c, va: TRUE, dirty),
                s.aliases.visited.set((cpu, b), TRUE),
            ],
        )

    def purge_fragmented_block(s: VmapBlocks, cpu: Cpu, b: Block) -> Step:
        """Queue a block of which nothing is in use, and not all dirty."""
        fragmented = s.every(b, Slice.UNUSED, Slice.DIRTY) & ~s.every(b, Slice.DIRTY)
        return Step(
            when=(s.life[b] == Life.ALIVE) & fragmented,
            then=[s.life.set(b, Life.LAZY)],
        )

    def flush_tlb_kernel_range(s: VmapBlocks, cpu: Cpu) -> Step:
        """When every block has been looked at, take the queue, and ask every CPU, this one as well."""
        visited = forall(Block, lambda b: s.aliases.visited[cpu, b])
        return Step(
            when=visited,
            then=[
                s.aliases.listed.fill(lambda c, b: s.life[b] == Life.LAZY, lambda c, b: c == cpu),
                s.aliases.waits_for.fill(lambda by, c: TRUE, lambda by, c: by == cpu),
            ],
        )

    def free(s: VmapBlocks, cpu: Cpu) -> Step:
        """When all have answered, the ranges of the queued blocks are free."""
        answered = forall(Cpu, lambda c: ~s.aliases.waits_for[cpu, c])
        freed = s.life.fill(lambda b: Life.NONE, lambda b: s.aliases.listed[cpu, b])
        unused = s.slice.fill(
            lambda va: Slice.UNUSED, lambda va: s.aliases.listed[cpu, s.block_of[va]]
        )
        return Step(when=answered, then=[freed, unused, s.vmap_purge_lock.become(FALSE)])

    procedure.step(to="gather")(lock)
    procedure.step(at="gather", to="gather")(gather)
    procedure.step(at="gather", to="gather")(purge_fragmented_block)
    procedure.step(at="gather", to="free")(flush_tlb_kernel_range)
    procedure.step(at="free")(free)
    return procedure


def _sees_all(s: VmapBlocks, b: Block) -> Bool:
    return (s.life[b] == Life.ALIVE) | (s.life[b] == Life.DYING)


def _sees_alive(s: VmapBlocks, b: Block) -> Bool:
    return s.life[b] == Life.ALIVE


def _sees_free_lists(s: VmapBlocks, b: Block) -> Bool:
    full = s.every(b, Slice.MAPPED, Slice.CLEARED, Slice.DIRTY)
    return (s.life[b] == Life.ALIVE) & ~full


vm_unmap_aliases = _vm_unmap_aliases(sees=_sees_all)
# Since fc1e0d980037 every block is looked at, but one that is all dirty is taken to be queued.
vm_unmap_aliases_alive = _vm_unmap_aliases(sees=_sees_alive)
# V-17: the per-CPU free lists were walked, where blocks that have been given away entirely are not.
vm_unmap_aliases_free_lists = _vm_unmap_aliases(sees=_sees_free_lists)


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: VmapBlocks, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU drops what it has cached of slices to flush and of queued blocks."""
    asked = vm_unmap_aliases.at(s, by, vm_unmap_aliases.steps[4]) & s.aliases.waits_for[by, cpu]

    def dropped(c: Cpu, va: Va) -> Bool:
        listed = s.aliases.flushed[by, va] | s.aliases.listed[by, s.block_of[va]]
        return (c == cpu) & listed

    return Step(
        when=asked,
        then=[
            s.tlb.fill(lambda c, va: NONE, dropped),
            s.aliases.waits_for.set((by, cpu), FALSE),
        ],
    )
