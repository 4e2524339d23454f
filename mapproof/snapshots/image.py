"""A memory image as far as page tables go: table pages, roots, and what is known about the machine.

Every field comes from a file that may be damaged or made up, so nothing here is believed before it has
been looked at: :func:`checked_header` refuses what has the wrong shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from mapproof.model.language import DesignError
from mapproof.model.language.sparse import Column
from mapproof.model.machine.geometry import (
    I386_2L,
    I386_PAE,
    PAGE_SHIFT,
    PAGE_SIZE,
    X86_64_4L,
    X86_64_5L,
    Geometry,
)

MOST_ROOTS: Final = 1 << 16
MOST_PHYSICAL: Final = 1 << 52
GEOMETRIES: Final = {
    ("x86_64", 4): X86_64_4L,
    ("x86_64", 5): X86_64_5L,
    ("i386-pae", 3): I386_PAE,
    ("i386", 2): I386_2L,
}
KINDS: Final = ("kernel", "user", "trampoline", "boot")
_NO_PROCESS: Final = frozenset({"efi_mm", "trampoline_pgd", "initial_page_table"})


class BadSnapshot(DesignError):
    """The file cannot be read as what it claims to be; the message says why."""


class TablePages:
    """Pages of physical memory by frame number."""

    def __init__(self, frames: Column, content: Column) -> None:
        self.frames = frames  # ascending
        self.content = content  # one row of 4096 bytes each

    def __len__(self) -> int:
        return len(self.frames)

    def places(self, frames: Column) -> tuple[Column, Column]:
        """Where pages are, and which of them are there at all."""
        if not len(self.frames):
            return np.zeros(len(frames), np.int64), np.zeros(len(frames), bool)
        at = np.searchsorted(self.frames, frames)
        at[at == len(self.frames)] = 0
        return at, self.frames[at] == frames

    def entries(self, place: int | Column, entry_bytes: int) -> Column:
        """Pages, by their places, as page-table entries."""
        return self.content[place].view("<u8" if entry_bytes == 8 else "<u4").astype(np.uint64)


@dataclass(frozen=True)
class Root:
    """A top-level table.

    pa: its physical address.  pair: that of the other half's, under page table isolation.  names: whose
    it is, such as "bash:812", init_mm or poking_mm.
    """

    pa: int
    kind: str
    names: tuple[str, ...] = ()
    pair: int | None = None
    ldt_slot: int | None = None
    ldt_frames: tuple[int, ...] = ()

    @property
    def special(self) -> bool:
        """It is no process's, and not init_mm's: firmware, the trampoline, boot."""
        return self.kind in ("trampoline", "boot") or bool(_NO_PROCESS & set(self.names))

    @property
    def title(self) -> str:
        return ", ".join(self.names) or f"pgd {self.pa:#x}"


@dataclass
class Image:
    """What an audit looks at.  ``header`` has the fields of the format; ``problems`` says what of the
    file could not be read."""

    header: dict[str, Any]
    geometry: Geometry
    pages: TablePages
    roots: list[Root]
    problems: list[str] = field(default_factory=list)

    @property
    def isolation(self) -> bool:
        return any(root.kind == "user" for root in self.roots)

    @property
    def name(self) -> str:
        return printable(str(self.header.get("name") or "snapshot"))

    def symbol(self, name: str) -> int | None:
        """The address of a symbol of the kernel, if it is known."""
        return as_int(self.header.get("symbols", {}).get(name))


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def as_int(value: object, most: int = 1 << 64) -> int | None:
    """The value if it is a sane number."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < most:
        return value
    return None


def checked_header(header: object) -> tuple[dict[str, Any], Geometry, list[Root]]:
    """The header as a mapping, the geometry and the roots that it names.  Raises BadSnapshot."""
    if not isinstance(header, dict):
        raise BadSnapshot("the header is not a JSON object")
    header = {key: value for key, value in header.items() if value is not None}
    for key, kind in _SHAPES.items():
        if key in header and not isinstance(header[key], kind):
            raise BadSnapshot(f"header: {key} is a {type(header[key]).__name__}")
    arch, levels = header.get("arch"), header.get("levels")
    known_kind = isinstance(arch, str) and as_int(levels) is not None
    geometry = GEOMETRIES.get((str(arch), levels or 0)) if known_kind else None
    if geometry is None:
        known = ", ".join(f"{a} with {n}" for a, n in GEOMETRIES)
        raise BadSnapshot(f"header: arch {arch!r} with {levels!r} levels; known: {known}")
    roots = header.get("roots") or []
    if not roots:
        raise BadSnapshot("header: there are no roots: nothing to audit")
    if len(roots) > MOST_ROOTS:
        raise BadSnapshot(f"header: {len(roots)} roots, more than {MOST_ROOTS}")
    return header, geometry, _paired([_root(r, i) for i, r in enumerate(roots)])


_SHAPES: Final[Mapping[str, type]] = {
    "name": str,
    "cmdline": str,
    "roots": list,
    "frames": list,
    "memory": list,
    "vmalloc": list,
    "secret_pfns": list,
    "cpus": list,
    "percpu": list,
    "pat": list,
    "symbols": dict,
    "values": dict,
    "text_pa": dict,
    "guest": dict,
    "notes": list,
    "release": str,
}


def _root(value: object, number: int) -> Root:
    where = f"header: root {number}"
    if not isinstance(value, dict):
        raise BadSnapshot(f"{where} is not an object")
    pa, pair, kind = as_int(value.get("pa"), MOST_PHYSICAL), value.get("pair"), value.get("kind")
    if pa is None or pa % 32:
        raise BadSnapshot(f"{where}: pa is {value.get('pa')!r}")
    if kind not in KINDS:
        raise BadSnapshot(f"{where}: kind is {kind!r}, not one of {', '.join(KINDS)}")
    if pair is not None and as_int(pair, MOST_PHYSICAL) is None:
        raise BadSnapshot(f"{where}: pair is {pair!r}")
    names = value.get("names") or []
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise BadSnapshot(f"{where}: names is {names!r}")
    return Root(pa, kind, tuple(map(printable, names)), pair, *_ldt(value.get("ldt"), where))


def _ldt(value: object, where: str) -> tuple[int | None, tuple[int, ...]]:
    """Slot and frames of a process's LDT; without isolation it is in no slot (-1 in the file)."""
    if value is None:
        return None, ()
    slot = value.get("slot") if isinstance(value, dict) else None
    frames = value.get("pfns") if isinstance(value, dict) else None
    if slot not in (-1, 0, 1) or isinstance(slot, bool) or not isinstance(frames, list):
        raise BadSnapshot(f"{where}: ldt is {value!r}")
    if any(as_int(f, MOST_PHYSICAL >> PAGE_SHIFT) is None for f in frames):
        raise BadSnapshot(f"{where}: ldt has a frame that is no frame number")
    return None if slot < 0 else slot, tuple(frames)


def _paired(roots: list[Root]) -> list[Root]:
    by_pa: dict[int, Root] = {}
    for root in roots:
        if by_pa.setdefault(root.pa, root) is not root:
            raise BadSnapshot(f"header: two roots at {root.pa:#x}")
    for root in roots:
        other = by_pa.get(root.pair) if root.pair is not None else None
        if root.pair is not None and (other is None or other.pair != root.pa):
            raise BadSnapshot(f"header: root {root.pa:#x} has no pair at {root.pair:#x}")
        if root.kind == "user" and (other is None or other.kind != "kernel"):
            raise BadSnapshot(f"header: user root {root.pa:#x} has no kernel root")
        if root.kind == "kernel" and other is not None and other.kind != "user":
            raise BadSnapshot(
                f"header: kernel root {root.pa:#x} is paired with a {other.kind} root"
            )
    return roots


def table_pages(frames: Iterable[int], pages: Iterable[bytes]) -> TablePages:
    """Table pages from Python values, for tests and small tools."""
    order = sorted(zip(frames, pages, strict=True))
    content = np.frombuffer(b"".join(page for _, page in order), np.uint8).copy()
    return TablePages(
        np.array([frame for frame, _ in order], np.int64), content.reshape(-1, PAGE_SIZE)
    )
