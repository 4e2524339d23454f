"""What the user tables have of the kernel image.

What it checks: user mode sees entry text, and what shares a large page or a PTE page with it, at the
kernel's own addresses, with the kernel's physical page and global bit; all entry text that the kernel
has is there whenever user code may run, and what is global in the kernel's tables; at the end of
boot it is as writable as the kernel's.
Why it matters: a page too many can be read by Meltdown; a page too few ends in a fault that cannot be
taken; copies that disagree about the global bit are machine checks on K8.
Kernel precedent: 52994c256df3 ("x86/pti: Make sure the user/kernel PTEs match"); S. Liu, 20 August
2019, "in pti_clone_pgtable(), increase addr properly"; "x86/mm: Fix PTI for i386 some more".
Smallest counterexample: entry text that starts in the middle of a hole (pti-clone-hole-by-size); a page
beside entry text that keeps its global bit (pti-clone-leaves-global).
Not covered: levels above the PMD, cpu_entry_area, espfix and vsyscall, the mode that maps all text.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, ite, sometimes
from mapproof.model.machine.sorts import Cpu, PmdSlot, Va
from mapproof.model.operations.pti_clone import Half, Image, Kind, Phase, clone


@always
def user_sees_only_entry_text(s: Image, va: Va) -> Bool:
    """What the user tables map of the image is entry text, or lies under a PMD entry with some."""
    i = s.pmd_index[va]
    small = s.kind[Half.USER, i] == Kind.SMALL
    seen = s.leaf(Half.USER, va).frame.is_some
    return (seen & small).implies(s.entry_text[va]) & seen.implies(s.shows_entry_text[i])


@always
def copies_have_the_same_page(s: Image, va: Va) -> Bool:
    """What the user tables map, the kernel maps to the same page, with the same global bit."""
    user, kernel = s.leaf(Half.USER, va), s.leaf(Half.KERNEL, va)
    same = (user.frame == kernel.frame) & (user.global_ == kernel.global_)
    return user.frame.is_some.implies(kernel.frame.is_some & same)


def _cloned(s: Image, va: Va) -> Bool:
    """The user tables have what the kernel's have at an address: as much of it, as writable."""
    i, kernel, user = s.pmd_index[va], Half.KERNEL, Half.USER
    kind = s.kind[kernel, i]
    large = (s.kind[user, i] == Kind.LARGE) & (s.pmd_writable[user, i] == s.pmd_writable[kernel, i])
    own = (s.kind[user, i] == Kind.SMALL) & (
        (s.pte_frame[user, va] == s.pte_frame[kernel, va])
        & (s.pte_writable[user, va] == s.pte_writable[kernel, va])
    )
    small = ite(
        s.clone_pmds[()],
        s.kind[user, i] == Kind.SHARED,
        s.pte_frame[kernel, va].is_some.implies(own),
    )
    return (kind == Kind.LARGE).implies(large) & (kind == Kind.SMALL).implies(small)


@always
def pte_pages_have_one_owner(s: Image, i: PmdSlot) -> Bool:
    """PTE pages are the kernel's; user tables share them on 64-bit kernels, have their own on 32-bit
    ones."""
    user = s.kind[Half.USER, i]
    other = ite(s.clone_pmds[()], user != Kind.SMALL, user != Kind.SHARED)
    return (s.kind[Half.KERNEL, i] != Kind.SHARED) & other


@always
def a_round_leaves_nothing_behind(s: Image, cpu: Cpu, va: Va) -> Bool:
    """Of entry text, what lies before the address that pti_clone_pgtable() is at is cloned: large
    pages and PTEs by value, PTE pages by reference on 64-bit kernels."""
    at = s.clone.addr[cpu]
    passed = ~clone.idle(s, cpu) & s.entry_text[va] & s.before[va, at]
    return passed.implies(_cloned(s, va))


@always
def a_round_begins_at_the_start(s: Image, cpu: Cpu, va: Va) -> Bool:
    """While the walk is before some entry text, it is in the entry text: it does not stop there."""
    at = s.clone.addr[cpu]
    ahead = ~clone.idle(s, cpu) & s.entry_text[va] & s.before[at, va]
    return ahead.implies(s.entry_text[at])


@always
def rounds_take_turns(s: Image, a: Cpu, b: Cpu) -> Bool:
    """A CPU that clones is alone, early or late in boot; nobody clones when the first process starts."""
    busy = s.walking.now & ((s.phase.now == Phase.BOOT) | (s.phase.now == Phase.READONLY))
    alone = (~clone.idle(s, a) & ~clone.idle(s, b)).implies(a == b)
    return (
        (~clone.idle(s, a)).implies(busy)
        & alone
        & (s.phase.now == Phase.FINAL).implies(~s.walking.now)
    )


@always
def user_entries_show_entry_text(s: Image, i: PmdSlot) -> Bool:
    """User tables have PMD entries where some entry text lies, and no others."""
    return (s.kind[Half.USER, i] != Kind.EMPTY).implies(s.shows_entry_text[i])


@always
def global_large_pages_are_cloned(s: Image, i: PmdSlot) -> Bool:
    """A large page of the kernel that is global is one of the user tables, too; a hole is not global."""
    kind, global_ = s.kind[Half.KERNEL, i], s.pmd_global[Half.KERNEL, i]
    large = (kind == Kind.LARGE).implies(s.kind[Half.USER, i] == Kind.LARGE)
    return global_.implies((kind != Kind.EMPTY) & large)


@always
def entry_text_is_complete(s: Image, va: Va) -> Bool:
    """After the first round, and outside the second, user mode has all entry text there is."""
    user, kernel = s.leaf(Half.USER, va), s.leaf(Half.KERNEL, va)
    ready = (s.phase.now != Phase.BOOT) & ~s.walking.now
    return (ready & s.entry_text[va] & kernel.frame.is_some).implies(user.frame.is_some)


@always
def entry_text_is_as_writable(s: Image, va: Va) -> Bool:
    """When the first process starts, entry text has the kernel's RW bit in the user tables."""
    user, kernel = s.leaf(Half.USER, va), s.leaf(Half.KERNEL, va)
    mapped = (s.phase.now == Phase.FINAL) & s.entry_text[va] & user.frame.is_some
    return mapped.implies(user.writable == kernel.writable)


@always
def global_pages_are_cloned(s: Image, va: Va) -> Bool:
    """What is global in the kernel's tables is in the user tables."""
    kernel, user = s.leaf(Half.KERNEL, va), s.leaf(Half.USER, va)
    return (kernel.frame.is_some & kernel.global_).implies(user.frame.is_some)


@sometimes
def boot_is_done_with_small_pages(s: Image, va: Va) -> Bool:
    """The first process starts, with entry text in PTEs of the user tables' own."""
    small = s.kind[Half.USER, s.pmd_index[va]] == Kind.SMALL
    return (s.phase.now == Phase.FINAL) & small & s.pte_frame[Half.USER, va].is_some


@sometimes
def boot_is_done_with_a_large_page(s: Image, i: PmdSlot) -> Bool:
    """The first process starts, with a large page of entry text."""
    return (s.phase.now == Phase.FINAL) & (s.kind[Half.USER, i] == Kind.LARGE)


@sometimes
def a_round_passes_a_large_page(s: Image, a: Va, b: Va) -> Bool:
    """The first round is done, and entry text goes on behind a large page."""
    i, j = s.pmd_index[a], s.pmd_index[b]
    large = (s.kind[Half.USER, i] == Kind.LARGE) & (s.kind[Half.KERNEL, j] == Kind.SMALL)
    behind = s.before[a, b] & s.entry_text[a] & s.entry_text[b]
    return (s.phase.now == Phase.CLONED) & behind & large


@sometimes
def a_round_passes_a_pte_page(s: Image, a: Va, b: Va) -> Bool:
    """The first round is done on a 64-bit kernel, and entry text goes on behind a PTE page."""
    shared = s.kind[Half.USER, s.pmd_index[a]] == Kind.SHARED
    behind = s.before[a, b] & (s.pmd_index[a] != s.pmd_index[b])
    return (s.phase.now == Phase.CLONED) & behind & shared & s.entry_text[a] & s.entry_text[b]


@sometimes
def a_round_passes_an_empty_pte(s: Image, a: Va, b: Va) -> Bool:
    """The first round is done on a 32-bit kernel, and entry text goes on behind an empty PTE."""
    own = (s.kind[Half.KERNEL, s.pmd_index[a]] == Kind.SMALL) & ~s.clone_pmds[()]
    empty = own & s.pte_frame[Half.KERNEL, a].is_none & s.entry_text[a]
    behind = s.before[a, b] & s.entry_text[b] & s.pte_frame[Half.USER, b].is_some
    return (s.phase.now == Phase.CLONED) & empty & behind


@sometimes
def helpers_run_after_a_hole(s: Image, i: PmdSlot) -> Bool:
    """The first round is done, and the entry text has a hole."""
    hole = (s.kind[Half.KERNEL, i] == Kind.EMPTY) & s.shows_entry_text[i]
    return (s.phase.now == Phase.CLONED) & hole
