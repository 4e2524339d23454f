"""Kernel entries of user tables on x86-64 with 4 levels (designs about :class:`Upper`).

Taken: init_mm's kernel entries and a few processes', in both tables, at a few slots: those first at
which some user tables have what is not on the list, then cpu_entry_area's, espfix's, the image's, those
with the TSS of a CPU, the LDT's, one of the vmalloc area and one that is empty.  Boot is over; what
init_mm has, boot has linked.  A process's LDT is what its kernel table has in the LDT's slot.
"""

from __future__ import annotations

from mapproof.model.language.sparse import Unreadable
from mapproof.model.language.start import Start
from mapproof.model.machine.geometry import PAGE_SHIFT
from mapproof.model.machine.sorts import Mm, P4dSlot, Pud
from mapproof.model.machine.words import decode
from mapproof.model.operations.kernel_half import Region
from mapproof.model.operations.pti_upper import Upper

from ..elements import Cells, Named, init_mm, listed, processes, worst_first
from ..facts import Facts
from . import Room

STATE = Upper
MACHINES = "x86-64 with 4 levels and page table isolation"
_REGIONS = {
    "cpu_entry_area": "CPU_ENTRY_AREA",
    "espfix": "ESPFIX",
    "kernel image": "IMAGE",
    "modules": "IMAGE",
    "fixmap": "IMAGE",
    "vsyscall": "IMAGE",
    "ldt": "LDT",
}


def read(facts: Facts, room: Room) -> Start:
    """The state that an image shows."""
    walk, geometry = facts.walk, facts.geometry
    init, others = init_mm(walk), processes(walk)
    if geometry.name != "x86-64" or init is None or init.user is None or not others:
        raise Unreadable("it has no processes with two top-level tables of 4 levels")
    top, starts = geometry.levels[0], walk.kernel_slot_addresses()
    roots = {
        "init_mm": (init.kernel, init.user),
        **{s.title: (s.kernel, user) for s, user in others},
    }
    tables = {
        title: [
            [w.pfn if (w := decode(geometry, top.name, word)).present else None for word in words]
            for words in (walk.kernel_entries(r).tolist() for r in pair)
        ]
        for title, pair in roots.items()
    }
    reference, init_user = tables.pop("init_mm")

    def kind(slot: int) -> str:
        ends = (facts.regions.name_of(starts[slot] + at) for at in (top.size - 1, 0))
        found = next((_REGIONS[end] for end in ends if end in _REGIONS), "DIRECT_MAP")
        own = init_user[slot] not in (None, reference[slot])
        return "PER_CPU" if found == "DIRECT_MAP" and own else found

    def name(slot: int) -> str:
        known = facts.regions.name_of(starts[slot])
        return known if kinds[slot] != "IMAGE" else "kernel image"

    kinds = [kind(slot) for slot in range(len(starts))]

    def wrong(slot: int, title: str) -> bool:
        kernel, user = tables[title][0][slot], tables[title][1][slot]
        return user != (kernel if kinds[slot] == "LDT" else init_user[slot])

    chosen = worst_first(
        tables, lambda t: sum(wrong(i, t) for i in range(len(starts))), room(Mm, 2)
    )

    def interest(slot: int) -> int:
        needed = kinds[slot] != "DIRECT_MAP"
        asked = room.near(starts[slot], top.size)
        return 4 * asked + 2 * any(wrong(slot, t) for t in chosen) + needed

    taken = worst_first((i for i in range(len(starts)) if interest(i)), interest, room(P4dSlot, 8))
    plain = [i for i in range(len(starts)) if not interest(i)]
    taken += [i for i in plain if reference[i] is not None][:1]
    taken += [i for i in plain if reference[i] is None][:1]

    puds: Named[int] = Named()
    cells: dict[str, Cells] = {
        name: {}
        for name in ("reference", "init_user", "copy", "user", "ldt", "on_list", "linked", "region")
    }

    def page(pfn: int | None) -> int | None:
        return None if pfn is None else puds(pfn, f"pud@{pfn << PAGE_SHIFT:x}")

    at: Cells = {}
    for n, slot in enumerate(taken):
        cells["reference"][(n,)] = at[(n,)] = page(reference[slot])
        cells["linked"][(n,)] = reference[slot] is not None and kinds[slot] != "LDT"
        cells["region"][(n,)] = Region.values.index(kinds[slot])
    own: Cells = {}
    for n, slot in enumerate(taken):
        cells["init_user"][(n,)] = page(init_user[slot])
        if init_user[slot] not in (None, reference[slot]):
            own[(n,)] = page(init_user[slot])
        for m, title in enumerate(chosen):
            kernel, user = tables[title]
            cells["copy"][m, n], cells["user"][m, n] = page(kernel[slot]), page(user[slot])
            if kinds[slot] == "LDT":
                cells["ldt"][(m,)] = page(kernel[slot])
    linked, unlinked = puds(-1, "a new pud page"), puds(-2, "another pud page")
    for n in range(len(taken)):
        at[(n,)] = linked if at[(n,)] is None else at[(n,)]
        own.setdefault((n,), unlinked)
    cells["on_list"] = {(m,): True for m in range(len(chosen))}
    return Start(
        names={
            Mm: [*chosen, "a new mm"],
            P4dSlot: [f"{geometry.show_va(starts[i])} {name(i)}" for i in taken],
            Pud: puds.names,
        },
        values={**cells, "at": at, "own": own, "ready": {(): True}},
        doc=f"Kernel entries of {facts.image.name} after boot: those of init_mm and of "
        f"{listed(chosen, len(others), 'processes')}; {len(taken)} of {len(starts)} slots.",
    )
