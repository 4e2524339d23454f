"""Entry text is cloned twice, and processes copy what was cloned in between (i386 with PAE).

pti_init() clones entry text into init_mm's user tables; pgd_alloc() copies their kernel PMD entries for
each process; pti_finalize() clones again, since mark_readonly() may have split the large page that the
first clone has.  Processes that exist by then, such as the mm that poking_init() makes for patching
text, have copies of the first.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Fun,
    Opt,
    Step,
    Var,
    assumption,
    given,
    ite,
    operation,
    some,
)
from ..machine.halves import KernelCopies, Slot, Word
from ..machine.sorts import Mm


class Clones(KernelCopies):
    """early, late: the entry that each round of cloning leaves in a slot with entry text.  initialised,
    finalised: the round is over."""

    initialised: Var[Bool]
    finalised: Var[Bool]
    early: Fun[Slot, Word] = given(lambda scope, i: 0)
    late: Fun[Slot, Word] = given(lambda scope, i: scope[Word] - 1)
    entry_text: Fun[Slot, Bool] = given(lambda scope, i: i == 0)
    ldt_slot: Fun[Slot, Bool] = given(lambda scope, i: i == scope[Slot] - 1)
    init_mm: Fun[tuple[()], Mm] = given(lambda scope: 0)

    def is_init(self, m: Mm) -> Bool:
        """The mm is init_mm."""
        return m == self.init_mm[()]


@assumption
def the_ldt_has_a_slot_of_its_own(s: Clones, i: Slot) -> Bool:
    """LDT_BASE_ADDR lies in a PMD entry of its own (pgtable_32_areas.h)."""
    return ~(s.entry_text[i] & s.ldt_slot[i])


@operation(kernel="arch/x86/kernel/head_32.S")
def boot(s: Clones) -> Step:
    """User tables are empty; there is init_mm only."""
    return Step(
        when=TRUE,
        then=[
            s.user_copy.fill(lambda m, i: NONE),
            s.process.fill(lambda m: FALSE),
            s.initialised.become(FALSE),
            s.finalised.become(FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/pti.c: pti_init(), pti_clone_entry_text()")
def pti_init(s: Clones) -> Step:
    """Clone entry text into init_mm's user tables."""

    def cloned(m: Mm, i: Slot) -> Opt[Word]:
        return some(s.early[i])

    return Step(
        when=~s.initialised.now,
        then=[
            s.user_copy.fill(cloned, lambda m, i: s.is_init(m) & s.entry_text[i]),
            s.initialised.become(TRUE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_alloc(), pgd_prepopulate_user_pmd()")
def pgd_alloc(s: Clones, m: Mm) -> Step:
    """A process, or poking_mm, gets copies of init_mm's entries, under pgd_lock."""
    init = s.init_mm[()]
    return Step(
        when=s.initialised.now & ~s.is_init(m) & ~s.process[m],
        then=[
            s.user_copy.fill(
                lambda n, i: ite(s.ldt_slot[i], NONE, s.user_copy[init, i]), lambda n, i: n == m
            ),
            s.process.set(m, TRUE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_free()")
def pgd_free(s: Clones, m: Mm) -> Step:
    """A process exits."""
    return Step(
        when=s.process[m],
        then=[s.user_copy.fill(lambda n, i: NONE, lambda n, i: n == m), s.process.set(m, FALSE)],
    )


@operation(kernel="arch/x86/kernel/ldt.c: map_ldt_struct_to_user()")
def map_ldt_struct_to_user(s: Clones, m: Mm, i: Slot, w: Word) -> Step:
    """A process has an LDT."""
    return Step(when=s.process[m] & s.ldt_slot[i], then=[s.user_copy.set((m, i), some(w))])


@operation(kernel="arch/x86/mm/pti.c: pti_finalize(), for each table on pgd_list")
def pti_finalize(s: Clones) -> Step:
    """Clone entry text again, into all user tables that there are."""
    return _finalise(s, lambda m, i: (s.is_init(m) | s.process[m]) & s.entry_text[i])


# the tables of processes keep the large page of the first round.
@operation(kernel="arch/x86/mm/pti.c: pti_finalize() of 6.1", name="pti_finalize")
def pti_finalize_init_mm_only(s: Clones) -> Step:
    """Clone entry text again, into init_mm's user tables."""
    return _finalise(s, lambda m, i: s.is_init(m) & s.entry_text[i])


def _finalise(s: Clones, where: Callable[[Mm, Slot], Bool]) -> Step:
    return Step(
        when=s.initialised.now & ~s.finalised.now,
        then=[s.user_copy.fill(lambda m, i: some(s.late[i]), where), s.finalised.become(TRUE)],
    )
