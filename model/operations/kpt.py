"""The ``kpt`` benchmark: KAISER shadow page tables, small enough for every model checker.

The names, guards and effects are those of the published benchmark, so that state counts can be
compared with other tools.  For machines of any size, the 1:1 map of kernel pages, the alias that a
user address has in the shadow, and which frames are entry frames are rigid maps.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Opt,
    Scope,
    Sort,
    State,
    Step,
    assumption,
    forall,
    given,
    ite,
    operation,
    some,
)


class Mm(Sort):
    """A process."""


class UserPage(Sort):
    """A page of user addresses."""

    @classmethod
    def show(cls, index: int) -> str:
        return f"{0x0000_5555_5555_4000 + (index << 12):016x}"


class KernelPage(Sort):
    """A page of the direct map."""

    @classmethod
    def show(cls, index: int) -> str:
        return f"{0xFFFF_8880_0000_0000 + (FIRST_PFN + index << 12):016x}"


class Frame(Sort):
    """A physical page."""

    @classmethod
    def show(cls, index: int) -> str:
        return f"pfn:{FIRST_PFN + index:#x}"


FIRST_PFN = 0x1000


class Own(Enumeration):
    """Who owns a frame; of a USER frame, ``user_of`` tells the process."""

    FREE: Own
    SECRET: Own
    ENTRY: Own
    USER: Own


class Mode(Enumeration):
    """What the process's CPU runs."""

    K: Mode
    U: Mode


def entry_frames(scope: Scope) -> int:
    """How many frames hold kernel-entry code: half of the kernel pages, at least one."""
    return max(1, scope[KernelPage] // 2)


class Kpt(State):
    """own, um, km, sh, pgk, pgs and mode, as in the benchmark."""

    own: Map[Frame, Own]
    user_of: Map[tuple[Frame, Mm], Bool]
    um: Map[tuple[Mm, UserPage], Opt[Frame]]
    km: Map[tuple[Mm, KernelPage], Opt[Frame]]
    sh: Map[tuple[Mm, KernelPage], Opt[Frame]]
    pgk: Map[Mm, Bool]
    pgs: Map[Mm, Bool]
    mode: Map[Mm, Mode]

    frame_of: Fun[KernelPage, Frame] = given(lambda scope, k: k)
    entry: Fun[Frame, Bool] = given(lambda scope, f: f < entry_frames(scope))
    wrapped: Fun[UserPage, KernelPage] = given(lambda scope, u: u % scope[KernelPage])


@assumption
def one_to_one(s: Kpt, i: KernelPage, j: KernelPage) -> Bool:
    """The 1:1 map gives different kernel pages different frames."""
    return (s.frame_of[i] == s.frame_of[j]).implies(i == j)


@operation
def boot(s: Kpt) -> Step:
    """Entry frames are mapped by the kernel; everything else is free and empty."""
    return Step(
        when=TRUE,
        then=[
            s.own.fill(lambda f: ite(s.entry[f], Own.ENTRY, Own.FREE)),
            s.user_of.fill(lambda f, m: FALSE),
            s.um.fill(lambda m, u: NONE),
            s.km.fill(lambda m, k: ite(s.entry[s.frame_of[k]], some(s.frame_of[k]), NONE)),
            s.sh.fill(lambda m, k: NONE),
            s.pgk.fill(lambda m: FALSE),
            s.pgs.fill(lambda m: FALSE),
            s.mode.fill(lambda m: Mode.K),
        ],
    )


@operation
def user_alloc(s: Kpt, m: Mm, u: UserPage, f: Frame) -> Step:
    """Map a free frame at an empty user page."""
    free = s.um[m, u].is_none & (s.own[f] == Own.FREE)
    return Step(
        when=(s.mode[m] == Mode.K) & s.pgk[m] & free,
        then=[s.um.set((m, u), some(f)), s.own.set(f, Own.USER), s.user_of.set((f, m), TRUE)],
    )


@operation
def user_free(s: Kpt, m: Mm, u: UserPage) -> Step:
    """Unmap a user page and free its frame."""
    frame = s.um[m, u].value
    return Step(
        when=(s.mode[m] == Mode.K) & s.um[m, u].is_some,
        then=[
            s.own.set(frame, Own.FREE),
            s.user_of.fill(lambda f, n: FALSE, where=lambda f, n: f == frame),
            s.um.set((m, u), NONE),
        ],
    )


@operation
def kalloc(s: Kpt, f: Frame) -> Step:
    """Take a frame for kernel data; the kernel half of every process maps it 1:1."""
    return Step(
        when=s.own[f] == Own.FREE,
        then=[
            s.own.set(f, Own.SECRET),
            s.km.fill(lambda m, k: some(f), where=lambda m, k: s.frame_of[k] == f),
        ],
    )


@operation
def kfree(s: Kpt, f: Frame) -> Step:
    """Give a frame of kernel data back."""
    return Step(
        when=s.own[f] == Own.SECRET,
        then=[
            s.own.set(f, Own.FREE),
            s.km.fill(lambda m, k: NONE, where=lambda m, k: s.frame_of[k] == f),
        ],
    )


@operation(kernel="set_pgd(), first half")
def pgd1(s: Kpt, m: Mm) -> Step:
    """Write the kernel's PGD entry; it may be cleared only when the user half is empty."""
    empty = forall(UserPage, lambda u: s.um[m, u].is_none)
    return Step(
        when=(s.mode[m] == Mode.K) & (s.pgk[m] == s.pgs[m]) & (~s.pgk[m] | empty),
        then=[s.pgk.set(m, ~s.pgk[m])],
    )


@operation(kernel="set_pgd(), second half")
def pgd2(s: Kpt, m: Mm) -> Step:
    """Copy the entry into the shadow."""
    return Step(
        when=(s.mode[m] == Mode.K) & (s.pgk[m] != s.pgs[m]),
        then=[s.pgs.set(m, s.pgk[m])],
    )


@operation
def enter_user(s: Kpt, m: Mm) -> Step:
    """Return to user mode, on the shadow table."""
    return Step(
        when=(s.mode[m] == Mode.K) & s.pgk[m] & (s.pgk[m] == s.pgs[m]),
        then=[s.mode.set(m, Mode.U)],
    )


@operation
def enter_user_between_halves(s: Kpt, m: Mm) -> Step:
    """Return to user mode, also between the two halves of set_pgd()."""
    return Step(when=(s.mode[m] == Mode.K) & s.pgk[m], then=[s.mode.set(m, Mode.U)])


@operation
def enter_kernel(s: Kpt, m: Mm) -> Step:
    """A system call, interrupt or fault."""
    return Step(when=s.mode[m] == Mode.U, then=[s.mode.set(m, Mode.K)])


@operation(kernel="kaiser_add_mapping()")
def kaiser_add(s: Kpt, m: Mm, i: KernelPage) -> Step:
    """Copy one entry page of the kernel half into the shadow."""
    return Step(
        when=(s.mode[m] == Mode.K)
        & (s.own[s.frame_of[i]] == Own.ENTRY)
        & s.km[m, i].is_some
        & s.sh[m, i].is_none,
        then=[s.sh.set((m, i), s.km[m, i])],
    )


@operation(kernel="kaiser_add_mapping()")
def kaiser_add_user(s: Kpt, m: Mm, u: UserPage) -> Step:
    """kaiser_add without a check, given a user address: the shadow maps what the user half maps."""
    return Step(
        when=(s.mode[m] == Mode.K) & s.um[m, u].is_some & s.sh[m, s.wrapped[u]].is_none,
        then=[s.sh.set((m, s.wrapped[u]), s.um[m, u])],
    )


@operation(kernel="kaiser_add_mapping()")
def kaiser_add_any(s: Kpt, m: Mm, i: KernelPage) -> Step:
    """kaiser_add without a check, given a kernel address: any page that the kernel maps."""
    return Step(
        when=(s.mode[m] == Mode.K) & s.km[m, i].is_some & s.sh[m, i].is_none,
        then=[s.sh.set((m, i), s.km[m, i])],
    )


@operation(kernel="kaiser_remove_mapping()")
def kaiser_remove(s: Kpt, m: Mm, i: KernelPage) -> Step:
    """Take one page out of the shadow."""
    return Step(
        when=(s.mode[m] == Mode.K) & s.sh[m, i].is_some,
        then=[s.sh.set((m, i), NONE)],
    )
