"""What the page tables of a real kernel allow.

What it checks: no kernel page is both writable and executable, none is open to user mode; the kernel has
no writable alias of its text and read-only data; user pages are as writable and executable as their VMA;
no user page is global.
Why it matters: a writable page of code is where an overwrite becomes code execution; a user page with a
right that mprotect() took away breaks a promise to the program.
Kernel precedent: CONFIG_DEBUG_WX (arch/x86/mm/dump_pagetables.c); vm_get_page_prot().
Smallest counterexample: one PTE of the vmalloc area without NX.
Not covered: user pages that the program wants writable and executable; pages that are swapped out; TLBs.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists
from mapproof.model.machine.halves import UserPages
from mapproof.model.machine.snapshot import Region, Snapshot
from mapproof.model.machine.sorts import Frame, Va


@always
def no_kernel_page_is_writable_and_executable(s: Snapshot, va: Va) -> Bool:
    """No leaf in the kernel half of the kernel's tables is both writable and executable."""
    exempt = s.in_user_half[va] | s.special[va]
    return s.kernel[va].is_some.implies(exempt | ~(s.kernel_w[va] & s.kernel_x[va]))


@always
def kernel_pages_are_closed_to_user_mode(s: Snapshot, va: Va) -> Bool:
    """In the kernel half, US is set at all levels for the vsyscall page only."""
    exempt = s.in_user_half[va] | (s.region[va] == Region.VSYSCALL)
    return s.kernel[va].is_some.implies(exempt | ~s.kernel_u[va])


@always
def no_user_page_is_global(s: Snapshot, va: Va) -> Bool:
    """No leaf of a user half has the global bit: it would outlive the process in every TLB."""
    leaf = s.kernel[va].is_some & s.in_user_half[va]
    return leaf.implies(s.special[va] | ~s.global_[va])


@always
def user_pages_have_the_rights_of_their_vma(s: UserPages, va: Va) -> Bool:
    """A user page is writable, or executable, only if its VMA is."""
    leaf = s.vma_known[va] & s.user[va].is_some & s.in_user_half[va]
    rights = s.user_w[va].implies(s.vma_w[va]) & s.user_x[va].implies(s.vma_x[va])
    return leaf.implies(rights)


@always
def text_has_no_writable_alias(s: Snapshot, f: Frame) -> Bool:
    """The kernel's tables map no page of kernel text or read-only data writable, at any address."""
    return s.text[f].implies(~exists(Va, lambda va: s.kernel_maps[va, f] & s.kernel_w[va]))
