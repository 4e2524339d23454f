"""P1, P2, SAFE and DEEP of the kpt benchmark.

What it checks: P1, the shadow maps only entry pages and each at its own address; P2, a process in
user mode has the same user-half PGD entry in both tables; SAFE, both; DEEP, the design can reach its
fullest state.
Why it matters: the benchmark compares mapproof with other model checkers on one model.
Kernel precedent: the review of the KAISER series, 1 November 2017.
Smallest counterexample: kalloc, kaiser_add of that page (kpt-buggy); pgd1, enter_user (kpt-bugpgd).
Not covered: caches, page-table pages, more than one level.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, forall, sometimes
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
