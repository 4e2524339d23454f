"""What user tables of a real kernel show of the kernel.

What it checks: the kernel half of user tables has cpu_entry_area, espfix, the process's LDT, the TSS
page of each CPU and the entry text, and no other leaf; a leaf there gives nothing that the kernel's own
tables do not give at that address; none is writable and executable, and only entry text is executable.
Why it matters: what user tables map of the kernel can be read by Meltdown.
Kernel precedent: Documentation/x86/pti.rst; comments of arch/x86/mm/pti.c.
Smallest counterexample: one top-level entry of the vmalloc area, copied into user tables.
Not covered: stale entries of a TLB; completeness, that is, whether all entry code is there.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always
from mapproof.model.machine.snapshot import Extent, Region, Snapshot
from mapproof.model.machine.sorts import Va


def _in_shadow(s: Snapshot, va: Va) -> Bool:
    return s.isolated[va] & s.user[va].is_some & ~s.in_user_half[va]


@always
def user_tables_map_known_regions_only(s: Snapshot, va: Va) -> Bool:
    """A leaf in the kernel half of user tables is cpu_entry_area, espfix, LDT, vsyscall, a TSS page or
    overlaps entry text; where the whole image is cloned (pti=auto without PCIDs), any of it."""
    region = s.region[va]
    listed = (
        (region == Region.CPU_ENTRY_AREA)
        | (region == Region.ESPFIX)
        | (region == Region.LDT)
        | (region == Region.VSYSCALL)
    )
    text = s.entry_text[va] | (s.whole_image_is_cloned.now & s.image[va])
    return _in_shadow(s, va).implies(listed | text | s.tss_page[va])


@always
def only_entry_text_is_executable(s: Snapshot, e: Extent) -> Bool:
    """What user tables let the kernel execute is entry text, to the page.  (Kernels that clone large
    pages show two megabytes of text on purpose: the figure says how many bytes.)"""
    return s.entry_text_only[e]


@always
def user_tables_have_the_kernels_leaf(s: Snapshot, va: Va) -> Bool:
    """Where user tables map a kernel address, the kernel's tables have all of that page in one leaf,
    with the same frame, and at least as writable, as open to user mode, as executable."""
    rights = (
        s.user_w[va].implies(s.around_w[va])
        & s.user_u[va].implies(s.around_u[va])
        & s.user_x[va].implies(s.around_x[va])
    )
    same = s.around[va].is_some & (s.around[va] == s.user[va])
    return _in_shadow(s, va).implies(same & rights)


@always
def ldt_leaves_are_the_processs_ldt(s: Snapshot, va: Va) -> Bool:
    """In the LDT's slot, user tables have the pages of that process's LDT, in their order."""
    leaf = _in_shadow(s, va) & (s.region[va] == Region.LDT)
    return leaf.implies(s.ldt_page[va] == s.user[va])


@always
def user_tables_have_no_writable_code(s: Snapshot, va: Va) -> Bool:
    """No kernel page of user tables is both writable and executable."""
    return _in_shadow(s, va).implies(~(s.user_w[va] & s.user_x[va]))
