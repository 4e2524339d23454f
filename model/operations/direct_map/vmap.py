"""vmap() and vunmap(): a driver maps pages a second time, and the unmapping is lazy."""

from __future__ import annotations

from ...language import Operation, Step, operation, some
from ...machine.sorts import Frame, Va
from ..vmalloc import Area
from .frames import DirectMap, Owner, Rules


@operation(kernel="mm/vmalloc.c: vunmap(), free_vmap_area_noflush()")
def vunmap(s: DirectMap, va: Va) -> Step:
    """The area is unmapped; what CPUs have of it goes with the next purge."""
    return Step(
        when=~s.pkmap[va] & (s.area[va] == Area.BUSY) & s.idle(s.page[va].value),
        then=[s.area.set(va, Area.LAZY)],
    )


def vmap(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """alias: no second mapping of pages that have a protection key, which it would not have."""

    @operation(kernel="mm/vmalloc.c: vmap(), vmap_pages_range_noflush()", name="vmap")
    def vmap_page(s: DirectMap, va: Va, f: Frame) -> Step:
        """The page's driver maps it, with the memory type and encryption that it has given it."""
        owner = s.owner[f]
        his = owner == Owner.KERNEL
        if not rules.alias:
            his = his | (owner == Owner.DEVICE)
        return Step(
            when=~s.pkmap[va] & (s.area[va] == Area.FREE) & s.idle(f) & his,
            then=[
                s.area.set(va, Area.BUSY),
                s.page.set(va, some(f)),
                s.area_uncached.set(va, s.leaf.uncached[f]),
                s.area_shared.set(va, s.leaf.shared[f]),
            ],
        )

    return [vmap_page, vunmap]
