"""Two rounds of cloning entry text.

What it checks: user tables have entry text and the LDT, and nothing else of the kernel, at the entries
that were cloned last; a table that is given back is empty.  (That processes have init_mm's entries is
snapshot_tables.)
Why it matters: the large page of the first round is writable and executable, and stays in processes that
were made between the rounds.
Kernel precedent: pti_finalize(); the page tables of poking_mm in a Debian 6.1 686-pae kernel.
Smallest counterexample: a process between the rounds (pti-finalize-init-mm-only).
Not covered: what lies below the entries, other regions (pti_pae has them).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.halves import Slot
from mapproof.model.machine.sorts import Mm
from mapproof.model.operations.pti_finalize import Clones


@always
def cloned_entries_are_of_the_last_round(s: Clones, m: Mm, i: Slot) -> Bool:
    """Entry text of init_mm is that of the last round, and there from the first on."""
    entry = s.user_copy[m, i]
    first, second = entry == some(s.early[i]), entry == some(s.late[i])
    text = s.is_init(m) & s.entry_text[i]
    between = text & s.initialised.now & ~s.finalised.now
    return between.implies(first) & (text & s.finalised.now).implies(second)


@always
def nothing_else_is_cloned(s: Clones, m: Mm, i: Slot) -> Bool:
    """User tables have entry text and a process's LDT only; there is none before the first round."""
    ldt = s.ldt_slot[i] & s.process[m]
    clone = s.entry_text[i] & s.initialised.now & (s.process[m] | s.is_init(m))
    return s.user_copy[m, i].is_some.implies(ldt | clone)


@always
def the_rounds_are_in_order(s: Clones, m: Mm) -> Bool:
    """The second round comes after the first, and so do processes, of which init_mm is none."""
    in_order = s.finalised.now.implies(s.initialised.now)
    return in_order & s.process[m].implies(s.initialised.now & ~s.is_init(m))


@sometimes
def a_process_is_made_between_the_rounds(s: Clones, m: Mm, i: Slot) -> Bool:
    """A process has entry text of the first round."""
    return s.process[m] & ~s.finalised.now & (s.user_copy[m, i] == some(s.early[i]))


@sometimes
def a_process_has_the_second_round(s: Clones, m: Mm, i: Slot) -> Bool:
    """A process has entry text of the second round, and another one an LDT."""
    return s.process[m] & (s.user_copy[m, i] == some(s.late[i])) & s.entry_text[i]


@sometimes
def a_process_has_an_ldt(s: Clones, m: Mm, i: Slot) -> Bool:
    """A process has an LDT after the second round."""
    return s.process[m] & s.ldt_slot[i] & s.user_copy[m, i].is_some & s.finalised.now


@sometimes
def a_process_has_exited(s: Clones, m: Mm, i: Slot) -> Bool:
    """After the second round a process is gone, with its entries."""
    return s.finalised.now & ~s.process[m] & ~s.is_init(m) & s.user_copy[m, i].is_none
