"""Entry text in the user tables of processes, on 32-bit PAE (designs about :class:`Clones`).

Taken: the kernel PMD entries of init_mm's user tables and of a few processes', at the slots that have
kernel text, and at the LDT's; processes first whose entry is not init_mm's.  Both rounds of cloning
are over.  The entry of the first round is what such a process has; if there is none, it is not known.
"""

from __future__ import annotations

from mapproof.model.language.sparse import Unreadable
from mapproof.model.language.start import Start
from mapproof.model.machine.halves import Slot, Word
from mapproof.model.machine.sorts import Mm
from mapproof.model.operations.pti_finalize import Clones

from ..bits import COMPARED_IN_COPIES
from ..elements import Cells, Named, init_mm, listed, processes, worst_first
from ..facts import Facts
from . import Room

STATE = Clones
MACHINES = "i386 with PAE and page table isolation"


def read(facts: Facts, room: Room) -> Start:
    """The state that an image shows."""
    walk, geometry = facts.walk, facts.geometry
    init, others = init_mm(walk), processes(walk)
    if geometry.name != "i386-pae" or init is None or init.user is None or not others:
        raise Unreadable("it has no processes with kernel PMD pages of their own")
    starts = walk.kernel_slot_addresses()
    present = int(COMPARED_IN_COPIES)

    def words(pa_words: list[int]) -> list[int]:
        return [w & present if w & 1 else 0 for w in pa_words]

    reference = words(walk.kernel_entries(init.user).tolist())
    copies = {s.title: words(walk.kernel_entries(user).tolist()) for s, user in others}
    direct, ldt = facts.regions.named("direct map"), facts.regions.named("ldt")
    text = [i for i, va in enumerate(starts) if reference[i] and direct and va in direct]
    if not text:
        raise Unreadable("the user tables of init_mm have no kernel text")
    slots = worst_first(
        text,
        lambda i: (
            room.near(starts[i], geometry.level("pmd").size)
            + any(c[i] != reference[i] for c in copies.values())
        ),
        room(Slot, 2),
    )
    slots += [i for i, va in enumerate(starts) if ldt and va in ldt][:1]
    chosen = worst_first(
        copies, lambda t: sum(copies[t][i] != reference[i] for i in slots if i in text), room(Mm, 2)
    )

    kinds: Named[int] = Named()
    first = {
        i: next((copies[t][i] for t in chosen if copies[t][i] != reference[i]), 0) for i in text
    }
    entries: Cells = {}
    for m, mine in enumerate([reference, *(copies[t] for t in chosen)]):
        for i, slot in enumerate(slots):
            if mine[slot]:
                entries[m, i] = kinds(mine[slot], f"{mine[slot]:#x}")
    late: Cells = {
        (i,): kinds(reference[s], f"{reference[s]:#x}") for i, s in enumerate(slots) if s in text
    }
    unknown = kinds(-1, "another entry")
    early: Cells = {
        (i,): kinds(first[s], "") if first.get(s) else unknown for i, s in enumerate(slots)
    }
    for i in range(len(slots)):
        late.setdefault((i,), unknown)
    return Start(
        names={
            Mm: ["init_mm", *chosen, "a new mm"],
            Slot: [geometry.show_va(starts[i]) for i in slots],
            Word: kinds.names,
        },
        values={
            "user_copy": entries,
            "process": {(m + 1,): 1 for m in range(len(chosen))},
            "initialised": {(): 1},
            "finalised": {(): 1},
            "early": early,
            "late": late,
            "entry_text": {(i,): slot in text for i, slot in enumerate(slots)},
            "ldt_slot": {(i,): slot not in text for i, slot in enumerate(slots)},
            "init_mm": {(): 0},
        },
        doc=f"The user tables of {facts.image.name} after boot: those of init_mm and of "
        f"{listed(chosen, len(others), 'processes')}, at kernel text and the LDT.",
    )
