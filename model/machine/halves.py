"""The two halves of page table isolation: the tables of the kernel, and those of user mode.

These are the parts that several systems have in common, and that can be read off a real machine too.
"""

from __future__ import annotations

from ..language import Bool, Enumeration, Fun, Map, Opt, Sort, State
from .entries import Directory
from .sorts import Frame, Mm, Pgd, PgdSlot, Pud, Va


class Use(Enumeration):
    """What a page is used for.  DATA: anything that is no page table.  IMAGE: kernel data, among it
    the variable that holds the trampoline's top-level entry.  INIT: the table of init_mm."""

    FREE: Use
    DATA: Use
    IMAGE: Use
    PROCESS: Use
    KEXEC: Use
    INIT: Use
    TBOOT: Use
    USER_COPY: Use


class Halves(State):
    """kernel, user: the page that each half's tables map at an address; kernel_g, user_g: of a kernel
    address, with the global bit."""

    kernel: Map[Va, Opt[Frame]]
    user: Map[Va, Opt[Frame]]
    kernel_g: Map[Va, Bool]
    user_g: Map[Va, Bool]


class TopLevelTables(State):
    """beside[p, q]: q is the page at p | 0x1000."""

    pgd: Directory[Pgd, PgdSlot, Pud]
    use: Map[Pgd, Use]
    user_half: Fun[PgdSlot, Bool]
    beside: Fun[tuple[Pgd, Pgd], Bool]

    def is_table(self, p: Pgd) -> Bool:
        """The page holds a top-level table or the user copy of one."""
        use = self.use[p]
        return (use != Use.FREE) & (use != Use.DATA) & (use != Use.IMAGE)

    def is_pair(self, p: Pgd, q: Pgd) -> Bool:
        """The two pages are 8 KiB that belong together, of which the second is the user table."""
        return self.beside[p, q] & self.is_table(p) & (self.use[q] == Use.USER_COPY)


class UserPages(State):
    """user: what the tables of user mode map; user_w, user_x: as writable, as executable.  vma_known:
    there is a VMA, and vma_w, vma_x are its rights."""

    user: Map[Va, Opt[Frame]]
    user_w: Map[Va, Bool]
    user_x: Map[Va, Bool]
    vma_known: Map[Va, Bool]
    vma_w: Map[Va, Bool]
    vma_x: Map[Va, Bool]
    in_user_half: Fun[Va, Bool]


class Slot(Sort):
    """An entry of the level at which every process has a copy of the kernel's
    (:meth:`.geometry.Geometry.sync_level`)."""


class Word(Sort):
    """The content of an entry, accessed and dirty bits apart, which hardware sets in every copy."""


class KernelCopies(State):
    """user_copy: the kernel entries of a process's user tables, at the level at which they are copied.
    process: the mm is a process's, or one of the kernel's that is like one; init_mm is not."""

    user_copy: Map[tuple[Mm, Slot], Opt[Word]]
    process: Map[Mm, Bool]
    ldt_slot: Fun[Slot, Bool]
    init_mm: Fun[tuple[()], Mm]
