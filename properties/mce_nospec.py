"""Pages with memory errors.

What it checks: while a page with an error leaves the direct map, speculation does not meet the error
again, and no instruction gets an address that it faults on; afterwards the page has neither a present
leaf nor a TLB entry; a leaf that is not present has no PFN that a CPU could use.  Invariant 8 of
cacheability.
Why it matters: meeting the error again is a second machine check, which may be fatal; a fault halfway
leaves the page mapped; a PFN that stays is read through L1TF.
Kernel precedent: 0521e8be211c ("x86/mm/cpa: Fix set_mce_nospec()"); the comment of set_mce_nospec().
Smallest counterexample: set_mce_nospec() that flushes by the decoy (mce-nospec-invlpg-decoy).
Not covered: the memory type of the page, which was made uncached instead in older kernels; SGX pages;
the machine check handler itself.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.mce_nospec import (
    CHANGE,
    CPA_FLUSH,
    DONE,
    Poison,
    Register,
    set_mce_nospec,
)


@always
def speculation_does_not_meet_the_error(s: Poison, f: Frame) -> Bool:
    """Nobody meets an error that was reported."""
    return ~s.met[f]


@always
def invlpg_gets_canonical_addresses(s: Poison, f: Frame) -> Bool:
    """No address that INVLPG gets is a decoy."""
    return ~s.fault[f]


@always
def hidden_pages_are_not_mapped(s: Poison, cpu: Cpu, f: Frame) -> Bool:
    """When set_mce_nospec() has returned, the page is neither in the direct map nor in a TLB."""
    return s.hidden[f].implies(~s.present[f] & ~s.tlb[cpu, f] & s.poisoned[f])


@always
def no_exploitable_pfn(s: Poison, f: Frame) -> Bool:
    """A leaf that is not present has an inverted PFN, and one that is present has not."""
    return s.inverted[f] == ~s.present[f]


@always
def addresses_stay_out_of_registers(s: Poison, f: Frame) -> Bool:
    """The address of a page with an error is in no register but as its decoy, and only during the
    call."""
    at_it = ~set_mce_nospec.idle(s, f)
    decoy, nothing = s.register[f] == Register.DECOY, s.register[f] == Register.NOTHING
    return (decoy | nothing) & (decoy == at_it)


@always
def the_leaf_goes_before_the_flush(s: Poison, f: Frame) -> Bool:
    """In the call the page has an error; its leaf is present until it is changed, and never when CPUs
    are asked to flush."""
    before = set_mce_nospec.at(s, f, CHANGE)
    after = set_mce_nospec.at(s, f, CPA_FLUSH) | set_mce_nospec.at(s, f, DONE)
    calls = (before | after).implies(s.poisoned[f] & ~s.hidden[f])
    return calls & before.implies(s.present[f]) & after.implies(~s.present[f])


@always
def who_has_flushed_has_no_entry(s: Poison, cpu: Cpu, f: Frame) -> Bool:
    """A CPU that has answered has no entry, nor will it get one."""
    answered = set_mce_nospec.at(s, f, DONE) & ~s.call.waits_for[f, cpu]
    return answered.implies(~s.tlb[cpu, f])


@step
def pages_leave_with_all_flushed(old: Poison, new: Poison, cpu: Cpu, f: Frame) -> Bool:
    """The call returns when no CPU is waited for."""
    returns = ~set_mce_nospec.idle(old, f) & set_mce_nospec.idle(new, f)
    return returns.implies(~old.call.waits_for[f, cpu] & new.hidden[f])


@step
def entries_come_of_use_and_go_by_invlpg(old: Poison, new: Poison, cpu: Cpu, f: Frame) -> Bool:
    """A TLB entry goes with the answer to a request, and comes of a page without an error."""
    gone, come = old.tlb[cpu, f] & ~new.tlb[cpu, f], ~old.tlb[cpu, f] & new.tlb[cpu, f]
    answered = old.call.waits_for[f, cpu] & ~new.call.waits_for[f, cpu]
    return gone.implies(answered) & come.implies(~old.poisoned[f])


@step
def errors_are_cleared_when_hidden(old: Poison, new: Poison, f: Frame) -> Bool:
    """A page has no error any more when it was out of use, and is in the direct map again."""
    cleared, comes = old.poisoned[f] & ~new.poisoned[f], old.hidden[f] & ~new.hidden[f]
    return (cleared == comes) & comes.implies(new.present[f])


@sometimes
def a_page_is_hidden(s: Poison, f: Frame) -> Bool:
    """A page is out of the direct map."""
    return s.hidden[f] & ~s.present[f]


@sometimes
def a_page_comes_back(s: Poison, cpu: Cpu, f: Frame) -> Bool:
    """A page that was out of the direct map is used again, after it had an error for a second time."""
    second = ~s.poisoned[f] & s.present[f] & s.tlb[cpu, f]
    return second & ~s.call.waits_for[f, cpu]


@sometimes
def an_entry_outlives_the_leaf(s: Poison, cpu: Cpu, f: Frame) -> Bool:
    """A CPU still has the page in its TLB when the leaf is gone."""
    return s.tlb[cpu, f] & ~s.present[f]
