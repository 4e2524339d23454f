"""How long an audit of a large machine takes: ``python -m benchmarks.audit``.

The machine is made up: 64 GiB mapped by 16 million leaves of 4 KiB, 200 processes with page table
isolation.  The walk, the decoding and every property that applies are timed; then the walk of a
small machine, root by root and entry by entry, as a debugger's scripts do it.
"""

from __future__ import annotations

import argparse
import resource
import sys
from itertools import pairwise
from time import monotonic, process_time

import numpy as np

from mapproof.catalog import Catalog
from mapproof.model.machine.geometry import PAGE_SHIFT, X86_64_4L
from mapproof.snapshots.audit import about_snapshots, audit
from mapproof.snapshots.image import Image, Root, TablePages
from mapproof.snapshots.places import places_of
from mapproof.snapshots.walk import Walk

_TABLE, _DATA = 0x63, 0x8000_0000_0000_0063
_USER_TABLE, _USER_DATA = 0x67, 0x8000_0000_0000_0067
_NX = 1 << 63
_FIRST_TABLE = 0x10_0000  # frame number


class _Maker:
    """Allocates table pages."""

    def __init__(self, pages: int) -> None:
        self.content = np.zeros((pages, 512), np.uint64)
        self.used = 0

    def page(self) -> int:
        """The place of a new page."""
        self.used += 1
        return self.used - 1

    def frame(self, place: int) -> int:
        return _FIRST_TABLE + place

    def entry(self, place: int, flags: int) -> int:
        return self.frame(place) << PAGE_SHIFT | flags


def machine(gibibytes: int, processes: int, pages_each: int = 256) -> Image:
    """A machine whose direct map is in pages of 4 KiB."""
    last = gibibytes * 512
    maker = _Maker(last + 2 * gibibytes + processes * 8 + 64)
    frames = np.arange(512, dtype=np.uint64)
    puds = []
    for start in range(0, gibibytes, 512):
        pud = maker.page()
        puds.append(pud)
        for i in range(min(512, gibibytes - start)):
            pmd = maker.page()
            maker.content[pud, i] = maker.entry(pmd, _TABLE)
            for j in range(512):
                pte = maker.page()
                maker.content[pmd, j] = maker.entry(pte, _TABLE)
                first = np.uint64(((start + i) * 512 + j) * 512)
                maker.content[pte] = ((first + frames) << np.uint64(PAGE_SHIFT)) | np.uint64(_DATA)
    roots = []
    for number in range(processes):
        if maker.used % 2:
            maker.page()  # pairs of tables begin at an even page
        kernel, user = maker.page(), maker.page()
        for i, pud in enumerate(puds):
            maker.content[kernel, 273 + i] = maker.entry(pud, _TABLE)
        if number:
            tables = [maker.page() for _ in range(3)]
            for above, below in pairwise(tables):
                maker.content[above, 0] = maker.entry(below, _USER_TABLE)
            data = np.arange(pages_each, dtype=np.uint64) + np.uint64(number * pages_each)
            leaves = data << np.uint64(PAGE_SHIFT) | np.uint64(_USER_DATA)
            maker.content[tables[-1], :pages_each] = leaves
            maker.content[user, 1] = maker.entry(tables[0], _USER_TABLE)
            maker.content[kernel, 1] = maker.entry(tables[0], _USER_TABLE | _NX)
        pas = [maker.frame(k) << PAGE_SHIFT for k in (kernel, user)]
        names = ("init_mm",) if not number else (f"process:{number}",)
        roots += [Root(pas[0], "kernel", names, pas[1]), Root(pas[1], "user", names, pas[0])]
    frames_of = np.arange(_FIRST_TABLE, _FIRST_TABLE + maker.used)
    content = maker.content[: maker.used].view(np.uint8)
    kinds = [[0, gibibytes << 18, "A"]]
    header = {"name": f"{gibibytes} GiB", "frames": kinds, "cmdline": "pti=on", "symbols": _SYMBOLS}
    return Image(header, X86_64_4L, TablePages(frames_of, content), roots)


_SYMBOLS = {
    "__entry_text_start": 0xFFFFFFFF81C00000,
    "__entry_text_end": 0xFFFFFFFF81C02000,
}


def plain_walk(image: Image, root: Root) -> int:
    """A walk in plain Python, one entry at a time: how many leaves it found."""
    pages = dict(zip(image.pages.frames.tolist(), image.pages.content, strict=True))
    found: list[tuple[int, int]] = []

    def visit(frame: int, shift: int, base: int) -> None:
        page = pages[frame].tobytes()
        for slot in range(512):
            word = int.from_bytes(page[slot * 8 : slot * 8 + 8], "little")
            if not word & 1:
                continue
            va = base + (slot << shift)
            if shift == PAGE_SHIFT or word & 0x80:
                found.append((va, word))
            else:
                visit((word & ((1 << 52) - 1)) >> PAGE_SHIFT, shift - 9, va)

    visit(root.pa >> PAGE_SHIFT, 39, 0)
    return len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=int, default=64)
    parser.add_argument("--processes", type=int, default=200)
    options = parser.parse_args()
    image = machine(options.gib, options.processes)
    properties = about_snapshots(Catalog().library)
    started, worked = monotonic(), process_time()
    done = audit(image, properties)
    seconds, worked = monotonic() - started, process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    checked = sum(f.found.checked for f in done.findings)
    sys.stdout.write(
        f"{len(done.facts.places.va)} different places, {checked} instances of "
        f"{len(done.findings)} properties: {seconds:.1f} s ({worked:.1f} s of one CPU), {peak:.0f} MiB\n"
    )
    small = machine(1, 40)
    started = monotonic()
    number = sum(plain_walk(small, root) for root in small.roots)
    plain = monotonic() - started
    started = monotonic()
    places_of(Walk(small))
    ours = monotonic() - started
    sys.stdout.write(
        f"walk of {len(small.roots)} roots, {number} leaves: {ours:.2f} s; "
        f"entry by entry: {plain:.1f} s, {plain / ours:.0f} times as long\n"
    )


if __name__ == "__main__":
    main()
