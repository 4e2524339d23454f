"""The walk of snapshots against the model's: entries bit by bit, and what an address comes to."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from mapproof.model.language.concrete import Machine
from mapproof.model.language.nodes import var
from mapproof.model.machine.geometry import GEOMETRIES, PAGE_SHIFT, Geometry
from mapproof.model.machine.sorts import Pgd, Va
from mapproof.model.machine.tables import walk
from mapproof.model.machine.words import decode
from mapproof.snapshots.bits import Bits, U, W, X
from mapproof.snapshots.image import Image, Root, table_pages
from mapproof.snapshots.places import places_of
from mapproof.snapshots.walk import META_LEVEL, Walk

from .test_machine import MACHINES

WORDS = 400


@pytest.mark.parametrize("name", GEOMETRIES)
def test_entries_are_decoded_as_the_model_does(name: str) -> None:
    geometry, chance = GEOMETRIES[name], random.Random(name)
    for level in geometry.levels:
        bits = Bits(geometry, level)
        width = level.entry_bytes * 8
        words = [chance.getrandbits(width) | 1 for _ in range(WORDS)]
        words += [1 << bit | 1 for bit in range(width)]
        column = np.array(words, np.uint64)
        leaf, types = bits.is_leaf(column), bits.types(column)
        frames, tables = bits.frames(column), bits.tables(column)
        rights = bits.rights(column, np.full(len(column), W | U | X, np.uint8))
        for i, word in enumerate(words):
            known = decode(geometry, level.name, word)
            last = level is geometry.levels[-1]
            assert bool(leaf[i]) == (last or known.large)
            assert (frames if leaf[i] else tables)[i] == known.pfn
            if leaf[i]:
                assert types[i] == known.pat
                assert bits.has(column[i : i + 1], "global_")[0] == known.global_
            if level.rights:
                expected = W * known.writable | U * known.user | X * (not known.nx)
                assert rights[i] == expected


def tables_for(geometry: Geometry, chance: random.Random) -> Image:
    """Tables of random entries, two pages a level, that lead downward."""
    frames = list(range(16, 16 + 2 * len(geometry.levels)))
    pages = []
    for number in range(len(frames)):
        level = geometry.levels[number // 2]
        last = level is geometry.levels[-1]
        data = bytearray(4096)
        for slot in range(0, level.entries, max(1, level.entries // 8)):
            below = 16 + (number // 2 + 1) * 2 + chance.randrange(2)
            word = (chance.randrange(1 << 18) if last else below) << PAGE_SHIFT
            word |= 1 if chance.random() < 0.9 else 0
            if level.rights:
                word |= chance.choice([0, 2, 4, 6, 6])
                if geometry.has_nx and chance.random() < 0.3:
                    word |= 1 << 63
                if level.leaf and not last and chance.random() < 0.2:
                    word = word & ~(((1 << 44) - 1) << PAGE_SHIFT) | 0x80 | 1 << level.shift
            size = level.entry_bytes
            data[slot * size : slot * size + size] = word.to_bytes(size, "little")
        pages.append(bytes(data))
    header: dict[str, Any] = {}
    root = Root(16 << PAGE_SHIFT, "kernel", ("init_mm",))
    return Image(header, geometry, table_pages(frames, pages), [root])


@pytest.mark.parametrize("name", ["X86_64", "X86_64La57", "I386Pae", "I386"])
def test_leaves_are_what_the_models_walk_finds(name: str) -> None:
    """The random tables, cut down to the two tables a level and the slots of one address at a time, as a
    concrete state of the model: the same frame and the same rights."""
    state_class, machine = MACHINES[name]
    geometry: Geometry = state_class.GEOMETRY
    chance = random.Random(name)
    image = tables_for(geometry, chance)
    walked = Walk(image)
    places = places_of(walked)
    known = {
        int(va): (int(word), int(meta))
        for va, word, meta in zip(places.va, places.kernel, places.kernel_meta, strict=True)
    }
    assert len(known) > 10
    hits = 0
    for _ in range(60):
        va, expected = model_walk(machine, state_class, geometry, image, chance)
        found = None
        for level in geometry.levels:
            start = geometry.canonical(va & -level.size)
            if start in known and walked.levels[known[start][1] >> META_LEVEL].level is level:
                word, meta = known[start]
                bits = walked.levels[meta >> META_LEVEL]
                frame = int(bits.frames(np.array([word], np.uint64))[0])
                found = (frame, bool(meta & W), bool(meta & U), not meta & X)
        assert found == expected
        hits += found is not None
    assert hits > 10


def model_walk(
    machine: Machine, state_class: Any, geometry: Geometry, image: Image, chance: random.Random
) -> tuple[int, tuple[int, bool, bool, bool] | None]:
    """A random address, and what the model's walk finds there in the same tables: the model's two slots
    of each level are the address's own and an empty one, its frames stand for those that are met."""
    slots = [
        chance.randrange(0, level.entries, max(1, level.entries // 8)) for level in geometry.levels
    ]
    va = geometry.address(*slots)
    met: list[int] = []
    state = machine.freeze([0] * machine.layout.size)
    cells = list(state)
    for component, key, place in machine.layout.cells():
        group, _, bit = component.name.partition(".")
        if not bit:
            continue  # an index map: slot 0 for every address
        depth = [level.name for level in geometry.levels].index(group)
        table, slot = key
        level = geometry.levels[depth]
        words = image.pages.entries(depth * 2 + table, level.entry_bytes)
        word = int(words[slots[depth]]) if slot == 0 else 0
        entry = decode(geometry, level.name, word)
        last = depth == len(geometry.levels) - 1
        is_leaf = entry.present and (last or entry.large)
        if bit == "table":
            leads = entry.present and not is_leaf
            cells[place] = entry.pfn - 16 - (depth + 1) * 2 if leads else 2
        elif bit == "leaf":
            if is_leaf and entry.pfn not in met:
                met.append(entry.pfn)
            cells[place] = met.index(entry.pfn) if is_leaf and entry.pfn in met[:4] else 4
        elif bit == "cache":
            cells[place] = 0
        else:
            cells[place] = int(getattr(entry, bit))
    if len(met) > 4:
        return model_walk(machine, state_class, geometry, image, chance)
    s = state_class(0)
    root, address = Pgd(var(Pgd, "root")), Va(var(Va, "va"))
    found = walk(s, root, address)
    env = {root.node: 0, address.node: 0}
    values = [
        machine.evaluate(t.node, machine.freeze(cells), env=env)
        for t in (found.frame, found.writable, found.user, found.nx)
    ]
    if values[0] == 4:
        return va, None
    return va, (met[values[0]], bool(values[1]), bool(values[2]), bool(values[3]))
