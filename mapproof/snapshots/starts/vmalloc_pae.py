"""The vmalloc area of 32-bit PAE under page table isolation (designs about :class:`Pae`).

Taken: init_mm's kernel PMD page and those of a few processes, a few ranges of 2 MiB of the vmalloc
area, among them those first in which a process has another entry than init_mm, and a few slots of the
PTE pages below.  A range is in use if an area lies in it, as the kernel's list says; without that list,
if something is mapped there.  What entries lead to is read; their flags count as those that the designs
write, unless those of a process differ from init_mm's.
"""

from __future__ import annotations

import numpy as np

from mapproof.model.language.sparse import Unreadable
from mapproof.model.language.start import Start
from mapproof.model.machine.geometry import PAGE_SHIFT
from mapproof.model.machine.sorts import Frame, Mm, Pmd, PmdSlot, Pte, PteSlot
from mapproof.model.machine.words import Word, decode
from mapproof.model.operations.pae_tables import Region
from mapproof.model.operations.vmalloc import Area
from mapproof.model.operations.vmalloc_pae import Pae

from ..bits import COMPARED_IN_COPIES
from ..elements import Cells, Named, bits_of, init_mm, listed, processes, worst_first
from ..facts import Facts
from ..image import as_int
from . import Room

STATE = Pae
MACHINES = "i386 with PAE and page table isolation"
_TABLE = Word(present=True, writable=True)  # KERNEL_TABLE and KERNEL_PAGE of the designs
_PAGE = Word(present=True, writable=True, nx=True, global_=True)


def read(facts: Facts, room: Room) -> Start:
    """The state that an image shows."""
    walk, geometry = facts.walk, facts.geometry
    init, others = init_mm(walk), processes(walk)
    vmalloc = facts.regions.named("vmalloc")
    if geometry.name != "i386-pae" or init is None or not others or vmalloc is None:
        raise Unreadable("it has no processes with kernel PMD pages of their own")
    size = geometry.level("pmd").size
    starts = walk.kernel_slot_addresses()
    inside = [i for i, va in enumerate(starts) if vmalloc.start <= va and va + size <= vmalloc.end]
    reference = _words(walk.kernel_entries(init.kernel))
    copies = {s.title: _words(walk.kernel_entries(s.kernel)) for s, _ in others}

    def wrong(title: str) -> int:
        return sum(copies[title][i] not in (0, reference[i]) for i in inside)

    chosen = worst_first(copies, wrong, room(Mm, 2))

    def interest(slot: int) -> int:
        differs = any(copies[t][slot] != reference[slot] for t in chosen)
        return 4 * room.near(starts[slot], size) + 2 * differs + bool(reference[slot])

    slots = worst_first(inside, interest, room(PmdSlot, 1))
    empty = next((i for i in inside if not interest(i)), None)
    if empty is not None and empty not in slots:
        slots.append(empty)

    pmd: dict[str, Cells] = {}
    pte: dict[str, Cells] = {}
    ptes: Named[int] = Named()
    frames: Named[int] = Named()
    busy = _areas(facts)
    area: Cells = {}
    for p, words in enumerate([reference, *(copies[t] for t in chosen)]):
        for i, slot in enumerate(slots):
            word = decode(geometry, "pmd", words[slot])
            if not word.present:
                continue
            usual = words[slot] & ~_target(word) == reference[slot] & ~_target(word)
            kind = _PAGE if word.large else _TABLE
            for bit, value in bits_of(kind if usual else word).items():
                pmd.setdefault(bit, {})[p, i] = value
            if word.large:
                pmd.setdefault("leaf", {})[p, i] = frames(word.pfn, geometry.show_pfn(word.pfn))
            else:
                table = ptes(word.pfn, f"pte@{word.pfn << PAGE_SHIFT:x}")
                pmd.setdefault("table", {})[p, i] = table

    entries = {name: walk.table_words(2, int(name[4:], 16) >> PAGE_SHIFT) for name in ptes.names}
    used = sorted({j for words in entries.values() for j in np.flatnonzero(words & 1)[:1].tolist()})
    rest = [j for j in range(geometry.levels[2].entries) if j not in used]
    columns = (used + rest)[: room(PteSlot, 2)]
    for t, below in enumerate(entries.values()):
        for j, column in enumerate(columns):
            word = decode(geometry, "pte", int(below[column]))
            if word.present:
                for bit, value in bits_of(_PAGE).items():
                    pte.setdefault(bit, {})[t, j] = value
                pte.setdefault("leaf", {})[t, j] = frames(word.pfn, geometry.show_pfn(word.pfn))
    for i, slot in enumerate(slots):
        va = starts[slot]
        word = decode(geometry, "pmd", reference[slot])
        name = f"pte@{word.pfn << PAGE_SHIFT:x}"
        mapped = word.present and (word.large or bool((entries[name] & 1).any()))
        known = any(a < va + size and b > va for a, b in busy)
        area[(i,)] = Area.values.index("BUSY" if known or mapped else "FREE")
    in_use: Cells = {(t,): 1 for t in range(len(ptes.names))}
    ptes(-1, "a new PTE page")
    frames(-1, "a new frame")
    return Start(
        names={
            Mm: chosen,
            Pmd: ["PMD of init_mm", *(f"PMD of {t}" for t in chosen)],
            PmdSlot: [geometry.show_va(starts[i]) for i in slots],
            Pte: ptes.names,
            PteSlot: [f"[{j}]" for j in columns],
            Frame: frames.names,
        },
        values={
            **{f"pmd.{bit}": pmd.get(bit, {}) for bit in (*_BITS, "leaf", "table")},
            **{f"pte.{bit}": pte.get(bit, {}) for bit in (*_BITS, "leaf")},
            "area": area,
            "in_use": in_use,
            "on_list": {(m,): 1 for m in range(len(chosen))},
            "init_pmd": {(): 0},
            "pmd_of": {(m,): m + 1 for m in range(len(chosen))},
            "region": {(i,): Region.values.index("VMALLOC") for i in range(len(slots))},
        },
        doc=f"The vmalloc area of {facts.image.name}: init_mm's PMD page and those of "
        f"{listed(chosen, len(others), 'processes')}; {len(slots)} of {len(inside)} ranges, "
        f"{len(columns)} of {geometry.levels[2].entries} pages in each.",
    )


_BITS = ("present", "writable", "user", "nx", "global_", "accessed", "dirty", "cache")


def _words(column: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]) -> list[int]:
    return [int(w) & int(COMPARED_IN_COPIES) if int(w) & 1 else 0 for w in column.tolist()]


def _target(word: Word) -> int:
    return word.pfn << PAGE_SHIFT


def _areas(facts: Facts) -> list[tuple[int, int]]:
    """Areas that the kernel has on its list."""
    found = []
    for row in facts.image.header.get("vmalloc") or []:
        if isinstance(row, list) and len(row) >= 2:
            start, end = as_int(row[0]), as_int(row[1])
            if start is not None and end is not None:
                found.append((start, end))
    return found
