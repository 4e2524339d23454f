"""What the bits of the kernel's page-table entries say.

What it checks: an entry is zero, or leads to a table, or maps a page, each with the flags that the
kernel has for it: writable, supervisor, no execution of data, global leaves; accessed and dirty bits
are the processor's to set, the memory type is write-back.
Why it matters: one bit too many makes kernel memory executable or readable for user code, one too few
takes rights away from the kernel; half an entry is read by the processor as it is.
Kernel precedent: "x86/mm/pti: Fix PTE alignment and flags" and its like; debug output of
CONFIG_DEBUG_WX, which looks for writable and executable pages.
Smallest counterexample: none of the designs here writes other bits.
Not covered: read-only and executable mappings (kernel text, modules), other memory types.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some
from mapproof.model.machine.sorts import Pgd, PgdSlot, Pmd, PmdSlot, Pte, PteSlot
from mapproof.model.operations.vmalloc import KERNEL_PAGE, KERNEL_TABLE, Kernel, KernelTables
from mapproof.model.operations.vmalloc_x86_64 import X8664


@always
def pmd_entries_are_well_formed(s: KernelTables, p: Pmd, i: PmdSlot) -> Bool:
    """A PMD entry is zero, or leads to a PTE page, or is a large leaf of kernel data."""
    entry = s.pmd.entry(p, i)
    table = s.pmd.same(entry, KERNEL_TABLE, except_for=("table",)) & entry.table.is_some
    leaf = s.pmd.same(entry, KERNEL_PAGE, except_for=("leaf",)) & entry.leaf.is_some
    return s.pmd.none(p, i) | table | leaf


@always
def pte_entries_are_well_formed(s: Kernel, t: Pte, j: PteSlot) -> Bool:
    """A PTE is zero or maps a page of kernel data."""
    entry = s.pte.entry(t, j)
    leaf = s.pte.same(entry, KERNEL_PAGE, except_for=("leaf",)) & entry.leaf.is_some
    return s.pte.none(t, j) | leaf


@always
def pgd_entries_are_well_formed(s: X8664, p: Pgd, i: PgdSlot) -> Bool:
    """A top-level vmalloc entry is zero or leads to the table that was preallocated for it."""
    table = KERNEL_TABLE.but(table=some(s.preallocated[i]))
    return s.pgd.none(p, i) | s.pgd.same(s.pgd.entry(p, i), table)
