"""Pages with memory errors beside everything else that maps pages, or reads them.

What it checks: when set_mce_nospec() has returned, the direct map does not lead to the page until its
error is cleared, and nobody reads it by a mapping made for that.  Interaction of direct-map removal with
memory errors.
Why it matters: whoever meets the error again takes a machine check, which may be fatal.
Kernel precedent: 284ce4011ba6 ("x86/memory_failure: Introduce {set, clear}_mce_nospec()").
Smallest counterexample: secretmem_free_folio() puts a page back that has an error (direct-map-today).
Not covered: decoy addresses and speculation during the call (mce_nospec); other aliases of the page.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.direct_map.frames import DirectMap, Request


@always
def poisoned_pages_are_not_mapped(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """The direct map does not lead to a page with an error, once the CPU has flushed it."""
    entry = s.tlb.present[cpu, f] | s.large_tlb[cpu, s.region[f]]
    flushed = s.poisoned[f] & ~s.asked[Request.MCE, f, cpu]
    return flushed.implies(~s.leaf.present[f] & ~entry)


@always
def nobody_reads_a_poisoned_page(s: DirectMap, f: Frame) -> Bool:
    """Nobody maps a page with an error to read it."""
    return ~s.consumed[f]


@sometimes
def an_error_is_out_of_reach(s: DirectMap, f: Frame) -> Bool:
    """A page has an error, and every CPU has flushed it."""
    return s.poisoned[f] & ~s.leaf.present[f] & s.answered(Request.MCE, f)
