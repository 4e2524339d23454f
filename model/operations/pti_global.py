"""The global bit under page table isolation: who may have it, and what it takes to get rid of an entry.

A global entry is used on the user tables as well as on the kernel's, so only what both map may be
global.  Kernel pages are not global by default; entry text becomes so when it is cloned, and pages of
cpu_entry_area, whose tables both halves share, when they are set.  One leaf for each half and address
is modelled.  Pages that are unmapped are flushed on every CPU, under both PCIDs.
"""

from __future__ import annotations

from ..language import FALSE, NONE, TRUE, Bool, Fun, Step, given, ite, operation, some
from ..machine.cpu import Mode
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import GlobalTlb, drop
from .kernel_pages import KernelPages


class Globals(GlobalTlb, KernelPages):
    """entry_text, tss: the address lies in the entry text, or is that of a CPU's TSS, of which entry
    code uses one word before it switches CR3."""

    entry_text: Fun[Va, Bool] = given(lambda scope, va: va % 4 == 1)
    tss: Fun[Va, Bool] = given(lambda scope, va: va % 4 == 2)


@operation(kernel="arch/x86/mm/pti.c: pti_set_kernel_image_nonglobal()")
def boot(s: Globals) -> Step:
    """Nothing is mapped."""
    return Step(when=TRUE, then=[*s.boot_pages(), s.global_tlb.fill(lambda cpu, va: NONE)])


@operation(kernel="Intel SDM vol. 3, section 4.10.2.4: global pages")
def fill_tlb(s: Globals, cpu: Cpu, va: Va) -> Step:
    """The CPU caches a translation of the tables in CR3: of a global page for all PCIDs."""
    user = s.mode[cpu] == Mode.USER
    found = ite(user, s.user[va], s.kernel[va])
    global_ = ite(user, s.user_g[va], s.kernel_g[va])
    key, tagged = (cpu, va), (cpu, s.asid[cpu], va)
    new = some(found.value)
    return Step(
        when=found.is_some,
        then=[
            s.global_tlb.set(key, ite(global_, new, s.global_tlb[key])),
            s.user_tlb.set(tagged, ite(user & ~global_, new, s.user_tlb[tagged])),
            s.kernel_tlb.set(tagged, ite(~user & ~global_, new, s.kernel_tlb[tagged])),
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
    pge = s.has_pge[()]
    return Step(
        when=present,
        then=[s.kernel_g.set(va, pge), s.user.set(va, s.kernel[va]), s.user_g.set(va, pge)],
    )


@operation(kernel="arch/x86/mm/pti.c: pti_clone_user_shared(), cpu_tss_rw")
def clone_tss(s: Globals, va: Va) -> Step:
    """The page of a CPU's TSS is copied to the user tables as it is, not global."""
    present = s.tss[va] & s.kernel[va].is_some & s.user[va].is_none
    return Step(when=present, then=[s.user.set(va, some(s.kernel[va].value))])


def _flush(s: Globals, cpu: Cpu, by: Cpu, *, drops_global: bool) -> Step:
    va = s.release.va[by]
    here = drop(s.global_tlb, lambda c, v: (c == cpu) & (v == va))
    return Step(
        when=s.is_asked(cpu, by),
        then=[
            *s.flush_loaded(cpu, va),
            *([here] if drops_global else []),
            s.release.answer(by, cpu),
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush(), flush_tlb_one_kernel()")
def flush_kernel_range(s: Globals, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: INVLPG drops global entries and those of the kernel PCID, INVPCID or the exit
    path the user's."""
    return _flush(s, cpu, by, drops_global=True)


# T-08: on some processors INVLPG leaves global entries while PCIDs are in use.
@operation(
    kernel="arch/x86/mm/tlb.c: do_kernel_range_flush() on processors that ce0b15d11ad8 lists",
    name="flush_kernel_range",
)
def flush_kernel_range_not_global(s: Globals, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: INVLPG and INVPCID drop entries of both PCIDs, and no global one."""
    return _flush(s, cpu, by, drops_global=False)
