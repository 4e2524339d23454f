"""User pages and the rights of their VMAs (designs about :class:`Protection`).

Taken: a few pages of processes whose VMAs the snapshot has, those first that have a right which their
VMA has not, and an address without a VMA.  What vm_page_prot holds is not known from page tables; it
counts as what the VMA's flags say.
"""

from __future__ import annotations

import numpy as np

from mapproof.model.language.sparse import Unreadable
from mapproof.model.language.start import Start
from mapproof.model.machine.sorts import Frame, Va
from mapproof.model.operations.vma_protection import Protection

from ..bits import W, X
from ..elements import Cells, Named
from ..facts import Facts
from . import Room

STATE = Protection
MACHINES = "i386 with PAE, where the snapshot has the VMAs of processes"


def read(facts: Facts, room: Room) -> Start:
    """The state that an image shows."""
    if facts.geometry.name != "i386-pae":
        raise Unreadable(f"it is of {facts.geometry.title}")
    rows, rights = facts.rights_of_vmas
    mapped = facts.read_user().at(rows)
    there = mapped >= 0
    rows, rights, mapped = rows[there], rights[there], mapped[there]
    writable = facts.read_user_w().at(rows).astype(bool)
    executable = facts.read_user_x().at(rows).astype(bool)
    more = (writable & ((rights & W) == 0)) | (executable & ((rights & X) == 0))
    asked = np.array([room.near(int(va), 4096) for va in facts.places.va[rows]], bool)
    order = np.argsort(-(more.astype(int) + 2 * asked), kind="stable")[: room(Va, 3)]
    if not len(order):
        raise Unreadable("no page of a process has a VMA")

    frames: Named[int] = Named()
    names: list[str] = []
    maps: dict[str, Cells] = {
        name: {}
        for name in ("user", "user_w", "user_x", "vma_known", "vma_w", "vma_x", "prot_w", "prot_x")
    }
    owners = facts.branch_of(rows[order])
    for n, place in enumerate(order.tolist()):
        pfn = int(mapped[place])
        owner = facts.walk.spaces[facts.places.branches[int(owners[n])].spaces[0]].title
        names.append(f"{facts.geometry.show_va(int(facts.places.va[rows[place]]))} of {owner}")
        maps["user"][(n,)] = frames(pfn, facts.geometry.show_pfn(pfn))
        maps["user_w"][(n,)] = bool(writable[place])
        maps["user_x"][(n,)] = bool(executable[place])
        maps["vma_known"][(n,)] = True
        for kind in ("vma", "prot"):
            maps[f"{kind}_w"][(n,)] = bool(rights[place] & W)
            maps[f"{kind}_x"][(n,)] = bool(rights[place] & X)
    frames(-1, "a new frame")
    names.append("an address without a VMA")
    return Start(
        names={Va: names, Frame: frames.names},
        values={**maps, "in_user_half": {(n,): True for n in range(len(names))}},
        doc=f"User pages of {facts.image.name}: {len(order)} of {len(rows)}, with their VMAs.",
    )
