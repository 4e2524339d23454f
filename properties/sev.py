"""Cache lines of pages with a C-bit.

What it checks: where the processor does not keep the two keys of a page coherent, a dirty line has the
key that the page is used with, and when a leaf changes there is none; where it does, caches have a page
with one key only; the hypervisor is told.  Invariant 5 of encryption, and 2 as to caches.
Why it matters: a dirty line of the old key that is written back later falls on newer data, under the
wrong key: the page is garbage for everybody.
Kernel precedent: the comments in __set_memory_enc_pgtable(); 5866e9205b47 ("KVM: SVM: Add hardware-
enforced cache coherency as a CPUID feature"), from memory.
Smallest counterexample: a store to a page that is converted next (sev-without-clflush).
Not covered: clean lines that are old: contents do not survive a conversion, and who has converted a page
writes to it first; devices, which SME_COHERENT does not cover (see sev_reuse).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.enc_pgtable import (
    CHANGE_DIRECT_MAP,
    CHANGE_IMAGE_MAP,
    CHANGE_PRIMARY,
    CONFIRM,
    CONVERT,
    FINISH,
    FLUSH_AFTER,
    Key,
    Rounds,
    Use,
    View,
    set_memory_enc,
)
from mapproof.model.operations.sev import Line, Sev


@always
def dirty_lines_have_the_key(s: Sev, f: Frame, key: Key) -> Bool:
    """Without SME_COHERENT, a dirty line has the key that the page is used with; a page that is leaked
    has none."""
    used = (s.use[f] != Use.LEAKED) & (key == s.key(f))
    return s.coherent[()] | (s.line[f, key] != Line.DIRTY) | used


@always
def lines_are_written_back_before_the_change(s: Sev, f: Frame, key: Key) -> Bool:
    """Without SME_COHERENT, a page has no dirty line from before its first leaf is changed until the
    call returns."""
    late = set_memory_enc.at(s, f, CONFIRM)
    for position in (CONVERT, CHANGE_PRIMARY, CHANGE_DIRECT_MAP, CHANGE_IMAGE_MAP, FLUSH_AFTER):
        late |= set_memory_enc.at(s, f, position)
    late |= set_memory_enc.at(s, f, FINISH)
    return s.coherent[()] | ~late | (s.line[f, key] != Line.DIRTY)


@always
def coherent_lines_have_one_key(s: Sev, f: Frame, key: Key) -> Bool:
    """With SME_COHERENT, caches have a page with one key."""
    alone = (s.line[f, key] != Line.NONE).implies(
        (s.line[f, Key.PRIVATE] == Line.NONE) | (s.line[f, Key.SHARED] == Line.NONE)
    )
    return s.coherent[()].implies(alone)


@always
def free_pages_have_no_shared_data(s: Sev, f: Frame) -> Bool:
    """Without SME_COHERENT, no line of a free page is written back with the shared key."""
    free = (s.use[f] == Use.FREE) & ~s.coherent[()]
    return free.implies(s.line[f, Key.SHARED] != Line.DIRTY)


@always
def the_hypervisor_is_told(s: Sev, f: Frame) -> Bool:
    """But for the time of a conversion, the hypervisor knows which pages are shared."""
    known = set_memory_enc.idle(s, f) & (s.use[f] != Use.LEAKED)
    told = set_memory_enc.at(s, f, CONFIRM).implies(s.told[f] == s.call.want[f])
    return told & known.implies(s.told[f] == s.key(f))


@always
def coherent_conversions_flush_no_caches(s: Sev, f: Frame) -> Bool:
    """The cost: with SME_COHERENT, a conversion flushes no caches."""
    none = s.call.cache_rounds[f] == Rounds.NONE
    return set_memory_enc.idle(s, f) | ~s.coherent[()] | none


@step
def lines_are_written_by_owners(old: Sev, new: Sev, f: Frame, key: Key) -> Bool:
    """A line becomes dirty when its page is used, and not while it is converted."""
    dirty = (old.line[f, key] != Line.DIRTY) & (new.line[f, key] == Line.DIRTY)
    return dirty.implies(old.owned(f) & set_memory_enc.idle(old, f))


@step
def lines_come_by_a_translation(old: Sev, new: Sev, f: Frame, key: Key) -> Bool:
    """A line comes with the key of a translation that a CPU has; a dirty line does not become clean, but
    goes."""
    came = (old.line[f, key] == Line.NONE) & (new.line[f, key] != Line.NONE)

    def has(cpu: Cpu) -> Bool:
        views = (View.DIRECT, View.IMAGE, View.VMAP)
        found = [old.tlb[cpu, view, f] == some(key) for view in views]
        return found[0] | found[1] | found[2]

    cleaned = (old.line[f, key] == Line.DIRTY) & (new.line[f, key] == Line.CLEAN)
    return came.implies(exists(Cpu, has)) & ~cleaned


@sometimes
def a_page_has_lines_of_both_keys(s: Sev, f: Frame) -> Bool:
    """Without SME_COHERENT, an old line is still there when a newer one of the other key is dirty."""
    both = (s.line[f, Key.PRIVATE] == Line.CLEAN) & (s.line[f, Key.SHARED] == Line.DIRTY)
    return both & ~s.coherent[()]


@sometimes
def a_dirty_line_is_dropped_later(s: Sev, f: Frame) -> Bool:
    """With SME_COHERENT, a page is converted whose old line is still dirty."""
    converted = (s.use[f] == Use.SHARED) & ~s.shared_at_boot[f] & set_memory_enc.idle(s, f)
    return s.coherent[()] & converted & (s.line[f, Key.PRIVATE] == Line.DIRTY)


@sometimes
def a_shared_page_is_written(s: Sev, cpu: Cpu, f: Frame) -> Bool:
    """A page that was private is shared, and written."""
    used = s.tlb[cpu, View.DIRECT, f] == some(Key.SHARED)
    return used & ~s.shared_at_boot[f] & (s.line[f, Key.SHARED] == Line.DIRTY)
