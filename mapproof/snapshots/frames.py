"""Frames of a machine as a sort: a few runs of frame numbers, looked up in next to no time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mapproof.model.language.sparse import Column, Universe

MOST_FRAMES = 1 << 27  # half a terabyte


class Runs(Universe):
    """The frames of some runs (first, number), in ascending order; runs may overlap when given."""

    def __init__(self, runs: Iterable[tuple[int, int]]) -> None:
        merged: list[list[int]] = []
        for first, number in sorted(runs):
            if number <= 0:
                continue
            if merged and first <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], first + number)
            else:
                merged.append([first, first + number])
        self.starts = np.array([a for a, _ in merged], np.int64)
        self.ends = np.array([b for _, b in merged], np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.ends - self.starts)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def chunk(self, start: int, stop: int) -> Column:
        places = np.arange(start, min(stop, len(self)))
        run = np.searchsorted(self.offsets, places, "right") - 1
        return np.asarray(self.starts[run] + places - self.offsets[run])

    def places(self, elements: Column) -> tuple[Column, Column]:
        if not len(self.starts) or not len(elements):
            return np.zeros(len(elements), np.int64), np.zeros(len(elements), bool)
        run = ascending_bin(self.starts, elements)
        if run.ndim == 0 and run >= 0 and elements.max() < self.ends[run]:  # mostly so
            return self.offsets[run] - self.starts[run] + elements, np.ones(len(elements), bool)
        there = (run >= 0) & (elements < self.ends[run])
        return np.where(there, self.offsets[run] + elements - self.starts[run], 0), there

    def before(self, frames: Column) -> Column:
        """How many frames of the runs lie before a frame."""
        if not len(self.starts):
            return np.zeros(len(frames), np.int64)
        run = ascending_bin(self.starts, frames)
        inside = np.minimum(frames, self.ends[run]) - self.starts[run]
        return np.where(run < 0, 0, self.offsets[run] + inside)


def ascending_bin(starts: Column, values: Column) -> Column:
    """Between which of the ascending starts each value lies: the number of those up to it, less one.
    A single number if that is the same for all, as it is for values that lie close together."""
    ends = np.searchsorted(starts, np.array([values.min(), values.max()]), "right") - 1
    if ends[0] == ends[1]:
        return np.asarray(ends[0])
    return np.asarray(np.searchsorted(starts, values, "right") - 1)


def runs_of(frames: Column) -> list[tuple[int, int]]:
    """Frame numbers, in any order, as runs."""
    if not len(frames):
        return []
    if frames.max() < MOST_FRAMES:
        seen = np.zeros(int(frames.max()) + 1, bool)
        seen[frames] = True
        ordered = np.flatnonzero(seen)
    else:
        ordered = np.unique(frames)
    breaks = np.flatnonzero(np.diff(ordered) != 1)
    first = np.concatenate([[0], breaks + 1])
    last = np.concatenate([breaks, [len(ordered) - 1]])
    return list(zip(ordered[first].tolist(), (last - first + 1).tolist(), strict=True))
