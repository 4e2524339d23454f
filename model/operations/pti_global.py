"""The global bit under page table isolation: who may have it, and what it takes to get rid of an entry.

A global entry is used on the user tables as well as on the kernel's, so only what both map may be
global.  Kernel pages are not global by default; entry text becomes so when it is cloned, and pages of
cpu_entry_area, whose tables both halves share, when they are set.  One leaf for each half and address
is modelled.  Pages that are unmapped are flushed on every CPU, under both PCIDs.
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
    exists,
    given,
    ite,
    operation,
    some,
)
from ..machine.cpu import Mode
from ..machine.flush import Flush
from ..machine.halves import Halves
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import GlobalTlb, drop


class Globals(GlobalTlb, Halves):
    """Of kernel addresses.  entry_area, entry_text, tss: the address lies in cpu_entry_area, in the
    entry text, or is that of a CPU's TSS, of which entry code uses one word before it switches CR3."""

    mode: Map[Cpu, Mode]
    free: Map[Frame, Bool]
    release: Flush
    entry_area: Fun[Va, Bool] = given(lambda scope, va: va % 4 == 0)
    entry_text: Fun[Va, Bool] = given(lambda scope, va: va % 4 == 1)
    tss: Fun[Va, Bool] = given(lambda scope, va: va % 4 == 2)

    def awaited(self, cpu: Cpu, va: Va, f: Frame) -> Bool:
        """Somebody has unmapped the page, and this CPU's flush is still to come."""
        return exists(
            Cpu,
            lambda by: (
                ~unmap.idle(self, by)
                & self.release.is_about(by, va, f)
                & self.release.waits_for[by, cpu]
            ),
        )


@operation(kernel="arch/x86/mm/pti.c: pti_set_kernel_image_nonglobal()")
def boot(s: Globals) -> Step:
    """Nothing is mapped."""
    return Step(
        when=TRUE,
        then=[
            s.kernel_tlb.fill(lambda cpu, va: NONE),
            s.user_tlb.fill(lambda cpu, va: NONE),
            s.global_tlb.fill(lambda cpu, va: NONE),
            s.kernel.fill(lambda va: NONE),
            s.user.fill(lambda va: NONE),
            s.kernel_g.fill(lambda va: FALSE),
            s.user_g.fill(lambda va: FALSE),
            s.mode.fill(lambda cpu: Mode.KERNEL),
            s.free.fill(lambda f: TRUE),
        ],
    )


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_USER_CR3_STACK")
def return_to_user(s: Globals, cpu: Cpu) -> Step:
    """The user tables are loaded; no entry is flushed."""
    return Step(when=s.mode[cpu] == Mode.KERNEL, then=[s.mode.set(cpu, Mode.USER)])


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_KERNEL_CR3")
def enter_kernel(s: Globals, cpu: Cpu) -> Step:
    """The kernel's tables are loaded; no entry is flushed."""
    return Step(when=s.mode[cpu] == Mode.USER, then=[s.mode.set(cpu, Mode.KERNEL)])


@operation(kernel="Intel SDM vol. 3, section 4.10.2.4: global pages")
def fill_tlb(s: Globals, cpu: Cpu, va: Va) -> Step:
    """The CPU caches a translation of the tables in CR3: of a global page for all PCIDs."""
    user = s.mode[cpu] == Mode.USER
    found = ite(user, s.user[va], s.kernel[va])
    global_ = ite(user, s.user_g[va], s.kernel_g[va])
    key = (cpu, va)
    return Step(
        when=found.is_some,
        then=[
            s.global_tlb.set(key, ite(global_, some(found.value), s.global_tlb[key])),
            s.user_tlb.set(key, ite(user & ~global_, some(found.value), s.user_tlb[key])),
            s.kernel_tlb.set(key, ite(~user & ~global_, some(found.value), s.kernel_tlb[key])),
        ],
    )


@operation(kernel="mm/vmalloc.c: vmap_pte_range()")
def map_kernel_page(s: Globals, va: Va, f: Frame) -> Step:
    """The kernel maps a page for itself, which is not global."""
    empty = ~s.entry_area[va] & s.kernel[va].is_none & s.user[va].is_none
    return Step(
        when=empty & s.free[f],
        then=[s.kernel.set(va, some(f)), s.kernel_g.set(va, FALSE), s.free.set(f, FALSE)],
    )


@operation(kernel="arch/x86/mm/pti.c: pti_clone_pgtable()")
def clone(s: Globals, va: Va) -> Step:
    """A page of the entry text becomes global and is copied to the user tables; CPUs may have the old
    entry, too."""
    present = s.entry_text[va] & s.kernel[va].is_some & s.user[va].is_none
    return Step(
        when=present,
        then=[s.kernel_g.set(va, TRUE), s.user.set(va, s.kernel[va]), s.user_g.set(va, TRUE)],
    )


@operation(kernel="arch/x86/mm/pti.c: pti_clone_user_shared(), cpu_tss_rw")
def clone_tss(s: Globals, va: Va) -> Step:
    """The page of a CPU's TSS is copied to the user tables as it is, not global."""
    present = s.tss[va] & s.kernel[va].is_some & s.user[va].is_none
    return Step(when=present, then=[s.user.set(va, some(s.kernel[va].value))])


@operation(kernel="arch/x86/mm/cpu_entry_area.c: cea_set_pte()")
def cea_set_pte(s: Globals, va: Va, f: Frame) -> Step:
    """A page of cpu_entry_area is set, global, in tables that both halves share."""
    empty = s.entry_area[va] & s.kernel[va].is_none & s.user[va].is_none
    return Step(
        when=empty & s.free[f],
        then=[
            s.kernel.set(va, some(f)),
            s.user.set(va, some(f)),
            s.kernel_g.set(va, TRUE),
            s.user_g.set(va, TRUE),
            s.free.set(f, FALSE),
        ],
    )


unmap = Procedure(
    "unmap",
    kernel="arch/x86/events/intel/ds.c: ds_clear_cea(); mm/vmalloc.c: vunmap_range()",
    doc="Unmap a page that is the kernel's alone or of cpu_entry_area, flush it, free it.",
)


@unmap.step
def clear_pte(s: Globals, cpu: Cpu, va: Va) -> Step:
    """Clear the entry; what was copied to the user tables stays for good."""
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


@unmap.step
def free_page(s: Globals, cpu: Cpu) -> Step:
    """When all have flushed, the page is free for anyone."""
    return Step(when=s.release.answered(cpu), then=[s.free.set(s.release.frame[cpu], TRUE)])


def _flush(s: Globals, cpu: Cpu, by: Cpu, *, drops_global: bool) -> Step:
    va = s.release.va[by]
    tlbs = [s.kernel_tlb, s.user_tlb, *([s.global_tlb] if drops_global else [])]
    here = [drop(tlb, lambda c, v: (c == cpu) & (v == va)) for tlb in tlbs]
    return Step(
        when=~unmap.idle(s, by) & s.release.waits_for[by, cpu] & (s.mode[cpu] == Mode.KERNEL),
        then=[*here, s.release.answer(by, cpu)],
    )


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush(), flush_tlb_one_kernel()")
def flush_kernel_range(s: Globals, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: INVLPG drops global entries and those of the kernel PCID, INVPCID the user's."""
    return _flush(s, cpu, by, drops_global=True)


# T-08: on some processors INVLPG leaves global entries while PCIDs are in use.
@operation(
    kernel="arch/x86/mm/tlb.c: do_kernel_range_flush() on processors that ce0b15d11ad8 lists",
    name="flush_kernel_range",
)
def flush_kernel_range_not_global(s: Globals, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: INVLPG and INVPCID drop entries of both PCIDs, and no global one."""
    return _flush(s, cpu, by, drops_global=False)
