"""Top-level entries under page table isolation.

What it checks: set_pgd() is used on 8 KiB pairs only, so that its second write lands in a user table
and nowhere else; both tables of a process have the same user-half entries but for NX; that NX is
there for processes, and not where firmware or a boot stub executes.
Why it matters: the second write goes to whatever lies 4 KiB further on; a poisoned entry stops the
firmware that is called through it.
Kernel precedent: "x86/kexec: Allocate 8k PGDs for PTI", J. Roedel, 25 July 2018; de53c3786a3c (NX and
EFI); d082d48737c7 ("x86/mm: Avoid using set_pgd() outside of real PGD pages").
Smallest counterexample: a single page for kexec, one entry (top-level-kexec-page).
Not covered: the time between the two writes (kaiser designs have it), freeing of tables, 32-bit PAE,
whose top-level entries have no NX.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.halves import TopLevelTables, Use
from mapproof.model.machine.sorts import Pgd, PgdSlot
from mapproof.model.operations.top_level import KERNPG_TABLE, PAGE_TABLE, TopLevel


@always
def set_pgd_only_on_pairs(s: TopLevel, p: Pgd, q: Pgd) -> Bool:
    """What set_pgd() was used on, for a slot of the user half, is a pair."""
    return (s.mirrored[p] & s.beside[p, q]).implies(s.is_pair(p, q))


@always
def no_other_page_is_written(s: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """Nothing is written as an entry into a page that holds none."""
    return ((s.use[p] == Use.FREE) | (s.use[p] == Use.DATA)).implies(s.pgd.none(p, i))


@always
def user_tables_have_the_user_half(s: TopLevelTables, p: Pgd, q: Pgd, i: PgdSlot) -> Bool:
    """User-half entries of a process's tables are equal apart from NX, and from the accessed bit, which
    the processor sets in each."""
    kernel, user = s.pgd.entry(p, i), s.pgd.entry(q, i)
    process = (s.use[p] == Use.PROCESS) & s.is_pair(p, q)
    same = s.pgd.same(kernel, user, except_for=("nx", "accessed"))
    return (process & s.user_half[i]).implies(same)


@always
def copies_are_exact(s: TopLevel, p: Pgd, q: Pgd, i: PgdSlot) -> Bool:
    """The user copy of any pair has the low entries of the table beside it, without NX."""
    kernel, user = s.pgd.entry(p, i), s.pgd.entry(q, i)
    pair = s.is_pair(p, q) & (p != q) & s.user_half[i]
    return pair.implies(s.pgd.same(kernel, user, except_for=("nx",)) & ~user.nx)


@always
def entries_are_well_formed(s: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """An entry is zero, or leads to a table with the flags of its kind: US for processes and for what
    is mapped as for one, not for kexec's control page and the trampoline."""
    entry = s.pgd.entry(p, i)
    system = (s.use[p] == Use.KEXEC) | (s.use[p] == Use.IMAGE)
    user = s.pgd.same(entry, PAGE_TABLE, except_for=("table", "nx"))
    kernel = s.pgd.same(entry, KERNPG_TABLE, except_for=("table",))
    copied = s.use[p] == Use.USER_COPY
    form = (kernel & (system | copied)) | (user & ~system)
    return s.pgd.none(p, i) | (entry.table.is_some & form)


@always
def kernel_half_entries_are_left_alone(s: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """Nobody here links an entry of the kernel half, nor is one mirrored."""
    return s.user_half[i] | s.pgd.none(p, i)


@always
def low_entries_come_from_set_pgd(s: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """A table with an entry was handed to set_pgd(); the trampoline's variable has none."""
    table = s.is_table(p) & (s.use[p] != Use.USER_COPY)
    return (table & s.pgd.present[p, i]).implies(s.mirrored[p])


@step
def pages_are_not_taken_twice(old: TopLevel, new: TopLevel, p: Pgd) -> Bool:
    """Who takes a page takes a free one."""
    return (old.use[p] == Use.FREE) | (new.use[p] == old.use[p])


@step
def entries_are_not_overwritten(old: TopLevel, new: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """An entry is cleared before it leads to another table."""
    stays = old.pgd.present[p, i] & new.pgd.present[p, i]
    return stays.implies(new.pgd.table[p, i] == old.pgd.table[p, i])


@always
def processes_are_poisoned(s: TopLevelTables, p: Pgd, i: PgdSlot) -> Bool:
    """A present user entry of a process's kernel table has NX; one that is not present is zero."""
    entry = s.pgd.entry(p, i)
    user = (s.use[p] == Use.PROCESS) & s.user_half[i]
    return user.implies((entry.present & entry.user).implies(entry.nx)) & (
        user & ~entry.present
    ).implies(s.pgd.none(p, i))


@always
def firmware_can_execute(s: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """Where firmware or a boot stub is running, no low entry of its table has NX."""
    return (s.executing[p] & s.user_half[i] & s.pgd.present[p, i]).implies(~s.pgd.nx[p, i])


@sometimes
def every_builder_has_a_low_entry(s: TopLevel, p: Pgd, q: Pgd, i: PgdSlot) -> Bool:
    """Firmware runs on one table while a process has an entry in another."""
    process = (s.use[q] == Use.PROCESS) & s.user_half[i] & s.pgd.present[q, i]
    return s.executing[p] & process


@sometimes
def a_page_is_used_for_data(s: TopLevel, p: Pgd) -> Bool:
    """A page went to somebody else."""
    return s.use[p] == Use.DATA


@sometimes
def firmware_runs(s: TopLevel, p: Pgd) -> Bool:
    """Firmware is called on init_mm's table."""
    return s.executing[p] & (s.use[p] == Use.INIT)


@sometimes
def tboot_runs(s: TopLevel, p: Pgd) -> Bool:
    """The shutdown code runs on tboot_mm."""
    return s.executing[p] & (s.use[p] == Use.TBOOT)


@sometimes
def the_trampoline_has_its_entry(s: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """The trampoline's variable holds an entry."""
    return (s.use[p] == Use.IMAGE) & s.pgd.present[p, i]


@sometimes
def kexec_has_its_entry(s: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """kexec's table maps the control page."""
    return (s.use[p] == Use.KEXEC) & s.pgd.present[p, i]
