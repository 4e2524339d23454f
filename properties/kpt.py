"""P1, P2, SAFE and DEEP of the kpt benchmark, and what else its operations are to respect.

What it checks: P1, the shadow maps only entry pages and each at its own address; P2, a process in
user mode has the same user-half PGD entry in both tables; SAFE, both; DEEP, the design can reach its
fullest state.  Beside the benchmark: who may map a frame, when tables may change, and that frames
are not lost.
Why it matters: the benchmark compares mapproof with other model checkers on one model.
Kernel precedent: the review of the KAISER series, 1 November 2017.
Smallest counterexample: kalloc, kaiser_add of that page (kpt-buggy); pgd1, enter_user (kpt-bugpgd).
Not covered: caches, page-table pages, more than one level.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, forall, sometimes, step
from mapproof.model.operations.kpt import Frame, KernelPage, Kpt, Mm, Mode, Own, UserPage


def _p1(s: Kpt, m: Mm, k: KernelPage) -> Bool:
    return s.sh[m, k].is_none | (
        (s.sh[m, k] == s.frame_of[k]) & (s.own[s.frame_of[k]] == Own.ENTRY)
    )


def _p2(s: Kpt, m: Mm) -> Bool:
    return (s.mode[m] == Mode.U).implies(s.pgk[m] == s.pgs[m])


@always
def P1(s: Kpt, m: Mm, k: KernelPage) -> Bool:
    """The shadow maps only entry pages, each at its own address."""
    return _p1(s, m, k)


@always
def P2(s: Kpt, m: Mm) -> Bool:
    """In user mode, both tables have the same user-half PGD entry."""
    return _p2(s, m)


@always
def SAFE(s: Kpt, m: Mm, k: KernelPage) -> Bool:
    """P1 and P2."""
    return _p1(s, m, k) & _p2(s, m)


@sometimes
def DEEP(s: Kpt) -> Bool:
    """No frame is free; every process is in user mode, has a user page and every entry page."""
    return (
        forall(Frame, lambda f: s.own[f] != Own.FREE)
        & forall(
            Mm, lambda m: (s.mode[m] == Mode.U) & exists(UserPage, lambda u: s.um[m, u].is_some)
        )
        & forall(Mm, KernelPage, lambda m, k: s.entry[s.frame_of[k]].implies(s.sh[m, k].is_some))
    )


@always
def user_half_maps_own_frames(s: Kpt, m: Mm, u: UserPage) -> Bool:
    """A frame mapped by a process is that process's."""
    f = s.um[m, u].value
    return s.um[m, u].is_some.implies((s.own[f] == Own.USER) & s.user_of[f, m])


@always
def frames_have_one_user(s: Kpt, f: Frame, m: Mm, n: Mm) -> Bool:
    """A frame belongs to one process at most, and only while it is a user frame."""
    return s.user_of[f, m].implies((s.own[f] == Own.USER) & (s.user_of[f, n].implies(m == n)))


@always
def kernel_half_maps_used_frames(s: Kpt, m: Mm, k: KernelPage) -> Bool:
    """A kernel page maps its own frame while the kernel uses that frame, and nothing otherwise."""
    own = s.own[s.frame_of[k]]
    used = (own == Own.SECRET) | (own == Own.ENTRY)
    return (used & (s.km[m, k] == s.frame_of[k])) | (~used & s.km[m, k].is_none)


@always
def user_half_is_linked(s: Kpt, m: Mm, u: UserPage) -> Bool:
    """The user half of a process that is in user mode or has a user page is linked."""
    return (s.mode[m] == Mode.U).implies(s.pgk[m]) & s.um[m, u].is_some.implies(s.pgk[m])


@step
def tables_change_in_the_kernel(old: Kpt, new: Kpt, m: Mm, u: UserPage, k: KernelPage) -> Bool:
    """While a process is in user mode nobody changes its user half or its shadow."""
    user_half = (old.um[m, u] == new.um[m, u]) & (old.pgk[m] == new.pgk[m])
    shadow = (old.sh[m, k] == new.sh[m, k]) & (old.pgs[m] == new.pgs[m])
    return (old.mode[m] == Mode.U).implies(user_half & shadow)


@step
def unmapped_frames_are_freed(old: Kpt, new: Kpt, m: Mm, u: UserPage) -> Bool:
    """A user page that is mapped changes only by being unmapped, which frees its frame."""
    changed = old.um[m, u].is_some & (new.um[m, u] != old.um[m, u])
    freed = new.um[m, u].is_none & (new.own[old.um[m, u].value] == Own.FREE)
    return changed.implies(freed)


@step
def halves_follow_each_other(old: Kpt, new: Kpt, m: Mm) -> Bool:
    """The kernel's PGD entry is not written again before the shadow has it."""
    return (old.pgk[m] != old.pgs[m]).implies(old.pgk[m] == new.pgk[m])
