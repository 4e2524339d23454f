"""Dumps made of snapshots: the same table pages as an ELF vmcore, as a kdump file, as raw memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cramjam
from lzallright import LZOCompressor

from mapproof.model.machine.geometry import PAGE_SIZE
from mapproof.snapshots.frames import runs_of
from mapproof.snapshots.image import Image, TablePages

PT_LOAD, PT_NOTE = 1, 4

__all__ = ["TablePages", "elf", "kdump", "raw"]


def note(name: bytes, body: bytes) -> bytes:
    padded = name + b"\0" * (-len(name) % 4)
    return struct.pack("<III", len(name), len(body), 0) + padded + body + b"\0" * (-len(body) % 4)


def qemu_note(cpu: dict[str, int]) -> bytes:
    """The registers of one CPU as QEMU writes them."""
    body = bytearray(440 + 8)
    cr3, cr4 = cpu["cr3"], cpu["cr4"]
    struct.pack_into("<Q", body, 8 + 18 * 8 + 9 * 24 + 16, cpu.get("idt", 0))
    struct.pack_into("<5Q", body, 8 + 18 * 8 + 10 * 24, 0, 0, 0, cr3, cr4)
    return note(b"QEMU\0", bytes(body))


def elf(image: Image, *, info: bool = True, registers: bool = True, holes: int = 0) -> bytes:
    """An ELF vmcore with a segment for each run of table pages, and so many that are no memory."""
    wide = image.geometry.long_mode
    notes = b""
    for cpu in image.header["cpus"] if registers else []:
        notes += qemu_note(cpu)
    if info:
        notes += note(b"VMCOREINFO\0", image.header["vmcoreinfo"].encode())
    runs = runs_of(image.pages.frames)
    entry, start = (56, 64) if wide else (32, 52)
    offset = start + entry * (len(runs) + 1 + holes)
    headers, body = [_header(wide, PT_NOTE, offset, 0, len(notes))], notes
    headers += [_header(wide, PT_LOAD, offset, (1 << (64 if wide else 32)) - 1, PAGE_SIZE)] * holes
    for first, number in runs:
        size = number * PAGE_SIZE
        headers.append(_header(wide, PT_LOAD, offset + len(body), first * PAGE_SIZE, size))
        at = int((image.pages.frames < first).sum())
        body += image.pages.content[at : at + number].tobytes()
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    machine = 62 if wide else 3
    if wide:
        rest = struct.pack(
            "<HHIQQQIHHHHHH", 4, machine, 1, 0, start, 0, 0, 64, entry, len(headers), 0, 0, 0
        )
    else:
        rest = struct.pack(
            "<HHIIIIIHHHHHH", 4, machine, 1, 0, start, 0, 0, 52, entry, len(headers), 0, 0, 0
        )
    return ident + rest + b"".join(headers) + body


def _header(wide: bool, kind: int, offset: int, pa: int, size: int) -> bytes:
    if wide:
        return struct.pack("<IIQQQQQQ", kind, 0, offset, 0, pa, size, size, 0)
    return struct.pack("<IIIIIIII", kind, offset, 0, pa, size, size, 0, 0)


PACKERS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: zlib.compress,
    2: LZOCompressor().compress,
    4: lambda page: bytes(cramjam.snappy.compress_raw(page)),
    0x20: lambda page: bytes(cramjam.zstd.compress(page)),
}
"""By the flag in a descriptor: none, zlib, lzo, snappy, zstd."""


def kdump(image: Image, flag: int = 1, *, info: bool = True) -> bytes:
    """A compressed kdump file, pages packed with zlib or another of PACKERS."""
    most = int(image.pages.frames.max()) + 1
    bitmap = bytearray(-(-most // (8 * PAGE_SIZE)) * PAGE_SIZE)
    for frame in image.pages.frames.tolist():
        bitmap[frame // 8] |= 1 << frame % 8
    blocks = 2 * len(bitmap) // PAGE_SIZE
    said = image.header["vmcoreinfo"].encode() if info else b""
    notes = b"".join(map(qemu_note, image.header["cpus"]))
    table = (2 + blocks) * PAGE_SIZE
    data = table + 24 * len(image.pages)
    head, sub = bytearray(PAGE_SIZE), bytearray(PAGE_SIZE)
    head[:8] = b"KDUMP   "
    head[12 + 4 * 65 : 12 + 4 * 65 + 6] = b"x86_64"
    struct.pack_into("<4I", head, 428, PAGE_SIZE, 1, blocks, most)
    struct.pack_into("<4Q", sub, 32, data, len(said), data + len(said), len(notes))
    struct.pack_into("<Q", sub, 96, most)
    descriptors, pages = b"", said + notes
    rows: list[bytes] = [row.tobytes() for row in image.pages.content]
    for row in rows:
        packed = PACKERS[flag](row)
        plain = len(packed) >= PAGE_SIZE  # as makedumpfile does with what does not get smaller
        packed = row if plain else packed
        used = 0 if plain else flag
        descriptors += struct.pack("<QIIQ", data + len(pages), len(packed), used, 0)
        pages += packed
    return bytes(head + sub + bitmap + bitmap) + descriptors + pages


def flattened(image: Image) -> bytes:
    """The same in pieces, as QEMU writes it."""
    data = kdump(image)
    pieces = b"makedumpfile".ljust(16, b"\0") + struct.pack(">qq", 1, 1)
    pieces = pieces.ljust(PAGE_SIZE, b"\0")
    for start in range(0, len(data), 3000):
        part = data[start : start + 3000].rstrip(b"\0") or b"\0"  # what is left out is zero
        pieces += struct.pack(">qq", start, len(part)) + part
    return pieces + struct.pack(">qq", -1, -1)


def raw(image: Image, path: Path) -> None:
    """Physical memory from address 0 on; what is no table page is a hole in the file."""
    with path.open("wb") as file:
        for frame, page in zip(image.pages.frames.tolist(), image.pages.content, strict=True):
            file.seek(frame * PAGE_SIZE)
            file.write(page.tobytes())
