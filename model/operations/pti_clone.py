"""Page table isolation at boot: the entry text is cloned into the user tables, early and again late.

The tables of the kernel image are modelled at two levels, PMD and PTE, once for the kernel and once
for user mode; what is above them exists.  ``pti_clone_pgtable()`` walks from the first address of the
entry text to its end, in steps that depend on what it finds: a hole, a large page, or PTEs.  On 64-bit
kernels it copies PMDs, so that both halves share the PTE page; on 32-bit ones it copies PTEs.  Boot is
single-threaded here; the TLB is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    Scope,
    State,
    Step,
    Update,
    Var,
    assumption,
    forall,
    given,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, PmdSlot, Va


class Half(Enumeration):
    """Whose tables."""

    KERNEL: Half
    USER: Half


class Kind(Enumeration):
    """What a PMD entry is: empty, a large leaf, a PTE page of its own, or the other half's."""

    EMPTY: Kind
    LARGE: Kind
    SMALL: Kind
    SHARED: Kind


class Phase(Enumeration):
    """How far boot is.  CLONED: after pti_init(), user-mode helpers may run; READONLY: after
    mark_readonly(); FINAL: after pti_finalize(), the first process is started."""

    BOOT: Phase
    CLONED: Phase
    READONLY: Phase
    FINAL: Phase


class Walk(Locals):
    """The local of pti_clone_pgtable(): the address it is at."""

    addr: Map[Cpu, Va]


@dataclass(frozen=True)
class Leaf:
    """What one half maps at an address."""

    frame: Opt[Frame]
    writable: Bool
    global_: Bool


def _pages(scope: Scope) -> int:
    """How many pages a PMD entry translates at a finite scope; the last may translate fewer."""
    return -(-scope[Va] // scope[PmdSlot])


class Image(State):
    """walking: a round is under way.  kind, pmd_*: PMD entries by half; pte_*: PTEs by half.

    before: the order of addresses; pmd_index: the PMD entry that translates one.  entry_text: the
    address lies in [__entry_text_start, __entry_text_end).  shows_entry_text: some of it lies under
    that PMD entry.  a_pmd_later[a, b]: b is a + PMD_SIZE.  frame_of: the page of the image at an
    address.  clone_pmds: PTI_LEVEL_KERNEL_IMAGE is PTI_CLONE_PMD.  splits: mark_readonly() splits
    the large page.
    """

    phase: Var[Phase]
    walking: Var[Bool]
    kind: Map[tuple[Half, PmdSlot], Kind]
    pmd_writable: Map[tuple[Half, PmdSlot], Bool]
    pmd_global: Map[tuple[Half, PmdSlot], Bool]
    pte_frame: Map[tuple[Half, Va], Opt[Frame]]
    pte_writable: Map[tuple[Half, Va], Bool]
    pte_global: Map[tuple[Half, Va], Bool]
    clone: Walk

    before: Fun[tuple[Va, Va], Bool] = given(lambda scope, a, b: a < b)
    pmd_index: Fun[Va, PmdSlot] = given(lambda scope, va: va // _pages(scope))
    entry_text: Fun[Va, Bool] = given(
        lambda scope, va: 0 < va < _pages(scope) * (scope[PmdSlot] - 1)
    )
    shows_entry_text: Fun[PmdSlot, Bool] = given(lambda scope, i: True)
    a_pmd_later: Fun[tuple[Va, Va], Bool] = given(lambda scope, a, b: b == a + _pages(scope))
    frame_of: Fun[Va, Frame] = given(lambda scope, va: va % scope[Frame])
    clone_pmds: Fun[tuple[()], Bool]
    splits: Fun[PmdSlot, Bool]

    def leaf(self, half: Half, va: Va) -> Leaf:
        """The walk of one half's tables."""
        i = self.pmd_index[va]
        kind = self.kind[half, i]
        large, small = kind == Kind.LARGE, kind == Kind.SMALL
        own = Leaf(self.pte_frame[half, va], self.pte_writable[half, va], self.pte_global[half, va])
        kernel = Half.KERNEL
        below = Leaf(
            ite(small, own.frame, self.pte_frame[kernel, va]),
            ite(small, own.writable, self.pte_writable[kernel, va]),
            ite(small, own.global_, self.pte_global[kernel, va]),
        )
        none: Opt[Frame] = ite(kind == Kind.EMPTY, NONE, below.frame)
        return Leaf(
            ite(large, some(self.frame_of[va]), none),
            ite(large, self.pmd_writable[half, i], below.writable),
            ite(large, self.pmd_global[half, i], below.global_),
        )

    def first(self, va: Va) -> Bool:
        """__entry_text_start."""
        earlier = forall(Va, lambda v: (self.before[v, va]).implies(~self.entry_text[v]))
        return self.entry_text[va] & earlier

    def next_page(self, a: Va, b: Va) -> Bool:
        """round_up(a + 1, PAGE_SIZE)."""
        between = forall(Va, lambda v: ~(self.before[a, v] & self.before[v, b]))
        return self.before[a, b] & between

    def next_pmd(self, a: Va, b: Va) -> Bool:
        """round_up(a + 1, PMD_SIZE)."""
        i = self.pmd_index[a]
        between = forall(
            Va,
            lambda v: (self.before[a, v] & self.before[v, b]).implies(self.pmd_index[v] == i),
        )
        return self.before[a, b] & (self.pmd_index[b] != i) & between


@assumption
def addresses_are_ordered(s: Image, a: Va, b: Va, c: Va) -> Bool:
    """The order is strict and total."""
    total = (a == b) | s.before[a, b] | s.before[b, a]
    transitive = (s.before[a, b] & s.before[b, c]).implies(s.before[a, c])
    return ~s.before[a, a] & total & transitive


@assumption
def entry_text_is_a_range(s: Image, a: Va, b: Va, c: Va) -> Bool:
    """The entry text is one range, and it is known which PMD entries it lies under."""
    between = s.before[a, b] & s.before[b, c]
    range_ = (s.entry_text[a] & s.entry_text[c] & between).implies(s.entry_text[b])
    return range_ & s.entry_text[a].implies(s.shows_entry_text[s.pmd_index[a]])


@operation(kernel="arch/x86/mm/pti.c: pti_set_kernel_image_nonglobal()")
def boot(s: Image) -> Step:
    """The image is mapped writable and not global, large or not, with holes; user mode sees nothing."""
    kernel = Half.KERNEL
    return Step(
        when=TRUE,
        then=[
            s.phase.become(Phase.BOOT),
            s.walking.become(FALSE),
            s.kind.fill(
                lambda h, i: ite(
                    h == kernel,
                    ite(s.kind[h, i] == Kind.SHARED, Kind.SMALL, s.kind[h, i]),
                    Kind.EMPTY,
                )
            ),
            s.pmd_writable.fill(lambda h, i: TRUE),
            s.pmd_global.fill(lambda h, i: FALSE),
            s.pte_frame.fill(
                lambda h, va: ite(
                    (h == kernel) & s.pte_frame[h, va].is_some, some(s.frame_of[va]), NONE
                )
            ),
            s.pte_writable.fill(lambda h, va: TRUE),
            s.pte_global.fill(lambda h, va: FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/init_64.c and init_32.c: mark_rodata_ro(), set_memory_ro()")
def mark_readonly(s: Image) -> Step:
    """Text becomes read-only in the kernel's tables; some large pages are split for that."""
    kernel = Half.KERNEL

    def split(h: Half, i: PmdSlot) -> Bool:
        return (h == kernel) & (s.kind[h, i] == Kind.LARGE) & s.splits[i]

    def below(h: Half, va: Va) -> Bool:
        return split(h, s.pmd_index[va])

    return Step(
        when=s.phase.now == Phase.CLONED,
        then=[
            s.phase.become(Phase.READONLY),
            s.kind.fill(lambda h, i: Kind.SMALL, split),
            s.pmd_writable.fill(lambda h, i: FALSE, lambda h, i: h == kernel),
            s.pte_frame.fill(lambda h, va: some(s.frame_of[va]), below),
            s.pte_global.fill(lambda h, va: s.pmd_global[h, s.pmd_index[va]], below),
            s.pte_writable.fill(lambda h, va: FALSE, lambda h, va: h == kernel),
        ],
    )


def _pti_clone(
    doc: str,
    *,
    past_hole: str = "boundary",
    past_large: str = "boundary",
    global_in_kernel: bool = True,
    stays_global: bool = False,
) -> Procedure:
    """pti_clone_pgtable(), called early and late for the entry text.

    past_hole, past_large: what follows a hole and a large page, the next "boundary" or the same
    "offset" in the next PMD.  global_in_kernel: a large page becomes global in the kernel, too.
    stays_global: after the late round, so does what was split off a large page of entry text.
    """
    procedure = Procedure(
        "pti_clone_entry_text", kernel="arch/x86/mm/pti.c: pti_clone_pgtable()", doc=doc
    )
    kernel, user = Half.KERNEL, Half.USER

    def follows(s: Image, a: Va, b: Va, how: str) -> Bool:
        return s.next_pmd(a, b) if how == "boundary" else s.a_pmd_later[a, b]

    def step(s: Image, cpu: Cpu, b: Va, when: Bool, then: list[Update]) -> Step:
        inside = s.entry_text[s.clone.addr[cpu]]
        return Step(when=inside & when, then=[*then, s.clone.addr.set(cpu, b)])

    def start(s: Image, cpu: Cpu, a: Va) -> Step:
        """pti_init() or pti_finalize() begins at the start of the entry text."""
        due = (s.phase.now == Phase.BOOT) | (s.phase.now == Phase.READONLY)
        return Step(
            when=due & ~s.walking.now & s.first(a),
            then=[s.walking.become(TRUE), s.clone.addr.set(cpu, a)],
        )

    def skip_hole(s: Image, cpu: Cpu, b: Va) -> Step:
        """The PMD entry is empty: go on behind it."""
        a = s.clone.addr[cpu]
        hole = s.kind[kernel, s.pmd_index[a]] == Kind.EMPTY
        return step(s, cpu, b, hole & follows(s, a, b, past_hole), [])

    def clone_large(s: Image, cpu: Cpu, b: Va) -> Step:
        """A large page becomes global, and its PMD entry is copied."""
        a = s.clone.addr[cpu]
        i = s.pmd_index[a]
        large = s.kind[kernel, i] == Kind.LARGE
        mark = [s.pmd_global.set((kernel, i), TRUE)] if global_in_kernel else []
        copy = [
            s.kind.set((user, i), Kind.LARGE),
            s.pmd_writable.set((user, i), s.pmd_writable[kernel, i]),
            s.pmd_global.set((user, i), TRUE),
        ]
        return step(s, cpu, b, large & follows(s, a, b, past_large), [*mark, *copy])

    def clone_pmd(s: Image, cpu: Cpu, b: Va) -> Step:
        """The PMD entry of a PTE page is copied, so that both halves share the page."""
        a = s.clone.addr[cpu]
        i = s.pmd_index[a]
        table = s.clone_pmds[()] & (s.kind[kernel, i] == Kind.SMALL)
        shared = [s.kind.set((user, i), Kind.SHARED)]
        return step(s, cpu, b, table & s.next_pmd(a, b), shared)

    def pte_level(s: Image, a: Va) -> Bool:
        return ~s.clone_pmds[()] & (s.kind[kernel, s.pmd_index[a]] == Kind.SMALL)

    def skip_page(s: Image, cpu: Cpu, b: Va) -> Step:
        """The PTE is empty: go on to the next."""
        a = s.clone.addr[cpu]
        missing = pte_level(s, a) & s.pte_frame[kernel, a].is_none
        return step(s, cpu, b, missing & s.next_page(a, b), [])

    def clone_pte(s: Image, cpu: Cpu, b: Va) -> Step:
        """A page becomes global, and its PTE is copied; what the early round cloned as a large page
        gives way to a PTE page, but only late, and what was split off it is global no longer."""
        a = s.clone.addr[cpu]
        i = s.pmd_index[a]
        present = pte_level(s, a) & s.pte_frame[kernel, a].is_some
        late = s.phase.now == Phase.READONLY
        own = s.kind[user, i] == Kind.SMALL
        possible = (s.kind[user, i] != Kind.LARGE) | late
        split = s.pte_global.fill(
            lambda h, va: FALSE, lambda h, va: (h == kernel) & (s.pmd_index[va] == i) & ~own
        )
        copy = [
            *([] if stays_global else [split]),
            s.pte_global.set((kernel, a), TRUE),
            s.kind.set((user, i), Kind.SMALL),
            s.pte_frame.fill(
                lambda h, va: NONE, lambda h, va: (h == user) & (s.pmd_index[va] == i) & ~own
            ),
            s.pte_frame.set((user, a), s.pte_frame[kernel, a]),
            s.pte_writable.set((user, a), s.pte_writable[kernel, a]),
            s.pte_global.set((user, a), TRUE),
        ]
        return step(s, cpu, b, present & possible & s.next_page(a, b), copy)

    def finish(s: Image, cpu: Cpu) -> Step:
        """The end of the entry text."""
        early = s.phase.now == Phase.BOOT
        return Step(
            when=~s.entry_text[s.clone.addr[cpu]],
            then=[
                s.phase.become(ite(early, Phase.CLONED, Phase.FINAL)),
                s.walking.become(FALSE),
            ],
        )

    procedure.step(to="loop")(start)
    for body in (skip_hole, clone_large, clone_pmd, skip_page, clone_pte):
        procedure.step(at="loop", to="loop")(body)
    procedure.step(at="loop", to=Procedure.DONE)(finish)
    return procedure


# The repair of A-03: pti_user_pagetable_walk_pte(), where it clears a large PMD entry of the user
# tables, calls set_memory_nonglobal() on the pages that it mapped.
clone = _pti_clone("Clone the entry text into the user tables, each piece up to its own boundary.")
# what the early round made global with its large page stays so, and leaves the user tables.
clone_leaving_global = _pti_clone("Clone the entry text, as Linux 6.1 does.", stays_global=True)
# P-10: after a hole that the walk had entered in the middle, it went on in the middle of the next.
clone_past_holes_by_size = _pti_clone(
    "Clone the entry text; after a hole go on at the same offset.", past_hole="offset"
)
# P-11: likewise after a large page, which on i386 the entry text may begin in the middle of.
clone_past_large_by_size = _pti_clone(
    "Clone the entry text; after a large page go on at the same offset.", past_large="offset"
)
# P-01: K8 reports a multimatch when one translation is found global and not global.
clone_global_in_user_only = _pti_clone(
    "Clone the entry text; only the user copy becomes global.", global_in_kernel=False
)


# P-12: there was no late round, so the user tables kept what was there before mark_readonly().
@operation(kernel="arch/x86/mm/pti.c: pti_finalize() without pti_clone_entry_text()")
def finalize_without_clone(s: Image) -> Step:
    """The first process is started."""
    return Step(
        when=(s.phase.now == Phase.READONLY) & ~s.walking.now, then=[s.phase.become(Phase.FINAL)]
    )
