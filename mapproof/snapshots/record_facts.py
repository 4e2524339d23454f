"""What the kernel's records say, as far as a snapshot has them: VMAs, and the use of frames."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mapproof.model.language.sparse import Column, Relation, Unreadable
from mapproof.model.machine.geometry import PAGE_SHIFT

from .bits import W, X
from .frames import MOST_FRAMES, Runs, runs_of
from .image import MOST_PHYSICAL, as_int
from .leaf_facts import LeafFacts
from .records import secret_frames, vmas
from .relations import FrameSet, SparseValues
from .walk import META_LEVEL


class RecordFacts(LeafFacts):
    """The part of a snapshot's state that is recorded beside the tables."""

    # VMAs.

    @cached_property
    def rights_of_vmas(self) -> tuple[Column, Column]:
        """Rows of user places of processes whose VMAs are known, and the rights of their VMA."""
        known = vmas(self.image)
        if not known:
            raise Unreadable("the snapshot does not say which VMAs processes have")
        rows, rights = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)]
        end = np.uint64(self.geometry.region("user").end)
        for number, branch in enumerate(self.places.branches):
            space = self.walk.spaces[branch.spaces[0]]
            table = next((known[n] for n in space.kernel.names if n in known), None)
            start, stop = self.places.starts[number : number + 2]
            va = self.places.va[start:stop]
            if table is None or not len(va) or va[0] >= end:
                continue
            at = np.searchsorted(table.starts, va, "right") - 1
            inside = (at >= 0) & (va < table.ends[at])
            rows.append(np.arange(start, stop))
            rights.append(np.where(inside, table.rights[at], 0).astype(np.uint8))
        return np.concatenate(rows), np.concatenate(rights)

    def read_vma_known(self) -> Relation:
        rows, _ = self.rights_of_vmas
        return SparseValues(rows, np.ones(len(rows), np.int64), 0)

    def read_vma_w(self) -> Relation:
        rows, rights = self.rights_of_vmas
        return SparseValues(rows, rights & np.uint8(W), 0)

    def read_vma_x(self) -> Relation:
        rows, rights = self.rights_of_vmas
        return SparseValues(rows, rights & np.uint8(X), 0)

    # Frames.

    @cached_property
    def _frames(self) -> Runs:
        """Frames that leaves of 4 KiB map or that the snapshot says something about."""
        runs = [*self._kinds.get("all", []), *self._text_runs()]
        runs += runs_of(self.image.pages.frames)
        runs += runs_of(np.array(secret_frames(self.image) or [], np.int64))
        p = self.places
        last = len(self.walk.levels) - 1
        for words, meta in ((p.kernel, p.kernel_meta), (p.user, p.user_meta)):
            small = (words != 0) & (meta >> META_LEVEL == last)
            runs += runs_of(self.walk.levels[last].frames(words[small]))
        found = Runs(runs)
        if len(found) > MOST_FRAMES:
            raise Unreadable(f"{len(found)} frames, more than {MOST_FRAMES}")
        return found

    @cached_property
    def _kinds(self) -> dict[str, list[tuple[int, int]]]:
        """Runs of frames by the kind that the snapshot gives, and all of them."""
        found: dict[str, list[tuple[int, int]]] = {}
        bad = 0
        for row in self.image.header.get("frames") or []:
            good = isinstance(row, list) and len(row) == 3 and isinstance(row[2], str)
            first = as_int(row[0], MOST_PHYSICAL) if good else None
            number = as_int(row[1], MOST_FRAMES) if good else None
            if first is None or number is None:
                bad += 1
                continue
            for kind in (row[2], "all"):
                found.setdefault(kind, []).append((first, number))
        if bad:
            self.problems.append(f"{bad} rows of the list of frames are unreadable")
        return found

    def kind_of(self, frame: int) -> str:
        """The letter that the snapshot has for a frame."""
        for kind, runs in self._kinds.items():
            if kind != "all" and any(a <= frame < a + n for a, n in runs):
                return kind
        return ""

    def _text_runs(self) -> list[tuple[int, int]]:
        """Whole pages of kernel text and read-only data."""
        text = self.image.header.get("text_pa", {})
        runs = []
        for first, last in (("_text", "_etext"), ("__start_rodata", "__end_rodata")):
            low, high = (
                as_int(text.get(first), MOST_PHYSICAL),
                as_int(text.get(last), MOST_PHYSICAL),
            )
            if low is not None and high is not None and low < high <= low + (1 << 32):
                runs.append((low >> PAGE_SHIFT, (high >> PAGE_SHIFT) - (low >> PAGE_SHIFT)))
        return runs

    def read_free(self) -> Relation:
        if not self._kinds:
            raise Unreadable("the snapshot does not say which frames are free")
        return FrameSet(Runs(self._kinds.get("F", [])))

    def read_secret(self) -> Relation:
        frames = secret_frames(self.image)
        if frames is None:
            raise Unreadable("the snapshot does not say which frames are secret memory")
        return FrameSet(Runs(runs_of(np.array(frames, np.int64))))

    def read_is_table_page(self) -> Relation:
        return FrameSet(Runs(runs_of(self.image.pages.frames)))

    def read_text(self) -> Relation:
        if not self._text_runs():
            raise Unreadable("the snapshot does not say where kernel text is")
        return FrameSet(Runs(self._text_runs()))
