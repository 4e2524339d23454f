"""Memory hotplug on x86-64: new top-level entries of the direct map and of vmemmap.

Unlike those of the vmalloc area they are not allocated at boot, and nobody repairs a fault on them.
Whoever fills one in init_mm has to push it to every process (pgd_populate_kernel(), with 4 levels
p4d_populate_kernel()) before anybody uses what is mapped there, itself included: it runs on the tables
of some process.  Top-level entries are never taken away when memory is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Procedure,
    Sort,
    Step,
    Update,
    Var,
    assumption,
    given,
    operation,
    some,
)
from ..machine.sorts import Cpu, Mm, P4dSlot, Pud
from .kernel_half import KernelHalf, Region


class Section(Sort):
    """A piece of memory that is added as a whole."""


class Memory(Enumeration):
    """Not there, being added, or in use."""

    ABSENT: Memory
    ADDING: Memory
    ONLINE: Memory


class Add(Locals):
    """The locals of add_memory(): the section, and the top-level entry at which it is."""

    section: Map[Cpu, Section]
    slot: Map[Cpu, P4dSlot]


class Hotplug(KernelHalf):
    """direct, vmemmap: the entries under which a section and its struct pages lie.  mem_hotplug_lock:
    sections are added one by one."""

    memory: Map[Section, Memory]
    mem_hotplug_lock: Var[Bool]
    add: Add
    direct: Fun[Section, P4dSlot] = given(lambda scope, s: s % min(2, scope[P4dSlot]))
    vmemmap: Fun[Section, P4dSlot] = given(lambda scope, s: min(1, scope[P4dSlot] - 1))


@assumption
def sections_lie_in_the_direct_map(s: Hotplug, x: Section) -> Bool:
    """Memory is mapped in the direct map, its struct pages in vmemmap."""
    direct = s.region[s.direct[x]] == Region.DIRECT_MAP
    return direct & (s.region[s.vmemmap[x]] == Region.DIRECT_MAP)


@operation(kernel="arch/x86/mm/init_64.c: paging_init()")
def boot(s: Hotplug) -> Step:
    """No memory has been added."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_list(),
            s.reference.fill(lambda i: NONE),
            s.copy.fill(lambda m, i: NONE),
            s.memory.fill(lambda x: Memory.ABSENT),
            s.mem_hotplug_lock.become(FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_ctor(), clone_pgd_range()")
def fork(s: Hotplug, m: Mm) -> Step:
    """Under pgd_lock, copy the kernel half of the top level and join pgd_list."""
    return Step(
        when=~s.on_list[m] & ~s.pgd_lock.now,
        then=[
            s.copy.fill(lambda n, i: s.reference[i], lambda n, i: n == m),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_dtor()")
def exit_mm(s: Hotplug, m: Mm) -> Step:
    """Under pgd_lock, leave pgd_list."""
    return Step(when=s.on_list[m] & ~s.pgd_lock.now, then=[s.on_list.set(m, FALSE)])


@operation(kernel="mm/memory_hotplug.c: try_remove_memory(), remove_pagetable()")
def remove_memory(s: Hotplug, x: Section) -> Step:
    """Take a section away.  Lower tables go, top-level entries and the pages they lead to stay."""
    online = s.memory[x] == Memory.ONLINE
    return Step(when=~s.mem_hotplug_lock.now & online, then=[s.memory.set(x, Memory.ABSENT)])


More = Callable[[Any, Mm, P4dSlot], Sequence[Update]]


def _no_more(s: Hotplug, m: Mm, i: P4dSlot) -> Sequence[Update]:
    return ()


def _add_populate(procedure: Procedure, region: str, *, to: str, pushes: bool, more: More) -> None:
    """``pgd_populate_kernel()``: fill an empty entry in init_mm, and push it."""

    def populate(s: Hotplug, cpu: Cpu, t: Pud) -> Step:
        """Fill the top-level entry in init_mm."""
        i = s.add.slot[cpu]
        return Step(when=s.reference[i].is_none, then=[s.reference.set(i, some(t))])

    def find_populated(s: Hotplug, cpu: Cpu) -> Step:
        """The top-level entry is there: it was pushed when it was filled."""
        return Step(when=s.reference[s.add.slot[cpu]].is_some)

    def lock(s: Hotplug, cpu: Cpu) -> Step:
        """Take pgd_lock to walk pgd_list."""
        return Step(when=~s.pgd_lock.now, then=s.begin_walk(cpu))

    def sync_one(s: Hotplug, cpu: Cpu, m: Mm) -> Step:
        """A process that lacks the entry gets it."""
        i = s.add.slot[cpu]
        synced = s.copy.fill(
            lambda n, k: s.reference[k],
            lambda n, k: (n == m) & (k == i) & s.copy[m, i].is_none,
        )
        return Step(when=s.on_list[m], then=[synced, s.visit(cpu, m), *more(s, m, i)])

    def unlock(s: Hotplug, cpu: Cpu) -> Step:
        """The end of the list."""
        return Step(when=s.walk_is_over(cpu), then=[s.end_walk()])

    def add(step: Callable[..., Step], at: str, to: str) -> None:
        step.__name__ = f"{region}_{step.__name__}"
        step.__annotations__["s"] = get_type_hints(more)["s"]
        procedure.step(at=f"{region}_{at}", to=to)(step)

    add(find_populated, "populate", to)
    add(populate, "populate", f"{region}_lock" if pushes else to)
    add(lock, "lock", f"{region}_sync_one")
    add(sync_one, "sync_one", f"{region}_sync_one")
    add(unlock, "sync_one", to)


def adding_memory(*, vmemmap_is_pushed: bool = True, more: More = _no_more) -> Procedure:
    """add_memory().  vmemmap_is_pushed: also what is filled there; more: what else is written to a
    process's tables when they get an entry."""
    procedure = Procedure(
        "add_memory",
        kernel="mm/memory_hotplug.c: add_memory_resource(), arch/x86/mm/init_64.c: "
        "kernel_physical_mapping_init(); mm/sparse-vmemmap.c: __populate_section_memmap()",
        doc="Map a section in the direct map, and its struct pages in vmemmap, and use both.",
    )

    def begin(s: Hotplug, cpu: Cpu, x: Section) -> Step:
        """Under mem_hotplug_lock, begin with the direct map."""
        return Step(
            when=~s.mem_hotplug_lock.now & (s.memory[x] == Memory.ABSENT),
            then=[
                s.mem_hotplug_lock.become(TRUE),
                s.memory.set(x, Memory.ADDING),
                s.add.section.set(cpu, x),
                s.add.slot.set(cpu, s.direct[x]),
            ],
        )

    def go_on(s: Hotplug, cpu: Cpu) -> Step:
        """Go on with vmemmap."""
        return Step(when=TRUE, then=[s.add.slot.set(cpu, s.vmemmap[s.add.section[cpu]])])

    def memmap_init(s: Hotplug, cpu: Cpu) -> Step:
        """Write the struct pages, on whatever tables are loaded."""
        return Step(when=TRUE)

    def online(s: Hotplug, cpu: Cpu) -> Step:
        """The section is in use."""
        return Step(
            when=TRUE,
            then=[
                s.memory.set(s.add.section[cpu], Memory.ONLINE),
                s.mem_hotplug_lock.become(FALSE),
            ],
        )

    procedure.step(to="direct_populate")(begin)
    _add_populate(procedure, "direct", to="go_on", pushes=True, more=more)
    procedure.step(at="go_on", to="vmemmap_populate")(go_on)
    _add_populate(procedure, "vmemmap", to="memmap_init", pushes=vmemmap_is_pushed, more=more)
    procedure.step(at="memmap_init", to="online")(memmap_init)
    procedure.step(at="online", to=Procedure.DONE)(online)
    return procedure


add_memory = adding_memory()
# V-07: vmemmap_populate_compound_pages() was a way to fill an entry that no push followed.
add_memory_compound_pages = adding_memory(vmemmap_is_pushed=False)
