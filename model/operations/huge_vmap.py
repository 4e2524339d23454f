"""Large pages over old PTE pages on x86-64, paging-structure caches, and the walker of ptdump.

A range that is used again may have a PTE page from before, whose leaves are clear.  To map it by a
large page, pmd_free_pte_page() unlinks that page, has every CPU forget the way there, and frees it:
speculation may have cached the PMD entry although no leaf was there to be found.
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
    Step,
    Update,
    Var,
    forall,
    operation,
    some,
)
from ..machine.psc import PmdCache
from ..machine.sorts import Cpu, PmdSlot, Pte
from .lazy import Use
from .vmalloc import Area


class Call(Locals):
    """The locals of whoever maps a large page: the entry, its old PTE page, and the CPUs that have not
    answered."""

    slot: Map[Cpu, PmdSlot]
    table: Map[Cpu, Pte]
    waits_for: Map[tuple[Cpu, Cpu], Bool]


class Dump(Locals):
    """The locals of ptdump_walk_pgd(): the PTE page that a PMD entry led to."""

    table: Map[Cpu, Pte]


class HugeVmap(PmdCache):
    """link: the PTE page of a PMD entry; large: the entry maps a large page; mapped: some leaf of the
    PTE page is set.  use: what a page is.  reading, writing: who has ``init_mm.mmap_lock``, shared and
    alone."""

    area: Map[PmdSlot, Area]
    link: Map[PmdSlot, Opt[Pte]]
    large: Map[PmdSlot, Bool]
    mapped: Map[PmdSlot, Bool]
    use: Map[Pte, Use]
    reading: Map[Cpu, Bool]
    writing: Var[Bool]
    call: Call
    dump: Dump

    def forget(self, cpu: Cpu, i: PmdSlot) -> Update:
        """INVLPG: the CPU forgets where the PMD entry led."""
        return self.pmd_cache.fill(lambda c, k: NONE, lambda c, k: (c == cpu) & (k == i))


@operation(kernel="mm/vmalloc.c: vmalloc_init()")
def boot(s: HugeVmap) -> Step:
    """Nothing is mapped, no page is in use."""
    return Step(
        when=TRUE,
        then=[
            s.area.fill(lambda i: Area.FREE),
            s.link.fill(lambda i: NONE),
            s.large.fill(lambda i: FALSE),
            s.mapped.fill(lambda i: FALSE),
            s.use.fill(lambda t: Use.FREE),
            s.reading.fill(lambda cpu: FALSE),
            s.writing.become(FALSE),
            s.pmd_cache.fill(lambda cpu, i: NONE),
        ],
    )


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate(s: HugeVmap, t: Pte) -> Step:
    """Somebody takes a free page for data."""
    return Step(when=s.use[t] == Use.FREE, then=[s.use.set(t, Use.DATA)])


@operation(kernel="mm/vmalloc.c: alloc_vmap_area()")
def alloc_vmap_area(s: HugeVmap, i: PmdSlot) -> Step:
    """Take a free range."""
    return Step(when=s.area[i] == Area.FREE, then=[s.area.set(i, Area.BUSY)])


@operation(kernel="mm/vmalloc.c: pte_alloc_kernel_track()")
def pte_alloc(s: HugeVmap, i: PmdSlot, t: Pte) -> Step:
    """Link a PTE page for a range in use."""
    empty = s.link[i].is_none & ~s.large[i] & _nobody_maps(s, i)
    return Step(
        when=(s.area[i] == Area.BUSY) & empty & (s.use[t] == Use.FREE),
        then=[s.link.set(i, some(t)), s.use.set(t, Use.TABLE)],
    )


@operation(kernel="mm/vmalloc.c: vmap_pte_range()")
def vmap_pte_range(s: HugeVmap, i: PmdSlot) -> Step:
    """Map pages by the PTE page that is there."""
    ready = (s.area[i] == Area.BUSY) & s.link[i].is_some
    return Step(when=ready & _nobody_maps(s, i), then=[s.mapped.set(i, TRUE)])


@operation(kernel="mm/vmalloc.c: vunmap_range_noflush(), pmd_clear_huge()")
def vunmap(s: HugeVmap, i: PmdSlot) -> Step:
    """Clear the leaves, or the large page; the PTE page stays."""
    used = (s.area[i] == Area.BUSY) & _nobody_maps(s, i)
    return Step(
        when=used,
        then=[s.mapped.set(i, FALSE), s.large.set(i, FALSE), s.area.set(i, Area.LAZY)],
    )


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy(), flush_tlb_kernel_range()")
def purge(s: HugeVmap, i: PmdSlot) -> Step:
    """Every CPU has forgotten the range, which is free; what is linked can be cached again at once."""
    forgotten = s.pmd_cache.fill(lambda c, k: NONE, lambda c, k: k == i)
    return Step(when=s.area[i] == Area.LAZY, then=[forgotten, s.area.set(i, Area.FREE)])


@operation(kernel="Intel SDM vol. 3, section 4.10.3: caches for paging structures")
def fill_pmd_cache(s: HugeVmap, cpu: Cpu, i: PmdSlot) -> Step:
    """A CPU remembers where a PMD entry leads, whether there is a leaf or not."""
    return Step(when=s.link[i].is_some, then=[s.pmd_cache.set((cpu, i), s.link[i])])


def _nobody_maps(s: HugeVmap, i: PmdSlot) -> Bool:
    """The range is not in a call of vmap_try_huge_pmd()."""
    return forall(Cpu, lambda c: vmap_try_huge_pmd.idle(s, c) | (s.call.slot[c] != i))


def _vmap_try_huge_pmd(
    *, flushes: bool = True, frees: bool = True, locks: bool = True
) -> Procedure:
    procedure = Procedure(
        "vmap_try_huge_pmd",
        kernel="mm/vmalloc.c: vmap_try_huge_pmd(); arch/x86/mm/pgtable.c: pmd_free_pte_page(), "
        "pmd_set_huge()",
        doc="Put a large page over a range in use; an old PTE page, which is empty, is freed first.",
    )

    def find_none(s: HugeVmap, cpu: Cpu, i: PmdSlot) -> Step:
        """There is no PTE page."""
        empty = s.link[i].is_none & ~s.large[i] & _nobody_maps(s, i)
        return Step(when=(s.area[i] == Area.BUSY) & empty, then=[s.call.slot.set(cpu, i)])

    def pmd_clear(s: HugeVmap, cpu: Cpu, i: PmdSlot) -> Step:
        """With mmap_read_trylock(&init_mm), unlink the PTE page."""
        ready = (s.area[i] == Area.BUSY) & ~s.mapped[i] & s.link[i].is_some & _nobody_maps(s, i)
        free = ~s.writing.now if locks else TRUE
        return Step(
            when=ready & free,
            then=[
                s.call.slot.set(cpu, i),
                s.call.table.set(cpu, s.link[i].value),
                s.link.set(i, NONE),
                *([s.reading.set(cpu, TRUE)] if locks else []),
            ],
        )

    def flush(s: HugeVmap, cpu: Cpu) -> Step:
        """flush_tlb_kernel_range(): ask every CPU, this one as well."""
        asked = s.call.waits_for.fill(lambda by, c: TRUE, lambda by, c: by == cpu)
        return Step(when=TRUE, then=[asked])

    def free_page(s: HugeVmap, cpu: Cpu) -> Step:
        """When all have answered, the page is free for anyone."""
        answered = forall(Cpu, lambda c: ~s.call.waits_for[cpu, c]) if flushes else TRUE
        freed = [s.use.set(s.call.table[cpu], Use.FREE)] if frees else []
        return Step(when=answered, then=freed)

    def pmd_set_huge(s: HugeVmap, cpu: Cpu) -> Step:
        """Map the large page, and unlock."""
        return Step(
            when=TRUE,
            then=[s.large.set(s.call.slot[cpu], TRUE), s.reading.set(cpu, FALSE)],
        )

    procedure.step(to="pmd_set_huge")(find_none)
    procedure.step(at=Procedure.IDLE, to="flush" if flushes else "free_page")(pmd_clear)
    procedure.step(at="flush", to="free_page")(flush)
    procedure.step(at="free_page", to="pmd_set_huge")(free_page)
    procedure.step(at="pmd_set_huge")(pmd_set_huge)
    return procedure


vmap_try_huge_pmd = _vmap_try_huge_pmd()
# V-08: leaves were clear and flushed, but a CPU may know the way to the page.
vmap_try_huge_pmd_unflushed = _vmap_try_huge_pmd(flushes=False)
# V-10: the large page took the place of the entry, and nobody remembered the page.
vmap_try_huge_pmd_leaking = _vmap_try_huge_pmd(frees=False)
# V-13: nothing kept a walker out.
vmap_try_huge_pmd_unlocked = _vmap_try_huge_pmd(locks=False)


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: HugeVmap, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: INVLPG of an address in the range."""
    asked = vmap_try_huge_pmd.at(s, by, vmap_try_huge_pmd.steps[3]) & s.call.waits_for[by, cpu]
    forgotten = s.forget(cpu, s.call.slot[by])
    return Step(when=asked, then=[forgotten, s.call.waits_for.set((by, cpu), FALSE)])


ptdump = Procedure(
    "ptdump_walk_pgd",
    kernel="mm/ptdump.c: ptdump_walk_pgd(), for /sys/kernel/debug/page_tables/kernel",
    doc="Walk init_mm's tables, under mmap_write_lock(&init_mm).",
)


@ptdump.step
def mmap_write_lock(s: HugeVmap, cpu: Cpu) -> Step:
    """Take the lock when nobody has it."""
    free = ~s.writing.now & forall(Cpu, lambda c: ~s.reading[c])
    return Step(when=free, then=[s.writing.become(TRUE)])


@ptdump.step
def read_pmd(s: HugeVmap, cpu: Cpu, i: PmdSlot) -> Step:
    """Read a PMD entry that leads to a PTE page."""
    return Step(when=s.link[i].is_some, then=[s.dump.table.set(cpu, s.link[i].value)])


@ptdump.step(to=Procedure.DONE)
def read_ptes(s: HugeVmap, cpu: Cpu) -> Step:
    """Read the PTEs there, and unlock."""
    return Step(when=TRUE, then=[s.writing.become(FALSE)])


@ptdump.step(at="read_pmd", to=Procedure.DONE)
def find_nothing(s: HugeVmap, cpu: Cpu) -> Step:
    """There is no PTE page to read: unlock."""
    return Step(when=TRUE, then=[s.writing.become(FALSE)])
