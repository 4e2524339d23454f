"""What KAISER's callers put into the shadow: stacks, LDTs and debug-store buffers.

An area is a few pages of kernel memory of which entry code or the processor touches some while the
shadow is loaded: the top page of a thread's stack, all of an LDT, all of a debug store.  Its owner
allocates it, hands pages to kaiser_add_mapping() one by one, which can fail for want of a table, and
puts it to use; at the end he takes it out of use, has the pages removed and frees it.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Fun,
    Locals,
    Map,
    Procedure,
    Sort,
    State,
    Step,
    forall,
    given,
    operation,
)
from ..machine.sorts import Cpu, Va


class Area(Sort):
    """A thread's stack, a process's LDT or a CPU's debug store."""


class Add(Locals):
    """The local of the allocation that a CPU is in."""

    area: Map[Cpu, Area]


class Remove(Locals):
    """The local of the release that a CPU is in."""

    area: Map[Cpu, Area]


class Areas(State):
    """shadow: the page is mapped in the shadow; allocated, used: of the area.  area_of: the area
    that a page belongs to; touched: entry code or the processor needs the page."""

    shadow: Map[Va, Bool]
    allocated: Map[Area, Bool]
    used: Map[Area, Bool]
    add: Add
    remove: Remove
    area_of: Fun[Va, Area] = given(lambda scope, va: va % scope[Area])
    touched: Fun[Va, Bool] = given(lambda scope, va: va < scope[Va] - 1)

    def complete(self, a: Area) -> Bool:
        """Whatever is touched of the area is in the shadow."""
        return forall(
            Va, lambda va: ((self.area_of[va] == a) & self.touched[va]).implies(self.shadow[va])
        )

    def gone(self, a: Area) -> Bool:
        """Nothing of the area is in the shadow."""
        return forall(Va, lambda va: (self.area_of[va] == a).implies(~self.shadow[va]))


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_init()")
def boot(s: Areas) -> Step:
    """There is no area."""
    return Step(
        when=TRUE,
        then=[
            s.shadow.fill(lambda va: FALSE),
            s.allocated.fill(lambda a: FALSE),
            s.used.fill(lambda a: FALSE),
        ],
    )


def _create(
    doc: str, *, every_page: bool = False, needs_pages: bool = True, undo: bool = True
) -> Procedure:
    """An area is set up; every_page: all of it is mapped; needs_pages: it is used only when it is
    mapped; undo: what was mapped is removed if the rest fails."""
    procedure = Procedure(
        "create_area",
        kernel="kernel/fork.c: alloc_thread_stack_node(); arch/x86/kernel/ldt.c: alloc_ldt_struct(); "
        "arch/x86/events/intel/ds.c: alloc_pebs_buffer()",
        doc=doc,
    )

    def allocate(s: Areas, cpu: Cpu, a: Area) -> Step:
        """Its memory is allocated."""
        return Step(when=~s.allocated[a], then=[s.allocated.set(a, TRUE), s.add.area.set(cpu, a)])

    def add_page(s: Areas, cpu: Cpu, va: Va) -> Step:
        """kaiser_add_mapping() of one page."""
        wanted = (s.area_of[va] == s.add.area[cpu]) & ~s.shadow[va]
        right = TRUE if every_page else s.touched[va]
        return Step(when=wanted & right, then=[s.shadow.set(va, TRUE)])

    def use(s: Areas, cpu: Cpu) -> Step:
        """The processor is told of it."""
        a = s.add.area[cpu]
        return Step(when=s.complete(a) if needs_pages else TRUE, then=[s.used.set(a, TRUE)])

    def fail(s: Areas, cpu: Cpu) -> Step:
        """A page cannot be mapped, or something else fails, and the memory is freed."""
        a = s.add.area[cpu]
        removed = s.shadow.fill(lambda va: FALSE, lambda va: s.area_of[va] == a)
        return Step(when=TRUE, then=[s.allocated.set(a, FALSE), *([removed] if undo else [])])

    procedure.step(to="map")(allocate)
    procedure.step(at="map", to="map")(add_page)
    procedure.step(at="map", to=Procedure.DONE)(use)
    procedure.step(at="map", to=Procedure.DONE)(fail)
    return procedure


create = _create("Set an area up: map what is touched of it, then use it; undo that on failure.")
# K-13: the I-version mapped all pages of each thread's stack.
create_whole = _create("Set an area up: map all of it, then use it.", every_page=True)
# K-10: the debug store was never mapped.
create_unmapped = _create("Set an area up and use it, mapped or not.", needs_pages=False)
# K-05: pages that had been mapped before the failure stayed.
create_without_undo = _create("Set an area up; on failure only free it.", undo=False)

destroy = Procedure(
    "destroy_area",
    kernel="kernel/fork.c: free_thread_stack(); arch/x86/kernel/ldt.c: free_ldt_struct(); "
    "arch/x86/events/intel/ds.c: release_pebs_buffer()",
    doc="Release an area: take it out of use, remove its pages, free it.",
)


@destroy.step
def stop(s: Areas, cpu: Cpu, a: Area) -> Step:
    """The processor is told to leave it alone."""
    return Step(when=s.used[a], then=[s.used.set(a, FALSE), s.remove.area.set(cpu, a)])


@destroy.step(at="remove", to="remove")
def remove_page(s: Areas, cpu: Cpu, va: Va) -> Step:
    """kaiser_remove_mapping() of one page."""
    mapped = (s.area_of[va] == s.remove.area[cpu]) & s.shadow[va]
    return Step(when=mapped, then=[s.shadow.set(va, FALSE)])


@destroy.step(at="remove", to=Procedure.DONE)
def free(s: Areas, cpu: Cpu) -> Step:
    """Its memory is freed."""
    a = s.remove.area[cpu]
    return Step(when=s.gone(a), then=[s.allocated.set(a, FALSE)])
