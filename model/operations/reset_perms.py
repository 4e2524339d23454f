"""vfree() of memory with VM_FLUSH_RESET_PERMS: pages whose direct-map alias was made read-only.

Before the pages are free, their alias becomes writable again.  So that nobody keeps the old rights, it
is made invalid first, then one flush covers the range of the area and the aliases, and only then are the
rights the usual ones again.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame


class Rights(Enumeration):
    """The rights of an alias in the direct map."""

    WRITABLE: Rights
    READ_ONLY: Rights
    INVALID: Rights


class Vfree(Locals):
    """The locals of vm_remove_mappings(): the page, and the CPUs that have not answered."""

    page: Map[Cpu, Frame]
    waits_for: Map[tuple[Cpu, Cpu], Bool]


class ResetPerms(State):
    """free: the page is the allocator's; rights: what the direct map says of it; tlb: what a CPU has
    cached of that; freeing: vfree() has begun."""

    free: Map[Frame, Bool]
    freeing: Map[Frame, Bool]
    rights: Map[Frame, Rights]
    tlb: Map[tuple[Cpu, Frame], Opt[Rights]]
    vfree: Vfree


@operation(kernel="arch/x86/mm/init.c: init_mem_mapping()")
def boot(s: ResetPerms) -> Step:
    """All pages are free and writable."""
    return Step(
        when=TRUE,
        then=[
            s.free.fill(lambda f: TRUE),
            s.freeing.fill(lambda f: FALSE),
            s.rights.fill(lambda f: Rights.WRITABLE),
            s.tlb.fill(lambda cpu, f: NONE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: ResetPerms, cpu: Cpu, f: Frame) -> Step:
    """A CPU caches the alias, unless it is invalid."""
    valid = s.rights[f] != Rights.INVALID
    return Step(when=valid, then=[s.tlb.set((cpu, f), some(s.rights[f]))])


@operation(kernel="mm/vmalloc.c: vmalloc(), set_vm_flush_reset_perms()")
def vmalloc_exec(s: ResetPerms, f: Frame) -> Step:
    """A page is allocated for code."""
    return Step(when=s.free[f], then=[s.free.set(f, FALSE)])


@operation(kernel="arch/x86/mm/pat/set_memory.c: set_memory_ro(), cpa_process_alias()")
def set_memory_ro(s: ResetPerms, f: Frame) -> Step:
    """The area becomes read-only, and the alias with it; both are flushed."""
    used = ~s.free[f] & ~s.freeing[f]
    flushed = s.tlb.fill(lambda cpu, g: NONE, lambda cpu, g: g == f)
    return Step(when=used, then=[s.rights.set(f, Rights.READ_ONLY), flushed])


vfree = Procedure(
    "vfree",
    kernel="mm/vmalloc.c: vm_remove_mappings(), _vm_unmap_aliases(), __vunmap()",
    doc="Take the area away, reset the rights of its pages, and free them.",
)


@vfree.step
def set_direct_map_invalid(s: ResetPerms, cpu: Cpu, f: Frame) -> Step:
    """Nobody can cache the alias from now on."""
    return Step(
        when=~s.free[f] & ~s.freeing[f],
        then=[
            s.freeing.set(f, TRUE),
            s.rights.set(f, Rights.INVALID),
            s.vfree.page.set(cpu, f),
        ],
    )


@vfree.step
def flush_tlb_kernel_range(s: ResetPerms, cpu: Cpu) -> Step:
    """Ask every CPU, this one as well, to flush from the lowest alias to the end of the area."""
    asked = s.vfree.waits_for.fill(lambda by, c: TRUE, lambda by, c: by == cpu)
    return Step(when=TRUE, then=[asked])


@vfree.step
def set_direct_map_default(s: ResetPerms, cpu: Cpu) -> Step:
    """When all have answered, the alias is as usual."""
    answered = forall(Cpu, lambda c: ~s.vfree.waits_for[cpu, c])
    return Step(when=answered, then=[s.rights.set(s.vfree.page[cpu], Rights.WRITABLE)])


@vfree.step
def free_page(s: ResetPerms, cpu: Cpu) -> Step:
    """The page is the allocator's."""
    f = s.vfree.page[cpu]
    return Step(when=TRUE, then=[s.free.set(f, TRUE), s.freeing.set(f, FALSE)])


def _answer(s: ResetPerms, cpu: Cpu, by: Cpu, covered: Bool) -> Step:
    asked = vfree.at(s, by, vfree.steps[2]) & s.vfree.waits_for[by, cpu]
    dropped = s.tlb.fill(
        lambda c, f: NONE, lambda c, f: (c == cpu) & (f == s.vfree.page[by]) & covered
    )
    return Step(when=asked, then=[dropped, s.vfree.waits_for.set((by, cpu), FALSE)])


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: ResetPerms, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU drops what it has cached of the range, aliases included."""
    return _answer(s, cpu, by, TRUE)


# V-12: the range was computed from the address of the area, for each page that has an alias.
@operation(
    kernel="arch/x86/mm/tlb.c: do_kernel_range_flush(), as vm_remove_mappings() asked before "
    "8e41f8726dcf",
    name="do_kernel_range_flush",
)
def flush_without_aliases(s: ResetPerms, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU drops what it has cached of the area; aliases are not in the range."""
    return _answer(s, cpu, by, FALSE)
