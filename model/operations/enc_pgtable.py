"""set_memory_encrypted() and set_memory_decrypted() of kernel pages, as far as platforms agree.

A bit of the leaf says whether a page is the guest's own (private: AMD's C-bit set, TDX's shared bit
clear) or the host may use it.  A page has a leaf in the direct map, one at its link address if it is of
the image, and its owner may have mapped it with vmap(), unmapped lazily.  The kernel flushes lazily
unmapped areas, flushes the TLBs and maybe caches, calls the platform, changes every leaf, flushes the
TLBs again and calls the platform again.  Platforms (``sev``, ``snp``, ``tdx``) differ in when the host
is told; each has a :class:`Platform`.  Pages are given one at a time, and their owners take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
    State,
    Step,
    Update,
    forall,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame


class Key(Enumeration):
    """What a leaf says of its page: the guest's own, or shared with the host."""

    PRIVATE: Key
    SHARED: Key


class View(Enumeration):
    """Where a page is mapped: the direct map, the image's own addresses, an area of vmap()."""

    DIRECT: View
    IMAGE: View
    VMAP: View


class Use(Enumeration):
    """A page of the allocator; a page whose owner has it private, or shared; one that is leaked, since
    a conversion failed and nobody knows who can read it."""

    FREE: Use
    PRIVATE: Use
    SHARED: Use
    LEAKED: Use


class Rounds(Enumeration):
    """How often something was done."""

    NONE: Rounds
    ONCE: Rounds
    TWICE: Rounds
    MORE: Rounds


class Call(Locals):
    """The locals of a page's call: the address it was given by, what is wanted, whether a leaf could not
    be changed, whether an alias was, CPUs that have not flushed yet, and what it has cost."""

    view: Map[Frame, View]
    want: Map[Frame, Key]
    failed: Map[Frame, Bool]
    force_flush_all: Map[Frame, Bool]
    waits_for: Map[tuple[Frame, Cpu], Bool]
    tlb_rounds: Map[Frame, Rounds]
    cache_rounds: Map[Frame, Rounds]


class EncPgtable(State):
    """in_image: the page is in the range of the image.  shared_at_boot: it was converted by then, such
    as the buffers of swiotlb.  use: what its owner knows of it.  leaf: what maps it.  tlb: likewise, as
    CPUs have cached it.  lazy: its area was unmapped, and is not purged yet."""

    in_image: Fun[Frame, Bool]
    shared_at_boot: Fun[Frame, Bool]
    use: Map[Frame, Use]
    leaf: Map[tuple[View, Frame], Opt[Key]]
    tlb: Map[tuple[Cpu, View, Frame], Opt[Key]]
    lazy: Map[Frame, Bool]
    call: Call

    def flushed_by_all(self, f: Frame) -> Bool:
        """Every CPU has answered the last request to flush that is about this page."""
        return forall(Cpu, lambda cpu: ~self.call.waits_for[f, cpu])

    def key(self, f: Frame) -> Key:
        """The key that the page is used with, if it is not leaked."""
        return ite(self.use[f] == Use.SHARED, Key.SHARED, Key.PRIVATE)

    def owned(self, f: Frame) -> Bool:
        """Its owner may use the page."""
        return (self.use[f] == Use.PRIVATE) | (self.use[f] == Use.SHARED)

    def boot_pages(self) -> list[Update]:
        """Every page is mapped with the key that it has by then; those that are shared have owners."""

        def key(f: Frame) -> Opt[Key]:
            return some(ite(self.shared_at_boot[f], Key.SHARED, Key.PRIVATE))

        def mapped(view: View, f: Frame) -> Opt[Key]:
            image = ite(self.in_image[f], key(f), NONE)
            return ite(view == View.DIRECT, key(f), ite(view == View.IMAGE, image, NONE))

        return [
            self.use.fill(lambda f: ite(self.shared_at_boot[f], Use.SHARED, Use.FREE)),
            self.leaf.fill(mapped),
            self.tlb.fill(lambda cpu, view, f: NONE),
            self.lazy.fill(lambda f: FALSE),
        ]


@operation(kernel="Intel SDM vol. 3, section 4.10.2; AMD APM vol. 2, section 5.5")
def fill_tlb(s: EncPgtable, cpu: Cpu, view: View, f: Frame) -> Step:
    """A CPU caches a translation, with its bit, needed or not."""
    leaf = s.leaf[view, f]
    return Step(when=leaf.is_some, then=[s.tlb.set((cpu, view, f), leaf)])


@operation(kernel="mm/page_alloc.c: alloc_pages()")
def alloc_pages(s: EncPgtable, f: Frame) -> Step:
    """Somebody gets a page, private."""
    return Step(when=s.use[f] == Use.FREE, then=[s.use.set(f, Use.PRIVATE)])


@operation(kernel="mm/page_alloc.c: free_pages()")
def free_pages(s: EncPgtable, f: Frame) -> Step:
    """The owner gives it back when it is private, and mapped by him nowhere."""
    ready = (s.use[f] == Use.PRIVATE) & s.leaf[View.VMAP, f].is_none
    return Step(when=set_memory_enc.idle(s, f) & ready, then=[s.use.set(f, Use.FREE)])


@operation(kernel="mm/vmalloc.c: vmap()")
def vmap(s: EncPgtable, f: Frame) -> Step:
    """The owner maps the page in an area, with the key that it has."""
    free = s.leaf[View.VMAP, f].is_none & ~s.lazy[f]
    return Step(
        when=set_memory_enc.idle(s, f) & s.owned(f) & free,
        then=[s.leaf.set((View.VMAP, f), some(s.key(f)))],
    )


@operation(kernel="mm/vmalloc.c: vunmap(), free_vmap_area_noflush()")
def vunmap(s: EncPgtable, f: Frame) -> Step:
    """The owner unmaps the area; what TLBs have of it goes with the next purge."""
    return Step(
        when=set_memory_enc.idle(s, f) & s.leaf[View.VMAP, f].is_some,
        then=[s.leaf.set((View.VMAP, f), NONE), s.lazy.set(f, TRUE)],
    )


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy()")
def purge_at_once(s: EncPgtable, f: Frame) -> Step:
    """The purge in short: every CPU flushes an area, and its addresses are free (lazy_purge has it in
    full)."""
    return Step(
        when=s.lazy[f],
        then=[
            s.lazy.set(f, FALSE),
            s.tlb.fill(lambda cpu, v, g: NONE, lambda cpu, v, g: (v == View.VMAP) & (g == f)),
        ],
    )


Writes = Callable[[Any, Frame], Sequence[Update]]
Guard = Callable[[Any, Frame], Bool]


def _nothing(s: EncPgtable, f: Frame) -> list[Update]:
    return []


def always(s: EncPgtable, f: Frame) -> Bool:
    """A platform does it for each conversion."""
    return TRUE


def to_shared(s: EncPgtable, f: Frame) -> Bool:
    """A platform does it when a page is to be shared."""
    return s.call.want[f] == Key.SHARED


@dataclass(frozen=True)
class Callback:
    """Half of a callback of ``x86_platform.guest``, as a step.  does: what it writes.  needs: what it
    waits for.  fails: what it may write instead, and return an error."""

    name: str
    doc: str
    does: Writes = _nothing
    needs: Guard = always
    fails: Writes | None = None


@dataclass(frozen=True)
class Platform:
    """``x86_platform.guest``.  prepare, convert: the halves of enc_status_change_prepare(); finish,
    confirm: those of enc_status_change_finish().  tlb_flush, cache_flush: whether TLBs are flushed
    before, and caches then; clflush: what the latter writes.  state: what its callbacks write; kernel:
    where they are.

    Slips: purge: lazily unmapped areas are flushed.  flush_after: TLBs are flushed after the change.
    aliases: CPA changes the leaves that it was not given."""

    prepare: Callback
    convert: Callback
    finish: Callback
    confirm: Callback
    tlb_flush: Guard = always
    cache_flush: Guard = always
    clflush: Writes = _nothing
    state: type[EncPgtable] = EncPgtable
    kernel: str = ""
    purge: bool = True
    flush_after: bool = True
    aliases: bool = True


SET_MEMORY = "arch/x86/mm/pat/set_memory.c: __set_memory_enc_pgtable()"


def _one_more(rounds: Rounds) -> Rounds:
    more = ite(rounds == Rounds.ONCE, Rounds.TWICE, Rounds.MORE)
    return ite(rounds == Rounds.NONE, Rounds.ONCE, more)


def _round(s: EncPgtable, f: Frame, whether: Bool) -> list[Update]:
    """Every CPU is asked to flush, or none."""
    rounds = s.call.tlb_rounds
    return [
        s.call.waits_for.fill(lambda g, cpu: whether, lambda g, cpu: g == f),
        rounds.set(f, ite(whether, _one_more(rounds[f]), rounds[f])),
    ]


def set_memory_enc_on(platform: Platform) -> Procedure:
    """The procedure of one page on a platform; its positions are those of every platform's."""
    procedure = Procedure(
        "set_memory_enc",
        kernel="; ".join(filter(None, [SET_MEMORY, platform.kernel])),
        doc="Flush, tell the platform, change the leaves of a page, flush, tell the platform.",
    )

    @procedure.step(to="flush_before")
    def vm_unmap_aliases(s: EncPgtable, f: Frame, view: View, want: Key) -> Step:
        """The owner has the page changed, by an address where it is mapped; he has no other of his
        own.  CPUs are asked to flush lazily unmapped areas."""
        alone = (view == View.VMAP) | s.leaf[View.VMAP, f].is_none
        purge = TRUE if platform.purge else FALSE
        return Step(
            when=s.owned(f) & (s.key(f) != want) & s.leaf[view, f].is_some & alone,
            then=[
                s.call.view.set(f, view),
                s.call.want.set(f, want),
                s.call.failed.set(f, FALSE),
                s.call.force_flush_all.set(f, FALSE),
                s.call.tlb_rounds.set(f, Rounds.NONE),
                s.call.cache_rounds.set(f, Rounds.NONE),
                s.call.waits_for.fill(lambda g, cpu: purge, lambda g, cpu: g == f),
            ],
        )

    def cpa_flush_before(s: EncPgtable, f: Frame) -> Step:
        """If the platform says so, ask every CPU to flush the address."""
        return Step(when=s.flushed_by_all(f), then=_round(s, f, platform.tlb_flush(s, f)))

    cpa_flush_before.__annotations__["s"] = platform.state
    procedure.step(at="flush_before", to="prepare")(cpa_flush_before)

    def leave(s: EncPgtable, f: Frame, use: Use) -> list[Update]:
        return [s.use.set(f, use)]

    def clflush(s: EncPgtable, f: Frame) -> list[Update]:
        """The end of the first cpa_flush()."""
        rounds = s.call.cache_rounds
        whether = platform.tlb_flush(s, f) & platform.cache_flush(s, f)
        counted = rounds.set(f, ite(whether, _one_more(rounds[f]), rounds[f]))
        return [*platform.clflush(s, f), counted]

    def succeed(s: EncPgtable, f: Frame) -> list[Update]:
        return leave(s, f, ite(s.call.want[f] == Key.SHARED, Use.SHARED, Use.PRIVATE))

    def half(callback: Callback, at: str, to: str, also: Writes = _nothing) -> None:
        """A half of a callback as a step, and its failure, after which nobody has the page."""

        def guard(s: EncPgtable, f: Frame) -> Bool:
            return s.flushed_by_all(f) & ~s.call.failed[f] & callback.needs(s, f)

        def step(s: EncPgtable, f: Frame) -> Step:
            return Step(when=guard(s, f), then=[*also(s, f), *callback.does(s, f)])

        step.__name__, step.__doc__ = callback.name, callback.doc
        step.__module__ = platform.state.__module__
        step.__annotations__["s"] = platform.state
        procedure.step(at=at, to=to)(step)
        fails = callback.fails
        if fails is None:
            return

        def failure(s: EncPgtable, f: Frame) -> Step:
            return Step(when=guard(s, f), then=[*fails(s, f), *leave(s, f, Use.LEAKED)])

        failure.__annotations__["s"] = platform.state
        failure.__name__ = f"{callback.name}_fails"
        failure.__doc__ = f"{callback.name} fails: nobody may use the page."
        procedure.step(at=at, to=Procedure.DONE)(failure)

    half(platform.prepare, "prepare", "convert", clflush)
    half(platform.convert, "convert", "change_primary")

    @procedure.step(at="change_primary", to="change_direct_map")
    def change_primary(s: EncPgtable, f: Frame) -> Step:
        """__change_page_attr() at the address given."""
        return Step(when=TRUE, then=[s.leaf.set((s.call.view[f], f), some(s.call.want[f]))])

    def change_alias(view: View, name: str, to: str) -> None:
        def change(s: EncPgtable, f: Frame) -> Step:
            """cpa_process_alias(): the leaf there, if there is one, and it is not changed yet."""
            other = (s.call.view[f] != view) & s.leaf[view, f].is_some
            if not platform.aliases:
                other = FALSE
            return Step(
                when=TRUE,
                then=[
                    s.leaf.set((view, f), ite(other, some(s.call.want[f]), s.leaf[view, f])),
                    s.call.force_flush_all.set(f, other | s.call.force_flush_all[f]),
                ],
            )

        change.__name__ = name
        procedure.step(at=name, to=to)(change)

    change_alias(View.DIRECT, "change_direct_map", "change_image_map")
    change_alias(View.IMAGE, "change_image_map", "flush_after")

    def cannot_split(at: str) -> None:
        def fail(s: EncPgtable, f: Frame) -> Step:
            """No memory to split a large page: the leaves stay as they are by now."""
            return Step(when=TRUE, then=[s.call.failed.set(f, TRUE)])

        fail.__name__ = f"{at}_fails"
        procedure.step(at=at, to="flush_after")(fail)

    for at in ("change_primary", "change_direct_map", "change_image_map"):
        cannot_split(at)

    @procedure.step(at="flush_after", to="finish")
    def cpa_flush_after(s: EncPgtable, f: Frame) -> Step:
        """Ask every CPU to flush what was changed: speculation may have cached it."""
        return Step(when=TRUE, then=_round(s, f, TRUE if platform.flush_after else FALSE))

    @procedure.step(at="finish", to=Procedure.DONE)
    def give_up(s: EncPgtable, f: Frame) -> Step:
        """A leaf could not be changed: return the error, and the owner leaks the page."""
        failed = s.flushed_by_all(f) & s.call.failed[f]
        return Step(when=failed, then=leave(s, f, Use.LEAKED))

    half(platform.finish, "finish", "confirm")
    half(platform.confirm, "confirm", Procedure.DONE, succeed)
    return procedure


# Whatever the platform, the positions are these.
set_memory_enc = set_memory_enc_on(
    Platform(
        prepare=Callback("prepare", "The host is told."),
        convert=Callback("convert", "The page is converted."),
        finish=Callback("finish", "The host is told."),
        confirm=Callback("confirm", "The page is converted."),
    )
)
_steps = {step.at: step for step in set_memory_enc.steps}
FLUSH_BEFORE = _steps["flush_before"]
PREPARE = _steps["prepare"]
CONVERT = _steps["convert"]
CHANGE_PRIMARY = _steps["change_primary"]
CHANGE_DIRECT_MAP = _steps["change_direct_map"]
CHANGE_IMAGE_MAP = _steps["change_image_map"]
FLUSH_AFTER = _steps["flush_after"]
FINISH = _steps["finish"]
CONFIRM = _steps["confirm"]


@operation(kernel="arch/x86/mm/pat/set_memory.c: __cpa_flush_tlb(), flush_tlb_all()")
def flush(s: EncPgtable, cpu: Cpu, frame: Frame) -> Step:
    """The IPI arrives: what is asked for is flushed, and the CPU that waits is told.  That is every
    lazily unmapped area, then the address that was given, in the end everything if an alias changed."""
    lazily = set_memory_enc.at(s, frame, FLUSH_BEFORE)
    after = set_memory_enc.at(s, frame, FINISH)
    given = set_memory_enc.at(s, frame, PREPARE) | after
    whole = after & s.call.force_flush_all[frame]

    def asked(c: Cpu, v: View, f: Frame) -> Bool:
        area = lazily & (v == View.VMAP) & s.lazy[f]
        one = given & (v == s.call.view[frame]) & (f == frame)
        return (c == cpu) & (area | one | whole)

    return Step(
        when=s.call.waits_for[frame, cpu] & (lazily | given),
        then=[
            s.tlb.fill(lambda c, v, f: NONE, asked),
            s.call.waits_for.set((frame, cpu), FALSE),
        ],
    )


OPERATIONS = (fill_tlb, alloc_pages, free_pages, vmap, vunmap, purge_at_once, flush)
