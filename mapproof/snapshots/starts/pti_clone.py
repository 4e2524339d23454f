"""Entry text in the tables of both halves after boot (designs about :class:`Image`).

Taken: init_mm's PMD entries that translate entry text, and a few pages below each: those first that are
global in the kernel's tables and not in the user tables, then the first and the last of entry text, and
what lies beside it.  Boot is over, so nothing happens any more: what the designs say of the end is seen.
"""

from __future__ import annotations

from mapproof.model.language.sparse import Unreadable
from mapproof.model.language.start import Start
from mapproof.model.machine.geometry import PAGE_SHIFT, PAGE_SIZE
from mapproof.model.machine.sorts import Frame, PmdSlot, Va
from mapproof.model.machine.words import Word, decode
from mapproof.model.operations.pti_clone import Half, Image, Kind, Phase

from ..elements import Cells, Named, init_mm, worst_first
from ..facts import Facts
from ..image import Root
from . import Room

STATE = Image
MACHINES = "machines with page table isolation whose entry text is known by symbols"
_NOTHING = Word()


def read(facts: Facts, room: Room) -> Start:
    """The state that an image shows."""
    init, geometry = init_mm(facts.walk), facts.geometry
    if init is None or init.user is None or not geometry.has_nx:
        raise Unreadable("page table isolation is off")
    start, end = facts.entry_text
    size = geometry.level("pmd").size
    pmds = [va for va in range(start & -size, end, size) if va < 1 << geometry.word_bits]
    if not pmds or len(pmds) > 64 or pmds[0] != geometry.canonical(pmds[0]):
        raise Unreadable("it has no entry text")
    pmds = pmds[: room(PmdSlot, 2)]
    halves = {Half.KERNEL: init.kernel, Half.USER: init.user}
    entries = {h: {va: _pmd(facts, root, va) for va in pmds} for h, root in halves.items()}

    def page(half: Half, va: int) -> Word:
        """The leaf that one half has for a page."""
        word = entries[half][va & -size]
        if not word.present:
            return _NOTHING
        if word.large:
            return Word(present=True, pfn=word.pfn + ((va % size) >> PAGE_SHIFT), **_rights(word))
        words = facts.walk.table_words(len(geometry.levels) - 1, word.pfn)
        return decode(geometry, "pte", int(words[geometry.index("pte", va)]))

    def interest(va: int) -> int:
        kernel, user = page(Half.KERNEL, va), page(Half.USER, va)
        stray = kernel.present and kernel.global_ and not user.present
        edge = va in (start, end - PAGE_SIZE, start - PAGE_SIZE, end)
        return 4 * room.near(va, PAGE_SIZE) + 2 * edge + 3 * stray

    pages = [va for pmd in pmds for va in range(pmd, pmd + size, PAGE_SIZE)]
    taken = sorted(worst_first(pages, interest, room(Va, 6)))

    frames: Named[int] = Named()
    shared = [
        entries[Half.KERNEL][va].present
        and not entries[Half.KERNEL][va].large
        and entries[Half.KERNEL][va].pfn == entries[Half.USER][va].pfn
        for va in pmds
    ]
    cells: dict[str, Cells] = {
        name: {}
        for name in (
            *("kind", "pmd_writable", "pmd_global", "pte_frame", "pte_writable", "pte_global"),
            *("frame_of", "entry_text", "shows_entry_text", "pmd_index", "before"),
        )
    }
    for h, half in enumerate((Half.KERNEL, Half.USER)):
        for i, va in enumerate(pmds):
            word = entries[half][va]
            own = "SHARED" if shared[i] and half is Half.USER else "SMALL"
            kind = "EMPTY" if not word.present else "LARGE" if word.large else own
            cells["kind"][h, i] = Kind.values.index(kind)
            cells["pmd_writable"][h, i] = word.writable
            cells["pmd_global"][h, i] = word.large and word.global_
        for n, va in enumerate(taken):
            leaf = page(half, va)
            i = pmds.index(va & -size)
            small = leaf.present and not entries[half][va & -size].large
            if small and not (shared[i] and half is Half.USER):
                cells["pte_frame"][h, n] = frames(leaf.pfn, geometry.show_pfn(leaf.pfn))
                cells["pte_writable"][h, n], cells["pte_global"][h, n] = leaf.writable, leaf.global_
    for n, va in enumerate(taken):
        leaf = page(Half.KERNEL, va)
        cells["frame_of"][(n,)] = frames(leaf.pfn, geometry.show_pfn(leaf.pfn))
        cells["entry_text"][(n,)] = start <= va < end
        cells["pmd_index"][(n,)] = pmds.index(va & -size)
        for m in range(n + 1, len(taken)):
            cells["before"][n, m] = True
    cells["shows_entry_text"] = {(i,): True for i in range(len(pmds))}
    return Start(
        names={
            Va: [geometry.show_va(va) for va in taken],
            PmdSlot: [geometry.show_va(va) for va in pmds],
            Frame: frames.names,
        },
        values={
            **cells,
            "phase": {(): Phase.values.index("FINAL")},
            "clone_pmds": {(): geometry.long_mode},
        },
        doc=f"Entry text of {facts.image.name} after boot, in init_mm's tables of both halves: "
        f"{len(taken)} of {len(pages)} pages.",
    )


def _rights(word: Word) -> dict[str, bool]:
    return {name: getattr(word, name) for name in ("writable", "user", "nx", "global_")}


def _pmd(facts: Facts, root: Root, va: int) -> Word:
    """The PMD entry for an address; no entry if a level above has none, or is large."""
    geometry, table = facts.geometry, 0
    for depth, level in enumerate(geometry.levels):
        slot = geometry.index(level.name, va)
        raw = facts.walk.word_at(root if depth == 0 else None, depth, table, slot)
        word = decode(geometry, level.name, raw)
        if level.name == "pmd":
            return word if word.present else _NOTHING
        if not word.present or word.large:
            return _NOTHING
        table = word.pfn
    return _NOTHING
