"""What callers put into KAISER's shadow.

What it checks: a page in the shadow is one that is touched there, of an area that is allocated; all
that is touched of an area in use is there.
Why it matters: a page too many shows kernel data, or the next owner's, to Meltdown; one too few is
a fault of the processor itself, on the tables that have no handler.
Kernel precedent: H. Dickins, "kaiser: fix perf crashes", 23 August 2017, and "kaiser: stack map
PAGE_SIZE at THREAD_SIZE-PAGE_SIZE", 3 September 2017.
Smallest counterexample: use an area that nobody mapped (kaiser-areas-unmapped).
Not covered: the TLB, which CPUs touch an area, flags.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, sometimes
from mapproof.model.machine.sorts import Cpu, Va
from mapproof.model.operations.kaiser_areas import Area, Areas, create, destroy


@always
def shadow_has_only_what_is_touched(s: Areas, va: Va) -> Bool:
    """A page in the shadow is one that entry code or the processor touches."""
    return s.shadow[va].implies(s.touched[va])


@always
def shadow_has_nothing_freed(s: Areas, va: Va) -> Bool:
    """A page in the shadow belongs to an area that is allocated."""
    return s.shadow[va].implies(s.allocated[s.area_of[va]])


@always
def what_is_touched_is_mapped(s: Areas, va: Va) -> Bool:
    """Of an area in use, all that is touched is in the shadow."""
    return (s.used[s.area_of[va]] & s.touched[va]).implies(s.shadow[va])


@always
def no_area_is_lost(s: Areas, a: Area) -> Bool:
    """An area that is allocated is in use, or a CPU is setting it up or releasing it."""
    under_way = exists(
        Cpu,
        lambda cpu: (
            (~create.idle(s, cpu) & (s.add.area[cpu] == a))
            | (~destroy.idle(s, cpu) & (s.remove.area[cpu] == a))
        ),
    )
    return s.allocated[a].implies(s.used[a] | under_way)


@sometimes
def an_area_is_in_use(s: Areas, a: Area) -> Bool:
    """An area is in use."""
    return s.used[a]


@sometimes
def a_released_area_is_half_mapped(s: Areas, cpu: Cpu, va: Va, other: Va) -> Bool:
    """A CPU releases an area of which one page is still in the shadow and another one is not."""
    a = s.remove.area[cpu]
    both = (s.area_of[va] == a) & (s.area_of[other] == a) & s.touched[other]
    return ~destroy.idle(s, cpu) & both & s.shadow[va] & ~s.shadow[other]
