"""Global pages under page table isolation.

What it checks: a page that is global in one half is mapped, and global, in the other, with the same
physical page; so a global entry of a TLB is what both halves map, until it is flushed; what ring 3 can
use is in the user tables; no TLB has an entry for a free page.
Why it matters: a global entry of a page that only the kernel maps is there in ring 3, where Meltdown
reads it; isolation of the tables alone does not help.
Kernel precedent: 52994c256df3; the comment above pti_kernel_image_global_ok() in arch/x86/mm/pti.c.
Smallest counterexample: none of the designs here breaks these (for copies, see pti_clone).
Not covered: user addresses, PCIDs of other processes, kernels that leave all text global without PCIDs
(kernel_text), pages that share a large page with entry text on 32-bit (pti_clone).
"""

from __future__ import annotations

from mapproof.model.language import Bool, Opt, always, sometimes, step
from mapproof.model.machine.cpu import Mode
from mapproof.model.machine.halves import Halves
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.pti_global import Globals


@always
def global_pages_are_in_the_user_tables(s: Halves, va: Va) -> Bool:
    """A page that is global is mapped in both halves."""
    return (s.kernel_g[va] | s.user_g[va]).implies(s.kernel[va].is_some & s.user[va].is_some)


@always
def global_entries_are_mapped_in_both_halves(s: Globals, cpu: Cpu, va: Va) -> Bool:
    """A global entry is a global page of both halves, or waits for this CPU's flush."""
    entry = s.global_tlb[cpu, va]
    mapped = (s.kernel[va] == entry) & (s.user[va] == entry) & s.kernel_g[va] & s.user_g[va]
    return entry.is_some.implies(mapped | s.awaited(cpu, va, entry.value))


@always
def ring_3_uses_the_user_tables_only(s: Globals, cpu: Cpu, va: Va) -> Bool:
    """What a CPU can use in ring 3 is in the user tables, or waits for its flush."""

    def good(entry: Opt[Frame]) -> Bool:
        return entry.is_some.implies((s.user[va] == entry) | s.awaited(cpu, va, entry.value))

    usable = good(s.user_tlb[cpu, s.asid[cpu], va]) & good(s.global_tlb[cpu, va])
    return (s.mode[cpu] == Mode.USER).implies(usable)


@always
def free_pages_are_in_no_tlb(s: Globals, cpu: Cpu, va: Va) -> Bool:
    """No CPU has an entry for a free page, under the PCIDs that are loaded or none, unless the exit
    path flushes it."""
    a = s.asid[cpu]

    def good(entry: Opt[Frame]) -> Bool:
        return entry.is_some.implies(~s.free[entry.value])

    user = s.user_flush[cpu, a] | good(s.user_tlb[cpu, a, va])
    return user & good(s.kernel_tlb[cpu, a, va]) & good(s.global_tlb[cpu, va])


@always
def user_tables_have_the_listed_pages_only(s: Globals, va: Va) -> Bool:
    """The user tables map cpu_entry_area, entry text, and the page of each CPU's TSS; the first with
    all that the kernel has there, and global if CPUs know that."""
    listed = s.entry_area[va] | s.entry_text[va] | s.tss[va]
    area = s.entry_area[va] & s.kernel[va].is_some
    return s.user[va].is_some.implies(listed) & area.implies(
        s.user[va].is_some & (s.user_g[va] == s.has_pge[()])
    )


@step
def what_was_copied_stays(old: Globals, new: Globals, va: Va) -> Bool:
    """Outside cpu_entry_area, what the user tables have stays there; no entry is overwritten."""
    copied = ~old.entry_area[va] & old.user[va].is_some
    replaced = old.kernel[va].is_some & new.kernel[va].is_some
    return copied.implies(new.user[va] == old.user[va]) & replaced.implies(
        new.kernel[va] == old.kernel[va]
    )


@sometimes
def the_kernel_runs_beside_a_user_entry(s: Globals, cpu: Cpu, va: Va) -> Bool:
    """A CPU in the kernel has an entry of the user PCID, of its TSS."""
    return (s.mode[cpu] == Mode.KERNEL) & s.user_tlb[cpu, s.asid[cpu], va].is_some


@sometimes
def ring_3_has_a_global_entry(s: Globals, cpu: Cpu, va: Va) -> Bool:
    """A CPU in ring 3 has a global entry of entry text."""
    text = ~s.entry_area[va] & s.global_tlb[cpu, va].is_some
    return (s.mode[cpu] == Mode.USER) & text


@sometimes
def the_kernel_has_a_page_of_its_own(s: Globals, cpu: Cpu, va: Va) -> Bool:
    """A CPU has an entry of a page that only the kernel maps."""
    return s.kernel_tlb[cpu, s.asid[cpu], va].is_some & s.user[va].is_none & s.kernel[va].is_some
