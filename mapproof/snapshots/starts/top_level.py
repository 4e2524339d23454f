"""Top-level tables under page table isolation (designs about :class:`TopLevel`).

Taken: init_mm's pair and a few processes', two free pages beside each other, and a few slots of the
user half: those first in which a process's two tables disagree.  A table with a low entry counts as
handed to set_pgd(), which is how the kernel makes them.  Entries of the kernel half are left out.
"""

from __future__ import annotations

from mapproof.model.language.sparse import Unreadable
from mapproof.model.language.start import Start
from mapproof.model.machine.geometry import PAGE_SHIFT
from mapproof.model.machine.halves import Use
from mapproof.model.machine.sorts import Pgd, PgdSlot, Pud
from mapproof.model.machine.words import decode
from mapproof.model.operations.top_level import TopLevel

from ..elements import Cells, Named, bits_of, init_mm, listed, processes, worst_first
from ..facts import Facts
from . import Room

STATE = TopLevel
MACHINES = "x86-64 with page table isolation"
_HARDWARE = ("accessed", "dirty")


def read(facts: Facts, room: Room) -> Start:
    """The state that an image shows."""
    walk, geometry = facts.walk, facts.geometry
    init, others = init_mm(walk), processes(walk)
    if not geometry.long_mode or init is None or init.user is None or not others:
        raise Unreadable("it has no processes with two top-level tables")
    top = geometry.levels[0]
    user_half = geometry.pgd_slots(geometry.region("user"))

    def differ(kernel: int, user: int) -> bool:
        a, b = (decode(geometry, top.name, w) for w in (kernel, user))
        unlike = any(getattr(a, n) != getattr(b, n) for n in ("present", "writable", "user", "pfn"))
        return unlike or (a.present and a.user and not a.nx)

    pairs = {space.title: (space.kernel, user) for space, user in others}
    words = {
        title: [(int(walk.top[k.pa][i]), int(walk.top[u.pa][i])) for i in user_half]
        for title, (k, u) in pairs.items()
    }
    wrong = {title: [differ(*pair) for pair in pages] for title, pages in words.items()}
    tables = max(4, room(Pgd, 8))  # two pages each: init_mm's, a process's, free ones
    chosen = worst_first(pairs, lambda t: sum(wrong[t]), max(1, tables // 2 - 2))

    def interest(slot: int) -> int:
        used = any(any(words[t][slot]) for t in chosen)
        asked = room.near(geometry.address(slot), top.size)
        return 4 * asked + 2 * any(wrong[t][slot] for t in chosen) + used

    slots = worst_first(user_half, interest, room(PgdSlot, 3))
    empty = next((i for i in user_half if not interest(i)), None)
    if empty is not None and empty not in slots:
        slots.append(empty)

    names: list[str] = []
    use: Cells = {}
    mirrored: Cells = {}
    beside: Cells = {}
    entries: dict[str, Cells] = {}
    puds: Named[int] = Named()
    below = geometry.levels[1].name

    def page(name: str, kind: str, pa: int | None) -> int:
        number = len(names)
        names.append(name)
        use[(number,)] = Use.values.index(kind)
        for i, slot in enumerate(slots if pa is not None else ()):
            raw = int(walk.top[pa][slot]) if pa is not None else 0
            word = decode(geometry, top.name, raw)
            for bit, value in bits_of(word).items():
                entries.setdefault(f"pgd.{bit}", {})[number, i] = value
            if word.present:
                table = puds(word.pfn, f"{below}@{word.pfn << PAGE_SHIFT:x}")
                entries.setdefault("pgd.table", {})[number, i] = table
                mirrored[(number,)] = int(kind != "USER_COPY")
        return number

    def pair(title: str, kind: str, kernel: int | None, user: int | None) -> None:
        said = ("free page 0", "free page 1") if kernel is None else (title, f"user {title}")
        first = page(said[0], kind, kernel)
        second = page(said[1], "FREE" if user is None else "USER_COPY", user)
        beside[first, second] = beside[second, second] = 1

    pair("PGD of init_mm", "INIT", init.kernel.pa, init.user.pa)
    for title in chosen:
        kernel, user = pairs[title]
        pair(f"PGD of {title}", "PROCESS", kernel.pa, user.pa)
    for _ in range(tables // 2 - 1 - len(chosen)):
        pair("", "FREE", None, None)
    puds(-1, f"a new {below} page")
    for bit in _HARDWARE:
        entries[f"pgd.{bit}"] = {}
    for bit in ("table", "present", "writable", "user", "nx", "global_", "cache"):
        entries.setdefault(f"pgd.{bit}", {})
    return Start(
        names={
            Pgd: names,
            PgdSlot: [geometry.show_va(geometry.address(slot)) for slot in slots],
            Pud: puds.names,
        },
        values={
            **entries,
            "use": use,
            "mirrored": mirrored,
            "user_half": {(i,): 1 for i in range(len(slots))},
            "beside": beside,
        },
        doc=f"The top-level tables of {facts.image.name}: those of init_mm and of "
        f"{listed(chosen, len(others), 'processes')}, and free pages; "
        f"{len(slots)} of {len(user_half)} slots of the user half.",
    )
