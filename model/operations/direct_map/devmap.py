"""memremap_pages(): persistent memory in the direct map, decrypted and with its protection key."""

from __future__ import annotations

from ...language import FALSE, TRUE, Operation, Step, operation
from ...machine.sorts import Frame
from .frames import Call, DirectMap, Owner, Request, Rules
from .hotplug import depopulate, exit_mm, fork, is_pushed, populate, sync_global_pgds


@operation(kernel="mm/memremap.c: memremap_pages(), pagemap_range()")
def memremap_pages(s: DirectMap, f: Frame) -> Step:
    """A page of a device gets a leaf: decrypted, since the host writes to it, and with the key."""
    return Step(
        when=s.owner[f] == Owner.ABSENT,
        then=[
            s.owner.set(f, Owner.DEVICE),
            s.leaf.shared.set(f, TRUE),
            s.leaf.keyed.set(f, TRUE),
            s.host.set(f, TRUE),
            *populate(s, f, Call.DEV_ADD),
        ],
    )


@operation(kernel="mm/memremap.c: memremap_pages()")
def memremapped(s: DirectMap, f: Frame) -> Step:
    """Every process reaches it."""
    return Step(
        when=(s.call[f] == Call.DEV_ADD) & is_pushed(s, f),
        then=[s.call.set(f, Call.IDLE)],
    )


@operation(kernel="mm/memremap.c: pageunmap_range(); arch/x86/mm/init_64.c: remove_pagetable()")
def memunmapped(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the page is the device's alone."""
    return Step(
        when=(s.call[f] == Call.DEV_REMOVE) & s.answered(Request.CALL, f),
        then=[
            s.owner.set(f, Owner.ABSENT),
            s.leaf.shared.set(f, FALSE),
            s.leaf.keyed.set(f, FALSE),
            s.host.set(f, FALSE),
            s.poisoned.set(f, FALSE),
            s.call.set(f, Call.IDLE),
        ],
    )


def devmap(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """alias: areas that had the page are purged before it goes."""

    @operation(kernel="mm/memremap.c: memunmap_pages(), pageunmap_range()")
    def memunmap_pages(s: DirectMap, f: Frame) -> Step:
        """Nobody uses the device any more: its page is unmapped."""
        alone = s.has_no_area(f) if rules.alias else s.is_unused(f)
        return Step(
            when=(s.owner[f] == Owner.DEVICE) & s.idle(f) & s.is_split(f) & alone,
            then=depopulate(s, f, Call.DEV_REMOVE),
        )

    return [
        memremap_pages,
        sync_global_pgds,
        memremapped,
        memunmap_pages,
        memunmapped,
        fork,
        exit_mm,
    ]
