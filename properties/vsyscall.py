"""What ring 3 can use of the kernel half.

What it checks: of the addresses that share their upper entries with the vsyscall page, ring 3 can use
that page and no other, on either half's tables; where the page is emulated, it can.
Why it matters: US on the upper entries is there for a whole top-level slot, in which the kernel image
lies; one last-level entry too many would give it to ring 3.
Kernel precedent: the comments of set_vsyscall_pgtable_user_bits() and pti_setup_vsyscall().
Smallest counterexample: none of the designs here breaks these.
Not covered: vsyscall=xonly, where there is no page and the fault is emulated; large pages.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Va
from mapproof.model.operations.vsyscall import Half, Upper, Vsyscall


@always
def ring_3_has_the_vsyscall_page_only(s: Vsyscall, half: Half, va: Va) -> Bool:
    """No other last-level entry has US, whatever the upper ones have."""
    page = (va == s.vsyscall[()]) & s.present[half, va]
    return s.us[half, va].implies(page & s.emulate[()])


@always
def the_vsyscall_page_is_for_ring_3(s: Vsyscall, half: Half) -> Bool:
    """Where the page is mapped, ring 3 can use it."""
    va = s.vsyscall[()]
    return s.present[half, va].implies(s.for_ring_3(half, va))


@always
def user_tables_have_entry_text_and_the_page(s: Vsyscall, va: Va) -> Bool:
    """With isolation the user tables have the entry text, and the page if the kernel has; nothing
    else."""
    page = (va == s.vsyscall[()]) & s.present[Half.KERNEL, va]
    text = s.entry_text[va] & (va != s.vsyscall[()])
    return s.present[Half.USER, va] == (s.isolated.now & (text | page))


@always
def upper_entries_open_for_the_page_only(s: Vsyscall, half: Half, level: Upper) -> Bool:
    """US is on the way exactly where there is a page at the end."""
    return s.upper_us[half, level] == s.present[half, s.vsyscall[()]]


@always
def the_kernel_has_its_image(s: Vsyscall, va: Va) -> Bool:
    """All of the image is mapped in the kernel's tables."""
    return (va != s.vsyscall[()]).implies(s.present[Half.KERNEL, va])


@step
def isolation_stays(old: Vsyscall, new: Vsyscall, half: Half, va: Va) -> Bool:
    """Once it is set up, isolation stays, and nothing changes under it."""
    same = new.present[half, va] == old.present[half, va]
    return old.isolated.now.implies(new.isolated.now & same)


@sometimes
def ring_3_has_the_page_and_not_the_text(s: Vsyscall, va: Va) -> Bool:
    """On the user tables ring 3 can use the page, while entry text beside it is mapped."""
    text = s.present[Half.USER, va] & ~s.for_ring_3(Half.USER, va)
    return s.for_ring_3(Half.USER, s.vsyscall[()]) & text
