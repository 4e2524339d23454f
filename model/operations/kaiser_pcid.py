"""KAISER with PCIDs, as in the 4.4 and 4.9 stable kernels: one PCID for each half, for all processes.

Entries of both PCIDs survive the switch between the halves (CR3 bit 63), so whoever unmaps a page or
changes the process must get rid of them.  Those of the user PCID cannot be reached while the kernel's
is loaded: a per-CPU flag asks the exit path to drop them all.  User tables are folded to one entry
for each address; kernel addresses are not modelled.
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
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..machine.tlb import TwoPcids, drop


class Unmap(Flush):
    """The locals of the munmap() that a CPU is in."""

    mm: Map[Cpu, Mm]


class KaiserPcid(TwoPcids):
    """maps: the user tables of each process.  user_flush: the CPU's flag for the exit path.
    has_invpcid: the CPUs know INVPCID.  undefined: a CPU met an instruction that it does not know."""

    loaded_mm: Map[Cpu, Mm]
    mode: Map[Cpu, Mode]
    maps: Map[tuple[Mm, Va], Opt[Frame]]
    free: Map[Frame, Bool]
    user_flush: Map[Cpu, Bool]
    undefined: Map[Cpu, Bool]
    unmap: Unmap
    has_invpcid: Fun[tuple[()], Bool]

    def being_unmapped(self, cpu: Cpu, m: Mm, va: Va, f: Frame) -> Bool:
        """Somebody has cleared the entry, and this CPU's flush is still to come."""
        return exists(
            Cpu,
            lambda by: (
                ~unmap.idle(self, by)
                & (self.unmap.mm[by] == m)
                & self.unmap.is_about(by, va, f)
                & self.unmap.waits_for[by, cpu]
            ),
        )


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_init()")
def boot(s: KaiserPcid) -> Step:
    """Nothing is mapped, nothing is cached."""
    return Step(
        when=TRUE,
        then=[
            s.kernel_tlb.fill(lambda cpu, va: NONE),
            s.user_tlb.fill(lambda cpu, va: NONE),
            s.mode.fill(lambda cpu: Mode.KERNEL),
            s.maps.fill(lambda m, va: NONE),
            s.free.fill(lambda f: TRUE),
            s.user_flush.fill(lambda cpu: FALSE),
            s.undefined.fill(lambda cpu: FALSE),
        ],
    )


@operation(kernel="mm/memory.c: do_anonymous_page(), set_pte_at()")
def map_page(s: KaiserPcid, m: Mm, va: Va, f: Frame) -> Step:
    """Map a free frame; an entry that was not present is in no TLB."""
    return Step(
        when=s.maps[m, va].is_none & s.free[f],
        then=[s.maps.set((m, va), some(f)), s.free.set(f, FALSE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: KaiserPcid, cpu: Cpu, va: Va) -> Step:
    """The CPU caches a translation under the PCID in CR3, needed or not."""
    found = s.maps[s.loaded_mm[cpu], va]
    user = s.mode[cpu] == Mode.USER
    return Step(
        when=found.is_some,
        then=[
            s.user_tlb.set((cpu, va), ite(user, some(found.value), s.user_tlb[cpu, va])),
            s.kernel_tlb.set((cpu, va), ite(user, s.kernel_tlb[cpu, va], some(found.value))),
        ],
    )


@operation(kernel="arch/x86/include/asm/kaiser.h: SWITCH_KERNEL_CR3")
def enter_kernel(s: KaiserPcid, cpu: Cpu) -> Step:
    """A system call or interrupt; the kernel's entries are still good."""
    return Step(when=s.mode[cpu] == Mode.USER, then=[s.mode.set(cpu, Mode.KERNEL)])


@operation(kernel="arch/x86/include/asm/kaiser.h: _SWITCH_TO_USER_CR3, X86_CR3_PCID_USER_FLUSH")
def return_to_user(s: KaiserPcid, cpu: Cpu) -> Step:
    """Load the shadow, dropping the entries of the user PCID if the flag asks for it."""
    return Step(
        when=s.mode[cpu] == Mode.KERNEL,
        then=[
            s.mode.set(cpu, Mode.USER),
            drop(s.user_tlb, lambda c, va: (c == cpu) & s.user_flush[cpu]),
            s.user_flush.set(cpu, FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: load_new_mm_cr3(), kaiser_flush_tlb_on_return_to_user()")
def switch_mm(s: KaiserPcid, cpu: Cpu, m: Mm) -> Step:
    """Both PCIDs are reused: CR3 is written without bit 63, the exit path does the user's."""
    return Step(
        when=s.mode[cpu] == Mode.KERNEL,
        then=[
            s.loaded_mm.set(cpu, m),
            drop(s.kernel_tlb, lambda c, va: c == cpu),
            s.user_flush.set(cpu, TRUE),
        ],
    )


# K-09: the user PCID was flushed on the spot by INVPCID, which many CPUs with PCID do not have.
@operation(
    kernel="arch/x86/mm/tlb.c: load_new_mm_cr3(), invpcid_flush_single_context()", name="switch_mm"
)
def switch_mm_by_invpcid(s: KaiserPcid, cpu: Cpu, m: Mm) -> Step:
    """CR3 is written without bit 63, and INVPCID drops the entries of the user PCID."""
    return Step(
        when=s.mode[cpu] == Mode.KERNEL,
        then=[
            s.loaded_mm.set(cpu, m),
            drop(s.kernel_tlb, lambda c, va: c == cpu),
            drop(s.user_tlb, lambda c, va: c == cpu),
            s.undefined.set(cpu, ~s.has_invpcid[()]),
        ],
    )


unmap = Procedure(
    "unmap",
    kernel="mm/memory.c: zap_pte_range(), tlb_flush_mmu(); arch/x86/mm/tlb.c: flush_tlb_page()",
    doc="Unmap a page: clear its entry, have it flushed wherever the process runs, free the frame.",
)


@unmap.step
def clear_pte(s: KaiserPcid, cpu: Cpu, va: Va) -> Step:
    """Clear the entry; nobody has flushed it yet."""
    m = s.loaded_mm[cpu]
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & s.maps[m, va].is_some,
        then=[
            s.unmap.mm.set(cpu, m),
            *s.unmap.begin(cpu, va, s.maps[m, va].value, lambda c: TRUE),
            s.maps.set((m, va), NONE),
        ],
    )


@unmap.step
def send_flush(s: KaiserPcid, cpu: Cpu) -> Step:
    """Ask the CPUs that run the process (mm_cpumask), itself among them."""
    m = s.unmap.mm[cpu]
    return Step(when=TRUE, then=[s.unmap.ask_only(cpu, lambda c: s.loaded_mm[c] == m)])


@unmap.step
def free_page(s: KaiserPcid, cpu: Cpu) -> Step:
    """When all have answered, the frame is free for anyone."""
    return Step(when=s.unmap.answered(cpu), then=[s.free.set(s.unmap.frame[cpu], TRUE)])


def _flush_request(s: KaiserPcid, cpu: Cpu, by: Cpu, more: list[Update]) -> Step:
    """The IPI arrives, whenever interrupts come through, and is answered."""
    va, running = s.unmap.va[by], s.loaded_mm[cpu] == s.unmap.mm[by]
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL)
        & unmap.at(s, by, unmap.steps[2])
        & s.unmap.waits_for[by, cpu],
        then=[
            drop(s.kernel_tlb, lambda c, v: (c == cpu) & (v == va) & running),
            *more,
            s.unmap.answer(by, cpu),
        ],
    )


@operation(kernel="arch/x86/include/asm/tlbflush.h: __native_flush_tlb_single()")
def flush_tlb_func(s: KaiserPcid, cpu: Cpu, by: Cpu) -> Step:
    """INVLPG drops the kernel's entry; the flag has the user's dropped before it can be used."""
    return _flush_request(s, cpu, by, [s.user_flush.set(cpu, TRUE)])


# K-11: paravirt patching replaced the function by its first instruction.
@operation(
    kernel="arch/x86/kernel/paravirt_patch_64.c: flush_tlb_single as a bare INVLPG",
    name="flush_tlb_func",
)
def flush_tlb_func_patched(s: KaiserPcid, cpu: Cpu, by: Cpu) -> Step:
    """INVLPG drops the kernel's entry, and nothing else happens."""
    return _flush_request(s, cpu, by, [])
