"""The vsyscall page: the one kernel address that ring 3 may use.

An address is for ring 3 only if every entry on the way says so.  The vsyscall page shares its upper
entries with the kernel image: map_vsyscall() sets US on all of them in the kernel's tables, and
pti_setup_vsyscall() on those of the user tables, so that only the last level keeps the image from ring
3.  The user tables have upper tables of their own here, also with 5 levels.
"""

from __future__ import annotations

from ..language import FALSE, TRUE, Bool, Enumeration, Fun, Map, State, Step, Var, forall, operation
from ..machine.sorts import Va


class Half(Enumeration):
    """Whose tables."""

    KERNEL: Half
    USER: Half


class Upper(Enumeration):
    """The entries above the last level, of the slot that the image and the vsyscall page share."""

    PGD: Upper
    P4D: Upper
    PUD: Upper
    PMD: Upper


class Vsyscall(State):
    """upper_us: US of an upper entry; present, us: of the last-level entry of an address.  isolated:
    pti_init() is done.  vsyscall: VSYSCALL_ADDR; entry_text: the address lies in the entry text;
    emulate: vsyscall=emulate, in which the page is mapped at all (vsyscall_mode)."""

    upper_us: Map[tuple[Half, Upper], Bool]
    present: Map[tuple[Half, Va], Bool]
    us: Map[tuple[Half, Va], Bool]
    isolated: Var[Bool]
    vsyscall: Fun[tuple[()], Va]
    entry_text: Fun[Va, Bool]
    emulate: Fun[tuple[()], Bool]

    def for_ring_3(self, half: Half, va: Va) -> Bool:
        """The walk ends in a page that ring 3 may use."""
        upper = forall(Upper, lambda level: self.upper_us[half, level])
        return upper & self.present[half, va] & self.us[half, va]


@operation(kernel="arch/x86/kernel/head_64.S")
def boot(s: Vsyscall) -> Step:
    """The image is mapped for the kernel alone; the vsyscall page and the user tables are empty."""
    return Step(
        when=TRUE,
        then=[
            s.upper_us.fill(lambda half, level: FALSE),
            s.present.fill(lambda half, va: (half == Half.KERNEL) & (va != s.vsyscall[()])),
            s.us.fill(lambda half, va: FALSE),
            s.isolated.become(FALSE),
        ],
    )


@operation(kernel="arch/x86/entry/vsyscall/vsyscall_64.c: map_vsyscall(), PAGE_KERNEL_VVAR")
def map_vsyscall(s: Vsyscall) -> Step:
    """The page is mapped with US, as are the upper entries on its way in the kernel's tables."""
    page = (Half.KERNEL, s.vsyscall[()])
    return Step(
        when=s.emulate[()] & ~s.isolated.now,
        then=[
            s.present.set(page, TRUE),
            s.us.set(page, TRUE),
            s.upper_us.fill(lambda half, level: TRUE, lambda half, level: half == Half.KERNEL),
        ],
    )


@operation(kernel="arch/x86/mm/pti.c: pti_init(), pti_clone_entry_text(), pti_setup_vsyscall()")
def pti_init(s: Vsyscall) -> Step:
    """Entry text is cloned; so is the PTE of the vsyscall page, if there is one, and then the upper
    entries of the user tables get US, whatever else lies under them."""
    there = s.present[Half.KERNEL, s.vsyscall[()]]

    def cloned(half: Half, va: Va) -> Bool:
        return (half == Half.USER) & (s.entry_text[va] | (va == s.vsyscall[()]))

    return Step(
        when=~s.isolated.now,
        then=[
            s.isolated.become(TRUE),
            s.present.fill(lambda half, va: s.present[Half.KERNEL, va], cloned),
            s.us.fill(lambda half, va: s.us[Half.KERNEL, va], cloned),
            s.upper_us.fill(
                lambda half, level: TRUE, lambda half, level: (half == Half.USER) & there
            ),
        ],
    )
