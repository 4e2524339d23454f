"""What the kernel's descriptors of frames say (``struct page``, include/linux/mm_types.h)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from mapproof.model.language.sparse import Column
from mapproof.model.machine.geometry import PAGE_SIZE

from .frames import Runs
from .kernel import Kernel
from .memory import Memory

_MOST_ORDER = 20
_PIECE = 1 << 20  # bytes of descriptors at once
_MOST_PIECES = 1 << 18
_MOST_MAPPINGS = 1 << 20
_MAPPING_FLAGS = 3  # low bits of page.mapping: anonymous, movable


def free_frames(kernel: Kernel) -> list[tuple[int, int]]:
    """Runs of frames that the buddy allocator has: the first frame of each block says its order."""
    mark = kernel.number("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)")
    if mark is None:
        return []
    found: list[tuple[int, int]] = []
    for start, (kinds, orders) in _fields(kernel, ("_mapcount", "<i4"), ("private", "<u4")):
        good = np.flatnonzero((kinds == mark) & (orders <= _MOST_ORDER))
        found += [(start + int(at), 1 << int(orders[at])) for at in good.tolist()]
    merged = Runs(found)
    return list(zip(merged.starts.tolist(), (merged.ends - merged.starts).tolist(), strict=True))


def secret_frames(kernel: Kernel, symbols: dict[str, int], offsets: dict[str, int]) -> list[int]:
    """Frames of secret memory: pages of files with secretmem's operations (page_is_secretmem())."""
    wanted, member = symbols.get("secretmem_aops"), offsets.get("address_space.a_ops")
    if wanted is None or member is None or not kernel.geometry.long_mode:
        return []
    known: dict[int, bool] = {}
    found: list[int] = []
    for start, (mappings,) in _fields(kernel, ("mapping", "<u8")):
        values, at = np.unique(mappings, return_inverse=True)
        for value in values.tolist():
            if value and not value & _MAPPING_FLAGS and value not in known:
                if len(known) >= _MOST_MAPPINGS:
                    return []
                known[value] = kernel.pointer(value + member) == wanted
        secret = np.array([known.get(value, False) for value in values.tolist()])
        found += (start + np.flatnonzero(secret[at])).tolist()
    return found


def _fields(kernel: Kernel, *fields: tuple[str, str]) -> Iterator[tuple[int, list[Column]]]:
    """Members of the descriptors of all frames, some frames at a time: the first, and columns."""
    size, base = kernel.number("SIZE(page)"), kernel.page_base()
    places = [kernel.number(f"OFFSET(page.{name})") for name, _ in fields]
    widths = [np.dtype(kind).itemsize for _, kind in fields]
    # Without vmemmap, and in sections, descriptors are in several pieces.
    flat = kernel.geometry.long_mode or kernel.symbol("mem_map") is not None
    if not size or size > PAGE_SIZE or base is None or not flat:
        return
    if any(p is None or not 0 <= p <= size - w for p, w in zip(places, widths, strict=True)):
        return
    for start, number in islice(_pieces(kernel.memory, _PIECE // size), _MOST_PIECES):
        data = kernel.read(base + start * size, number * size)
        if data is None:
            continue
        rows = np.frombuffer(data, np.uint8).reshape(number, size)
        yield (
            start,
            [
                rows[:, p : p + w].copy().view(kind).ravel()
                for p, w, (_, kind) in zip(places, widths, fields, strict=True)
                if p is not None
            ],
        )


def _pieces(memory: Memory, step: int) -> Iterator[tuple[int, int]]:
    """The frames of a memory, so many at a time."""
    for first, number in memory.known_frames():
        for start in range(first, first + number, step):
            yield start, min(step, first + number - start)
