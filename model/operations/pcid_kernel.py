"""Flushing kernel addresses under PCIDs: the identifiers that are not loaded.

With isolation kernel pages are not global, so each of a CPU's identifiers may have entries of its own
for them, under both of its PCIDs.  INVLPG reaches the kernel PCID that is loaded; INVPCID, or the exit
path where a CPU lacks it, the user PCID that belongs to it; the others are dropped when they are chosen
next, which one flag for all of them asks for (invalidate_other).  The pages are those of
cpu_entry_area, which both halves map.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Fun,
    Map,
    Opt,
    Procedure,
    Step,
    Update,
    exists,
    ite,
    operation,
    some,
)
from ..machine.cpu import Mode
from ..machine.flush import Flush
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import Asid, Tlb, drop_tagged


class KernelPcids(Tlb):
    """cea: what is mapped, in both halves.  asid: the identifier in CR3.  valid: the identifier has a
    process (``ctx_id``).  invalidate_other: all but the loaded one are to be dropped.  user_flush:
    ``user_pcid_flush_mask``.  has_invpcid: INVPCID may be used on one address."""

    cea: Map[Va, Opt[Frame]]
    free: Map[Frame, Bool]
    mode: Map[Cpu, Mode]
    asid: Map[Cpu, Asid]
    valid: Map[tuple[Cpu, Asid], Bool]
    invalidate_other: Map[Cpu, Bool]
    user_flush: Map[tuple[Cpu, Asid], Bool]
    release: Flush
    has_invpcid: Fun[tuple[()], Bool]

    def awaited(self, cpu: Cpu, va: Va, f: Frame) -> Bool:
        """Somebody has cleared the entry, and this CPU's flush is still to come."""
        return exists(
            Cpu,
            lambda by: (
                ~release.idle(self, by)
                & self.release.is_about(by, va, f)
                & self.release.waits_for[by, cpu]
            ),
        )

    def is_kept(self, cpu: Cpu, a: Asid) -> Bool:
        """Entries of the identifier may be used without another flush."""
        return (self.asid[cpu] == a) | (self.valid[cpu, a] & ~self.invalidate_other[cpu])


@operation(kernel="arch/x86/mm/tlb.c: initialize_tlbstate_and_flush()")
def boot(s: KernelPcids) -> Step:
    """Nothing is mapped, nothing is cached."""
    return Step(
        when=TRUE,
        then=[
            s.kernel_tlb.fill(lambda cpu, a, va: NONE),
            s.user_tlb.fill(lambda cpu, a, va: NONE),
            s.cea.fill(lambda va: NONE),
            s.free.fill(lambda f: TRUE),
            s.mode.fill(lambda cpu: Mode.KERNEL),
            s.valid.fill(lambda cpu, a: s.asid[cpu] == a),
            s.invalidate_other.fill(lambda cpu: FALSE),
            s.user_flush.fill(lambda cpu, a: FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/cpu_entry_area.c: cea_set_pte()")
def cea_set_pte(s: KernelPcids, va: Va, f: Frame) -> Step:
    """A free page is mapped; an entry that was not present is in no TLB."""
    return Step(
        when=s.cea[va].is_none & s.free[f],
        then=[s.cea.set(va, some(f)), s.free.set(f, FALSE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: KernelPcids, cpu: Cpu, va: Va) -> Step:
    """The CPU caches a translation under the PCID in CR3."""
    key, found = (cpu, s.asid[cpu], va), some(s.cea[va].value)
    user = s.mode[cpu] == Mode.USER
    return Step(
        when=s.cea[va].is_some,
        then=[
            s.user_tlb.set(key, ite(user, found, s.user_tlb[key])),
            s.kernel_tlb.set(key, ite(user, s.kernel_tlb[key], found)),
        ],
    )


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_KERNEL_CR3")
def enter_kernel(s: KernelPcids, cpu: Cpu) -> Step:
    """A system call or interrupt; CR3 has the no-flush bit."""
    return Step(when=s.mode[cpu] == Mode.USER, then=[s.mode.set(cpu, Mode.KERNEL)])


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_USER_CR3_STACK")
def return_to_user(s: KernelPcids, cpu: Cpu) -> Step:
    """CR3 has the no-flush bit unless the mask has the identifier."""
    a = s.asid[cpu]
    due = s.user_flush[cpu, a]
    return Step(
        when=s.mode[cpu] == Mode.KERNEL,
        then=[
            s.mode.set(cpu, Mode.USER),
            drop_tagged(s.user_tlb, lambda c, b, va: (c == cpu) & (b == a) & due),
            s.user_flush.set((cpu, a), FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: choose_new_asid(), clear_asid_other(), load_new_mm_cr3()")
def switch_mm(s: KernelPcids, cpu: Cpu, a: Asid) -> Step:
    """If the flag asks for it, all identifiers but the loaded one lose their process; one that has none
    is flushed as it is loaded, its user PCID on the way out."""
    other = s.invalidate_other[cpu] & (s.asid[cpu] != a)
    due = ~s.valid[cpu, a] | other
    lost = s.valid.fill(
        lambda c, b: (b == a) | (s.valid[cpu, b] & ~s.invalidate_other[cpu]),
        lambda c, b: (c == cpu) & (b != s.asid[cpu]),
    )
    return Step(
        when=s.mode[cpu] == Mode.KERNEL,
        then=[
            s.asid.set(cpu, a),
            lost,
            s.invalidate_other.set(cpu, FALSE),
            drop_tagged(s.kernel_tlb, lambda c, b, va: (c == cpu) & (b == a) & due),
            s.user_flush.set((cpu, a), s.user_flush[cpu, a] | due),
        ],
    )


release = Procedure(
    "release",
    kernel="arch/x86/events/intel/ds.c: ds_clear_cea(), dsfree_pages()",
    doc="Clear an entry, have it flushed by flush_tlb_kernel_range(), free the page.",
)


@release.step
def clear_pte(s: KernelPcids, cpu: Cpu, va: Va) -> Step:
    """Clear the entry; every CPU is asked, this one among them."""
    return Step(
        when=s.cea[va].is_some,
        then=[*s.release.begin(cpu, va, s.cea[va].value, lambda c: TRUE), s.cea.set(va, NONE)],
    )


@release.step
def free_page(s: KernelPcids, cpu: Cpu) -> Step:
    """When all have flushed, the page is free for anyone."""
    return Step(when=s.release.answered(cpu), then=[s.free.set(s.release.frame[cpu], TRUE)])


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush(), flush_tlb_one_kernel()")
def flush_kernel_range(s: KernelPcids, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the loaded identifier's entries go, those of the others later."""
    a, va = s.asid[cpu], s.release.va[by]

    def here(c: Cpu, b: Asid, v: Va) -> Bool:
        return (c == cpu) & (b == a) & (v == va)

    now: list[Update] = [
        drop_tagged(s.kernel_tlb, here),
        drop_tagged(s.user_tlb, lambda c, b, v: here(c, b, v) & s.has_invpcid[()]),
    ]
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & ~release.idle(s, by) & s.release.waits_for[by, cpu],
        then=[
            *now,
            s.user_flush.set((cpu, a), s.user_flush[cpu, a] | ~s.has_invpcid[()]),
            s.invalidate_other.set(cpu, TRUE),
            s.release.answer(by, cpu),
        ],
    )
