"""The kernel image in user tables, where text is cloned to save TLB misses.

What it checks: user tables have entry text, and besides only text and read-only data, if
pti_kernel_image_global_ok() allows it; nothing that was freed; what is global is in both halves; the
kernel keeps what is its own.
Why it matters: data, and pages that were freed and hold somebody's secrets, can be read by Meltdown
wherever user tables map them.
Kernel precedent: c40a56a7818c (removal of the alias of freed image pages), whose comment is in
free_kernel_image_pages(); the comments of pti_clone_kernel_text() and pti_kernel_image_global_ok().
Smallest counterexample: a gap that is freed and cloned (pti-kernel-text-alias-stays); text that becomes
global in the direct map, too (pti-kernel-text-global-alias).
Not covered: what shares a large page with the end of rodata (__end_rodata_aligned), 32-bit kernels,
where the image has no alias; single steps of pti_clone_pgtable() (pti_clone has them).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.kernel_text import KernelText, Owner, Phase, Section


@always
def user_tables_have_text_and_rodata_only(s: KernelText, f: Frame) -> Bool:
    """User tables have entry text, and text and read-only data where that is allowed."""
    more = s.global_ok[()] & s.is_in(f, Section.TEXT, Section.RODATA)
    return s.user[f].implies(s.is_in(f, Section.ENTRY_TEXT) | more)


@always
def user_tables_have_nothing_freed(s: KernelText, f: Frame) -> Bool:
    """No page that has left the image is in the user tables, nor mapped as if it had not."""
    return (s.owner[f] != Owner.IMAGE).implies(~s.user[f] & ~s.kernel[f])


@always
def entry_text_is_there(s: KernelText, f: Frame) -> Bool:
    """After pti_init() the user tables have all entry text."""
    return ((s.phase.now != Phase.BOOT) & s.is_in(f, Section.ENTRY_TEXT)).implies(s.user[f])


@always
def global_text_is_in_both_halves(s: KernelText, f: Frame) -> Bool:
    """A page is global in both halves or in none, and then both map it."""
    mapped = s.kernel_g[f].implies(s.kernel[f] & s.user[f])
    return (s.kernel_g[f] == s.user_g[f]) & mapped


@always
def the_direct_map_is_not_global(s: KernelText, f: Frame) -> Bool:
    """The alias of the image in the direct map, which user tables do not have, is not global."""
    return ~s.alias_g[f]


@always
def text_in_user_tables_is_global(s: KernelText, f: Frame) -> Bool:
    """Text that both halves map is global, which is what it is cloned for."""
    text = s.is_in(f, Section.ENTRY_TEXT, Section.TEXT)
    return (s.user[f] & text).implies(s.kernel_g[f])


@always
def the_kernel_keeps_its_image(s: KernelText, f: Frame) -> Bool:
    """Outside gaps and init text the image is the kernel's and mapped; what left it was freed."""
    lost = s.is_in(f, Section.GAP, Section.INIT)
    return (~lost).implies(s.kernel[f] & (s.owner[f] == Owner.IMAGE)) & (~s.kernel[f]).implies(
        s.owner[f] != Owner.IMAGE
    )


@step
def what_was_taken_stays_taken(old: KernelText, new: KernelText, f: Frame) -> Bool:
    """No page is freed a second time."""
    return (old.owner[f] == Owner.TAKEN).implies(new.owner[f] == Owner.TAKEN)


@step
def boot_goes_on(old: KernelText, new: KernelText, f: Frame) -> Bool:
    """What the user tables have of the image, they keep."""
    return old.user[f].implies(new.user[f])


@sometimes
def all_text_is_cloned(s: KernelText, f: Frame, g: Frame) -> Bool:
    """Text is in the user tables, global, and read-only data that is not."""
    text = s.user[f] & s.user_g[f] & s.is_in(f, Section.TEXT)
    return text & s.user[g] & ~s.user_g[g] & s.is_in(g, Section.RODATA)


@sometimes
def large_rodata_is_global(s: KernelText, f: Frame) -> Bool:
    """Read-only data under a large page is global."""
    return s.user_g[f] & s.is_in(f, Section.RODATA)


@sometimes
def only_entry_text_is_cloned(s: KernelText, f: Frame) -> Bool:
    """Boot is over and text is the kernel's alone."""
    return (s.phase.now == Phase.FINAL) & s.is_in(f, Section.TEXT) & ~s.user[f]


@sometimes
def a_gap_and_init_text_are_taken(s: KernelText, f: Frame, g: Frame) -> Bool:
    """Somebody has a page from between the sections, somebody one of init text."""
    taken = (s.owner[f] == Owner.TAKEN) & (s.owner[g] == Owner.TAKEN)
    return taken & s.is_in(f, Section.GAP) & s.is_in(g, Section.INIT)
