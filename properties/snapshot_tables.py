"""Which tables address spaces share, and which they copy.

What it checks: every process has init_mm's kernel entries in both of its tables, apart from the LDT; a
table of the user half belongs to one address space.
Why it matters: a kernel entry that one process lacks, or has another version of, is a fault or a stale
mapping for that process alone; a user table of two processes is a hole between them.
Kernel precedent: pgd_ctor() (arch/x86/mm/pgtable.c), arch_sync_kernel_mappings(), pti_finalize().
Smallest counterexample: an entry text that is cloned again in init_mm's user tables only.
Not covered: what lies below the entries; page tables that hugetlbfs lets processes share.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always
from mapproof.model.machine.halves import KernelCopies, Slot
from mapproof.model.machine.snapshot import Snapshot
from mapproof.model.machine.sorts import Frame, Mm


@always
def kernel_entries_are_init_mms(s: Snapshot, m: Mm, i: Slot) -> Bool:
    """Kernel entries of a process equal init_mm's, at the level at which they are copied."""
    other = s.process[m] & ~s.ldt_slot[i]
    return other.implies(s.copy[m, i] == s.copy[s.init_mm[()], i])


@always
def user_tables_have_init_mms_kernel_entries(s: KernelCopies, m: Mm, i: Slot) -> Bool:
    """Kernel entries of a process's user tables equal those of init_mm's user tables."""
    other = s.process[m] & ~s.ldt_slot[i]
    return other.implies(s.user_copy[m, i] == s.user_copy[s.init_mm[()], i])


@always
def user_half_tables_are_private(s: Snapshot, t: Frame, m: Mm, n: Mm) -> Bool:
    """No two address spaces reach the same table page in their user halves."""
    return (s.user_table[t, m] & s.user_table[t, n]).implies(m == n)
