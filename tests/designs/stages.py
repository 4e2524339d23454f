"""A design that a check settles soon with one lemma that nobody has written, and its slip."""

from __future__ import annotations

from mapproof import (
    FALSE,
    TRUE,
    Bool,
    Design,
    Fun,
    Map,
    Sort,
    State,
    Step,
    always,
    assumption,
    exists,
    forall,
    operation,
    sometimes,
)


class Frame(Sort):
    """A physical page."""


class Stages(State):
    """What has been done to a frame."""

    usable: Fun[Frame, Bool]
    dirty: Map[Frame, Bool]
    taken: Map[Frame, Bool]
    cleared: Map[Frame, Bool]
    mapped: Map[Frame, Bool]


@assumption
def some_frame_is_usable(s: Stages) -> Bool:
    """There is memory."""
    return exists(Frame, lambda f: s.usable[f])


@operation
def boot(s: Stages) -> Step:
    """Nothing is in use, and whatever was there is there still."""
    none = (s.taken, s.cleared, s.mapped)
    return Step(
        when=forall(Frame, lambda f: s.dirty[f]),
        then=[what.fill(lambda _: FALSE) for what in none],
    )


@operation
def take(s: Stages, f: Frame) -> Step:
    """Allocate a frame."""
    return Step(when=s.usable[f], then=[s.taken.set(f, TRUE)])


@operation
def clear(s: Stages, f: Frame) -> Step:
    """Clear it."""
    then = [s.cleared.set(f, TRUE), s.dirty.set(f, FALSE)]
    return Step(when=s.taken[f] & s.dirty[f], then=then)


@operation
def map_page(s: Stages, f: Frame) -> Step:
    """Map it."""
    return Step(when=s.cleared[f], then=[s.mapped.set(f, TRUE)])


@operation
def free(s: Stages, f: Frame) -> Step:
    """Free a frame that is not mapped, whoever may be about to do so."""
    return Step(when=s.taken[f] & ~s.mapped[f], then=[s.taken.set(f, FALSE)])


@operation
def free_uncleared(s: Stages, f: Frame) -> Step:
    """Free a frame that nobody is about to map."""
    return Step(when=s.taken[f] & ~s.cleared[f], then=[s.taken.set(f, FALSE)])


@always
def what_is_mapped_is_taken(s: Stages, f: Frame) -> Bool:
    """A frame that is mapped is nobody else's."""
    return s.mapped[f].implies(s.taken[f])


@always
def what_is_mapped_is_usable(s: Stages, f: Frame) -> Bool:
    """A frame that is mapped is memory."""
    return s.mapped[f].implies(s.usable[f])


@always
def what_is_clean_was_cleared(s: Stages, f: Frame) -> Bool:
    """A frame is cleared by what says so."""
    return s.dirty[f] | s.cleared[f]


@sometimes
def a_page_is_mapped(s: Stages, f: Frame) -> Bool:
    """The job."""
    return s.mapped[f]


@sometimes
def a_page_is_cleared(s: Stages, f: Frame) -> Bool:
    """A part of the job."""
    return s.cleared[f] & ~s.mapped[f]


stages = Design(
    name="stages",
    state=Stages,
    init=boot,
    operations=[take, clear, map_page, free_uncleared],
    properties=[
        what_is_mapped_is_taken,
        what_is_mapped_is_usable,
        what_is_clean_was_cleared,
        a_page_is_mapped,
        a_page_is_cleared,
    ],
    assumptions=[some_frame_is_usable],
    scope={Frame: 2},
)

stages_buggy = stages.replacing(free_uncleared, free, name="stages-buggy")
