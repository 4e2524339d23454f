"""Compressed kdump files, as makedumpfile and QEMU write them (its IMPLEMENTATION file).

Blocks of one page: the header, a sub-header, two bitmaps of frames of which the second says which are
in the file, then a descriptor for each of those, then the pages: as they are, or packed with zlib, lzo,
snappy or zstd (makedumpfile -c, -l, -p, -z).
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from collections.abc import Callable
from pathlib import Path

import cramjam
import numpy as np
from lzallright import LZOCompressor, LZOError

from mapproof.model.machine.geometry import PAGE_SIZE

from .elf import Dump, read_notes
from .image import BadSnapshot
from .memory import FARTHEST, PackedMemory, need

MAGIC = b"KDUMP   "
FLATTENED = b"makedumpfile\0"  # how QEMU writes it: pieces of the file, each with its place
_FIRST_PIECE = 4096
_MOST_FRAMES = 1 << 32
_MOST_BLOCKS = 1 << 18
_MOST_NOTES = 1 << 20


Read = Callable[[int, int], bytes]
"""Bytes of a file: how many, and from where."""


def read_kdump(path: Path) -> Dump:
    """Read the headers and bitmaps of a compressed dump.  Raises BadSnapshot and OSError."""
    file = path.open("rb")

    def direct(size: int, offset: int) -> bytes:
        return os.pread(file.fileno(), size, offset)

    flattened = direct(len(FLATTENED), 0) == FLATTENED
    read = _rearranged(direct, os.fstat(file.fileno()).st_size) if flattened else direct
    head = need(read(PAGE_SIZE, 0), PAGE_SIZE, "the header")
    if not head.startswith(MAGIC):
        raise BadSnapshot("a flattened file without a kdump in it")
    machine = head[12 + 4 * 65 : 12 + 5 * 65].split(b"\0")[0].decode("ascii", "replace")
    wide = machine == "x86_64"
    if not wide and machine not in ("i386", "i486", "i586", "i686"):
        raise BadSnapshot(f"a kdump of machine {machine!r}, which is not x86")
    block, sub_blocks, bitmap_blocks, most = struct.unpack_from("<4I", head, 428 if wide else 416)
    if block != PAGE_SIZE:
        raise BadSnapshot(f"a kdump with blocks of {block} bytes")
    if not 0 < sub_blocks <= 1024 or not 0 < bitmap_blocks <= _MOST_BLOCKS:
        raise BadSnapshot(
            f"a kdump with a sub-header of {sub_blocks} and {bitmap_blocks} map blocks"
        )
    sub = need(read(PAGE_SIZE, PAGE_SIZE), PAGE_SIZE, "the sub-header")
    if wide:
        offset, size, notes, notes_size = struct.unpack_from("<QQQQ", sub, 32)
        (most64,) = struct.unpack_from("<Q", sub, 96)
    else:
        offset, size, notes, notes_size = struct.unpack_from("<QIQI", sub, 20)
        (most64,) = struct.unpack_from("<Q", sub, 72)
    most = most64 if 0 < most64 < _MOST_FRAMES else most
    half = bitmap_blocks * PAGE_SIZE // 2
    start = (1 + sub_blocks) * PAGE_SIZE + half
    bitmap = need(read(half, start), half, "the bitmap")
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
    frames = np.flatnonzero(bits[:most])
    table = (1 + sub_blocks + bitmap_blocks) * PAGE_SIZE
    descriptors = read(24 * len(frames), table)
    unread: dict[str, int] = {}

    def unpack(place: int) -> bytes | None:
        found = _unpacked(read, descriptors[place * 24 : place * 24 + 24])
        if isinstance(found, bytes):
            return found
        unread[found] = unread.get(found, 0) + 1
        memory.problems[:] = [f"{number} pages are {what}" for what, number in unread.items()]
        return None

    memory = PackedMemory(frames, unpack)
    dump = Dump(memory, "x86_64" if wide else "i386")
    if 0 < notes_size <= _MOST_NOTES and notes < FARTHEST:
        read_notes(read(notes_size, notes), dump)
    if 0 < size <= _MOST_NOTES and offset < FARTHEST:
        dump.vmcoreinfo = read(size, offset).decode("ascii", "replace")
    return dump


def _unpacked(read: Read, descriptor: bytes) -> bytes | str:
    """The page that a descriptor is about, or what is wrong with it."""
    if len(descriptor) < 24:
        return "cut off"
    where, length, flags = struct.unpack_from("<QII", descriptor)
    if length > PAGE_SIZE or where >= FARTHEST:
        return "of a wrong length"
    packed = read(length, where)
    if len(packed) < length:
        return "cut off"
    page = packed
    for flag, unpack in _PACKERS.items():
        if flags & flag:
            try:
                page = unpack(packed)
            except (zlib.error, LZOError, cramjam.DecompressionError):
                return "damaged"
    return page if len(page) == PAGE_SIZE else "of a wrong length"


def _zlib(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, PAGE_SIZE + 1)


def _lzo(packed: bytes) -> bytes:
    return LZOCompressor.decompress(packed, PAGE_SIZE)  # of a page at most: it cannot grow to much


def _snappy(packed: bytes) -> bytes:
    page = bytearray(PAGE_SIZE)
    return bytes(page[: cramjam.snappy.decompress_raw_into(packed, page)])


def _zstd(packed: bytes) -> bytes:
    page = bytearray(PAGE_SIZE)
    return bytes(page[: cramjam.zstd.decompress_into(packed, page)])


_PACKERS: dict[int, Callable[[bytes], bytes]] = {1: _zlib, 2: _lzo, 4: _snappy, 0x20: _zstd}
"""By the flag that a descriptor has (DUMP_DH_COMPRESSED_*)."""


def _rearranged(read: Read, size: int) -> Read:
    """The file that the pieces of a flattened one make, later ones over earlier ones."""
    places, offsets, lengths = array("q"), array("q"), array("q")  # small: there may be millions
    at = _FIRST_PIECE
    while at + 16 <= size:
        place, length = struct.unpack(">qq", need(read(16, at), 16, "a flattened piece"))
        if place < 0 or length <= 0:
            break
        for column, value in ((places, place), (offsets, at + 16), (lengths, length)):
            column.append(value)
        at += 16 + length
    # Stable: of pieces for one place the last counts.
    order = np.argsort(np.array(places, np.int64), kind="stable")
    starts, where_of, length_of = (
        np.array(column, np.int64)[order] for column in (places, offsets, lengths)
    )

    def piecewise(wanted: int, offset: int) -> bytes:
        found = bytearray()
        while len(found) < wanted:
            here, left = offset + len(found), wanted - len(found)
            number = int(np.searchsorted(starts, here, "right")) - 1
            skip = here - int(starts[number]) if number >= 0 else 0
            if number >= 0 and skip < length_of[number]:
                wanted_here = min(left, int(length_of[number]) - skip)
                piece = read(wanted_here, int(where_of[number]) + skip)
            elif number + 1 < len(starts):  # a hole
                piece = bytes(min(left, int(starts[number + 1]) - here))
            else:
                piece = b""
            if not piece:
                break
            found += piece
        return bytes(found)

    return piecewise
