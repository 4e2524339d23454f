"""Sorts and components of a snapshot's state in forms of their own: places, leaves and their frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mapproof.model.language.sparse import Column, Count, Relation, Universe
from mapproof.model.machine.geometry import PAGE_SHIFT

from .frames import Runs
from .places import Places

if TYPE_CHECKING:
    from .leaf_facts import LeafFacts


class PlaceUniverse(Count):
    """Places; each stands for all address spaces that have its branch."""

    def __init__(self, places: Places) -> None:
        super().__init__(len(places.va))
        self._starts = places.starts
        self._spaces = np.array([len(b.spaces) for b in places.branches], np.int64)

    def weights(self, elements: Column) -> Column | None:
        return np.asarray(self._spaces[np.searchsorted(self._starts, elements, "right") - 1])


class Weighted(Count):
    """Elements that have their own weights."""

    def __init__(self, weights: Column) -> None:
        super().__init__(len(weights))
        self._weights = weights

    def weights(self, elements: Column) -> Column | None:
        return np.asarray(self._weights[elements])


class Mapped(Relation):
    """Which frames the leaf at a place maps: (place, frame); shadow: in tables of user mode alone."""

    def __init__(self, facts: LeafFacts, words: Column, meta: Column, *, shadow: bool) -> None:
        self._facts = facts
        self._all = words
        self._meta = meta
        self._shadow = shadow

    def _words(self, rows: Column) -> Column:
        words = self._all[rows]
        if self._shadow:
            words = np.where(self._facts.is_isolated(rows), words, np.uint64(0))
        return np.asarray(words)

    def at(self, *keys: Column) -> Column:
        places, frames = keys
        words, meta = self._words(places), self._meta[places]
        first, number = self._facts.frames(words, meta), self._facts.sizes(meta) >> PAGE_SHIFT
        return np.asarray((words != 0) & (frames >= first) & (frames < first + number))

    def reached(self, chunks: Iterator[Column], universe: Universe) -> Column | None:
        assert isinstance(universe, Runs)
        reached = np.zeros(len(universe), bool)
        steps = np.zeros(len(universe) + 1, np.int32)
        for rows in chunks:
            words, meta = self._words(rows), self._meta[rows]
            first = self._facts.frames(words, meta)
            number = self._facts.sizes(meta) >> PAGE_SHIFT
            one, many = (words != 0) & (number == 1), (words != 0) & (number > 1)
            places, there = universe.places(first[one])
            reached[places[there]] = True
            if many.any():
                np.add.at(steps, universe.before(first[many]), 1)
                np.add.at(steps, universe.before(first[many] + number[many]), -1)
        if steps.any():
            reached |= np.cumsum(steps[:-1]) > 0
        return reached


class FrameSet(Relation):
    """Frames that have something in common."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def at(self, *keys: Column) -> Column:
        return self.runs.places(keys[0])[1]


class SparseValues(Relation):
    """A column with values for some rows only, which are ascending."""

    def __init__(self, rows: Column, values: Column, otherwise: int) -> None:
        self._index = Universe(rows)
        self._values = values
        self._otherwise = otherwise

    def at(self, *keys: Column) -> Column:
        if not len(self._values):
            return np.full(len(keys[0]), self._otherwise)
        places, there = self._index.places(keys[0])
        return np.where(there, self._values[places], self._otherwise)
