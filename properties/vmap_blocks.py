"""Slices of vmap blocks, and their pages.

What it checks: when vm_unmap_aliases() returns, no CPU has anything cached of a slice that had been
unmapped before it was called, and whose page therefore may be anybody's (invariant 6 of the vmalloc
area, for pages); slices and blocks are used again only when no CPU has anything cached of them
(invariant 6, for addresses).
Why it matters: whoever makes a page read-only, uncached or secret calls vm_unmap_aliases() to be sure
that no other way leads to it.
Kernel precedent: fc1e0d980037 ("mm/vmalloc: prevent stale TLBs in fully utilized blocks"), T. Gleixner;
the comment above vm_unmap_aliases().
Smallest counterexample: use up a block, unmap one slice, call (vmap-blocks-free-lists).
Not covered: vbq->lock and on which CPU's list a block is; how much is flushed at once.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Va
from mapproof.model.operations.vmap_blocks import (
    Block,
    Life,
    Slice,
    VmapBlocks,
    vb_free,
    vm_unmap_aliases,
)

_LOCK, _GATHER, _FRAGMENTED, _FLUSH, _FREE = vm_unmap_aliases.steps
_UNMAP, _EXPAND, _FIND_DIRTY, _FREE_BLOCK = vb_free.steps


@step
def aliases_are_gone(old: VmapBlocks, new: VmapBlocks, cpu: Cpu, c: Cpu, va: Va) -> Bool:
    """When vm_unmap_aliases() returns, no CPU has anything cached of a slice that had been unmapped when
    it was called."""
    done = ~vm_unmap_aliases.idle(old, cpu) & vm_unmap_aliases.idle(new, cpu)
    return (done & old.aliases.owed[cpu, va]).implies(new.tlb[c, va].is_none)


@always
def unused_slices_are_in_no_tlb(s: VmapBlocks, cpu: Cpu, va: Va) -> Bool:
    """No CPU has anything cached of a slice that may be given away, or of a range without a block."""
    free = s.life[s.block_of[va]] == Life.NONE
    unused = s.slice[va] == Slice.UNUSED
    return free.implies(unused) & unused.implies(s.tlb[cpu, va].is_none)


@always
def tlbs_have_what_slices_map(s: VmapBlocks, cpu: Cpu, va: Va) -> Bool:
    """Of a slice in use, a CPU has cached nothing or what is mapped there."""
    cached = (s.slice[va] == Slice.MAPPED) & s.tlb[cpu, va].is_some
    return cached.implies(s.tlb[cpu, va] == s.page[va])


@always
def slices_in_use_are_mapped(s: VmapBlocks, va: Va) -> Bool:
    """A slice is mapped if it is in use, and not otherwise."""
    return s.page[va].is_some == (s.slice[va] == Slice.MAPPED)


@always
def queued_blocks_are_out_of_use(s: VmapBlocks, va: Va) -> Bool:
    """Nothing of a block is in use that is queued or without a block; all of it is dirty if it is about
    to be queued."""
    life, value = s.life[s.block_of[va]], s.slice[va]
    used = (value == Slice.MAPPED) | (value == Slice.CLEARED)
    return used.implies(life == Life.ALIVE) & (life == Life.DYING).implies(value == Slice.DIRTY)


@always
def slices_are_freed_once(s: VmapBlocks, a: Cpu, b: Cpu) -> Bool:
    """Who unmaps a slice is alone with it, and who queues a block with the block."""
    va, other = s.freeing.va[a], s.freeing.va[b]
    queues = vb_free.at(s, a, _FREE_BLOCK) & vb_free.at(s, b, _FREE_BLOCK)
    both = ~vb_free.idle(s, a) & ~vb_free.idle(s, b)
    same = (both & (va == other)) | (queues & (s.block_of[va] == s.block_of[other]))
    cleared = vb_free.at(s, a, _EXPAND).implies(s.slice[va] == Slice.CLEARED)
    dying = vb_free.at(s, a, _FREE_BLOCK).implies(s.life[s.block_of[va]] == Life.DYING)
    return same.implies(a == b) & cleared & dying


@always
def purges_take_turns_with_blocks(s: VmapBlocks, a: Cpu, b: Cpu, block: Block) -> Bool:
    """A CPU in vm_unmap_aliases() holds vmap_purge_lock, alone; what it has listed is queued."""
    working = ~vm_unmap_aliases.idle(s, a)
    alone = (working & ~vm_unmap_aliases.idle(s, b)).implies(a == b)
    listed = vm_unmap_aliases.at(s, a, _FREE) & s.aliases.listed[a, block]
    queued = listed.implies(s.life[block] == Life.LAZY)
    return working.implies(s.vmap_purge_lock.now) & alone & queued


@always
def what_is_owed_is_flushed(s: VmapBlocks, cpu: Cpu, va: Va) -> Bool:
    """A slice that had been unmapped at the call stays dirty; when its block has been looked at, it is
    in the range to flush, or its block is queued, and listed in the end."""
    owed = s.aliases.owed[cpu, va]
    b = s.block_of[va]
    working = ~vm_unmap_aliases.idle(s, cpu)
    gathering = vm_unmap_aliases.at(s, cpu, _GATHER) & s.aliases.visited[cpu, b]
    flushing = vm_unmap_aliases.at(s, cpu, _FREE)
    dirty = (s.slice[va] == Slice.DIRTY) & (s.life[b] != Life.NONE)
    return (
        (working & owed).implies(dirty)
        & (working & s.aliases.flushed[cpu, va]).implies(dirty)
        & (gathering & owed).implies(s.aliases.flushed[cpu, va] | (s.life[b] == Life.LAZY))
        & (flushing & owed).implies(s.aliases.flushed[cpu, va] | s.aliases.listed[cpu, b])
    )


@always
def who_has_answered_has_nothing_cached(s: VmapBlocks, by: Cpu, cpu: Cpu, va: Va) -> Bool:
    """A CPU that has answered has nothing cached of what is flushed."""
    answered = vm_unmap_aliases.at(s, by, _FREE) & ~s.aliases.waits_for[by, cpu]
    flushed = s.aliases.flushed[by, va] | s.aliases.listed[by, s.block_of[va]]
    return (answered & flushed).implies(s.tlb[cpu, va].is_none)


@step
def purges_empty_the_queue(old: VmapBlocks, new: VmapBlocks, cpu: Cpu, b: Block) -> Bool:
    """When vm_unmap_aliases() returns, what it had listed is free, and so is the lock."""
    done = ~vm_unmap_aliases.idle(old, cpu) & vm_unmap_aliases.idle(new, cpu)
    freed = old.aliases.listed[cpu, b].implies(new.life[b] == Life.NONE)
    return done.implies(freed & ~new.vmap_purge_lock.now)


@step
def calls_owe_all_that_is_dirty(old: VmapBlocks, new: VmapBlocks, cpu: Cpu, va: Va) -> Bool:
    """Dirty slices of a block in use are among what vm_unmap_aliases() owes."""
    begins = vm_unmap_aliases.idle(old, cpu) & ~vm_unmap_aliases.idle(new, cpu)
    dirty = (old.slice[va] == Slice.DIRTY) & (old.life[old.block_of[va]] == Life.ALIVE)
    return (begins & dirty).implies(new.aliases.owed[cpu, va])


@step
def freed_slices_are_accounted_for(old: VmapBlocks, new: VmapBlocks, cpu: Cpu) -> Bool:
    """When vb_free() returns, the slice is dirty, and the block queued if it was the last."""
    done = ~vb_free.idle(old, cpu) & vb_free.idle(new, cpu)
    va = old.freeing.va[cpu]
    queued = vb_free.at(old, cpu, _FREE_BLOCK).implies(new.life[new.block_of[va]] == Life.LAZY)
    return done.implies((new.slice[va] == Slice.DIRTY) & queued)


@sometimes
def an_alias_is_left(s: VmapBlocks, cpu: Cpu, va: Va) -> Bool:
    """A slice is dirty and cached, which is why vm_unmap_aliases() is there."""
    return (s.slice[va] == Slice.DIRTY) & s.tlb[cpu, va].is_some


@sometimes
def a_fragmented_block_is_queued(s: VmapBlocks, va: Va, other: Va) -> Bool:
    """A block is queued of which one slice was never used."""
    queued = s.life[s.block_of[va]] == Life.LAZY
    same = s.block_of[va] == s.block_of[other]
    return queued & same & (s.slice[va] == Slice.DIRTY) & (s.slice[other] == Slice.UNUSED)


@sometimes
def a_block_is_queued_in_time(s: VmapBlocks, va: Va, other: Va) -> Bool:
    """A block is queued all of whose slices were used."""
    queued = (s.life[s.block_of[va]] == Life.LAZY) & (s.slice[va] == Slice.DIRTY)
    same = (va != other) & (s.block_of[va] == s.block_of[other])
    return queued & same & (s.slice[other] == Slice.DIRTY)


@sometimes
def a_dirty_slice_is_flushed(s: VmapBlocks, by: Cpu, cpu: Cpu, va: Va) -> Bool:
    """A CPU has answered for a dirty slice whose block is still in use, and another has not."""
    flushed = s.aliases.flushed[by, va] & (s.life[s.block_of[va]] == Life.ALIVE)
    waits = ~s.aliases.waits_for[by, cpu] & s.aliases.waits_for[by, by]
    return vm_unmap_aliases.at(s, by, _FREE) & flushed & waits
