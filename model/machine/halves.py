"""The two halves of page table isolation: the tables of the kernel, and those of user mode.

These are the parts that several systems have in common, and that can be read off a real machine too.
"""

from __future__ import annotations

from ..language import Bool, Enumeration, Fun, Map, Opt, State
from .entries import Directory
from .sorts import Frame, Pgd, PgdSlot, Pud, Va


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
