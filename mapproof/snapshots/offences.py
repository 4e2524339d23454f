"""What violates a property, told as a kernel developer would: addresses, regions, flags, owners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mapproof.model.language.sparse import Column, witnesses
from mapproof.model.machine.geometry import PAGE_SHIFT, PAGE_SIZE, PageBit

from .audit import Finding
from .bits import W, X
from .facts import Facts

MOST = 1000  # instances, or ranges of them, that are put into words
MOST_RUNS = 50  # of frames
# The bits of an entry that say what is allowed: no frame, no accessed or dirty bit.
_FLAGS = np.uint64(0x8000_0000_0000_019F)

_KINDS = {
    "F": "free",
    "T": "page table",
    "S": "slab",
    "R": "reserved",
    "A": "anonymous",
    "M": "page cache",
    "X": "secret memory",
    "K": "kernel",
}


_OF_VMA = {
    -1: "",
    0: "where the VMA is neither writable nor executable:",
    W: "where the VMA is not executable:",
    X: "where the VMA is not writable:",
    W | X: "",
}


@dataclass(frozen=True)
class Mapping:
    """A leaf, or several alike that follow each other.

    va, bytes: the addresses.  half: whose tables, "kernel" or "user".  pfn: the first frame.  flags: as
    the kernel prints them.  owners: the address spaces that have it.
    """

    va: int
    bytes: int
    page: int
    half: str
    region: str
    pfn: int
    flags: str
    word: int
    owners: tuple[str, ...]


@dataclass(frozen=True)
class Offence:
    """One violation, or several alike: what it is about, and the mappings that make it."""

    about: str
    mappings: tuple[Mapping, ...] = ()
    place: int | None = None  # where a picture of it begins


def offences(finding: Finding, facts: Facts, most: int = MOST) -> list[Offence]:
    """What violates a property, mappings that follow each other as one."""
    examples = finding.found.examples
    kinds = {p.name: p.sort.__name__ for p in finding.prop.parameters}
    told = _Told(facts)
    size = min(most, len(next(iter(examples.values()), ())))
    rows = [{k: int(c[i]) for k, c in examples.items()} for i in range(size)]
    match sorted(kinds.values()):
        case ["Va"]:
            return told.places(finding, next(iter(examples.values())), most)
        case ["Extent"]:
            return [told.extent(next(iter(row.values()))) for row in rows]
        case ["Frame"]:
            return list(told.frames(finding, [next(iter(row.values())) for row in rows]))
        case ["Mm", "Slot"]:
            return [told.copy(finding, *row.values()) for row in rows]
        case ["Pgd", "Pgd", "PgdSlot"] | ["Pgd", "PgdSlot"]:
            return [told.top_level(row, kinds) for row in rows]
        case _:
            return [Offence(told.others(row, kinds)) for row in rows]


class _Told:
    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.geometry = facts.geometry

    def owners(self, place: int) -> tuple[str, ...]:
        branch = self.facts.places.branches[int(self.facts.branch_of(np.array([place]))[0])]
        return tuple(self.facts.walk.spaces[n].title for n in branch.spaces)

    def leaf(self, place: int, half: str) -> Mapping | None:
        """What one half's tables have at a place."""
        p = self.facts.places
        words, meta = (p.kernel, p.kernel_meta) if half == "kernel" else (p.user, p.user_meta)
        if not words[place]:
            return None
        rows = np.array([place])
        word, size = int(words[place]), int(self.facts.sizes(meta[rows])[0])
        va = int(p.va[place])
        return Mapping(
            va,
            size,
            size,
            half,
            self.facts.regions.name_of(va),
            int(self.facts.frames(words[rows], meta[rows])[0]),
            flags(word, size, wide=self.geometry.has_nx),
            word,
            self.owners(place),
        )

    def places(self, finding: Finding, places: Column, most: int) -> list[Offence]:
        """Places with what both halves have there; those that continue each other, and those that are
        alike in several address spaces, as one."""
        found: dict[tuple[object, ...], Offence] = {}
        said = self._about(finding, places)
        runs = self._runs(places, said)
        for run in runs[:most]:
            mappings = []
            for half in ("kernel", "user") if self._isolated(int(run[0])) else ("kernel",):
                mapping = self.leaf(int(run[0]), half)
                if mapping is not None:
                    mappings.append(replace(mapping, bytes=mapping.page * len(run)))
            about = _OF_VMA[int(said[np.searchsorted(places, run[0])])]
            key = (about, *(replace(m, owners=()) for m in mappings))
            before = found.get(key)
            found[key] = (
                Offence(about, tuple(mappings), int(run[0]))
                if before is None
                else replace(before, mappings=_owned(before.mappings, mappings))
            )
        more = [Offence(f"and {len(runs) - most} more ranges")] * (len(runs) > most)
        return [*found.values(), *more]

    def _about(self, finding: Finding, places: Column) -> Column:
        """Of a property about VMAs: the rights of the VMA at each place, else nothing to say."""
        if not any(c.name == "vma_w" for c in finding.prop.body().components):
            return np.full(len(places), -1)
        w, x = (r.at(places) != 0 for r in (self.facts.read_vma_w(), self.facts.read_vma_x()))
        return np.asarray(w * W | x * X)

    def _runs(self, places: Column, said: Column) -> list[Column]:
        """Ascending places, split where one does not continue the one before it."""
        p = self.facts.places
        same = (np.diff(self.facts.branch_of(places)) == 0) & (np.diff(said) == 0)
        size = np.zeros(len(places), np.int64)
        for words, meta in ((p.kernel, p.kernel_meta), (p.user, p.user_meta)):
            flag_bits = words[places] & _FLAGS
            same &= (np.diff(flag_bits) == 0) & (np.diff(meta[places]) == 0)
            size = np.maximum(size, self.facts.sizes(meta[places]) * (words[places] != 0))
        same &= np.diff(p.va[places]) == size[:-1].astype(np.uint64)
        return np.split(places, np.flatnonzero(~same) + 1)

    def _isolated(self, place: int) -> bool:
        return bool(self.facts.is_isolated(np.array([place]))[0])

    def extent(self, extent: int) -> Offence:
        place = int(self.facts.extent_places(np.array([extent]))[0])
        leaf = self.leaf(place, "user")
        if leaf is None:
            return Offence("")
        va, size = self.facts.extent_range(extent)
        pfn = leaf.pfn + ((va - leaf.va) >> PAGE_SHIFT)
        part = Mapping(
            va, size, leaf.page, "user", leaf.region, pfn, leaf.flags, leaf.word, leaf.owners
        )
        return Offence("", (part,), place)

    def frames(self, finding: Finding, frames: list[int]) -> Iterator[Offence]:
        """Frames with the leaves that are wrong about them: runs of frames as one, told by the first."""
        runs: list[list[int]] = []
        for frame in frames:
            if runs and frame == runs[-1][1]:
                runs[-1][1] += 1
            else:
                runs.append([frame, frame + 1])
        for first, end in runs[:MOST_RUNS]:
            found = witnesses(finding.prop, self.facts, first)
            halves = [(row, "user" if c.name == "shadow_maps" else "kernel") for c, row in found]
            mappings = [self.leaf(row, half) for row, half in sorted(halves)]
            number = f" and {end - first - 1} more" if end - first > 1 else ""
            kind = _KINDS.get(self.facts.kind_of(first), "")
            about = f"{self.geometry.show_pfn(first)}{number}" + (f" ({kind})" if kind else "")
            yield Offence(about, tuple(m for m in mappings if m), found[0][1] if found else None)
        if len(runs) > MOST_RUNS:
            yield Offence(f"and {len(runs) - MOST_RUNS} more runs of frames")

    def copy(self, finding: Finding, mm: int, slot: int) -> Offence:
        """A kernel entry that differs from init_mm's."""
        walk = self.facts.walk
        user = any(c.name == "user_copy" for c in finding.prop.body().components)
        init = next(s for s in walk.spaces if s.is_init)
        words = []
        for space in (walk.spaces[mm], init):
            root = space.user if user and space.user else space.kernel
            words.append(int(walk.kernel_entries(root)[slot]))
        va = walk.kernel_slot_addresses()[slot]
        tables = "user tables" if user else "kernel tables"
        return Offence(
            f"{self.geometry.show_va(va)} {self.facts.regions.name_of(va)}: {tables} of "
            f"{walk.spaces[mm].title} have {words[0]:#x}, init_mm's have {words[1]:#x}"
        )

    def top_level(self, row: dict[str, int], kinds: dict[str, str]) -> Offence:
        """A slot of the top level, in the tables named."""
        slot = next(v for k, v in row.items() if kinds[k] == "PgdSlot")
        roots = [self.facts.image.roots[v] for k, v in row.items() if kinds[k] == "Pgd"]
        words = self.facts.walk.top
        said = [f"{r.title} {r.kind} {int(words[r.pa][slot]):#x}" for r in roots]
        va = self.geometry.show_va(self.geometry.address(slot))
        return Offence(f"slot {slot} ({va}): {', '.join(said)}")

    def others(self, row: dict[str, int], kinds: dict[str, str]) -> str:
        return ", ".join(f"{name} = {self._shown(kinds[name], v)}" for name, v in row.items())

    def _shown(self, kind: str, value: int) -> str:
        if kind == "Mm":
            return self.facts.walk.spaces[value].title
        return self.geometry.show_pfn(value) if kind == "Frame" else str(value)


def _owned(before: tuple[Mapping, ...], more: Sequence[Mapping]) -> tuple[Mapping, ...]:
    """The same mappings, in further address spaces."""
    return tuple(replace(a, owners=a.owners + b.owners) for a, b in zip(before, more, strict=True))


def flags(word: int, size: int, *, wide: bool = True) -> str:
    """The flags of a leaf as /sys/kernel/debug/page_tables prints them (dump_pagetables.c)."""
    large = size > PAGE_SIZE
    pat = PageBit.PAT_LARGE if large else PageBit.PAT
    named = (
        (PageBit.USER, "USR", ""),
        (PageBit.RW, "RW", "ro"),
        (PageBit.PWT, "PWT", ""),
        (PageBit.PCD, "PCD", ""),
        (pat, "PAT", ""),
        (PageBit.GLOBAL, "GLB", ""),
    )
    said = [yes if word >> bit & 1 else no for bit, yes, no in named]
    if large:
        said.insert(4, "PSE")
    said.append(("NX" if word >> PageBit.NX & 1 else "x") if wide else "x")
    return " ".join(filter(None, said))


def describe_size(number: int) -> str:
    """A size as the kernel prints it: 4K, 2M, 1G."""
    for unit, shift in (("T", 40), ("G", 30), ("M", 20), ("K", 10)):
        if number >= 1 << shift and number % (1 << shift) == 0:
            return f"{number >> shift}{unit}"
    return f"{number}B"
