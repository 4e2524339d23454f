"""Kernel entries of user tables on x86-64.

What it checks: kernel entries of a process's user tables are cpu_entry_area's and espfix's, which
are the kernel's own, the image's and the per-CPU areas', which are not the kernel's, and that of its
LDT; all but the last are there for every process.
Why it matters: an entry too many shows half a terabyte of kernel addresses; one too few, and the
processor cannot take an exception in ring 3.  No fault ever brings one in later.
Kernel precedent: comments of arch/x86/mm/pti.c; Documentation/x86/pti.rst.
Smallest counterexample: none of the designs here breaks these.
Not covered: what lies below (pti_clone, vsyscall), user-half entries (top_level).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Mm, P4dSlot
from mapproof.model.operations.kernel_half import KernelHalf, Region
from mapproof.model.operations.pti_upper import Upper


def _shared(s: Upper, i: P4dSlot) -> Bool:
    return (s.region[i] == Region.CPU_ENTRY_AREA) | (s.region[i] == Region.ESPFIX)


@always
def user_tables_have_the_listed_entries_only(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """Kernel entries of user tables: shared regions as the kernel has them, the image and per-CPU areas
    through other tables, the process's LDT."""
    entry = s.user[m, i]
    shared = _shared(s, i) & (entry == s.copy[m, i])
    own = (s.region[i] == Region.IMAGE) | (s.region[i] == Region.PER_CPU)
    image = own & (entry != s.copy[m, i])
    ldt = (s.region[i] == Region.LDT) & (entry == s.ldt[m])
    return (s.on_list[m] & entry.is_some).implies(shared | image | ldt)


@always
def every_process_can_take_an_exception(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """What entry code needs, every process has, as init_mm has it."""
    entry = s.user[m, i]
    there = entry.is_some & (entry == s.init_user[i])
    return (s.on_list[m] & s.is_needed(i)).implies(there)


@always
def processes_have_their_own_ldt_only(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """The LDT's slot has the process's LDT in both tables, or is empty in both."""
    ldt = s.on_list[m] & (s.region[i] == Region.LDT)
    return ldt.implies((s.copy[m, i] == s.ldt[m]) & (s.user[m, i] == s.ldt[m]))


@always
def ldts_are_of_processes(s: Upper, m: Mm) -> Bool:
    """What is not a process has no LDT."""
    return s.on_list[m] | s.ldt[m].is_none


@always
def init_mm_has_no_ldt(s: KernelHalf, i: P4dSlot) -> Bool:
    """The entry of the LDT is empty in init_mm."""
    return s.is_common(i) | s.reference[i].is_none


@always
def what_boot_links_stays(s: Upper, i: P4dSlot) -> Bool:
    """init_mm's entries that boot has linked are as it linked them."""
    return (s.linked[i] & s.is_common(i)).implies(s.reference[i] == some(s.at[i]))


@step
def ldts_have_one_table(old: Upper, new: Upper, m: Mm) -> Bool:
    """The tables of a process's LDT are the same until the process exits."""
    stays = old.on_list[m] & new.on_list[m] & old.ldt[m].is_some
    return stays.implies(new.ldt[m] == old.ldt[m])


@step
def what_boot_copied_stays(old: Upper, new: Upper, m: Mm, i: P4dSlot) -> Bool:
    """Once boot is done, kernel entries of user tables do not change, but for the LDT's; those of the
    kernel's tables are filled at most."""
    listed = old.on_list[m] & new.on_list[m] & old.is_common(i)
    kernel = old.copy[m, i].is_some.implies(new.copy[m, i] == old.copy[m, i])
    same = listed.implies((new.user[m, i] == old.user[m, i]) & kernel)
    return same & old.ready.now.implies(new.init_user[i] == old.init_user[i])


@always
def init_mms_user_tables_are_filled_by_region(s: Upper, i: P4dSlot) -> Bool:
    """What init_mm's user tables have, new processes get: shared regions as the kernel has them, the
    image and the per-CPU areas through other tables, all of it when boot is done."""
    entry = s.init_user[i]
    own = (s.region[i] == Region.IMAGE) | (s.region[i] == Region.PER_CPU)
    shared = _shared(s, i) & (entry == s.reference[i])
    listed = entry.is_some.implies(shared | (own & (entry == s.own[i])))
    return listed & (s.ready.now & s.is_needed(i)).implies(entry.is_some)


@sometimes
def a_process_has_an_ldt_and_its_exceptions(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """A process has an LDT and a shared entry."""
    return s.ldt[m].is_some & _shared(s, i) & s.user[m, i].is_some
