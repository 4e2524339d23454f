"""Kernel PMD pages on 32-bit PAE: init_mm's, and one of every process.

There is one top-level entry for all kernel addresses, so what processes have of their own and what they
share is decided by PMD entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..language import FALSE, Bool, Enumeration, Fun, assumption, given
from ..machine.entries import Entry
from ..machine.geometry import I386_PAE
from ..machine.sorts import Mm, Pmd, PmdSlot
from .vmalloc import KernelTables


class Region(Enumeration):
    """What lies under a kernel PMD entry."""

    VMALLOC: Region
    LDT: Region
    CPU_ENTRY_AREA: Region
    LOWMEM: Region
    TEXT: Region


class PaeTables(KernelTables):
    """Unshared kernel PMDs: init_pmd is the reference page, pmd_of the copy of each process."""

    init_pmd: Fun[tuple[()], Pmd] = given(lambda scope: 0)
    pmd_of: Fun[Mm, Pmd] = given(lambda scope, m: m + 1)
    region: Fun[PmdSlot, Region] = given(lambda scope, i: max(0, i - 1) % 5)

    def reference(self, i: PmdSlot) -> Entry:
        """``init_mm``'s entry."""
        return self.pmd.entry(self.init_pmd[()], i)

    def copy(self, m: Mm, i: PmdSlot) -> Entry:
        """The entry of a process."""
        return self.pmd.entry(self.pmd_of[m], i)

    def is_in(self, i: PmdSlot, *regions: Region) -> Bool:
        """The entry is of one of these regions."""
        found = FALSE
        for region in regions:
            found = found | (self.region[i] == region)
        return found

    def is_vmalloc(self, i: PmdSlot) -> Bool:
        """The entry is of the vmalloc area, where processes follow init_mm later."""
        return self.region[i] == Region.VMALLOC

    @classmethod
    def show_element(
        cls, sort: Any, index: int, look: Callable[..., int], scope: Mapping[Any, int]
    ) -> str | None:
        if sort is PmdSlot:
            if look("region", index) != Region.values.index("VMALLOC"):
                return f"{Region.values[look('region', index)]}[{index}]"
            pmd = I386_PAE.level("pmd").size
            start = -(-I386_PAE.region("vmalloc").start // pmd) * pmd
            return I386_PAE.show_va(start + index * pmd)
        if sort is Pmd:
            if index == look("init_pmd"):
                return "init_mm's PMD"
            return next(
                (f"PMD of mm{m}" for m in range(scope[Mm]) if look("pmd_of", m) == index), None
            )
        return None


@assumption
def pmd_pages_are_private(s: PaeTables, m: Mm, n: Mm) -> Bool:
    """Every process has a kernel PMD page of its own, and init_mm another (SHARED_KERNEL_PMD is 0)."""
    own = (s.pmd_of[m] == s.pmd_of[n]).implies(m == n)
    return own & (s.pmd_of[m] != s.init_pmd[()])
