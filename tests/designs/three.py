"""Three systems on one map of pages: one breaks another, one breaks itself, one minds its business."""

from __future__ import annotations

from mapproof import (
    FALSE,
    TRUE,
    Bool,
    Design,
    Map,
    Part,
    Sort,
    State,
    Step,
    always,
    operation,
    sometimes,
)


class Frame(Sort):
    """A physical page."""


class Memory(State):
    """Which pages are mapped, in a TLB, hidden, poisoned, in use."""

    mapped: Map[Frame, Bool]
    cached: Map[Frame, Bool]
    hidden: Map[Frame, Bool]
    poisoned: Map[Frame, Bool]
    used: Map[Frame, Bool]


@operation
def boot(s: Memory) -> Step:
    """Every page is mapped and nothing else."""
    clear = [m.fill(lambda f: FALSE) for m in (s.cached, s.hidden, s.poisoned, s.used)]
    return Step(when=TRUE, then=[s.mapped.fill(lambda f: TRUE), *clear])


@operation(kernel="the processor fills its TLB at any time")
def fill_tlb(s: Memory, f: Frame) -> Step:
    """A translation is cached."""
    return Step(when=s.mapped[f], then=[s.cached.set(f, TRUE)])


@operation(kernel="mm/secretmem.c: secretmem_fault()")
def hide(s: Memory, f: Frame) -> Step:
    """A page leaves the map and the TLB."""
    return Step(
        when=~s.hidden[f],
        then=[s.mapped.set(f, FALSE), s.cached.set(f, FALSE), s.hidden.set(f, TRUE)],
    )


@operation(kernel="mm/secretmem.c: secretmem_free_folio()")
def show(s: Memory, f: Frame) -> Step:
    """A page returns."""
    return Step(when=s.hidden[f], then=[s.mapped.set(f, TRUE), s.hidden.set(f, FALSE)])


@operation(kernel="arch/x86/mm/pat/set_memory.c: set_mce_nospec()")
def poison(s: Memory, f: Frame) -> Step:
    """A page with an error leaves the map; nobody flushes."""
    return Step(
        when=~s.poisoned[f],
        then=[s.mapped.set(f, FALSE), s.poisoned.set(f, TRUE)],
    )


@operation(kernel="arch/x86/mm/pat/set_memory.c: clear_mce_nospec()")
def unpoison(s: Memory, f: Frame) -> Step:
    """The error is gone: the page is mapped, whoever hides it."""
    return Step(when=s.poisoned[f], then=[s.mapped.set(f, TRUE), s.poisoned.set(f, FALSE)])


@operation(kernel="mm/page_alloc.c: alloc_pages()")
def use(s: Memory, f: Frame) -> Step:
    """A page is handed out."""
    return Step(when=~s.used[f], then=[s.used.set(f, TRUE)])


@always
def hidden_pages_are_not_mapped(s: Memory, f: Frame) -> Bool:
    """What is hidden is in no map."""
    return s.hidden[f].implies(~s.mapped[f])


@always
def hidden_pages_are_not_cached(s: Memory, f: Frame) -> Bool:
    """What is hidden is in no TLB."""
    return s.hidden[f].implies(~s.cached[f])


@sometimes
def a_page_is_hidden(s: Memory, f: Frame) -> Bool:
    """Something is hidden."""
    return s.hidden[f]


@always
def poisoned_pages_are_not_cached(s: Memory, f: Frame) -> Bool:
    """What is poisoned is in no TLB."""
    return s.poisoned[f].implies(~s.cached[f])


@always
def used_pages_are_in_use(s: Memory, f: Frame) -> Bool:
    """Nothing but what is said twice."""
    return s.used[f].implies(s.used[f])


secret = Part(
    name="secret",
    operations=[hide, show],
    claims=[hidden_pages_are_not_mapped, hidden_pages_are_not_cached, a_page_is_hidden],
    doc="Pages that only their owner may see.",
)
mce = Part(
    name="mce",
    operations=[poison, unpoison],
    claims=[poisoned_pages_are_not_cached],
    doc="Pages with errors, which nobody may touch.",
)
pool = Part(
    name="pool",
    operations=[use],
    claims=[used_pages_are_in_use],
    doc="Pages that are handed out.",
)
three = Design(
    name="three",
    state=Memory,
    init=boot,
    operations=[fill_tlb],
    parts=[secret, mce, pool],
    scope={Frame: 2},
    doc="Three systems that edit one map.",
)
