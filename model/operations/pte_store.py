"""How an entry is written: a processor walks the tables between any two stores.

A 64-bit kernel has one store for an entry, if the compiler is told so (WRITE_ONCE).  A PAE kernel has
two for an entry of 64 bits, and orders them: the half with the present bit is written last, and cleared
first.  Page numbers are modelled by the two halves that make them.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    Update,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import drop


class Write(Locals):
    """The locals of whoever writes an entry: the address and the page."""

    va: Map[Cpu, Va]
    frame: Map[Cpu, Frame]


class Halves(State):
    """present, low: the half with the present bit; high: the other one.  Both name the page whose
    number they are of.  mapped: what the last writer meant.  locked: the page-table lock.  tlb: what a
    walk has read, a page only if the halves are of one.  torn: it has read halves of two.  one_store:
    the entry is one machine word."""

    present: Map[Va, Bool]
    low: Map[Va, Frame]
    high: Map[Va, Frame]
    mapped: Map[Va, Opt[Frame]]
    locked: Map[Va, Bool]
    tlb: Map[tuple[Cpu, Va], Opt[Frame]]
    torn: Map[Cpu, Bool]
    write: Write
    one_store: Fun[tuple[()], Bool]


@operation(kernel="arch/x86/mm/init.c")
def boot(s: Halves) -> Step:
    """Nothing is mapped."""
    return Step(
        when=TRUE,
        then=[
            s.present.fill(lambda va: FALSE),
            s.mapped.fill(lambda va: NONE),
            s.locked.fill(lambda va: FALSE),
            s.tlb.fill(lambda cpu, va: NONE),
            s.torn.fill(lambda cpu: FALSE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def walk(s: Halves, cpu: Cpu, va: Va) -> Step:
    """A CPU reads an entry, all of it at once, and caches what is present."""
    whole = s.low[va] == s.high[va]
    return Step(
        when=s.present[va],
        then=[
            s.tlb.set((cpu, va), ite(whole, some(s.low[va]), s.tlb[cpu, va])),
            s.torn.set(cpu, s.torn[cpu] | ~whole),
        ],
    )


def _set_pte(doc: str, *, high_first: bool) -> Procedure:
    """Which half is written first, where there are two."""
    procedure = Procedure(
        "set_pte", kernel="arch/x86/include/asm/pgtable-3level.h: native_set_pte()", doc=doc
    )

    def store(s: Halves, va: Va, f: Frame, high: bool) -> list[Update]:
        if high:
            return [s.high.set(va, f)]
        return [s.low.set(va, f), s.present.set(va, TRUE)]

    def first_store(s: Halves, cpu: Cpu, va: Va, f: Frame) -> Step:
        """Under the lock, store to an entry that is not present: one half, or all of it."""
        one = s.one_store[()]
        return Step(
            when=~s.locked[va] & ~s.present[va],
            then=[
                s.write.va.set(cpu, va),
                s.write.frame.set(cpu, f),
                s.locked.set(va, TRUE),
                s.mapped.set(va, some(f)),
                s.high.set(va, ite(one, f, f if high_first else s.high[va])),
                s.low.set(va, ite(one, f, s.low[va] if high_first else f)),
                s.present.set(va, one if high_first else TRUE),
            ],
        )

    def second_store(s: Halves, cpu: Cpu) -> Step:
        """Store to the other half, and unlock."""
        va, f = s.write.va[cpu], s.write.frame[cpu]
        rest = store(s, va, f, not high_first)
        return Step(when=TRUE, then=[*rest, s.locked.set(va, FALSE)])

    procedure.step(first_store)
    procedure.step(second_store)
    return procedure


set_pte = _set_pte("Write an entry; the half with the present bit last.", high_first=True)
# T-13: plain stores, which the compiler may split and order as it likes.
set_pte_torn = _set_pte("Write an entry, in stores of any order.", high_first=False)


@operation(kernel="arch/x86/include/asm/pgtable-3level.h: native_ptep_get_and_clear(); xchg")
def ptep_get_and_clear(s: Halves, va: Va) -> Step:
    """Under the lock, clear the half with the present bit first, and flush before anything else."""
    return Step(
        when=~s.locked[va] & s.present[va],
        then=[
            s.present.set(va, FALSE),
            s.mapped.set(va, NONE),
            drop(s.tlb, lambda cpu, v: v == va),
        ],
    )
