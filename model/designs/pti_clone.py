"""Cloning the entry text, as merged and with the slips it had."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, Frame, PmdSlot, Va
from ..operations import pti_clone as op
from ..operations.pti_clone import Half, Image, Kind, Phase, clone


def _cloned(s: Image, va: Va) -> Bool:
    """The user tables have what the kernel has at an address, in the same form."""
    i, kernel, user = s.pmd_index[va], Half.KERNEL, Half.USER
    large = (s.kind[user, i] == Kind.LARGE) & (s.pmd_writable[user, i] == s.pmd_writable[kernel, i])
    small = (s.kind[user, i] == Kind.SMALL) & (
        (s.pte_frame[user, va] == s.pte_frame[kernel, va])
        & (s.pte_writable[user, va] == s.pte_writable[kernel, va])
    )
    is_small = s.kind[kernel, i] == Kind.SMALL
    ptes = is_small & ~s.clone_pmds[()] & s.pte_frame[kernel, va].is_some
    return (
        (s.kind[kernel, i] == Kind.LARGE).implies(large)
        & (is_small & s.clone_pmds[()]).implies(s.kind[user, i] == Kind.SHARED)
        & ptes.implies(small)
    )


@always
def what_the_walk_has_passed_is_cloned(s: Image, cpu: Cpu, va: Va) -> Bool:
    """Entry text before the address of a walk is cloned."""
    passed = ~clone.idle(s, cpu) & s.entry_text[va] & s.before[va, s.clone.addr[cpu]]
    return passed.implies(_cloned(s, va))


@always
def after_a_round_all_is_cloned(s: Image, va: Va) -> Bool:
    """After either round all entry text is cloned, until text becomes read-only."""
    done = (s.phase.now == Phase.CLONED) | (s.phase.now == Phase.FINAL)
    return (done & s.entry_text[va]).implies(_cloned(s, va))


@always
def the_walk_starts_at_the_start(s: Image, cpu: Cpu, va: Va) -> Bool:
    """A walk has all entry text before it or ahead of it: it is never before the start."""
    at = s.clone.addr[cpu]
    late = s.before[at, va] & s.entry_text[va]
    return (~clone.idle(s, cpu)).implies(~late | s.entry_text[at])


@always
def one_walk_in_its_phase(s: Image, a: Cpu, b: Cpu) -> Bool:
    """One CPU walks while a round is under way, in the phases that have one."""
    walking = ~clone.idle(s, a)
    due = (s.phase.now == Phase.BOOT) | (s.phase.now == Phase.READONLY)
    return (
        walking.implies(s.walking.now)
        & s.walking.now.implies(due)
        & (walking & ~clone.idle(s, b)).implies(a == b)
    )


@always
def large_copies_are_of_large_pages(s: Image, va: Va) -> Bool:
    """A large page of the user tables is one of the kernel's, or was before it was split."""
    i = s.pmd_index[va]
    split = (s.kind[Half.KERNEL, i] == Kind.SMALL) & (
        s.pte_frame[Half.KERNEL, va].is_some
        & (s.pte_frame[Half.KERNEL, va].value == s.frame_of[va])
        & (s.pte_global[Half.KERNEL, va] == s.pmd_global[Half.USER, i])
    )
    large = (s.kind[Half.KERNEL, i] == Kind.LARGE) & (
        s.pmd_global[Half.KERNEL, i] == s.pmd_global[Half.USER, i]
    )
    early = (s.phase.now == Phase.BOOT) | (s.phase.now == Phase.CLONED)
    return (s.kind[Half.USER, i] == Kind.LARGE).implies((large | split) & early.implies(large))


@always
def user_tables_follow_the_level(s: Image, i: PmdSlot) -> Bool:
    """The kernel shares nobody's PTE page; the user tables share or have their own, by the level."""
    shared = s.kind[Half.USER, i] == Kind.SHARED
    small = s.kind[Half.USER, i] == Kind.SMALL
    kernel_small = s.kind[Half.KERNEL, i] == Kind.SMALL
    return (
        (s.kind[Half.KERNEL, i] != Kind.SHARED)
        & shared.implies(s.clone_pmds[()] & kernel_small)
        & small.implies(~s.clone_pmds[()] & kernel_small)
    )


@always
def nothing_is_global_before_the_walk(s: Image, h: Half, i: PmdSlot, va: Va) -> Bool:
    """Before the first round nothing is global."""
    early = (s.phase.now == Phase.BOOT) & ~s.walking.now
    return early.implies(~s.pmd_global[h, i] & ~s.pte_global[h, va])


@always
def what_is_global_was_cloned(s: Image, va: Va) -> Bool:
    """A large page of the kernel's is global if it was cloned; so is a PTE, or the large page that it
    comes from."""
    i, kernel, user = s.pmd_index[va], Half.KERNEL, Half.USER
    large = (s.kind[kernel, i] == Kind.LARGE) & s.pmd_global[kernel, i]
    small = (
        (s.kind[kernel, i] == Kind.SMALL)
        & s.pte_frame[kernel, va].is_some
        & s.pte_global[kernel, va]
    )
    cloned = s.kind[user, i] == Kind.LARGE
    shared = s.clone_pmds[()].implies(cloned | (s.kind[user, i] == Kind.SHARED))
    return large.implies(cloned) & small.implies(shared & s.shows_entry_text[i])


pti_clone = Design(
    name="pti-clone",
    state=Image,
    init=op.boot,
    operations=[op.mark_readonly],
    procedures=[op.clone],
    lemmas=[
        what_the_walk_has_passed_is_cloned,
        after_a_round_all_is_cloned,
        the_walk_starts_at_the_start,
        one_walk_in_its_phase,
        large_copies_are_of_large_pages,
        user_tables_follow_the_level,
        nothing_is_global_before_the_walk,
        what_is_global_was_cloned,
    ],
    assumptions=[op.addresses_are_ordered, op.entry_text_is_a_range],
    scope={Cpu: 1, Va: 5, PmdSlot: 3, Frame: 2},
    doc="""Page table isolation at boot, as merged: entry text is cloned before user-mode helpers can
run, and again after mark_readonly() has split pages and taken write permission away.""",
    source="arch/x86/mm/pti.c of Linux 6.1",
)

pti_clone_hole_by_size = pti_clone.replacing(
    op.clone,
    op.clone_past_holes_by_size,
    name="pti-clone-hole-by-size",
    doc="pti-clone, but a hole is passed by its size, wherever the walk came into it (defect P-10).",
)

pti_clone_large_by_size = pti_clone.replacing(
    op.clone,
    op.clone_past_large_by_size,
    name="pti-clone-large-by-size",
    doc="pti-clone, but a large page is passed by its size (defect P-11).",
)

pti_clone_global_in_user = pti_clone.replacing(
    op.clone,
    op.clone_global_in_user_only,
    name="pti-clone-global-in-user",
    doc="pti-clone, but the global bit is set in one copy only (defect P-01).",
)

pti_clone_once = pti_clone.but(
    name="pti-clone-once",
    operations=[*pti_clone.operations, op.finalize_without_clone],
    doc="pti-clone, but the first process may start without the second round (defect P-12).",
)
