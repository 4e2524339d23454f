"""GUP-fast: a walker takes a reference to a page that it has found without a lock.

Between its look at the entry and the reference the page may be unmapped, freed and given to somebody
else, whose page the walker then holds.  So it looks at the entry again when it has the reference, and
gives the page back if the entry has changed.  (That the table is still one is gather's subject.)
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Va


class Walk(Locals):
    """The locals of gup_pte_range(): the address, and the page that it has found there."""

    va: Map[Cpu, Va]
    frame: Map[Cpu, Frame]


class Pinned(State):
    """maps: the tables of the process.  taken: the page has a reference, of whomever.  others: it is
    somebody else's.  held: the page that a walker has a reference to."""

    maps: Map[Va, Opt[Frame]]
    taken: Map[Frame, Bool]
    others: Map[Frame, Bool]
    held: Map[Cpu, Opt[Frame]]
    found: Walk

    def not_held(self, f: Frame) -> Bool:
        """No walker has a reference."""
        return forall(Cpu, lambda cpu: self.held[cpu] != some(f))


@operation(kernel="kernel/fork.c: mm_init()")
def boot(s: Pinned) -> Step:
    """Nothing is mapped, nothing is held."""
    return Step(
        when=TRUE,
        then=[
            s.maps.fill(lambda va: NONE),
            s.taken.fill(lambda f: FALSE),
            s.others.fill(lambda f: FALSE),
            s.held.fill(lambda cpu: NONE),
        ],
    )


@operation(kernel="mm/memory.c: do_anonymous_page(), set_pte_at()")
def map_page(s: Pinned, va: Va, f: Frame) -> Step:
    """A fault maps a free page."""
    return Step(
        when=s.maps[va].is_none & ~s.taken[f],
        then=[s.maps.set(va, some(f)), s.taken.set(f, TRUE)],
    )


@operation(kernel="mm/memory.c: zap_pte_range()")
def zap_pte(s: Pinned, va: Va) -> Step:
    """The entry is cleared; the page still has its reference."""
    return Step(when=s.maps[va].is_some, then=[s.maps.set(va, NONE)])


@operation(kernel="include/linux/mm.h: put_page(); mm/mmu_gather.c: tlb_batch_pages_flush()")
def put_page(s: Pinned, f: Frame) -> Step:
    """The last reference to a page goes: of an unmapped page, or of somebody else's."""
    unmapped = forall(Va, lambda va: s.maps[va] != some(f))
    return Step(
        when=s.taken[f] & unmapped & s.not_held(f),
        then=[s.taken.set(f, FALSE), s.others.set(f, FALSE)],
    )


@operation(kernel="mm/page_alloc.c: __alloc_pages()")
def allocate(s: Pinned, f: Frame) -> Step:
    """Somebody else takes a free page."""
    return Step(when=~s.taken[f], then=[s.taken.set(f, TRUE), s.others.set(f, TRUE)])


@operation(kernel="mm/gup.c: unpin_user_page()")
def unpin_user_page(s: Pinned, cpu: Cpu) -> Step:
    """The caller of GUP is done with the page."""
    return Step(when=gup_pte_range.idle(s, cpu) & s.held[cpu].is_some, then=[s.held.set(cpu, NONE)])


def _gup_pte_range(doc: str, *, looks_again: bool) -> Procedure:
    """Whether it keeps a page only if the entry is still the same."""
    procedure = Procedure("gup_pte_range", kernel="mm/gup.c: gup_pte_range()", doc=doc)

    def read_pte(s: Pinned, cpu: Cpu, va: Va) -> Step:
        """With interrupts off, look at an entry."""
        return Step(
            when=s.maps[va].is_some & s.held[cpu].is_none,
            then=[s.found.va.set(cpu, va), s.found.frame.set(cpu, s.maps[va].value)],
        )

    def try_grab_folio(s: Pinned, cpu: Cpu) -> Step:
        """Take a reference, unless the page is free."""
        f = s.found.frame[cpu]
        return Step(when=s.taken[f], then=[s.held.set(cpu, some(f))])

    def give_up(s: Pinned, cpu: Cpu) -> Step:
        """The page is free."""
        return Step(when=~s.taken[s.found.frame[cpu]])

    def keep(s: Pinned, cpu: Cpu) -> Step:
        """The entry is the same: return the page."""
        same = s.maps[s.found.va[cpu]] == some(s.found.frame[cpu])
        return Step(when=same if looks_again else TRUE)

    def gup_put_folio(s: Pinned, cpu: Cpu) -> Step:
        """The entry has changed: give the page back."""
        same = s.maps[s.found.va[cpu]] == some(s.found.frame[cpu])
        return Step(when=~same if looks_again else FALSE, then=[s.held.set(cpu, NONE)])

    procedure.step(to="try_grab_folio")(read_pte)
    procedure.step(at="try_grab_folio", to="look_again")(try_grab_folio)
    procedure.step(at="try_grab_folio", to=Procedure.DONE)(give_up)
    procedure.step(at="look_again", to=Procedure.DONE)(keep)
    procedure.step(at="look_again", to=Procedure.DONE)(gup_put_folio)
    return procedure


gup_pte_range = _gup_pte_range("Find a page, take a reference, look again.", looks_again=True)
# T-12-recheck: a reference was taken for a proof that the page is still the same.
gup_pte_range_once = _gup_pte_range("Find a page, take a reference.", looks_again=False)
