"""Kernel entries of user tables on x86-64.

What it checks: kernel entries of a process's user tables are cpu_entry_area's and espfix's, which
are the kernel's own, the image's, which is not the kernel's, and that of its LDT; the first three are
there for every process.
Why it matters: an entry too many shows half a terabyte of kernel addresses; one too few, and the
processor cannot take an exception in ring 3.  No fault ever brings one in later.
Kernel precedent: comments of arch/x86/mm/pti.c; Documentation/x86/pti.rst.
Smallest counterexample: none of the designs here breaks these.
Not covered: what lies below (pti_clone), vsyscall, user-half entries (top_level).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Mm, P4dSlot
from mapproof.model.operations.pti_upper import Region, Upper


def _shared(s: Upper, i: P4dSlot) -> Bool:
    return (s.region[i] == Region.CPU_ENTRY_AREA) | (s.region[i] == Region.ESPFIX)


@always
def user_tables_have_the_listed_entries_only(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """Kernel entries of user tables: shared regions as the kernel has them, the image through other
    tables, the process's LDT."""
    entry = s.user[m, i]
    shared = _shared(s, i) & (entry == s.kernel[m, i])
    image = (s.region[i] == Region.IMAGE) & (entry != s.kernel[m, i])
    ldt = (s.region[i] == Region.LDT) & (entry == s.ldt[m])
    return (s.alive[m] & entry.is_some).implies(shared | image | ldt)


@always
def every_process_can_take_an_exception(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """Of the regions that are shared, and of the image, every process has what init_mm has."""
    needed = _shared(s, i) | (s.region[i] == Region.IMAGE)
    return (s.ready.now & s.alive[m] & needed).implies(s.user[m, i] == s.user[s.init_mm[()], i])


@always
def processes_have_their_own_ldt_only(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """The LDT's slot has the process's LDT in both tables, or is empty in both."""
    ldt = s.alive[m] & (s.region[i] == Region.LDT)
    return ldt.implies((s.kernel[m, i] == s.ldt[m]) & (s.user[m, i] == s.ldt[m]))


@sometimes
def a_process_has_an_ldt_and_its_exceptions(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """A process has an LDT and a shared entry."""
    return s.ldt[m].is_some & _shared(s, i) & s.user[m, i].is_some
