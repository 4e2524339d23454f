"""PCIDs under page table isolation."""

from __future__ import annotations

from ..language import Bool, Design, Opt, always
from ..machine.cpu import Mode
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..machine.tlb import Asid
from ..operations import pcid as op
from ..operations.pcid import Pcids, switch_mm, unmap


@always
def mapped_pages_have_one_user(s: Pcids, m: Mm, va: Va, n: Mm, other: Va) -> Bool:
    """A mapped frame is not free, and is mapped once."""
    a, b = s.maps[m, va], s.maps[n, other]
    alone = (b.is_some & (a.value == b.value)).implies((m == n) & (va == other))
    return a.is_some.implies(~s.free[a.value] & alone)


@always
def unmapped_pages_have_one_cpu(s: Pcids, cpu: Cpu, by: Cpu, m: Mm, va: Va) -> Bool:
    """A frame that is being unmapped is neither mapped nor free, and one CPU is at it."""
    f = s.unmap.frame[cpu]
    alone = (~unmap.idle(s, by) & (s.unmap.frame[by] == f)).implies(by == cpu)
    mapped = s.maps[m, va].is_some & (s.maps[m, va].value == f)
    return (~unmap.idle(s, cpu)).implies(~s.free[f] & alone & ~mapped)


@always
def nobody_has_answered_yet(s: Pcids, by: Cpu, cpu: Cpu) -> Bool:
    """Until the request is sent, every CPU's answer is missing."""
    before = unmap.at(s, by, unmap.steps[1]) | unmap.at(s, by, unmap.steps[2])
    return before.implies(s.waits_for[s.unmap.frame[by], cpu])


@always
def switches_are_in_the_kernel(s: Pcids, cpu: Cpu) -> Bool:
    """A CPU that switches is in the kernel; the exit path has obeyed the mask."""
    user = s.mode[cpu] == Mode.USER
    return user.implies(switch_mm.idle(s, cpu) & ~s.user_flush[cpu, s.asid[cpu]])


@always
def loaded_identifiers_are_the_processs(s: Pcids, cpu: Cpu) -> Bool:
    """The identifier in CR3 has the loaded process, the chosen one the next; they may be the same if
    the processes are, or it is about to be flushed."""
    m, a = s.loaded_mm[cpu], s.asid[cpu]
    n, b = s.switch.next[cpu], s.switch.asid[cpu]
    loading = switch_mm.at(s, cpu, switch_mm.steps[2])
    retaken = loading & (a == b)
    return (
        (~retaken).implies(s.ctx[cpu, a] == m)
        & (retaken & ~s.switch.flush[cpu]).implies(m == n)
        & loading.implies(s.ctx[cpu, b] == n)
    )


def _chosen(s: Pcids, cpu: Cpu, va: Va, entry: Opt[Frame]) -> Bool:
    """An entry of the chosen identifier is a mapping, or somebody waits for this CPU."""
    m = s.switch.next[cpu]
    keeps = switch_mm.at(s, cpu, switch_mm.steps[2]) & ~s.switch.flush[cpu] & entry.is_some
    return keeps.implies((s.maps[m, va] == entry) | s.awaited(cpu, m, va, entry.value))


@always
def chosen_kernel_entries_are_mappings(s: Pcids, cpu: Cpu, va: Va) -> Bool:
    """Kernel-PCID entries that a context switch keeps are good."""
    return _chosen(s, cpu, va, s.kernel_tlb[cpu, s.switch.asid[cpu], va])


@always
def chosen_user_entries_are_mappings(s: Pcids, cpu: Cpu, va: Va) -> Bool:
    """User-PCID entries that a context switch keeps are good, or the exit path flushes them."""
    a = s.switch.asid[cpu]
    return s.user_flush[cpu, a] | _chosen(s, cpu, va, s.user_tlb[cpu, a, va])


pcid_pti = Design(
    name="pcid-pti",
    state=Pcids,
    init=op.boot,
    operations=[
        op.map_page,
        op.fill_tlb,
        op.enter_kernel,
        op.return_to_user,
        op.flush_tlb_func,
    ],
    procedures=[op.switch_mm, op.unmap],
    lemmas=[
        mapped_pages_have_one_user,
        unmapped_pages_have_one_cpu,
        nobody_has_answered_yet,
        switches_are_in_the_kernel,
        loaded_identifiers_are_the_processs,
        chosen_kernel_entries_are_mappings,
        chosen_user_entries_are_mappings,
    ],
    scope={Mm: 2, Cpu: 2, Va: 1, Frame: 2, Asid: 2},
    doc="""PCIDs under page table isolation, as merged: identifiers with counts, requests to the CPUs in
the mask, and user PCIDs that the exit path flushes.""",
    source="arch/x86/mm/tlb.c and entry/calling.h of Linux 6.1",
)
