"""Device memory in user mappings: munmap() against a driver that takes the memory back.

Pages of a VM_PFNMAP mapping have no reference count, so the flush of an mmu_gather does not come before
anything is freed by itself.  The driver finds mappings through the file (``i_mmap``); a mapping that it
does not find any more has to be flushed already.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    Update,
    Var,
    exists,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import drop


class Unmapping(Locals):
    """The locals of either procedure: the address, and CPUs that have not answered."""

    va: Map[Cpu, Va]
    waits_for: Map[tuple[Cpu, Cpu], Bool]

    def ask(self, by: Cpu, va: Va) -> list[Update]:
        """All CPUs have to flush an address."""
        return [
            self.va.set(by, va),
            self.waits_for.fill(lambda b, c: TRUE, lambda b, c: b == by),
        ]


class PfnMap(State):
    """maps: user mappings of the file.  vma: the mapping is in i_mmap.
    flush_pending: a munmap() of it is under way (``tlb_flush_pending``), which has mmap_lock.
    memory: the device memory of the file, none after the driver has released it.
    released: others may have it.  i_mmap_rwsem: held by the driver."""

    maps: Map[Va, Opt[Frame]]
    tlb: Map[tuple[Cpu, Va], Opt[Frame]]
    vma: Map[Va, Bool]
    flush_pending: Map[Va, Bool]
    memory: Var[Opt[Frame]]
    released: Map[Frame, Bool]
    i_mmap_rwsem: Var[Bool]
    unmapping: Unmapping

    def answered(self, by: Cpu) -> Bool:
        """All CPUs have flushed for this one."""
        return forall(Cpu, lambda c: ~self.unmapping.waits_for[by, c])


@operation(kernel="mm/mmap.c: mmap_region()")
def boot(s: PfnMap) -> Step:
    """There is no mapping, and the driver has no memory."""
    return Step(
        when=TRUE,
        then=[
            s.maps.fill(lambda va: NONE),
            s.tlb.fill(lambda cpu, va: NONE),
            s.vma.fill(lambda va: FALSE),
            s.flush_pending.fill(lambda va: FALSE),
            s.memory.become(NONE),
            s.released.fill(lambda f: TRUE),
            s.i_mmap_rwsem.become(FALSE),
        ],
    )


@operation(kernel="drivers: allocate device memory for an object")
def allocate(s: PfnMap, f: Frame) -> Step:
    """The driver takes memory."""
    return Step(
        when=s.memory.now.is_none & s.released[f] & ~s.i_mmap_rwsem.now,
        then=[s.memory.become(some(f)), s.released.set(f, FALSE)],
    )


@operation(kernel="mm/mmap.c: mmap_region(), vma_link()")
def mmap(s: PfnMap, va: Va) -> Step:
    """A mapping joins i_mmap."""
    return Step(
        when=~s.vma[va] & ~s.i_mmap_rwsem.now & ~s.flush_pending[va], then=[s.vma.set(va, TRUE)]
    )


@operation(kernel="mm/memory.c: vmf_insert_pfn()")
def fault(s: PfnMap, va: Va) -> Step:
    """A user touches it, and gets the memory."""
    ready = s.vma[va] & s.memory.now.is_some & ~s.i_mmap_rwsem.now & ~s.flush_pending[va]
    return Step(when=ready, then=[s.maps.set(va, s.memory.now)])


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: PfnMap, cpu: Cpu, va: Va) -> Step:
    """A CPU caches a translation."""
    return Step(when=s.maps[va].is_some, then=[s.tlb.set((cpu, va), s.maps[va])])


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func()")
def flush_tlb_func(s: PfnMap, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU drops its entries of the process."""
    waiting = ~(munmap.idle(s, by) & unmap_mapping_range.idle(s, by))
    return Step(
        when=waiting & s.unmapping.waits_for[by, cpu],
        then=[drop(s.tlb, lambda c, va: c == cpu), s.unmapping.waits_for.set((by, cpu), FALSE)],
    )


def _munmap(doc: str, *, flush_first: bool) -> Procedure:
    """Whether the flush comes before the mapping leaves i_mmap, or at the end."""
    procedure = Procedure(
        "munmap",
        kernel="mm/mmap.c: unmap_region(); mm/memory.c: unmap_vmas(), free_pgtables()",
        doc=doc,
    )

    def zap_pte_range(s: PfnMap, cpu: Cpu, va: Va) -> Step:
        """Clear the entry; the CPUs have to flush."""
        return Step(
            when=s.vma[va] & ~s.i_mmap_rwsem.now & ~s.flush_pending[va],
            then=[
                *s.unmapping.ask(cpu, va),
                s.flush_pending.set(va, TRUE),
                s.maps.set(va, NONE),
            ],
        )

    def unlink_file_vma(s: PfnMap, cpu: Cpu) -> Step:
        """The mapping leaves i_mmap."""
        flushed = s.answered(cpu) if flush_first else TRUE
        return Step(
            when=~s.i_mmap_rwsem.now & flushed, then=[s.vma.set(s.unmapping.va[cpu], FALSE)]
        )

    def tlb_finish_mmu(s: PfnMap, cpu: Cpu) -> Step:
        """All have flushed."""
        done = s.flush_pending.set(s.unmapping.va[cpu], FALSE)
        return Step(when=s.answered(cpu), then=[done])

    procedure.step(zap_pte_range)
    procedure.step(unlink_file_vma)
    procedure.step(tlb_finish_mmu)
    return procedure


munmap = _munmap("Unmap a range; flush a PFN mapping before it leaves i_mmap.", flush_first=True)
# T-03: the flush was left to tlb_finish_mmu(), as for pages that have a reference count.
munmap_flushing_last = _munmap("Unmap a range; flush at the end.", flush_first=False)


def _unmap_mapping_range(doc: str, *, sees_others: bool) -> Procedure:
    """Whether it flushes for a munmap() that has cleared an entry and not yet flushed."""
    procedure = Procedure(
        "unmap_mapping_range",
        kernel="mm/memory.c: unmap_mapping_range(), tlb_finish_mmu(); the driver that calls it",
        doc=doc,
    )

    def unmap_mapping_pages(s: PfnMap, cpu: Cpu) -> Step:
        """Under i_mmap_rwsem, clear every mapping in i_mmap; CPUs are asked if an entry was there, or
        another mmu_gather of the process is under way (mm_tlb_flush_nested())."""

        def due(v: Va) -> Bool:
            others = s.flush_pending[v] if sees_others else FALSE
            return s.vma[v] & (s.maps[v].is_some | others)

        asked = exists(Va, due)
        return Step(
            when=~s.i_mmap_rwsem.now & s.memory.now.is_some,
            then=[
                s.i_mmap_rwsem.become(TRUE),
                s.unmapping.waits_for.fill(lambda b, c: asked, lambda b, c: b == cpu),
                s.maps.fill(lambda v: NONE, lambda v: s.vma[v]),
            ],
        )

    def release(s: PfnMap, cpu: Cpu) -> Step:
        """When all have flushed, the memory is anybody's."""
        memory = s.memory.now
        return Step(
            when=s.answered(cpu),
            then=[
                s.released.fill(lambda f: TRUE, lambda f: memory == some(f)),
                s.memory.become(NONE),
                s.i_mmap_rwsem.become(FALSE),
            ],
        )

    procedure.step(unmap_mapping_pages)
    procedure.step(release)
    return procedure


unmap_mapping_range = _unmap_mapping_range(
    "Clear all mappings that the file has, flush, and give the memory away.", sees_others=True
)
# An entry that another mmu_gather has cleared needed no flush (before mm_tlb_flush_nested()).
unmap_mapping_range_alone = _unmap_mapping_range(
    "Clear all mappings that the file has, flush those, and give the memory away.",
    sees_others=False,
)
