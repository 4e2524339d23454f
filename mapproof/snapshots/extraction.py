"""A dump as a snapshot: its table pages, its roots, and what the kernel's own records say of them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from mapproof.model.machine.geometry import PAGE_SHIFT, PAGE_SIZE

from . import owners
from .btf import member_offsets
from .descriptors import free_frames, secret_frames
from .elf import Dump
from .image import GEOMETRIES, BadSnapshot, Image, Root, TablePages
from .kallsyms import kernel_symbols
from .kernel import Kernel
from .roots import Roots
from .walk import Walk

_BASES = ("page_offset_base", "vmalloc_base", "vmemmap_base")
_TEXT = (
    "_text",
    "_etext",
    "__start_rodata",
    "__end_rodata",
    "__end_rodata_aligned",
    "__entry_text_start",
    "__entry_text_end",
)
_OTHERS = (
    "cpu_tss_rw",
    "__per_cpu_offset",
    "nr_cpu_ids",
    "saved_command_line",
    "secretmem_aops",
)
_MEMBERS = ("address_space.a_ops",)
_MOST_CPUS = 1 << 13
_MOST_CMDLINE = 2048  # COMMAND_LINE_SIZE


def image_of(dump: Dump, path: Path) -> Image:
    """The page tables of a dump.  Raises BadSnapshot."""
    kernel = Kernel(dump)
    search = Roots(kernel)
    roots = search.all()
    if not roots:
        raise BadSnapshot("no root is in the dump")
    symbols = kernel_symbols(kernel, (*_BASES, *_TEXT, *_OTHERS, *owners.SYMBOLS))
    offsets = member_offsets(kernel, symbols, (*owners.MEMBERS, *_MEMBERS))
    roots = owners.with_owners(kernel, roots, symbols, offsets)
    arch, levels = next(key for key, g in GEOMETRIES.items() if g is kernel.geometry)
    header: dict[str, Any] = {
        "format": "PTSNAP1",
        "name": path.name,
        "arch": arch,
        "levels": levels,
        "pti": any(r.kind == "user" for r in roots),
        "release": kernel.info.get("OSRELEASE", ""),
        "vmcoreinfo": kernel.vmcoreinfo,
        "cpus": [{"cr3": cr3, "cr4": cr4} for cr3, cr4 in dump.registers],
        "memory": [[a << PAGE_SHIFT, a + n << PAGE_SHIFT] for a, n in dump.memory.known_frames()],
        "roots": [_root_json(root) for root in roots],
        "notes": search.notes,
    }
    walk = Walk(Image(header, kernel.geometry, dump.memory, roots))
    header.update(_records(kernel, walk, symbols, offsets))
    return Image(header, kernel.geometry, _tables(dump, walk), roots, list(dump.memory.problems))


def _root_json(root: Root) -> dict[str, Any]:
    found: dict[str, Any] = {"pa": root.pa, "kind": root.kind, "names": list(root.names)}
    if root.pair is not None:
        found["pair"] = root.pair
    return found


def _tables(dump: Dump, walk: Walk) -> TablePages:
    """The table pages that can be read; the others are missed when the snapshot is walked."""
    frames = sorted(walk.table_frames())
    pages = [(frame, page) for frame in frames if (page := dump.memory.page(frame)) is not None]
    content = np.frombuffer(b"".join(page for _, page in pages), np.uint8)
    return TablePages(
        np.array([frame for frame, _ in pages], np.int64), content.reshape(-1, PAGE_SIZE)
    )


def _records(
    kernel: Kernel, walk: Walk, symbols: dict[str, int], offsets: dict[str, int]
) -> dict[str, Any]:
    """What else the header has, as far as the kernel tells: symbols, bases, CPUs, free frames."""
    text = {name: kernel.of_image(symbols[name]) for name in _TEXT if name in symbols}
    found = {
        "symbols": symbols,
        "text_pa": {name: pa for name, pa in text.items() if pa is not None},
        "values": _values(kernel, walk, symbols),
        "percpu": _cpus(kernel, symbols),
        "cmdline": _command_line(kernel, symbols),
        "frames": [[first, number, "F"] for first, number in free_frames(kernel)],
        "secret_pfns": secret_frames(kernel, symbols, offsets),
    }
    return {key: value for key, value in found.items() if value}


def _values(kernel: Kernel, walk: Walk, symbols: dict[str, int]) -> dict[str, int]:
    """Where KASLR has put regions: from the kernel's variables, or else as the tables show it."""
    if not kernel.geometry.long_mode:
        return {}
    pages = kernel.page_base()
    found = {} if pages is None else {"vmemmap_base": pages}
    found |= _direct_map(walk)
    for name in _BASES:
        value = kernel.pointer(symbols[name]) if name in symbols else None
        if value is not None:
            found[name] = value
    return found


def _direct_map(walk: Walk) -> dict[str, int]:
    """Its base: of init_mm's first kernel leaf, address less frame."""
    init = next((s for s in walk.spaces if s.is_init), None)
    if init is None:
        return {}
    ldt = walk.geometry.pgd_slots(walk.geometry.region("ldt"))
    first = walk.geometry.pgd_slots(walk.geometry.region("user")).stop
    for slot, word in enumerate(walk.top[init.kernel.pa].tolist()):
        if slot < first or slot in ldt or not word & 1 or walk.entry_leaves(word) > 1 << 24:
            continue
        leaves = walk.leaves(slot, word)
        if len(leaves.va):
            base = int(leaves.va[0]) - walk.leaf_address(leaves, 0)
            return {"page_offset_base": base} if base > 0 and base % (1 << 30) == 0 else {}
    return {}


def _cpus(kernel: Kernel, symbols: dict[str, int]) -> list[dict[str, int]]:
    """The TSS page of each CPU: cpu_tss_rw is at the same offset of the per-CPU area of each."""
    if not {"__per_cpu_offset", "cpu_tss_rw", "nr_cpu_ids"} <= symbols.keys():
        return []
    number = struct.unpack("<I", kernel.read(symbols["nr_cpu_ids"], 4) or bytes(4))[0]
    found = []
    for cpu in range(min(number, _MOST_CPUS)):
        offset = kernel.pointer(symbols["__per_cpu_offset"] + cpu * 8)
        va = symbols["cpu_tss_rw"] + (offset or 0) & (1 << 64) - 1
        pa = kernel.physical(va)
        if offset is not None and pa is not None:
            found.append({"offset": offset, "tss_va": va, "tss_pfn": pa >> PAGE_SHIFT})
    return found


def _command_line(kernel: Kernel, symbols: dict[str, int]) -> str:
    address = kernel.pointer(symbols.get("saved_command_line", 0))
    text = kernel.read(address, _MOST_CMDLINE) if address else None
    return (text or b"").split(b"\0", 1)[0].decode("ascii", "replace")
