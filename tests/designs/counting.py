"""A design whose claim is true and cannot be proved: the reason is a matter of counting."""

from __future__ import annotations

from mapproof import FALSE, TRUE, Bool, Design, Map, Sort, State, Step, always, forall, operation


class Frame(Sort):
    """A physical page."""


class Pool(State):
    """Frames that are set aside, and those that are mapped."""

    reserved: Map[Frame, Bool]
    mapped: Map[Frame, Bool]


@operation
def boot(s: Pool) -> Step:
    """Every frame is set aside."""
    return Step(when=TRUE, then=[s.reserved.fill(lambda f: TRUE), s.mapped.fill(lambda f: FALSE)])


@operation(kernel="mm/memory.c: do_anonymous_page()")
def map_page(s: Pool, f: Frame, g: Frame) -> Step:
    """Map a frame at the cost of any that is set aside."""
    return Step(
        when=s.reserved[f] & ~s.mapped[g], then=[s.reserved.set(f, FALSE), s.mapped.set(g, TRUE)]
    )


@always
def an_empty_pool_is_mapped(s: Pool, g: Frame) -> Bool:
    """When nothing is set aside any more, every frame is mapped."""
    return forall(Frame, lambda f: ~s.reserved[f]).implies(s.mapped[g])


counting = Design(
    name="counting",
    state=Pool,
    init=boot,
    operations=[map_page],
    properties=[an_empty_pool_is_mapped],
    scope={Frame: 3},
    doc="Frames are mapped at the cost of others, one for one.",
)
