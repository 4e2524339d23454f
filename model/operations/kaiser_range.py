"""KAISER's removal of a range of pages from the shadow, one top-level slot after the other.

Each slot has tables of its own, so kaiser_remove_mapping() walks a range slot by slot.  The range is
memory that is freed as soon as the function returns.  Pages are modelled by their addresses alone;
addresses are ordered, and a slot is a piece of that order.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Fun,
    Locals,
    Map,
    Procedure,
    State,
    Step,
    Var,
    assumption,
    forall,
    given,
    operation,
)
from ..machine.sorts import Cpu, PgdSlot, Va


class Walk(Locals):
    """The local of kaiser_remove_mapping(): the address it is at."""

    addr: Map[Cpu, Va]


class Removal(State):
    """shadow: the page is in the shadow.  allocated: the range's memory is its owner's.  removing: he
    has begun to give it back.  before: the order of addresses; in_range: the address lies in the
    range; a_slot_later[a, b]: b is a + PGDIR_SIZE."""

    shadow: Map[Va, Bool]
    allocated: Var[Bool]
    removing: Var[Bool]
    walk: Walk
    before: Fun[tuple[Va, Va], Bool] = given(lambda scope, a, b: a < b)
    pgd_index: Fun[Va, PgdSlot] = given(lambda scope, va: va * scope[PgdSlot] // scope[Va])
    in_range: Fun[Va, Bool] = given(lambda scope, va: va in (3, 4))
    a_slot_later: Fun[tuple[Va, Va], Bool] = given(
        lambda scope, a, b: b == a + scope[Va] // scope[PgdSlot]
    )

    def first(self, va: Va) -> Bool:
        """The start of the range."""
        earlier = forall(Va, lambda v: self.before[v, va].implies(~self.in_range[v]))
        return self.in_range[va] & earlier

    def next_slot(self, a: Va, b: Va) -> Bool:
        """pgd_addr_end()."""
        i = self.pgd_index[a]
        between = forall(
            Va, lambda v: (self.before[a, v] & self.before[v, b]).implies(self.pgd_index[v] == i)
        )
        return self.before[a, b] & (self.pgd_index[b] != i) & between


@assumption
def addresses_are_ordered(s: Removal, a: Va, b: Va, c: Va) -> Bool:
    """The order is strict and total, and a slot is one piece of it."""
    total = (a == b) | s.before[a, b] | s.before[b, a]
    transitive = (s.before[a, b] & s.before[b, c]).implies(s.before[a, c])
    ends = s.before[a, b] & s.before[b, c] & (s.pgd_index[a] == s.pgd_index[c])
    return ~s.before[a, a] & total & transitive & ends.implies(s.pgd_index[a] == s.pgd_index[b])


@assumption
def the_range_is_one(s: Removal, a: Va, b: Va, c: Va) -> Bool:
    """What lies between two addresses of the range is in it."""
    between = s.before[a, b] & s.before[b, c]
    return (s.in_range[a] & s.in_range[c] & between).implies(s.in_range[b])


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_init()")
def boot(s: Removal) -> Step:
    """The range belongs to its owner; other pages may be in the shadow, of the range nothing is yet."""
    return Step(
        when=TRUE,
        then=[
            s.shadow.fill(lambda va: FALSE, lambda va: s.in_range[va]),
            s.allocated.become(TRUE),
            s.removing.become(FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_add_user_map()")
def add_mapping(s: Removal, va: Va) -> Step:
    """A page of the range is put into the shadow."""
    return Step(when=s.in_range[va] & ~s.removing.now, then=[s.shadow.set(va, TRUE)])


def _remove(doc: str, *, by_slot: bool) -> Procedure:
    """The walk; by_slot: it goes on at the start of the next slot, not at the same place in it."""
    procedure = Procedure(
        "kaiser_remove_mapping", kernel="arch/x86/mm/kaiser.c: kaiser_remove_mapping()", doc=doc
    )

    def start(s: Removal, cpu: Cpu, va: Va) -> Step:
        """The owner gives the range back."""
        due = ~s.removing.now & s.first(va)
        return Step(when=due, then=[s.removing.become(TRUE), s.walk.addr.set(cpu, va)])

    def unmap_pud_range(s: Removal, cpu: Cpu, b: Va) -> Step:
        """In one slot, everything from the address to the end of the range goes."""
        a = s.walk.addr[cpu]

        def here(va: Va) -> Bool:
            later = (va == a) | s.before[a, va]
            return s.in_range[va] & later & (s.pgd_index[va] == s.pgd_index[a])

        follows = s.next_slot(a, b) if by_slot else s.a_slot_later[a, b]
        return Step(
            when=s.in_range[a] & follows,
            then=[s.shadow.fill(lambda va: FALSE, here), s.walk.addr.set(cpu, b)],
        )

    def free(s: Removal, cpu: Cpu) -> Step:
        """The end of the range is reached, and its memory is freed."""
        done = ~s.in_range[s.walk.addr[cpu]]
        return Step(when=done, then=[s.allocated.become(FALSE)])

    procedure.step(to="loop")(start)
    procedure.step(at="loop", to="loop")(unmap_pud_range)
    procedure.step(at="loop", to=Procedure.DONE)(free)
    return procedure


remove = _remove("Remove a range, each slot up to its own end.", by_slot=True)
# K-07: the walk advanced by PGDIR_SIZE from an address inside a slot.
remove_by_size = _remove("Remove a range; in the next slot go on at the same place.", by_slot=False)
