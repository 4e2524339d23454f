"""set_memory_uc() and set_memory_wb() of a driver's page (pageattr has them in full)."""

from __future__ import annotations

from ...language import FALSE, TRUE, Bool, Operation, Step, forall, operation, some
from ...machine.sorts import Frame, Va
from ..vmalloc import Area
from .frames import Call, DirectMap, Owner, Request, Rules


def may_change(s: DirectMap, f: Frame, rules: Rules) -> Bool:
    """A driver may change the leaf of its page: lazily unmapped aliases are purged first, and the driver
    keeps no area.  alias: nobody else keeps a slot either."""

    def foreign(va: Va) -> Bool:
        return s.pkmap[va] & (s.area[va] == Area.BUSY)

    purged = forall(Va, lambda va: (s.page[va] == some(f)).implies(foreign(va)))
    alone = s.has_no_area(f) if rules.alias else purged
    return (s.owner[f] == Owner.KERNEL) & s.idle(f) & s.is_split(f) & alone


@operation(kernel="arch/x86/mm/pat/set_memory.c: cpa_flush()")
def cpa_flush(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the call returns."""
    return Step(
        when=(s.call[f] == Call.SET_MEMORY) & s.answered(Request.CALL, f),
        then=[s.call.set(f, Call.IDLE)],
    )


def cpa(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """alias: see may_change()."""

    def change(s: DirectMap, f: Frame, uncached: Bool) -> Step:
        return Step(
            when=may_change(s, f, rules) & (s.leaf.uncached[f] != uncached),
            then=[
                s.leaf.uncached.set(f, uncached),
                s.ask(Request.CALL, f),
                s.call.set(f, Call.SET_MEMORY),
            ],
        )

    @operation(kernel="arch/x86/mm/pat/set_memory.c: set_memory_uc(), __change_page_attr()")
    def set_memory_uc(s: DirectMap, f: Frame) -> Step:
        """The leaf becomes uncached, and every CPU is asked to flush."""
        return change(s, f, TRUE)

    @operation(kernel="arch/x86/mm/pat/set_memory.c: set_memory_wb(), __change_page_attr()")
    def set_memory_wb(s: DirectMap, f: Frame) -> Step:
        """The leaf becomes write-back again."""
        return change(s, f, FALSE)

    return [set_memory_uc, set_memory_wb, cpa_flush]
