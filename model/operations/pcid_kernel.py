"""Flushing kernel addresses under PCIDs: the identifiers that are not loaded.

With isolation kernel pages are not global, so each of a CPU's identifiers may have entries of its own
for them, under both of its PCIDs.  INVLPG reaches the kernel PCID that is loaded; INVPCID, or the exit
path where a CPU lacks it, the user PCID that belongs to it; the others are dropped when they are chosen
next, which one flag for all of them asks for (invalidate_other).  Entries here are not global.
"""

from __future__ import annotations

from ..language import FALSE, TRUE, Bool, Map, Step, ite, operation, some
from ..machine.cpu import Mode
from ..machine.sorts import Cpu, Va
from ..machine.tlb import Asid, drop_tagged
from .kernel_pages import KernelPages


class KernelPcids(KernelPages):
    """valid: the identifier has a process (``ctx_id``).  invalidate_other: all but the loaded one are to
    be dropped."""

    valid: Map[tuple[Cpu, Asid], Bool]
    invalidate_other: Map[Cpu, Bool]

    def is_kept(self, cpu: Cpu, a: Asid) -> Bool:
        """Entries of the identifier may be used without another flush."""
        return (self.asid[cpu] == a) | (self.valid[cpu, a] & ~self.invalidate_other[cpu])


@operation(kernel="arch/x86/mm/tlb.c: initialize_tlbstate_and_flush()")
def boot(s: KernelPcids) -> Step:
    """Nothing is mapped, nothing is cached."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_pages(),
            s.valid.fill(lambda cpu, a: s.asid[cpu] == a),
            s.invalidate_other.fill(lambda cpu: FALSE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: KernelPcids, cpu: Cpu, va: Va) -> Step:
    """The CPU caches a translation under the PCID in CR3."""
    key = (cpu, s.asid[cpu], va)
    user = s.mode[cpu] == Mode.USER
    found = ite(user, s.user[va], s.kernel[va])
    global_ = ite(user, s.user_g[va], s.kernel_g[va])
    return Step(
        when=found.is_some & ~global_,
        then=[
            s.user_tlb.set(key, ite(user, some(found.value), s.user_tlb[key])),
            s.kernel_tlb.set(key, ite(user, s.kernel_tlb[key], some(found.value))),
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


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush(), flush_tlb_one_kernel()")
def flush_kernel_range(s: KernelPcids, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the loaded identifier's entries go, those of the others later."""
    return Step(
        when=s.is_asked(cpu, by),
        then=[
            *s.flush_loaded(cpu, s.release.va[by]),
            s.invalidate_other.set(cpu, TRUE),
            s.release.answer(by, cpu),
        ],
    )
