"""``kpt``, ``kpt-buggy`` and ``kpt-bugpgd``: the benchmark."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..operations import kpt as op
from ..operations.kpt import Frame, KernelPage, Kpt, Mm, Own, UserPage


@always
def user_pages_are_owned(s: Kpt, m: Mm, u: UserPage) -> Bool:
    """A frame mapped by a process is that process's."""
    f = s.um[m, u].value
    return s.um[m, u].is_some.implies((s.own[f] == Own.USER) & s.user_of[f, m])


@always
def one_user(s: Kpt, f: Frame, m: Mm, n: Mm) -> Bool:
    """A frame belongs to one process at most, and only while it is a user frame."""
    return s.user_of[f, m].implies((s.own[f] == Own.USER) & (s.user_of[f, n].implies(m == n)))


@always
def mapped_once(s: Kpt, m: Mm, u: UserPage, v: UserPage) -> Bool:
    """A process maps a frame at one user page at most."""
    same = s.um[m, u].is_some & s.um[m, v].is_some & (s.um[m, u].value == s.um[m, v].value)
    return same.implies(u == v)


@always
def kernel_half_is_one_to_one(s: Kpt, m: Mm, k: KernelPage) -> Bool:
    """A kernel page maps its own frame or nothing."""
    return s.km[m, k].is_some.implies(s.km[m, k] == s.frame_of[k])


kpt = Design(
    name="kpt",
    state=Kpt,
    init=op.boot,
    operations=[
        op.user_alloc,
        op.user_free,
        op.kalloc,
        op.kfree,
        op.pgd1,
        op.pgd2,
        op.enter_user,
        op.enter_kernel,
        op.kaiser_add,
        op.kaiser_remove,
    ],
    lemmas=[user_pages_are_owned, one_user, mapped_once, kernel_half_is_one_to_one],
    assumptions=[op.one_to_one],
    scope={Mm: 2, UserPage: 2, KernelPage: 3, Frame: 4},
    doc="The benchmark: KAISER shadow page tables in eleven operations, correct.",
    source="design of the published kpt benchmark; KAISER series of November 2017",
)

kpt_bugpgd = kpt.replacing(
    op.enter_user,
    op.enter_user_between_halves,
    name="kpt-bugpgd",
    doc="The benchmark with a return to user mode between the two halves of set_pgd().",
)

kpt_buggy = kpt.replacing(
    op.kaiser_add,
    op.kaiser_add_any,
    name="kpt-buggy",
    doc="The benchmark with a kaiser_add that takes any address.",
)
kpt_buggy = kpt_buggy.but(name="kpt-buggy", operations=[*kpt_buggy.operations, op.kaiser_add_user])
