"""Kernel pages in both halves, and the global bit (designs about :class:`Globals`).

Taken: places of the kernel half of init_mm at which a leaf is global that the user tables do not have,
if there are any; then one each of cpu_entry_area, entry text, a CPU's TSS and what only the kernel
maps; an address where nothing is mapped; a free page.  A leaf stands for one page, whatever its size.
espfix, LDTs and the vsyscall page, which the designs do not have, are left out.  TLBs start empty.
"""

from __future__ import annotations

import numpy as np

from mapproof.model.language.sparse import Column, Unreadable
from mapproof.model.language.start import Start
from mapproof.model.machine.snapshot import Region
from mapproof.model.machine.sorts import Frame, Va
from mapproof.model.operations.pti_global import Globals

from ..elements import Cells, Named, init_mm
from ..facts import Facts
from . import Room

STATE = Globals
MACHINES = "machines with page table isolation"
_TRIES = 600  # more than an early large page has been split into


def read(facts: Facts, room: Room) -> Start:
    """The state that an image shows."""
    init = init_mm(facts.walk)
    if init is None:
        raise Unreadable("page table isolation is off")
    rows = _rows_of_init(facts)
    user, around = facts.read_user().at(rows), facts.read_around().at(rows)
    kernel = facts.read_kernel().at(rows)
    kernel = np.where(kernel < 0, around, kernel)  # a page of the user tables, in a larger one
    kernel_g = facts.read_kernel_g().at(rows).astype(bool)
    user_g = facts.read_user_g().at(rows).astype(bool)
    region = facts.read_region().at(rows)

    def lies_in(*names: str) -> Column:
        return np.isin(region, [Region.values.index(n) for n in names])

    area, text, tss = lies_in("CPU_ENTRY_AREA"), _text(facts, rows, user, region), _tss(facts, rows)
    both = (kernel >= 0) & (user >= 0)
    wrong = (kernel_g | user_g) & ~both & ~lies_in("ESPFIX", "LDT", "VSYSCALL")
    private = (kernel >= 0) & (user < 0) & lies_in("VMALLOC", "DIRECT_MAP") & ~kernel_g
    va = facts.places.va[rows]
    asked = np.zeros(len(rows), bool)
    for address in room.at:
        asked[max(0, int(np.searchsorted(va, np.uint64(address), "right")) - 1)] = True
    kinds = [asked & (kernel >= 0), wrong, area & both, text & both, tss & both, private]
    found: list[int] = []
    taken: set[int] = {-1}
    for kind in kinds:
        for n in np.flatnonzero(kind)[:_TRIES].tolist():
            pages = {int(kernel[n]), int(user[n])} - {-1}
            if not pages & taken:  # the designs have no page at two addresses
                taken |= pages
                found.append(n)
                break
    found = found[: max(room(Va, len(found)), 1)]

    frames: Named[int] = Named()
    names: list[str] = []
    maps: dict[str, Cells] = {name: {} for name in ("kernel", "user", "kernel_g", "user_g")}
    rigid: dict[str, Cells] = {name: {} for name in ("entry_area", "entry_text", "tss")}
    for n, row in enumerate(found):
        where = int(va[row])
        names.append(f"{facts.geometry.show_va(where)} {facts.regions.name_of(where)}")
        for name, column in (("kernel", kernel), ("user", user)):
            pfn = int(column[row])
            maps[name][(n,)] = None if pfn < 0 else frames(pfn, facts.geometry.show_pfn(pfn))
        for name, column in (("kernel_g", kernel_g), ("user_g", user_g)):
            maps[name][(n,)] = bool(column[row])
        for name, column in (("entry_area", area), ("entry_text", text), ("tss", tss)):
            rigid[name][(n,)] = bool(column[row])
    names.append("an address without a page")
    free = frames(-1, "a free page")
    return Start(
        names={Va: names, Frame: frames.names},
        values={
            **maps,
            **rigid,
            "free": {(free,): True},
            "has_pge": {(): bool((kernel_g | user_g).any())},
        },
        doc=f"Kernel pages of {facts.image.name}: {len(found)} of {len(rows)} that init_mm maps, and "
        "what user tables have there.",
    )


def _rows_of_init(facts: Facts) -> Column:
    """Places of the kernel half in init_mm's tables, ascending by address."""
    end = np.uint64(facts.geometry.region("user").end)
    number = next(i for i, s in enumerate(facts.walk.spaces) if s.is_init)
    found = [np.zeros(0, np.int64)]
    for n, branch in enumerate(facts.places.branches):
        if number in branch.spaces:
            rows = np.arange(*facts.places.starts[n : n + 2])
            found.append(rows[facts.places.va[rows] >= end])
    return np.concatenate(found)


def _text(facts: Facts, rows: Column, user: Column, region: Column) -> Column:
    """What is cloned of the image: entry text, or all of it where that is wanted; without symbols, what
    the user tables have."""
    try:
        entry = facts.read_entry_text().at(rows).astype(bool)
    except Unreadable:
        image = Region.values.index("KERNEL_IMAGE")
        return np.asarray((region == image) & (user >= 0))
    whole = bool(facts.read_whole_image_is_cloned().at())
    return np.asarray(entry | (facts.read_image().at(rows).astype(bool) & whole))


def _tss(facts: Facts, rows: Column) -> Column:
    return np.asarray(facts.read_tss_page().at(rows).astype(bool))
