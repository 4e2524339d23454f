"""Physical memory in a file: which pages are there, and where."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from mapproof.model.language.sparse import Column
from mapproof.model.machine.geometry import PAGE_SHIFT, PAGE_SIZE

from .image import MOST_PHYSICAL, BadSnapshot, TablePages

FARTHEST = 1 << 62  # no file is so long
_SCANNED = 1 << 10  # pages at once


class Memory(TablePages, ABC):
    """Physical memory; pages are asked for by frame, as :class:`.image.TablePages` are."""

    problems: list[str]

    @abstractmethod
    def page(self, frame: int) -> bytes | None:
        """One page, None if the file does not have it."""

    @abstractmethod
    def known_frames(self) -> Iterable[tuple[int, int]]:
        """Runs (first, number) of the frames that the file has."""

    def places(self, frames: Column) -> tuple[Column, Column]:
        runs = list(self.known_frames())
        first = np.array([a for a, _ in runs], np.int64)
        ends = np.array([a + n for a, n in runs], np.int64)
        if not runs:
            return frames, np.zeros(len(frames), bool)
        at = np.searchsorted(first, frames, "right") - 1
        return frames, np.asarray((at >= 0) & (frames < ends[at]))

    def entries(self, place: int | Column, entry_bytes: int) -> Column:
        kind = "<u8" if entry_bytes == 8 else "<u4"
        frames = [place] if isinstance(place, int) else place.tolist()
        pages = b"".join(self.page(f) or bytes(PAGE_SIZE) for f in frames)
        found = np.frombuffer(pages, kind).astype(np.uint64).reshape(len(frames), -1)
        return found[0] if isinstance(place, int) else found

    def scan(self) -> Iterator[tuple[Column, Column]]:
        """All pages, some at a time: frame numbers, and a row of bytes for each."""
        for start, number in self.known_frames():
            for frame in range(start, start + number, _SCANNED):
                frames = np.arange(frame, min(frame + _SCANNED, start + number))
                yield frames, self.entries(frames, 8).view(np.uint8)

    def read(self, pa: int, size: int) -> bytes | None:
        """Bytes of physical memory, None if not all of them are there."""
        pages = []
        for frame in range(pa >> PAGE_SHIFT, (pa + size - 1 >> PAGE_SHIFT) + 1):
            page = self.page(frame)
            if page is None:
                return None
            pages.append(page)
        start = pa & PAGE_SIZE - 1
        return b"".join(pages)[start : start + size]


class FileMemory(Memory):
    """Pages that lie in a file as they are.

    segments: (physical address, offset in the file, size in bytes), of which whole pages are used.  If
    two overlap, as text and memory do in /proc/kcore, the one that begins first counts.
    """

    def __init__(self, path: Path, segments: Iterable[tuple[int, int, int]]) -> None:
        self._file = path.open("rb")
        self.problems = []
        size = os.fstat(self._file.fileno()).st_size or None  # /proc/kcore has no size
        self._segments: list[tuple[int, int, int]] = []
        for pa, offset, length in sorted(segments):
            if pa >= MOST_PHYSICAL or length <= 0:
                continue
            if offset >= FARTHEST or length >= FARTHEST:
                self.problems.append(f"the memory at {pa:#x} lies beyond the end of any file")
                continue
            there = length if size is None else min(length, max(size - offset, 0))
            if there < length:
                self.problems.append(
                    f"the file ends {length - there} bytes before the memory at {pa:#x} does"
                )
            lead = -pa % PAGE_SIZE
            first, pages = (pa + lead) >> PAGE_SHIFT, (there - lead) >> PAGE_SHIFT
            known = max(sum(self._segments[-1][::2]) - first, 0) if self._segments else 0
            if pages > known:
                where = offset + lead + (known << PAGE_SHIFT)
                self._segments.append((first + known, where, pages - known))
        self._first = np.array([s[0] for s in self._segments], np.int64)

    def known_frames(self) -> Iterable[tuple[int, int]]:
        return [(first, pages) for first, _, pages in self._segments]

    def page(self, frame: int) -> bytes | None:
        at = int(np.searchsorted(self._first, frame, "right")) - 1
        if at < 0 or frame >= self._segments[at][0] + self._segments[at][2]:
            return None
        first, offset, _ = self._segments[at]
        page = self._bytes(PAGE_SIZE, offset + (frame - first) * PAGE_SIZE)
        return page if len(page) == PAGE_SIZE else None

    def scan(self) -> Iterator[tuple[Column, Column]]:
        """As in the base class, but in one piece and without holes: a file may claim terabytes of them.
        What cannot be read is left out."""
        for first, offset, pages in self._segments:
            done = self._data(offset, 0)
            while done < pages:
                size = min(_SCANNED, pages - done) << PAGE_SHIFT
                data = self._bytes(size, offset + (done << PAGE_SHIFT))
                there = np.frombuffer(data, np.uint8, len(data) & -PAGE_SIZE).reshape(-1, PAGE_SIZE)
                yield np.arange(first + done, first + done + len(there)), there
                done = self._data(offset, done + max(len(there), 1))

    def _data(self, offset: int, page: int) -> int:
        """The first page from that one on which is in no hole; pages are counted from an offset."""
        at = offset + (page << PAGE_SHIFT)
        try:
            return page + (os.lseek(self._file.fileno(), at, os.SEEK_DATA) - at >> PAGE_SHIFT)
        except OSError as error:
            return FARTHEST if error.errno == errno.ENXIO else page

    def _bytes(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), size, offset)
        except OSError:
            return b""


class PackedMemory(Memory):
    """Pages that are unpacked one by one; the last ones are kept."""

    def __init__(self, frames: Column, unpack: Callable[[int], bytes | None]) -> None:
        self.frames = frames
        self.problems = []
        self._unpack = unpack
        self._kept: dict[int, bytes | None] = {}

    def known_frames(self) -> Iterable[tuple[int, int]]:
        from .frames import runs_of

        return runs_of(self.frames)

    def page(self, frame: int) -> bytes | None:
        if frame not in self._kept:
            if len(self._kept) > 1 << 16:
                self._kept.clear()
            at = int(np.searchsorted(self.frames, frame))
            there = at < len(self.frames) and self.frames[at] == frame
            self._kept[frame] = self._unpack(at) if there else None
        return self._kept[frame]


def need(data: bytes | None, size: int, what: str) -> bytes:
    """The bytes, if there are so many.  Raises BadSnapshot."""
    if data is None or len(data) < size:
        raise BadSnapshot(f"cut off in {what}")
    return data
