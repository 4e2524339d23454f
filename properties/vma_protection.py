"""The rights of user pages.

What it checks: a page is there under a VMA only, and has the rights of its VMA, writing apart, which a
fault grants.  (That a page has no right that its VMA lacks is snapshot_rights.)
Why it matters: a page that outlives its VMA, or its rights, is somebody else's memory or code.
Kernel precedent: vm_get_page_prot(); the behaviour of a Debian 6.1 686-pae kernel.
Smallest counterexample: none of the designs here breaks these.
Not covered: TLBs, copy-on-write, files.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Va
from mapproof.model.operations.vma_protection import Protection


@always
def pages_have_a_vma(s: Protection, va: Va) -> Bool:
    """A user page lies in a VMA, in the user half."""
    return s.user[va].is_some.implies(s.vma_known[va]) & s.vma_known[va].implies(s.in_user_half[va])


@always
def pages_are_as_executable_as_their_vma(s: Protection, va: Va) -> Bool:
    """A page of an executable VMA is executable; one of a writable VMA will be writable."""
    mapped = s.vma_known[va] & s.user[va].is_some
    return mapped.implies(s.vma_x[va].implies(s.user_x[va])) & s.vma_known[va].implies(
        s.prot_w[va] == s.vma_w[va]
    )


@step
def pages_are_not_replaced(old: Protection, new: Protection, va: Va) -> Bool:
    """A page stays until its VMA is unmapped."""
    before, after = old.user[va], new.user[va]
    return (before.is_some & after.is_some).implies(before == after)


@sometimes
def a_page_is_read_only(s: Protection, va: Va) -> Bool:
    """A page that may be neither written nor executed is there."""
    return s.user[va].is_some & s.vma_known[va] & ~s.vma_w[va] & ~s.vma_x[va]


@sometimes
def a_page_is_writable(s: Protection, va: Va) -> Bool:
    """A page of data is in use."""
    return s.user[va].is_some & s.user_w[va] & s.vma_w[va]


@sometimes
def a_page_is_executable_and_not_writable(s: Protection, va: Va) -> Bool:
    """Code, in a VMA that was writable or is not."""
    return s.user[va].is_some & s.user_x[va] & ~s.user_w[va] & s.vma_x[va]


@sometimes
def a_page_waits_for_its_write_fault(s: Protection, va: Va) -> Bool:
    """mprotect() has allowed writing, and nobody has written yet."""
    return s.user[va].is_some & s.vma_w[va] & ~s.user_w[va]


@sometimes
def a_vma_is_gone(s: Protection, va: Va) -> Bool:
    """A VMA that forbade something was unmapped."""
    return ~s.vma_known[va] & s.prot_w[va]
