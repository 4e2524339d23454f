"""The model's walk, read concretely, beside an emulated processor: random tables, controls, accesses.

Nothing here says what an access does.  Words come from the random choices; ``words.decode`` gives
their fields; the terms of ``model.machine.access`` are evaluated by the concrete reading, and the
emulator is asked.  ``EXPLAINED`` has what is known to differ, and why.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, Generic

from mapproof.model.language import (
    TRUE,
    Bool,
    Design,
    Fun,
    Map,
    Sort,
    State,
    Step,
    Var,
    forall,
    operation,
)
from mapproof.model.language.concrete import Machine
from mapproof.model.language.nodes import Component, Node, OptOf
from mapproof.model.machine.access import Access, Controls, KeyRights, Kind, access, load_cr3
from mapproof.model.machine.entries import (
    Directory,
    Keyed,
    LargeDirectory,
    Leaves,
    N,
    ProtectionKey,
    Reserved,
    S,
    T,
)
from mapproof.model.machine.geometry import (
    I386_2L,
    I386_PAE,
    PAGE_SHIFT,
    X86_64_4L,
    X86_64_5L,
    Geometry,
    Level,
    PageBit,
)
from mapproof.model.machine.sorts import (
    Cpu,
    Frame,
    P4d,
    P4dSlot,
    Pgd,
    PgdSlot,
    Pmd,
    PmdSlot,
    Pte,
    PteSlot,
    Pud,
    PudSlot,
    Va,
)
from mapproof.model.machine.tables import PageLevel
from mapproof.model.machine.words import Word, decode, encode

from .mmu_emulator import PHYSICAL_BITS, Emulator, Settings

Pick = Callable[[Sequence[Any]], Any]  # chooses; the simplest choice comes first


# The state: page tables whose entries have everything, the controls, and one access.


class FullLeaves(Leaves[T, S], Reserved[T, S], Keyed[T, S], Generic[T, S]):
    """The last level with reserved bits and protection keys."""


class FullDirectory(Directory[T, S, N], Reserved[T, S], Keyed[T, S], Generic[T, S, N]):
    """An upper level with them."""


class FullLargeDirectory(LargeDirectory[T, S, N], Reserved[T, S], Keyed[T, S], Generic[T, S, N]):
    """An upper level with large leaves and with them."""


class Registers(State):
    """Control bits, and what is accessed how."""

    wp: Var[Bool]
    pse: Var[Bool]
    nxe: Var[Bool]
    smep: Var[Bool]
    smap: Var[Bool]
    ac: Var[Bool]
    pke: Var[Bool]
    access_disabled: Map[ProtectionKey, Bool]
    write_disabled: Map[ProtectionKey, Bool]
    kind: Var[Kind]
    user: Var[Bool]
    root: Var[Pgd]
    va: Var[Va]
    cpu: Var[Cpu]


class FourLevels(Registers):
    """4-level paging."""

    GEOMETRY = X86_64_4L
    pgd: FullDirectory[Pgd, PgdSlot, Pud]
    pud: FullLargeDirectory[Pud, PudSlot, Pmd]
    pmd: FullLargeDirectory[Pmd, PmdSlot, Pte]
    pte: FullLeaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pud_index: Fun[Va, PudSlot]
    pmd_index: Fun[Va, PmdSlot]
    pte_index: Fun[Va, PteSlot]


class FiveLevels(Registers):
    """5-level paging."""

    GEOMETRY = X86_64_5L
    pgd: FullDirectory[Pgd, PgdSlot, P4d]
    p4d: FullDirectory[P4d, P4dSlot, Pud]
    pud: FullLargeDirectory[Pud, PudSlot, Pmd]
    pmd: FullLargeDirectory[Pmd, PmdSlot, Pte]
    pte: FullLeaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    p4d_index: Fun[Va, P4dSlot]
    pud_index: Fun[Va, PudSlot]
    pmd_index: Fun[Va, PmdSlot]
    pte_index: Fun[Va, PteSlot]


class Pae(Registers):
    """PAE paging with the registers for the top-level entries."""

    GEOMETRY = I386_PAE
    pdpte: Directory[Cpu, PgdSlot, Pmd]
    pgd: FullDirectory[Pgd, PgdSlot, Pmd]
    pmd: FullLargeDirectory[Pmd, PmdSlot, Pte]
    pte: FullLeaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pmd_index: Fun[Va, PmdSlot]
    pte_index: Fun[Va, PteSlot]


class TwoLevels(Registers):
    """32-bit paging without PAE."""

    GEOMETRY = I386_2L
    pgd: FullLargeDirectory[Pgd, PgdSlot, Pte]
    pte: FullLeaves[Pte, PteSlot]
    pgd_index: Fun[Va, PgdSlot]
    pte_index: Fun[Va, PteSlot]


@dataclass(frozen=True)
class Mode:
    """A paging mode as the comparison sees it.

    slots: by level, the slots that random tables use; the first top-level slot is the emulator's.
    frames: first page frames of what entries may map, by the level whose pages they are aligned to.
    tables: frames of the tables of a level, where they are not at their usual place.
    """

    name: str
    state: Any
    slots: Mapping[str, tuple[int, ...]]
    frames: Mapping[str, tuple[int, ...]]
    tables: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def geometry(self) -> Geometry:
        geometry: Geometry = self.state.GEOMETRY
        return geometry


_SMALL, _2M, _1G = (0x3A00, 0x3A07), (0x4000, 0x140200), (0x40000, 0x180000)
_WIDE = {"pud": (1, 300, 511), "pmd": (1, 300, 511), "pte": (1, 300, 511)}

MODES = {
    mode.name: mode
    for mode in (
        Mode(
            "4-level",
            FourLevels,
            {"pgd": (1, 256, 511), **_WIDE},
            {"pte": _SMALL, "pmd": _2M, "pud": _1G},
        ),
        Mode("PAE", Pae, {"pgd": (1, 2, 3), **_WIDE}, {"pte": _SMALL, "pmd": (*_2M, *_1G)}),
        Mode(
            "2-level",
            TwoLevels,
            {"pgd": (1, 512, 1023), "pte": (1, 511, 1023)},
            # With bit 7 set, the address bits of the first two tables are those of the large pages;
            # the second is above 4 GiB (PSE-36).  Those of the third have bit 21, which is reserved
            # in a large leaf.
            {"pte": _SMALL, "pgd": (0x8000, 0x140400)},
            tables={"pte": (0x8000, 0x40402, 0x8200)},
        ),
        Mode(
            "5-level",
            FiveLevels,
            {"pgd": (1, 256, 511), "p4d": (0, 511), **_WIDE},
            {"pte": _SMALL, "pmd": _2M, "pud": _1G},
        ),
    )
}

_TABLE_SORTS: dict[str, type[Sort]] = {"pgd": Pgd, "p4d": P4d, "pud": Pud, "pmd": Pmd, "pte": Pte}
_SLOT_SORTS: dict[str, type[Sort]] = {
    "pgd": PgdSlot,
    "p4d": P4dSlot,
    "pud": PudSlot,
    "pmd": PmdSlot,
    "pte": PteSlot,
}
_TABLES = {  # frames
    "pgd": (0x1000, 0x1001),
    "p4d": (0x1100, 0x1101),
    "pud": (0x1200, 0x1201),
    "pmd": (0x1300, 0x1301),
    "pte": (0x1400, 0x1401),
}
_PAE_TOPS = (0x1000000, 0x1000020)  # addresses: they need not be page-aligned


ACCESSES_PER_WORLD = 25


# What is drawn.


@dataclass(frozen=True)
class Request:
    """One access: its controls, the table that CR3 points to, a slot by level, and how."""

    settings: Settings
    root: int
    slots: tuple[int, ...]
    kind: str
    user: bool


Place = tuple[str, int, int]  # level, number of the table, number of the slot
Mark = tuple[int, int]  # address of an entry, bit


@dataclass
class World:
    """The words of all tables (what is not there is zero), and CR4.PSE, which tells whether the frame
    of a PDE may be that of a large page."""

    words: dict[Place, int] = field(default_factory=dict)
    pse: bool = True


@dataclass(frozen=True)
class Result:
    """What one access came to: the page that it reached or the error code of its fault (or neither: a
    general-protection exception when CR3 is loaded), and the bits of tables that it changed."""

    pfn: int | None
    error_code: int | None
    marks: frozenset[Mark]


class Oracle:
    """Both sides for one mode."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.geometry = mode.geometry
        self.levels = self.geometry.levels
        self._tables: dict[str, list[int]] = {  # addresses
            level.name: [
                pfn << PAGE_SHIFT for pfn in mode.tables.get(level.name, _TABLES[level.name])
            ]
            if level.rights
            else list(_PAE_TOPS)
            for level in self.levels
        }
        self.frames = [pfn for level in mode.frames for pfn in mode.frames[level]]
        self._images: dict[int, bytes] = {}  # of all tables, by address
        self.model = Model(self)
        table_frames = [
            address >> PAGE_SHIFT for addresses in self._tables.values() for address in addresses
        ]
        self.emulator = Emulator(self.geometry, self._pages(), table_frames)

    def _pages(self) -> Iterator[int]:
        """Every page that a leaf can reach from the slots in use."""
        below: list[int] = [0]
        spans: list[list[int]] = [[0]]
        for level in reversed(self.levels[1:]):
            slots = self.mode.slots[level.name]
            below = [
                offset + (slot << (level.shift - PAGE_SHIFT))
                for slot, offset in product(slots, below)
            ]
            spans.append(below)
        for frame in self.frames:
            for level, offsets in zip(reversed(self.levels), spans, strict=True):
                if level.leaf and frame % (level.size >> PAGE_SHIFT) == 0:
                    yield from (frame + offset for offset in offsets)

    def tables(self, level: Level) -> range:
        """The tables of a level."""
        return range(len(self._tables[level.name]))

    def table_at(self, level: str, pfn: int) -> int:
        """Which table of a level lies there; the first one if none does, for entries that lead
        nowhere."""
        addresses = self._tables[level]
        return addresses.index(pfn << PAGE_SHIFT) if pfn << PAGE_SHIFT in addresses else 0

    def frame_at(self, pfn: int) -> int:
        """Which of the frames in use that is; the first one if none, likewise."""
        return self.frames.index(pfn) if pfn in self.frames else 0

    def places(self) -> Iterator[Place]:
        """Every entry of the random tables."""
        for level in self.levels:
            for table, slot in product(self.tables(level), range(len(self.mode.slots[level.name]))):
                yield level.name, table, slot

    def address(self, place: Place) -> int:
        """Where an entry lies."""
        name, table, slot = place
        real = self.mode.slots[name][slot]
        return self._tables[name][table] + real * self.geometry.level(name).entry_bytes

    # Drawing.

    def draw_word(self, pick: Pick, level: Level, pse: bool) -> int:
        """One entry: mostly present and permissive, rarely with a reserved bit."""
        if not pick(_FULL):
            return 0
        last = level is self.levels[-1]
        large = not last and level.leaf and pick(_LARGE)
        flags = {"present": pick(_MOSTLY)}
        if level.rights:
            names = ("writable", "user", "nx", "accessed", "dirty", "global_")
            choices = (_USUALLY, _USUALLY, _SELDOM, _EVEN, _EVEN, _EVEN)
            flags |= {name: pick(choice) for name, choice in zip(names, choices, strict=True)}
            flags["nx"] &= self.geometry.has_nx
        if last or large:
            pfn = pick(self._frames_for(level))
        else:
            pfn = pick(self._tables[self.levels[self.levels.index(level) + 1].name]) >> PAGE_SHIFT
        key = pick(_KEYS) if self.geometry.long_mode and (last or large) else 0
        word = encode(
            self.geometry,
            level.name,
            Word(**flags, large=large, pfn=pfn, pat=pick(range(4)), key=key),
            physical_bits=PHYSICAL_BITS,
        )
        if pick(_RARELY):
            flipped = word ^ 1 << pick(_FLIPPED[level.entry_bytes])
            word = flipped if self._leads_somewhere(level, flipped, pse) else word
        return word

    def _frames_for(self, level: Level) -> list[int]:
        """What an entry of that level may map: aligned, within its bits, and not a table."""
        last = level is self.levels[-1]
        most = 32 if last and level.entry_bytes == 4 else PHYSICAL_BITS
        return [
            pfn
            for pfn in self.frames
            if pfn % (level.size >> PAGE_SHIFT) == 0
            and pfn < 1 << (most - PAGE_SHIFT)
            and not (last and pfn << PAGE_SHIFT in self._tables[level.name])
        ]

    def _leads_somewhere(self, level: Level, word: int, pse: bool) -> bool:
        """Whether an entry leads to memory that is there, or nowhere."""
        fields = decode(self.geometry, level.name, word, physical_bits=PHYSICAL_BITS, pse=pse)
        if not fields.present or fields.reserved:
            return True
        if level is self.levels[-1] or fields.large:
            return fields.pfn in self._frames_for(level)
        below = self.levels[self.levels.index(level) + 1].name
        return fields.pfn << PAGE_SHIFT in self._tables[below]

    def draw_world(self, pick: Pick) -> World:
        """Tables full of entries."""
        levels = {level.name: level for level in self.levels}
        pse = pick(_EVEN)
        words = {place: self.draw_word(pick, levels[place[0]], pse) for place in self.places()}
        return World({place: word for place, word in words.items() if word}, pse)

    def draw_request(self, pick: Pick, world: World) -> Request:
        """One access under some controls."""
        long = self.geometry.long_mode
        settings = Settings(
            wp=pick(_EVEN),
            pse=world.pse,
            nxe=pick(_EVEN),
            smep=pick(_EVEN),
            smap=pick(_EVEN),
            ac=pick(_EVEN),
            pke=long and pick(_EVEN),
            pkru=pick(_PKRU) if long else 0,
        )
        slots = tuple(pick(range(len(self.mode.slots[level.name]))) for level in self.levels)
        return Request(settings, pick(range(2)), slots, pick(Kind.values), pick(_EVEN))

    # The emulator's side.

    def put(self, world: World) -> None:
        """Write all tables."""
        size = self.levels[0].entry_bytes
        for level in self.levels:
            for address in self._tables[level.name]:
                self._images[address] = bytes(level.entries * size)
        for address in self._tables["pgd"]:
            system = self.emulator.system_entry.to_bytes(size, "little")
            self._images[address] = system + self._images[address][size:]
        for place, word in world.words.items():
            table, offset = self._tables[place[0]][place[1]], self.address(place)
            image, offset = self._images[table], offset - table
            self._images[table] = (
                image[:offset] + word.to_bytes(size, "little") + image[offset + size :]
            )
        for address, image in self._images.items():
            self.emulator.write(address, image)

    def emulate(self, request: Request) -> Result:
        """What the processor does with the tables of the world that was put last, which it then finds
        as they were."""
        real = [
            self.mode.slots[level.name][slot]
            for level, slot in zip(self.levels, request.slots, strict=True)
        ]
        seen = self.emulator.access(
            self._tables["pgd"][request.root],
            self.geometry.address(*real),
            request.kind,
            request.user,
            request.settings,
        )
        marks: set[Mark] = set()
        for address, image in self._images.items():
            now = self.emulator.read(address, len(image))
            if now != image:
                marks.update(self._changes(address, image, now))
                self.emulator.write(address, image)
        return Result(seen.pfn, seen.error_code, frozenset(marks))

    def _changes(self, table: int, before: bytes, after: bytes) -> Iterator[Mark]:
        changed = int.from_bytes(before, "little") ^ int.from_bytes(after, "little")
        width = 8 * self.levels[0].entry_bytes
        while changed:
            place = (changed & -changed).bit_length() - 1
            entry, bit = divmod(place, width)
            yield table + entry * width // 8, bit
            changed &= changed - 1


# Weighted choices, the simplest first.
_FULL = (False,) + (True,) * 20
_MOSTLY = (False,) + (True,) * 12
_USUALLY = (False,) + (True,) * 6
_EVEN = (False, True)
_SELDOM = (False,) * 6 + (True,)
_RARELY = (False,) * 15 + (True,)
_FLIPPED = {
    4: (*range(12), 13, 20, *[21] * 6),
    8: (*range(12), 13, 20, 29, *range(PHYSICAL_BITS, 64)),
}
_LARGE = (False, False, True)
_KEYS = (0, 1, 2, 3, 15)
_PKRU = (0, 0x4, 0x8, 0x55555554, 0xAAAAAAA8, 0x40000000, 0x30)


class Model:
    """The model's side: a state, the terms of one access, and the concrete reading of both."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        mode = oracle.mode
        self._machine = _machine(mode, oracle)
        self.access = _access(mode.state(0))
        self._cells: dict[str, dict[Any, int]] = {}
        for component, key, place in self._machine.layout.cells():
            self._cells.setdefault(component.name, {})[key] = place
        self._components: dict[str, Component] = {
            c.name: c for c, _, _ in self._machine.layout.cells()
        }
        events = {e.transition.name: e for e in self._machine.events()}
        self._load = events.get("load")
        self.outputs = self._outputs()

    def _outputs(self) -> dict[str, Node]:
        """Every term that is compared."""
        a = self.access
        terms: dict[str, Any] = {
            "fault": a.fault,
            "frame": a.found.frame,
            "level": a.found.level,
        }
        for name in _CODE_BITS:
            terms[f"code.{name}"] = getattr(a.error_code, name)
        for stage in a.stages:
            level = stage.hop.level.name
            terms[f"table.{level}"] = stage.hop.table
            terms[f"accessed.{level}"] = a.accessed(stage) & ~stage.hop.entry.accessed
            terms[f"dirty.{level}"] = a.dirty(stage) & ~stage.hop.entry.dirty
        return {name: term.node for name, term in terms.items()}

    @cached_property
    def functions(self) -> dict[str, Callable[[Any], int]]:
        """The outputs as functions of a state."""
        return {name: self.function(node) for name, node in self.outputs.items()}

    def function(self, node: Node) -> Callable[[Any], int]:
        """The concrete reading of a term; its variables stand for the first element."""
        env = dict.fromkeys(node.variables, 0)
        return lambda state: self._machine.evaluate(node, state, None, env)

    @cached_property
    def facts(self) -> list[Node]:
        """What is true of all states that :meth:`tables` makes: every entry has an address, and of
        those with 4 bytes only the ones with bit 7 set in a PDE have reserved bits."""
        s = self.oracle.mode.state(0)

        def everywhere(name: str, holds: Callable[[Any], Bool], entries: Any) -> Node:
            table: type[Sort] = _TABLE_SORTS[name]
            slot: type[Sort] = _SLOT_SORTS[name]
            return forall(table, slot, lambda t, i: holds(entries.entry(t, i))).node

        facts: list[Node] = []
        for level in self.oracle.levels:
            entries = getattr(s, level.name)
            if level is not self.oracle.levels[-1]:
                facts.append(everywhere(level.name, lambda e: e.table.is_some, entries))
                if level.entry_bytes == 4:
                    large = everywhere(level.name, lambda e: ~e.reserved | e.leaf.is_some, entries)
                    facts.append(large)
                continue
            facts.append(everywhere(level.name, lambda e: e.leaf.is_some, entries))
            if level.entry_bytes == 4:
                facts.append(everywhere(level.name, lambda e: ~e.reserved, entries))
        if hasattr(s, "pdpte"):
            registers = s.pdpte.table
            facts.append(forall(Cpu, PgdSlot, lambda c, i: registers[c, i].is_some).node)
        return facts

    # States.

    def tables(self, world: World) -> bytearray:
        """A state with these tables; registers are clear."""
        state = bytearray(self._blank)
        for place, word in world.words.items():
            self._put(state, place, word)
        return state

    @cached_property
    def _blank(self) -> bytes:
        """The state with every word zero."""
        state = bytearray(self._machine.layout.size)
        for component, _, cell in self._machine.layout.cells():
            if isinstance(component.value, OptOf):
                state[cell] = self._machine.scope[component.value] - 1  # none
        for place in self.oracle.places():
            self._put(state, place, 0)
        return bytes(state)

    def _put(self, state: bytearray, place: Place, word: int) -> None:
        name, table, slot = place
        oracle = self.oracle
        fields = decode(oracle.geometry, name, word, physical_bits=PHYSICAL_BITS)
        values: dict[str, int] = {
            flag: getattr(fields, flag)
            for flag in ("present", "writable", "user", "nx", "global_", "accessed", "dirty", "key")
        }
        values["reserved"] = bool(fields.reserved)
        level = oracle.geometry.level(name)
        if level is oracle.levels[-1] or fields.large:
            values["leaf"] = oracle.frame_at(fields.pfn)
        if level is not oracle.levels[-1]:
            below = oracle.levels[oracle.levels.index(level) + 1].name
            pointer = fields
            if fields.large:  # what the entry points to where bit 7 does not make it a leaf
                pointer = decode(
                    oracle.geometry, name, word, physical_bits=PHYSICAL_BITS, pse=False
                )
            values["table"] = oracle.table_at(below, pointer.pfn)
        for part, value in values.items():
            cells = self._cells.get(f"{name}.{part}")
            if cells is not None:
                state[cells[table, slot]] = value

    def start(self, tables: bytes | bytearray, request: Request) -> bytes | None:
        """The state in which the access begins, with CR3 loaded; None if loading it is refused."""
        state = bytearray(tables)
        for name in ("wp", "pse", "nxe", "smep", "smap", "ac", "pke"):
            state[self._cells[name][()]] = getattr(request.settings, name)
        if request.settings.pkru:
            for key in range(16):
                bits = request.settings.pkru >> 2 * key
                state[self._cells["access_disabled"][(key,)]] = bits & 1
                state[self._cells["write_disabled"][(key,)]] = bits >> 1 & 1
        state[self._cells["kind"][()]] = Kind.values.index(request.kind)
        state[self._cells["user"][()]] = request.user
        state[self._cells["root"][()]] = request.root
        for level, slot in zip(self.oracle.levels, request.slots, strict=True):
            state[self._cells[f"{level.name}_index"][(0,)]] = slot
        if self._load is None:
            return bytes(state)
        loaded = self._machine.fire(bytes(state), self._load)
        return None if loaded is None else bytes(loaded)

    def result(
        self,
        state: bytes | None,
        request: Request,
        functions: Mapping[str, Callable[[Any], int]] | None = None,
    ) -> Result:
        """What the model says."""
        if state is None:
            return Result(None, None, frozenset())
        get = functions or self.functions
        marks = set()
        for level, slot in zip(self.oracle.levels, request.slots, strict=True):
            name = level.name
            for flag, bit in (("accessed", PageBit.ACCESSED), ("dirty", PageBit.DIRTY)):
                if get[f"{flag}.{name}"](state):
                    place = (name, get[f"table.{name}"](state), slot)
                    marks.add((self.oracle.address(place), int(bit)))
        if get["fault"](state):
            return Result(None, self.error_code(state, get), frozenset(marks))
        page = self.page(get["frame"](state), get["level"](state), request)
        return Result(page, None, frozenset(marks))

    def error_code(
        self, state: bytes, functions: Mapping[str, Callable[[Any], int]] | None = None
    ) -> int:
        """The error code, if the access faults."""
        get = functions or self.functions
        return sum(bool(get[f"code.{bit}"](state)) << i for i, bit in enumerate(_CODE_BITS))

    def table_reached(self, level: str, state: bytes) -> int | None:
        """Which table of that level the walk reads an entry of, if it gets there."""
        (stage,) = (at for at in self.access.stages if at.hop.level.name == level)
        reads = stage.absent | stage.reserved | stage.descends | stage.maps
        evaluate = self._machine.evaluate
        return evaluate(stage.hop.table.node, state) if evaluate(reads.node, state) else None

    def page(self, frame: int, level: int, request: Request) -> int | None:
        """The page within the large page at that level that the slots below lead to; None if there is
        no such large page, which only a mistake in the walk could say."""
        oracle, name = self.oracle, PageLevel.values[level].lower()
        if frame >= len(oracle.frames) or name not in oracle.mode.slots:
            return None
        slots = zip(oracle.levels, request.slots, strict=True)
        va = oracle.geometry.address(*(oracle.mode.slots[at.name][slot] for at, slot in slots))
        offset = va & (oracle.geometry.level(name).size - 1)
        return oracle.frames[frame] + (offset >> PAGE_SHIFT)


_CODE_BITS = ("present", "write", "user", "reserved", "fetch", "key")  # from bit 0 on


def _access(s: Any) -> Access:
    """The access that the registers describe; a function of the state alone."""
    controls = Controls(
        wp=s.wp.now,
        pse=s.pse.now,
        nxe=s.nxe.now,
        smep=s.smep.now,
        smap=s.smap.now,
        ac=s.ac.now,
        pke=s.pke.now,
        user_keys=lambda k: KeyRights(s.access_disabled[k], s.write_disabled[k]),
    )
    root, top = s.root.now, None
    if hasattr(s, "pdpte"):
        root, top = s.cpu.now, s.pdpte
    return access(s, root, s.va.now, s.kind.now, s.user.now, controls, top=top)


def _machine(mode: Mode, oracle: Oracle) -> Machine:
    def boot(s: Any) -> Step:
        return Step(when=TRUE)

    def load(s: Any, cpu: Cpu) -> Step:
        return load_cr3(s, cpu, s.root.now)

    boot.__annotations__["s"] = load.__annotations__["s"] = mode.state
    operations: list[Any] = [operation(load)] if hasattr(mode.state(0), "pdpte") else []
    scope: dict[type, Any] = {Va: 1, Cpu: 1, Frame: len(oracle.frames)}
    for level in oracle.levels:
        scope[_TABLE_SORTS[level.name]] = len(oracle.tables(level))
        scope[_SLOT_SORTS[level.name]] = len(mode.slots[level.name])
    design: Any = Design(
        name="mmu", state=mode.state, init=operation(boot), operations=operations, scope=scope
    )
    return Machine(design.system(), design.scope_at())


# Comparing.


@dataclass(frozen=True)
class Explained:
    """A way in which the emulator differs from the manual.

    ``expects`` gives what the emulator does instead, or None where the explanation has nothing to say;
    any other result is a disagreement.
    """

    what: str
    manual: str  # section of the Intel SDM, volume 3A
    expects: Callable[[Oracle, World, Request, Result], Result | None]


def _pdptes_in_memory(
    oracle: Oracle, world: World, request: Request, model: Result
) -> Result | None:
    if model.pfn is not None or model.error_code is not None:
        return None
    reserved = {
        place: decode(oracle.geometry, "pgd", word, physical_bits=PHYSICAL_BITS).reserved
        for place, word in world.words.items()
        if place[0] == "pgd"
    }
    clean = World({p: w & ~reserved.get(p, 0) for p, w in world.words.items()}, world.pse)
    state = oracle.model.start(oracle.model.tables(clean), request)
    assert state is not None  # nothing reserved is left
    used = ("pgd", request.root, request.slots[0])
    if world.words.get(used, 0) & PageBit.PRESENT.mask and reserved[used] >> PHYSICAL_BITS:
        present_and_reserved = 0b01001
        code = oracle.model.error_code(state) & 0b10110 | present_and_reserved
        return Result(None, code, frozenset())
    return oracle.model.result(state, request)


def _accessed_before_checked(
    oracle: Oracle, world: World, request: Request, model: Result
) -> Result | None:
    if model.error_code is None or not oracle.geometry.long_mode:
        return None
    state = oracle.model.start(oracle.model.tables(world), request)
    table = oracle.model.table_reached("pud", state) if state is not None else None
    if table is None:
        return None
    place = ("pud", table, request.slots[[level.name for level in oracle.levels].index("pud")])
    fields = decode(oracle.geometry, "pud", world.words.get(place, 0), physical_bits=PHYSICAL_BITS)
    looked_at_first = fields.reserved >> PHYSICAL_BITS or (fields.nx and not request.settings.nxe)
    if not (fields.present and fields.large) or fields.accessed or looked_at_first:
        return None
    mark = (oracle.address(place), int(PageBit.ACCESSED))
    return replace(model, marks=model.marks | {mark})


EXPLAINED = (
    Explained(
        "PAE's top-level entries are read from memory on every walk, not loaded with CR3: those with "
        "a reserved bit raise no general-protection exception; bits 2:1 and 8:5 are not looked at, "
        "and the higher ones cause a page fault when the entry is used",
        "4.4.1",
        _pdptes_in_memory,
    ),
    Explained(
        "the accessed flag of an entry that maps 1 GiB is set before reserved bits and rights are "
        "looked at, so also by an access that faults there",
        "4.8",
        _accessed_before_checked,
    ),
)


@dataclass(frozen=True)
class Observation:
    """One access: what the model says and what the processor did."""

    world: World
    request: Request
    state: bytes | None  # of the model, before the access
    model: Result
    emulator: Result
    explained: Explained | None = None

    @property
    def agrees(self) -> bool:
        """Both came to the same."""
        return self.model == self.emulator


def observe(oracle: Oracle, world: World, state: bytes | None, request: Request) -> Observation:
    """Make one access on both sides; the world has been put."""
    said, done = oracle.model.result(state, request), oracle.emulate(request)
    explained = None
    if said != done:
        explained = next(
            (e for e in EXPLAINED if e.expects(oracle, world, request, said) == done), None
        )
    return Observation(world, request, state, said, done, explained)


def observations(oracle: Oracle, count: int, seed: int) -> Iterator[Observation]:
    """Random accesses, some to each of many random worlds."""
    pick: Pick = random.Random(seed).choice
    for start in range(0, count, ACCESSES_PER_WORLD):
        world = oracle.draw_world(pick)
        oracle.put(world)
        tables = oracle.model.tables(world)
        for _ in range(min(ACCESSES_PER_WORLD, count - start)):
            request = oracle.draw_request(pick, world)
            yield observe(oracle, world, oracle.model.start(tables, request), request)


def show(oracle: Oracle, seen: Observation) -> str:
    """An observation as text: the entries with a slot that the access uses, and what came of it."""
    slots = dict(zip((level.name for level in oracle.levels), seen.request.slots, strict=True))
    lines = [str(seen.request)]
    lines += [
        f"  {name} {table} [{oracle.mode.slots[name][slot]}] at {oracle.address(place):#x}: {word:#x}"
        for place, word in seen.world.words.items()
        for name, table, slot in [place]
        if slots[name] == slot
    ]
    return "\n".join([*lines, f"  model    {seen.model}", f"  emulator {seen.emulator}"])
