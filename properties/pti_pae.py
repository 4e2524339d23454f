"""Kernel halves of processes on 32-bit PAE.

What it checks: kernel entries of a process are init_mm's, but for the LDT and, until it is
synchronised, the vmalloc area; its user tables have cpu_entry_area, the entry text and its LDT, and
nothing else; the LDT of a process stays until it exits.
Why it matters: one entry too many in the user tables is two megabytes of kernel memory; a lost LDT is
a fault on the way back to ring 3.
Kernel precedent: 9a62d20027da ("x86/mm/32: Sync only to VMALLOC_END in vmalloc_sync_all()").
Smallest counterexample: an LDT, then a synchronisation (pti-pae-sync-too-far).
Not covered: PTEs, the TLB, whether copies of the vmalloc area are fresh (vmalloc_sync has it).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Mm, Pmd, PmdSlot
from mapproof.model.operations.pae_tables import Region
from mapproof.model.operations.pti_pae import PaeHalves


@always
def kernel_halves_differ_in_ldts_only(s: PaeHalves, m: Mm, i: PmdSlot) -> Bool:
    """Outside the vmalloc area and the LDT, a process has init_mm's entries; and cpu_entry_area is the
    same in both of its PMD pages."""
    own = s.is_in(i, Region.VMALLOC, Region.LDT)
    same = s.pmd.same(s.copy(m, i), s.reference(i))
    area = s.is_in(i, Region.CPU_ENTRY_AREA).implies(s.user[m, i] == s.copy(m, i).table)
    return s.on_list[m].implies((own | same) & area)


@always
def user_tables_have_the_listed_regions_only(s: PaeHalves, m: Mm, i: PmdSlot) -> Bool:
    """User tables have entries of cpu_entry_area, the entry text (never the kernel's PTE page) and the
    process's LDT."""
    entry = s.user[m, i]
    listed = s.is_in(i, Region.CPU_ENTRY_AREA, Region.TEXT) | (
        s.is_in(i, Region.LDT) & (entry == s.ldt[m])
    )
    text = s.is_in(i, Region.TEXT).implies(entry.value == s.text_table[i])
    return (s.on_list[m] & entry.is_some).implies(listed & text)


@always
def ldts_stay_where_they_are(s: PaeHalves, m: Mm, i: PmdSlot) -> Bool:
    """A process that has an LDT has it in both halves, one without has none."""
    ldt = s.on_list[m] & s.is_in(i, Region.LDT)
    return ldt.implies((s.copy(m, i).table == s.ldt[m]) & (s.user[m, i] == s.ldt[m]))


@always
def ldts_are_of_one_process(s: PaeHalves, m: Mm, n: Mm) -> Bool:
    """Only processes have LDTs, and no two have the same PTE page for theirs."""
    shared = s.ldt[m].is_some & (s.ldt[m] == s.ldt[n])
    return (s.on_list[m] | s.ldt[m].is_none) & shared.implies(m == n)


@step
def ldts_have_one_table(old: PaeHalves, new: PaeHalves, m: Mm) -> Bool:
    """The PTE page of a process's LDT is the same until the process exits."""
    stays = old.on_list[m] & new.on_list[m] & old.ldt[m].is_some
    return stays.implies(new.ldt[m] == old.ldt[m])


@step
def entries_are_not_overwritten(old: PaeHalves, new: PaeHalves, i: PmdSlot) -> Bool:
    """An entry of init_mm that leads to a PTE page is cleared before it leads to another one."""
    a, b = old.reference(i), new.reference(i)
    return (a.table.is_some & b.present).implies(old.pmd.same(a, b))


@step
def who_is_not_listed_is_left_alone(old: PaeHalves, new: PaeHalves, m: Mm, i: PmdSlot) -> Bool:
    """Tables of a process that is not on pgd_list, and so may be free, are not written."""
    gone = ~old.on_list[m] & ~new.on_list[m]
    same = old.pmd.same(old.copy(m, i), new.copy(m, i)) & (old.user[m, i] == new.user[m, i])
    return gone.implies(same)


@always
def init_mms_user_tables_have_the_entry_code(s: PaeHalves, i: PmdSlot) -> Bool:
    """init_mm's user tables, which new processes get copies of, have cpu_entry_area and entry text; and
    init_mm has no LDT."""
    area, text = s.is_in(i, Region.CPU_ENTRY_AREA), s.is_in(i, Region.TEXT)
    shared = area.implies(s.init_user[i] == s.reference(i).table)
    own = text.implies(s.init_user[i] == some(s.text_table[i]))
    none = (~area & ~text).implies(s.init_user[i].is_none)
    return shared & own & none & s.is_in(i, Region.LDT).implies(s.pmd.none(s.init_pmd[()], i))


@always
def ldts_have_a_table_of_their_own(s: PaeHalves, m: Mm, p: Pmd, i: PmdSlot) -> Bool:
    """The PTE page of a process's LDT is allocated, and linked by that process alone, for its LDT."""
    t, entry = s.ldt[m], s.pmd.entry(p, i)
    own = (p == s.pmd_of[m]) & s.is_in(i, Region.LDT)
    return t.is_some.implies(s.in_use[t.value] & ((entry.table == t).implies(own)))


@sometimes
def a_copy_is_stale(s: PaeHalves, m: Mm, i: PmdSlot) -> Bool:
    """A process has a vmalloc entry that init_mm has no more."""
    stale = s.copy(m, i).present & ~s.reference(i).present
    return s.on_list[m] & s.is_vmalloc(i) & stale


@sometimes
def a_copy_was_synchronised_beside_an_ldt(s: PaeHalves, m: Mm, i: PmdSlot) -> Bool:
    """A process with an LDT has a vmalloc entry."""
    vmalloc = s.is_vmalloc(i) & s.copy(m, i).present
    return s.on_list[m] & s.ldt[m].is_some & vmalloc
