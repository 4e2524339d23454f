"""set_mce_nospec() and clear_mce_nospec(): a page with a memory error leaves the direct map.

Speculation may follow any address that sits in a register, as long as it is canonical and mapped, and
would meet the error again.  So set_memory_np() is given a decoy, the direct-map address with bit 63
flipped.  The page tables are found by it all the same; INVLPG and CLFLUSH fault on it, so for those
fix_addr() makes the true address, when the leaf is not present any more.  The PFN of a leaf that is not
present is inverted, as on CPUs with L1TF the cache is read by it whatever the present bit says.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Locals,
    Map,
    Procedure,
    State,
    Step,
    forall,
    operation,
)
from ..machine.sorts import Cpu, Frame


class Register(Enumeration):
    """What the CPU that handles the error has in a register: nothing of it, the page's decoy, or its
    address in the direct map."""

    NOTHING: Register
    DECOY: Register
    ADDRESS: Register


class Call(Locals):
    """The locals of a page's set_mce_nospec(): CPUs that have not flushed yet."""

    waits_for: Map[tuple[Frame, Cpu], Bool]


class Poison(State):
    """present: the page's leaf in the direct map.  inverted: the PFN in the leaf is.  poisoned: the page
    has a memory error that was reported.  hidden: set_mce_nospec() is done with it.  register: what
    sits in a register meanwhile.  tlb: CPUs have cached the leaf.  met: speculation has met the error
    again.  fault: INVLPG got an address that is not canonical."""

    present: Map[Frame, Bool]
    inverted: Map[Frame, Bool]
    poisoned: Map[Frame, Bool]
    hidden: Map[Frame, Bool]
    register: Map[Frame, Register]
    tlb: Map[tuple[Cpu, Frame], Bool]
    met: Map[Frame, Bool]
    fault: Map[Frame, Bool]
    call: Call


@operation(kernel="arch/x86/mm/init.c: init_mem_mapping()")
def boot(s: Poison) -> Step:
    """Every page is in the direct map, and none has an error."""
    return Step(
        when=TRUE,
        then=[
            s.present.fill(lambda f: TRUE),
            s.inverted.fill(lambda f: FALSE),
            s.poisoned.fill(lambda f: FALSE),
            s.hidden.fill(lambda f: FALSE),
            s.register.fill(lambda f: Register.NOTHING),
            s.tlb.fill(lambda cpu, f: FALSE),
            s.met.fill(lambda f: FALSE),
            s.fault.fill(lambda f: FALSE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: Poison, cpu: Cpu, f: Frame) -> Step:
    """A CPU caches the translation, of a page that is in use."""
    return Step(when=s.present[f] & ~s.poisoned[f], then=[s.tlb.set((cpu, f), TRUE)])


@operation(kernel="arch/x86/kernel/cpu/mce/core.c: do_machine_check()")
def memory_failure(s: Poison, f: Frame) -> Step:
    """A memory error is reported; nobody uses the page any more."""
    return Step(
        when=~s.poisoned[f],
        then=[s.poisoned.set(f, TRUE)],
    )


@operation(kernel="the processor: speculative loads")
def speculate(s: Poison, cpu: Cpu, f: Frame) -> Step:
    """A load that is never retired goes where a register points to, if that is mapped."""
    reached = (s.register[f] == Register.ADDRESS) & (s.present[f] | s.tlb[cpu, f])
    return Step(when=s.poisoned[f] & reached, then=[s.met.set(f, TRUE)])


def _set_mce_nospec(
    *, decoy: bool = True, fixes_address: bool = True, inverts: bool = True
) -> Procedure:
    """Take a page out of the direct map.  decoy: by its decoy.  fixes_address: INVLPG gets the true one.
    inverts: the PFN of the leaf is inverted."""
    procedure = Procedure(
        "set_mce_nospec",
        kernel="arch/x86/mm/pat/set_memory.c: set_mce_nospec(), set_memory_np()",
        doc="Make the leaf of a page with an error not present, by a decoy of its address, and flush.",
    )
    address = Register.DECOY if decoy else Register.ADDRESS

    @procedure.step
    def make_decoy(s: Poison, f: Frame) -> Step:
        """The address that set_memory_np() gets."""
        return Step(when=s.poisoned[f] & ~s.hidden[f], then=[s.register.set(f, address)])

    @procedure.step
    def change_page_attr(s: Poison, f: Frame) -> Step:
        """The leaf is made not present; every CPU is asked to flush it."""
        return Step(
            when=TRUE,
            then=[
                s.present.set(f, FALSE),
                s.inverted.set(f, TRUE if inverts else FALSE),
                s.call.waits_for.fill(lambda g, cpu: TRUE, lambda g, cpu: g == f),
            ],
        )

    @procedure.step(to="done")
    def cpa_flush(s: Poison, f: Frame) -> Step:
        """INVLPG, on this CPU first: of the true address, or of what was passed."""
        wrong = (s.register[f] == Register.DECOY) if not fixes_address else FALSE
        return Step(when=TRUE, then=[s.fault.set(f, s.fault[f] | wrong)])

    @procedure.step
    def done(s: Poison, f: Frame) -> Step:
        """When every CPU has flushed, return."""
        return Step(
            when=forall(Cpu, lambda cpu: ~s.call.waits_for[f, cpu]),
            then=[s.hidden.set(f, TRUE), s.register.set(f, Register.NOTHING)],
        )

    return procedure


set_mce_nospec = _set_mce_nospec()
MAKE_DECOY, CHANGE, CPA_FLUSH, DONE = set_mce_nospec.steps


@operation(kernel="arch/x86/mm/pat/set_memory.c: __cpa_flush_tlb()")
def flush(s: Poison, cpu: Cpu, f: Frame) -> Step:
    """The IPI arrives: INVLPG, unless it has faulted."""
    asked = set_mce_nospec.at(s, f, DONE) & s.call.waits_for[f, cpu] & ~s.fault[f]
    return Step(
        when=asked,
        then=[s.tlb.set((cpu, f), FALSE), s.call.waits_for.set((f, cpu), FALSE)],
    )


@operation(kernel="arch/x86/mm/pat/set_memory.c: clear_mce_nospec()")
def clear_mce_nospec(s: Poison, f: Frame) -> Step:
    """The error was cleared by writing the page anew: its leaf is present, with the PFN as it is."""
    return Step(
        when=s.hidden[f],
        then=[
            s.present.set(f, TRUE),
            s.inverted.set(f, FALSE),
            s.poisoned.set(f, FALSE),
            s.hidden.set(f, FALSE),
        ],
    )


# C-03: INVLPG was given the decoy.
set_mce_nospec_invlpg_decoy = _set_mce_nospec(fixes_address=False)
# C-10: the PFN stayed as it was.
set_mce_nospec_not_inverted = _set_mce_nospec(inverts=False)
# What the decoy is there against.
set_mce_nospec_by_address = _set_mce_nospec(decoy=False)
