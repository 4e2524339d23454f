"""kmap() and kunmap() of 32-bit kernels: a slot in a window that all CPUs see (pkmap has it in full)."""

from __future__ import annotations

from ...language import FALSE, Operation, Step, operation, some
from ...machine.sorts import Frame, Va
from ..vmalloc import Area
from .frames import DirectMap, Owner, Rules


@operation(kernel="mm/highmem.c: kunmap_high()")
def kunmap_high(s: DirectMap, va: Va) -> Step:
    """Nobody uses the slot any more; its entry stays until all such slots are flushed."""
    return Step(when=s.pkmap[va] & (s.area[va] == Area.BUSY), then=[s.area.set(va, Area.LAZY)])


def kmap(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """alias: no slot for a page whose leaf is not plain, or is being changed."""

    @operation(kernel="mm/highmem.c: kmap_high(), map_new_virtual()")
    def kmap_high(s: DirectMap, va: Va, f: Frame) -> Step:
        """Whoever has a reference to the page gets a slot, write-back and private whatever the leaf."""
        owner = s.owner[f]
        may = (owner == Owner.KERNEL) | (owner == Owner.USER)
        if rules.alias:
            may = may & s.idle(f) & s.is_plain(f)
        else:
            may = may | ((owner == Owner.XPFO) & s.user[f])
            may = may | ((owner == Owner.DEVICE) & s.idle(f))
        return Step(
            when=s.pkmap[va] & (s.area[va] == Area.FREE) & may,
            then=[
                s.area.set(va, Area.BUSY),
                s.page.set(va, some(f)),
                s.area_uncached.set(va, FALSE),
                s.area_shared.set(va, FALSE),
            ],
        )

    return [kmap_high, kunmap_high]
