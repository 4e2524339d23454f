"""The global bit under page table isolation."""

from __future__ import annotations

from ..language import Bool, Design, Opt, always
from ..machine.sorts import Cpu, Frame, Va
from ..operations import pti_global as op
from ..operations.pti_global import Globals, unmap


@always
def kernel_pages_are_mapped_once(s: Globals, va: Va, other: Va) -> Bool:
    """A mapped page is not free, and is mapped once."""
    a, b = s.kernel[va], s.kernel[other]
    alone = (b.is_some & (a.value == b.value)).implies(va == other)
    return a.is_some.implies(~s.free[a.value] & alone)


@always
def unmapped_kernel_pages_wait(s: Globals, cpu: Cpu, by: Cpu, va: Va) -> Bool:
    """A page that is being unmapped is neither mapped nor free, and one CPU is at it."""
    f = s.release.frame[cpu]
    alone = (~unmap.idle(s, by) & (s.release.frame[by] == f)).implies(by == cpu)
    mapped = s.kernel[va].is_some & (s.kernel[va].value == f)
    return (~unmap.idle(s, cpu)).implies(~s.free[f] & alone & ~mapped)


@always
def other_entries_are_mapped(s: Globals, cpu: Cpu, va: Va) -> Bool:
    """An entry that is not global is mapped in its half, or waits for this CPU's flush."""

    def good(entry: Opt[Frame], mapped: Opt[Frame]) -> Bool:
        return entry.is_some.implies((entry == mapped) | s.awaited(cpu, va, entry.value))

    return good(s.kernel_tlb[cpu, va], s.kernel[va]) & good(s.user_tlb[cpu, va], s.user[va])


pti_global = Design(
    name="pti-global",
    state=Globals,
    init=op.boot,
    operations=[
        op.return_to_user,
        op.enter_kernel,
        op.fill_tlb,
        op.map_kernel_page,
        op.clone,
        op.cea_set_pte,
        op.flush_kernel_range,
    ],
    procedures=[op.unmap],
    lemmas=[kernel_pages_are_mapped_once, unmapped_kernel_pages_wait, other_entries_are_mapped],
    scope={Cpu: 2, Va: 2, Frame: 2},
    doc="""The global bit under page table isolation, as merged: what both halves map may be global, and
nothing else.""",
    source="arch/x86/mm/pti.c and cpu_entry_area.c of Linux 6.1",
)

pti_global_invlpg = pti_global.replacing(
    op.flush_kernel_range,
    op.flush_kernel_range_not_global,
    name="pti-global-invlpg",
    doc="pti-global, but INVLPG leaves global entries while PCIDs are in use (defect T-08).",
)
