"""The kernel half of the top level on x86-64 with 4 levels: init_mm's entries, and every process's copy.

The entries are the P4D entries, which are the top-level ones where P4D pages are folded.  A process has
a copy of each, so what boot has not linked has to be pushed to all; the LDT's entry is the process's.
"""

from __future__ import annotations

from ..language import Bool, Enumeration, Fun, Map, Opt, given
from ..machine.sorts import Mm, P4dSlot, Pud
from .pgd_list import PgdList


class Region(Enumeration):
    """What lies under a kernel entry; vmemmap counts as direct map."""

    DIRECT_MAP: Region
    PER_CPU: Region
    LDT: Region
    CPU_ENTRY_AREA: Region
    ESPFIX: Region
    IMAGE: Region


class KernelHalf(PgdList):
    """reference, copy: the kernel entries of init_mm and of processes."""

    reference: Map[P4dSlot, Opt[Pud]]
    copy: Map[tuple[Mm, P4dSlot], Opt[Pud]]
    region: Fun[P4dSlot, Region] = given(lambda scope, i: max(0, i - 1) % 6)

    def is_common(self, i: P4dSlot) -> Bool:
        """The entry is the same for all processes."""
        return self.region[i] != Region.LDT
