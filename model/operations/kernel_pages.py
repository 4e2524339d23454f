"""Kernel pages under page table isolation and PCIDs: how they are mapped in both halves and released.

The entry area (cpu_entry_area) is mapped by tables that both halves share.  Whoever unmaps a page asks
every CPU to flush it, and frees it when all have answered; ``pti_global`` and ``pcid_kernel`` say what
a CPU does then.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Fun,
    Map,
    Procedure,
    Step,
    Update,
    exists,
    given,
    operation,
    some,
)
from ..machine.cpu import Mode
from ..machine.flush import Flush
from ..machine.halves import Halves
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import Asid, Tlb, drop_tagged


class KernelPages(Tlb, Halves):
    """Of kernel addresses.  entry_area: the address lies there.  asid: the identifier in CR3.
    user_flush: ``user_pcid_flush_mask``.  has_invpcid: INVPCID may be used on one address; has_pge:
    entries may be global."""

    mode: Map[Cpu, Mode]
    asid: Map[Cpu, Asid]
    user_flush: Map[tuple[Cpu, Asid], Bool]
    free: Map[Frame, Bool]
    release: Flush
    entry_area: Fun[Va, Bool] = given(lambda scope, va: va % 4 == 0)
    has_invpcid: Fun[tuple[()], Bool]
    has_pge: Fun[tuple[()], Bool]

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

    def is_asked(self, cpu: Cpu, by: Cpu) -> Bool:
        """The request of one CPU reaches another, which takes interrupts."""
        asked = ~release.idle(self, by) & self.release.waits_for[by, cpu]
        return asked & (self.mode[cpu] == Mode.KERNEL)

    def boot_pages(self) -> list[Update]:
        """Nothing is mapped, nothing is cached."""
        return [
            self.kernel_tlb.fill(lambda cpu, a, va: NONE),
            self.user_tlb.fill(lambda cpu, a, va: NONE),
            self.kernel.fill(lambda va: NONE),
            self.user.fill(lambda va: NONE),
            self.kernel_g.fill(lambda va: FALSE),
            self.user_g.fill(lambda va: FALSE),
            self.mode.fill(lambda cpu: Mode.KERNEL),
            self.user_flush.fill(lambda cpu, a: FALSE),
            self.free.fill(lambda f: TRUE),
        ]

    def flush_loaded(self, cpu: Cpu, va: Va) -> list[Update]:
        """flush_tlb_one_kernel(): INVLPG drops what the loaded kernel PCID has; INVPCID, or the exit
        path, what the user PCID has."""

        def here(c: Cpu, b: Asid, v: Va) -> Bool:
            return (c == cpu) & (b == self.asid[cpu]) & (v == va)

        key, invpcid = (cpu, self.asid[cpu]), self.has_invpcid[()]
        return [
            drop_tagged(self.kernel_tlb, here),
            drop_tagged(self.user_tlb, lambda c, b, v: here(c, b, v) & invpcid),
            self.user_flush.set(key, self.user_flush[key] | ~invpcid),
        ]


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_KERNEL_CR3")
def enter_kernel(s: KernelPages, cpu: Cpu) -> Step:
    """A system call or interrupt; CR3 has the no-flush bit."""
    return Step(when=s.mode[cpu] == Mode.USER, then=[s.mode.set(cpu, Mode.KERNEL)])


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_USER_CR3_STACK")
def return_to_user(s: KernelPages, cpu: Cpu) -> Step:
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


@operation(kernel="arch/x86/mm/cpu_entry_area.c: cea_set_pte()")
def cea_set_pte(s: KernelPages, va: Va, f: Frame) -> Step:
    """A free page is set in the entry area, global if CPUs know that; an entry that was not present is
    in no TLB."""
    empty = s.entry_area[va] & s.kernel[va].is_none & s.user[va].is_none
    return Step(
        when=empty & s.free[f],
        then=[
            s.kernel.set(va, some(f)),
            s.user.set(va, some(f)),
            s.kernel_g.set(va, s.has_pge[()]),
            s.user_g.set(va, s.has_pge[()]),
            s.free.set(f, FALSE),
        ],
    )


release = Procedure(
    "release",
    kernel="arch/x86/events/intel/ds.c: ds_clear_cea(), dsfree_pages(); mm/vmalloc.c: vunmap_range()",
    doc="Clear an entry, have it flushed by flush_tlb_kernel_range(), free the page.",
)


@release.step
def clear_pte(s: KernelPages, cpu: Cpu, va: Va) -> Step:
    """Clear the entry of a page that is the kernel's alone or of the entry area; every CPU is asked,
    this one among them.  What was copied to the user tables stays for good."""
    private = s.kernel[va].is_some & (s.entry_area[va] | s.user[va].is_none)
    return Step(
        when=private & (s.mode[cpu] == Mode.KERNEL),
        then=[
            *s.release.begin(cpu, va, s.kernel[va].value, lambda c: TRUE),
            s.kernel.set(va, NONE),
            s.user.set(va, NONE),
            s.kernel_g.set(va, FALSE),
            s.user_g.set(va, FALSE),
        ],
    )


@release.step
def free_page(s: KernelPages, cpu: Cpu) -> Step:
    """When all have flushed, the page is free for anyone."""
    return Step(when=s.release.answered(cpu), then=[s.free.set(s.release.frame[cpu], TRUE)])
