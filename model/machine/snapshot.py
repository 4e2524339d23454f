"""What the page tables of a stopped machine show: the state that properties of snapshots are about.

A place (:class:`.sorts.Va`) is an address of one address space at which a leaf begins, in the tables
that the kernel runs on, in those that user mode runs on, or in both.  Without page table isolation
these are the same tables.  Firmware, the real-mode trampoline and such have address spaces too; they are
called special here, and are no process.

Nothing here changes, and what a snapshot cannot show (TLBs, who holds a lock, what happened before) is
not in this state.  ``mapproof.snapshots`` reads it from memory images.
"""

from __future__ import annotations

from ..language import Bool, Enumeration, Fun, Map, Opt, Sort, Var, exists
from .entries import CacheType
from .halves import Halves, KernelCopies, Slot, TopLevelTables, UserPages, Word
from .sorts import Frame, Mm, Va


class Region(Enumeration):
    """A region of virtual addresses (:class:`.geometry.Region`)."""

    USER: Region
    GUARD_HOLE: Region
    LDT: Region
    DIRECT_MAP: Region
    VMALLOC: Region
    VMEMMAP: Region
    KASAN_SHADOW: Region
    CPU_ENTRY_AREA: Region
    ESPFIX: Region
    EFI: Region
    KERNEL_IMAGE: Region
    MODULES: Region
    FIXMAP: Region
    VSYSCALL: Region
    PKMAP: Region
    NONE: Region


class Extent(Sort):
    """Consecutive executable pages of one leaf of the user tables, all entry text or none."""


class Snapshot(Halves, TopLevelTables, UserPages, KernelCopies):
    """By place: which region it lies in; whether its address space has user tables of its
    own (isolated) or is special; what all levels together allow at the leaf (w, u, x), its memory type.
    around: what the kernel's tables map at the place of a leaf of the user tables, if one leaf of theirs
    has all of it, with its rights."""

    region: Fun[Va, Region]
    isolated: Fun[Va, Bool]
    special: Fun[Va, Bool]
    kernel_w: Map[Va, Bool]
    kernel_u: Map[Va, Bool]
    kernel_x: Map[Va, Bool]
    user_u: Map[Va, Bool]
    around: Map[Va, Opt[Frame]]
    around_w: Map[Va, Bool]
    around_u: Map[Va, Bool]
    around_x: Map[Va, Bool]
    # The global bit of the kernel's leaf, in either half of the addresses.
    global_: Map[Va, Bool]
    kernel_type: Map[Va, CacheType]
    user_type: Map[Va, CacheType]
    # A leaf of 4 KiB, of either half's tables.
    small: Map[Va, Bool]
    # The leaf maps the frame, as one of perhaps many; shadow: in user tables that are not the kernel's.
    kernel_maps: Map[tuple[Va, Frame], Bool]
    shadow_maps: Map[tuple[Va, Frame], Bool]

    # What the place is for, as the kernel's own records have it.
    ldt_page: Fun[Va, Opt[Frame]]
    tss_page: Fun[Va, Bool]
    entry_text: Fun[Va, Bool]
    image: Fun[Va, Bool]
    whole_image_is_cloned: Var[Bool]
    entry_text_only: Fun[Extent, Bool]

    # Frames.
    free: Map[Frame, Bool]
    secret: Map[Frame, Bool]
    is_table_page: Map[Frame, Bool]
    text: Fun[Frame, Bool]

    # Tables of the user half, by who reaches them; copies of the kernel's entries.
    user_table: Map[tuple[Frame, Mm], Bool]
    copy: Map[tuple[Mm, Slot], Opt[Word]]

    def mapped_as(self, f: Frame, *types: CacheType) -> Bool:
        """Some leaf maps the frame with one of these memory types."""

        def of_kernel(va: Va) -> Bool:
            return self.kernel_maps[va, f] & _one_of(self.kernel_type[va], types)

        def of_shadow(va: Va) -> Bool:
            return self.shadow_maps[va, f] & _one_of(self.user_type[va], types)

        return exists(Va, of_kernel) | exists(Va, of_shadow)


def _one_of(t: CacheType, types: tuple[CacheType, ...]) -> Bool:
    result = t == types[0]
    for other in types[1:]:
        result = result | (t == other)
    return result
