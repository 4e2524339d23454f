"""Secret pages and lazily unmapped vmap areas.

A page that the kernel had in a vmap area can be free while TLBs still lead from the area to it, until
the next purge.  A fault of a secret file may get that page.  It takes the direct map's leaf away and
flushes that one address; set_direct_map_invalid_noflush() begins below the point where CPA flushes
lazily unmapped areas.  The direct map is secretmem's subject; here it is one step.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Procedure,
    Step,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Task, Va
from .secretmem import Owner
from .vmalloc import Area
from .vmap_areas import VmapAreas


class Fault(Locals):
    """The locals of a fault: its page, and the CPUs that have not flushed lazily unmapped areas."""

    page: Map[Task, Frame]
    waits_for: Map[tuple[Task, Cpu], Bool]


class SecretAreas(VmapAreas):
    """used: a user has the page mapped, and his secret in it."""

    owner: Map[Frame, Owner]
    used: Map[Frame, Bool]
    fault: Fault

    def in_no_area(self, f: Frame) -> Bool:
        """No area maps the page."""
        return forall(Va, lambda va: self.page[va] != some(f))


@operation(kernel="mm/vmalloc.c: vmalloc_init()")
def boot(s: SecretAreas) -> Step:
    """All areas and pages are free."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_areas(),
            s.owner.fill(lambda f: Owner.FREE),
            s.used.fill(lambda f: FALSE),
            s.fault.waits_for.fill(lambda t, cpu: FALSE),
        ],
    )


@operation(kernel="mm/page_alloc.c: __alloc_pages()")
def allocate(s: SecretAreas, f: Frame) -> Step:
    """The kernel takes a free page."""
    return Step(when=s.owner[f] == Owner.FREE, then=[s.owner.set(f, Owner.KERNEL)])


@operation(kernel="mm/vmalloc.c: vmap(), alloc_vmap_area()")
def vmap(s: SecretAreas, va: Va, f: Frame) -> Step:
    """The kernel maps a page of its own in a free area."""
    return Step(
        when=(s.owner[f] == Owner.KERNEL) & (s.area[va] == Area.FREE),
        then=[s.area.set(va, Area.BUSY), s.page.set(va, some(f))],
    )


@operation(kernel="mm/vmalloc.c: vunmap(), free_vmap_area_noflush()")
def vunmap(s: SecretAreas, va: Va) -> Step:
    """The area is unmapped; what TLBs have of it goes with the next purge."""
    return Step(
        when=s.area[va] == Area.BUSY,
        then=[s.page.set(va, NONE), s.area.set(va, Area.LAZY)],
    )


@operation(kernel="mm/vmalloc.c: __vunmap(); mm/page_alloc.c: __free_pages()")
def free_page(s: SecretAreas, f: Frame) -> Step:
    """A page that no area maps is freed: the allocator waits for no purge."""
    return Step(
        when=(s.owner[f] == Owner.KERNEL) & s.in_no_area(f),
        then=[s.owner.set(f, Owner.FREE)],
    )


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy()")
def purge_at_once(s: SecretAreas, va: Va) -> Step:
    """The purge in short: every CPU flushes an area, and it is free (lazy_purge has it in full)."""
    return Step(
        when=s.area[va] == Area.LAZY,
        then=[
            s.area.set(va, Area.FREE),
            s.area_tlb.fill(lambda cpu, v: NONE, lambda cpu, v: v == va),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_area_tlb(s: SecretAreas, cpu: Cpu, va: Va) -> Step:
    """A CPU caches a translation of an area."""
    return Step(when=s.page[va].is_some, then=[s.area_tlb.set((cpu, va), s.page[va])])


@operation(kernel="mm/vmalloc.c: _vm_unmap_aliases(); arch/x86/mm/tlb.c: do_kernel_range_flush()")
def flush_lazy_areas(s: SecretAreas, cpu: Cpu, t: Task) -> Step:
    """The IPI arrives: the CPU drops what it has of lazily unmapped areas."""
    return Step(
        when=s.fault.waits_for[t, cpu],
        then=[
            s.area_tlb.fill(
                lambda c, va: NONE, lambda c, va: (c == cpu) & (s.area[va] == Area.LAZY)
            ),
            s.fault.waits_for.set((t, cpu), FALSE),
        ],
    )


@operation(kernel="mm/secretmem.c: secretmem_free_folio()")
def free_secret(s: SecretAreas, f: Frame) -> Step:
    """The file is gone: the page is zeroed and freed."""
    return Step(when=s.used[f], then=[s.used.set(f, FALSE), s.owner.set(f, Owner.FREE)])


def _secretmem_fault(*, purges: bool) -> Procedure:
    """purges: lazily unmapped areas are flushed before."""
    procedure = Procedure(
        "secretmem_fault",
        kernel="mm/secretmem.c: secretmem_fault()",
        doc="Allocate a page, take it out of the direct map, map it.",
    )

    @procedure.step(to="aliases")
    def alloc_page(s: SecretAreas, t: Task, f: Frame) -> Step:
        """Allocate a page."""
        return Step(
            when=s.owner[f] == Owner.FREE,
            then=[s.owner.set(f, Owner.SECRET), s.fault.page.set(t, f)],
        )

    def vm_unmap_aliases(s: SecretAreas, t: Task) -> Step:
        """Ask every CPU to flush lazily unmapped areas."""
        asked = s.fault.waits_for.fill(lambda by, cpu: TRUE, lambda by, cpu: by == t)
        return Step(when=TRUE, then=[asked])

    def leave_areas(s: SecretAreas, t: Task) -> Step:
        """Lazily unmapped areas are left to the next purge."""
        return Step(when=TRUE)

    procedure.step(at="aliases")(vm_unmap_aliases if purges else leave_areas)

    @procedure.step
    def set_direct_map_invalid(s: SecretAreas, t: Task) -> Step:
        """When all have answered, the leaf of the direct map goes, and is flushed everywhere."""
        return Step(when=forall(Cpu, lambda cpu: ~s.fault.waits_for[t, cpu]))

    @procedure.step
    def finish_fault(s: SecretAreas, t: Task) -> Step:
        """A user has the page."""
        return Step(when=TRUE, then=[s.used.set(s.fault.page[t], TRUE)])

    return procedure


secretmem_fault = _secretmem_fault(purges=True)
# D-14: as merged, nothing asks for areas.
secretmem_fault_merged = _secretmem_fault(purges=False)

ALLOC, ALIASES, INVALID, FINISH = secretmem_fault.steps
