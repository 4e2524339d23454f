"""The kernel's text in user tables beside everything that frees pages.

What it checks: user tables map what is the kernel image's, and nothing that was freed.  Invariants 2 and
5 of page table isolation.
Why it matters: what user tables map can be read by Meltdown, and entries are global.
Kernel precedent: c40a56a7818c ("x86/mm/init: Remove freed kernel image areas from alias mapping").
Smallest counterexample: a page of the image is freed before user tables lose it (direct-map-today).
Not covered: entries of processes and the pair of tables, hotplug (isolation.md, compositions.md).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.direct_map.frames import DirectMap, Owner


@always
def user_tables_map_the_image_only(s: DirectMap, f: Frame) -> Bool:
    """A page that user tables map at the image's address is the image's."""
    return s.user_text[f].implies((s.owner[f] == Owner.IMAGE) & s.high[f])


@sometimes
def user_tables_map_text(s: DirectMap, f: Frame) -> Bool:
    """User tables map a page of the image."""
    return s.user_text[f]
