"""Debug-store buffers in cpu_entry_area: one CPU changes what another one uses.

The processor writes branch and event records by virtual address, whatever tables are loaded, so the
buffers of every CPU are mapped in cpu_entry_area, which kernel and user tables share.  perf sets them
up and takes them away from whichever CPU it runs on.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Map,
    Opt,
    Procedure,
    Step,
    exists,
    operation,
    some,
)
from ..machine.flush import Flush
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import TwoPcids, drop


class DebugStore(TwoPcids):
    """cea: what cpu_entry_area maps, in both halves."""

    cea: Map[Va, Opt[Frame]]
    free: Map[Frame, Bool]
    release: Flush

    def being_cleared(self, cpu: Cpu, va: Va, f: Frame) -> Bool:
        """Somebody has cleared the entry, and this CPU's flush is still to come."""
        return exists(
            Cpu,
            lambda by: (
                ~ds_clear.idle(self, by)
                & self.release.is_about(by, va, f)
                & self.release.waits_for[by, cpu]
            ),
        )


@operation(kernel="arch/x86/mm/cpu_entry_area.c: percpu_setup_debug_store()")
def boot(s: DebugStore) -> Step:
    """No buffer is mapped."""
    return Step(
        when=TRUE,
        then=[
            s.kernel_tlb.fill(lambda cpu, va: NONE),
            s.user_tlb.fill(lambda cpu, va: NONE),
            s.cea.fill(lambda va: NONE),
            s.free.fill(lambda f: TRUE),
        ],
    )


@operation(kernel="arch/x86/events/intel/ds.c: alloc_pebs_buffer(), ds_update_cea()")
def ds_update(s: DebugStore, va: Va, f: Frame) -> Step:
    """A page of a buffer is mapped; an entry that was not present is in no TLB."""
    return Step(
        when=s.cea[va].is_none & s.free[f],
        then=[s.cea.set(va, some(f)), s.free.set(f, FALSE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: DebugStore, cpu: Cpu, va: Va) -> Step:
    """A CPU on the kernel's tables caches a translation."""
    return Step(when=s.cea[va].is_some, then=[s.kernel_tlb.set((cpu, va), some(s.cea[va].value))])


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_user_tlb(s: DebugStore, cpu: Cpu, va: Va) -> Step:
    """A CPU on the user tables caches a translation."""
    return Step(when=s.cea[va].is_some, then=[s.user_tlb.set((cpu, va), some(s.cea[va].value))])


def _clear(doc: str, *, everywhere: bool) -> Procedure:
    """Release a buffer; everywhere: all CPUs flush it, not only the one that runs this."""
    procedure = Procedure(
        "ds_clear_cea",
        kernel="arch/x86/events/intel/ds.c: ds_clear_cea(), dsfree_pages()",
        doc=doc,
    )

    def clear_pte(s: DebugStore, cpu: Cpu, va: Va) -> Step:
        """cea_set_pte() clears the entry and flushes it on this CPU, for both PCIDs."""

        def others(c: Cpu) -> Bool:
            return c != cpu if everywhere else FALSE

        return Step(
            when=s.cea[va].is_some,
            then=[
                *s.release.begin(cpu, va, s.cea[va].value, others),
                s.cea.set(va, NONE),
                drop(s.kernel_tlb, lambda c, v: (c == cpu) & (v == va)),
                drop(s.user_tlb, lambda c, v: (c == cpu) & (v == va)),
            ],
        )

    def free_pages(s: DebugStore, cpu: Cpu) -> Step:
        """When all have answered, the page is free for anyone."""
        return Step(when=s.release.answered(cpu), then=[s.free.set(s.release.frame[cpu], TRUE)])

    procedure.step(clear_pte)
    procedure.step(free_pages)
    return procedure


ds_clear = _clear("Release a buffer: clear, flush_tlb_kernel_range(), free.", everywhere=True)
# P-14: only the CPU that changed the entry flushed it.
ds_clear_locally = _clear("Release a buffer: clear, flush on this CPU, free.", everywhere=False)


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def flush_kernel_range(s: DebugStore, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the entries of both PCIDs go."""
    va = s.release.va[by]
    return Step(
        when=s.release.waits_for[by, cpu] & ~ds_clear.idle(s, by),
        then=[
            drop(s.kernel_tlb, lambda c, v: (c == cpu) & (v == va)),
            drop(s.user_tlb, lambda c, v: (c == cpu) & (v == va)),
            s.release.answer(by, cpu),
        ],
    )
