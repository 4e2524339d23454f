"""Memory hotplug: pages come, with top-level entries for every process, and go."""

from __future__ import annotations

from ...language import FALSE, TRUE, Bool, Operation, Step, Update, forall, operation
from ...machine.sorts import Frame, Mm
from .frames import Call, DirectMap, Owner, Request, Rules


def populate(s: DirectMap, f: Frame, call: Call) -> list[Update]:
    """kernel_physical_mapping_init(): a leaf, and init_mm's top-level entry, which is to be pushed."""
    return [s.init_top.set(s.region[f], TRUE), *s.show(f), s.call.set(f, call)]


def depopulate(s: DirectMap, f: Frame, call: Call) -> list[Update]:
    """kernel_physical_mapping_remove(): the leaf is cleared, and every CPU is asked to flush."""
    return [*s.hide(f), s.ask(Request.CALL, f), s.call.set(f, call)]


def is_pushed(s: DirectMap, f: Frame) -> Bool:
    """Every process has the top-level entry."""
    return forall(Mm, lambda mm: s.alive[mm].implies(s.top[mm, s.region[f]]))


@operation(kernel="arch/x86/mm/init_64.c: sync_global_pgds()")
def sync_global_pgds(s: DirectMap, f: Frame, mm: Mm) -> Step:
    """A process gets the top-level entry."""
    adds = (s.call[f] == Call.HOT_ADD) | (s.call[f] == Call.DEV_ADD)
    return Step(when=adds, then=[s.top.set((mm, s.region[f]), TRUE)])


@operation(kernel="arch/x86/mm/pgtable.c: pgd_alloc(), pgd_ctor()")
def fork(s: DirectMap, mm: Mm) -> Step:
    """A new process copies init_mm's top-level entries, and is on pgd_list, under pgd_lock."""
    return Step(
        when=~s.alive[mm],
        then=[
            s.alive.set(mm, TRUE),
            s.top.fill(lambda m, r: s.init_top[r], lambda m, r: m == mm),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_free()")
def exit_mm(s: DirectMap, mm: Mm) -> Step:
    """A process goes."""
    return Step(when=s.alive[mm], then=[s.alive.set(mm, FALSE)])


@operation(kernel="mm/memory_hotplug.c: add_memory_resource(), arch_add_memory()")
def add_memory(s: DirectMap, f: Frame) -> Step:
    """A page is plugged in and mapped."""
    return Step(
        when=s.owner[f] == Owner.ABSENT,
        then=[s.owner.set(f, Owner.ISOLATED), *populate(s, f, Call.HOT_ADD)],
    )


@operation(kernel="mm/memory_hotplug.c: online_pages()")
def online_pages(s: DirectMap, f: Frame) -> Step:
    """Every process reaches it: the allocator gets it."""
    return Step(
        when=(s.call[f] == Call.HOT_ADD) & is_pushed(s, f),
        then=[s.owner.set(f, Owner.FREE), s.call.set(f, Call.IDLE)],
    )


@operation(kernel="arch/x86/mm/init_64.c: remove_pagetable(), flush_tlb_all()")
def memory_removed(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the page can be pulled, its struct page and its error with it."""
    return Step(
        when=(s.call[f] == Call.HOT_REMOVE) & s.answered(Request.CALL, f),
        then=[
            s.owner.set(f, Owner.ABSENT),
            s.poisoned.set(f, FALSE),
            s.call.set(f, Call.IDLE),
        ],
    )


def hotplug(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """alias: areas that had the page are purged before it goes."""

    @operation(
        kernel="mm/memory_hotplug.c: offline_pages(); arch/x86/mm/init_64.c: arch_remove_memory()"
    )
    def arch_remove_memory(s: DirectMap, f: Frame) -> Step:
        """A free page is taken from the allocator and unmapped."""
        alone = s.has_no_area(f) if rules.alias else TRUE
        return Step(
            when=(s.owner[f] == Owner.FREE) & s.idle(f) & s.is_split(f) & alone,
            then=[s.owner.set(f, Owner.ISOLATED), *depopulate(s, f, Call.HOT_REMOVE)],
        )

    return [
        add_memory,
        sync_global_pgds,
        online_pages,
        arch_remove_memory,
        memory_removed,
        fork,
        exit_mm,
    ]
