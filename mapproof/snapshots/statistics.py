"""Figures about a snapshot: what is mapped where, and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mapproof.model.language.sparse import CHUNK, Column
from mapproof.model.machine.geometry import PAT, PageBit
from mapproof.model.machine.snapshot import Region
from mapproof.model.machine.sorts import Va

from .bits import W, X
from .facts import Facts
from .walk import META_LEVEL


@dataclass(frozen=True)
class Row:
    """Leaves of one region, page size, memory type and protection key.

    leaves: in all address spaces; different: those in table pages that several share counted once.
    """

    region: str
    page: int
    type: str
    key: int
    leaves: int
    different: int
    bytes: int


@dataclass(frozen=True)
class Statistics:
    """rows: the kernel's tables.  aliased: frames of 4 KiB leaves that several different leaves map.
    writable_code: leaves that are writable and executable, in the user half and in the kernel half.
    shown: bytes of kernel memory in user tables, of all address spaces, by region."""

    rows: list[Row]
    aliased: int
    writable_code: tuple[int, int]
    shown: dict[str, int]


def statistics(facts: Facts) -> Statistics:
    """The figures of a snapshot."""
    p, universe = facts.places, facts.universe(Va)
    last = len(facts.walk.levels) - 1
    long_mode = facts.geometry.long_mode
    totals: dict[tuple[int, int, int, int], list[int]] = {}
    shown: dict[str, int] = {}
    code = [0, 0]
    end = np.uint64(facts.geometry.region("user").end)
    for start in range(0, len(p.va), CHUNK):
        rows = universe.chunk(start, start + CHUNK)
        weights = universe.weights(rows)
        assert weights is not None
        region = facts.regions.of(p.va[rows]).astype(np.int64)
        words, meta = p.kernel[rows], p.kernel_meta[rows]
        there = words != 0
        keys = (words >> np.uint64(PageBit.PKEY_BIT0) & np.uint64(15)) * np.uint64(long_mode)
        types = facts.type_index(words, meta)
        packed = ((region * 8 + (meta >> META_LEVEL)) * 8 + types) * 16 + keys.astype(np.int64)
        for value, count, alike in _grouped(packed[there], weights[there]):
            key = (value >> 10, value >> 7 & 7, value >> 4 & 7, value & 15)
            total = totals.setdefault(key, [0, 0])
            total[0] += count
            total[1] += alike
        both = there & ((meta & np.uint8(W | X)) == W | X)
        kernel_half = p.va[rows] >= end
        code[0] += int(weights[both & ~kernel_half].sum())
        code[1] += int(weights[both & kernel_half].sum())
        isolated = facts.is_isolated(rows) & kernel_half & (p.user[rows] != 0)
        sizes = facts.sizes(p.user_meta[rows]) * weights
        for value, count, _ in _grouped(region[isolated], sizes[isolated]):
            name = _region(value)
            shown[name] = shown.get(name, 0) + count
    found = [
        Row(
            _region(region),
            facts.walk.levels[depth].level.size,
            PAT[kind],
            key,
            count,
            alike,
            count * facts.walk.levels[depth].level.size,
        )
        for (region, depth, kind, key), (count, alike) in sorted(totals.items())
    ]
    small = p.kernel_meta >> META_LEVEL == last
    frames = facts.walk.levels[last].frames(p.kernel[small & (p.kernel != 0)])
    _, counts = np.unique(frames, return_counts=True)
    return Statistics(found, int((counts > 1).sum()), (code[0], code[1]), shown)


def _grouped(values: Column, weights: Column) -> Iterator[tuple[int, int, int]]:
    """Each value with the sum of its weights and its number."""
    if not len(values):
        return
    sums = np.bincount(values, weights=weights.astype(np.float64))
    counts = np.bincount(values)
    for value in np.flatnonzero(counts).tolist():
        yield value, int(sums[value]), int(counts[value])


def _region(index: int) -> str:
    return Region.values[index].lower().replace("_", " ")
