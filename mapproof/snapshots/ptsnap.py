"""The PTSNAP1 format: the page tables of a machine in some twenty kilobytes.

After decompression with xz: ``PTSNAP1`` and a newline, the length of the header and the number of
pages as u32le, the header as JSON, the frame numbers as u64le in ascending order, the pages.  An
uncompressed file is taken as well.
"""

from __future__ import annotations

import json
import lzma
import struct
from pathlib import Path
from typing import Final

import numpy as np

from mapproof.model.machine.geometry import PAGE_SHIFT, PAGE_SIZE

from ..files import write
from .image import MOST_PHYSICAL, BadSnapshot, Image, TablePages, checked_header

MAGIC: Final = b"PTSNAP1\n"
MOST_BYTES: Final = 1 << 30  # a terabyte of mapped memory has two gigabytes of tables, unshared
_XZ: Final = b"\xfd7zXZ\x00"
_XZ_MEMORY: Final = 256 << 20


def read_ptsnap(path: Path) -> Image:
    """The snapshot in a file.  Raises BadSnapshot and OSError."""
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
        if not start.startswith((_XZ, MAGIC)):
            raise BadSnapshot(
                "no snapshot, ELF dump or compressed kdump (raw memory needs --registers)"
            )
        data = start + file.read(MOST_BYTES)
    if len(data) > MOST_BYTES:
        raise BadSnapshot(f"more than {MOST_BYTES} bytes")
    return decode_ptsnap(data)


def decode_ptsnap(data: bytes) -> Image:
    """The snapshot in the bytes of a file.  Raises BadSnapshot."""
    if data.startswith(_XZ):
        data = _unpacked(data)
    fixed = len(MAGIC) + 8
    if not data.startswith(MAGIC):
        raise BadSnapshot("not a PTSNAP1 snapshot")
    if len(data) < fixed:
        raise BadSnapshot("cut off in the first 16 bytes")
    header_bytes, pages = struct.unpack_from("<II", data, len(MAGIC))
    wanted = fixed + header_bytes + pages * (8 + PAGE_SIZE)
    if len(data) != wanted:
        raise BadSnapshot(
            f"{len(data)} bytes, but a header of {header_bytes} bytes and {pages} pages make {wanted}"
        )
    try:
        parsed = json.loads(data[fixed : fixed + header_bytes])
    except (ValueError, RecursionError) as error:
        raise BadSnapshot(f"the header is not JSON: {error}") from None
    header, geometry, roots = checked_header(parsed)
    frames = np.frombuffer(data, "<u8", pages, fixed + header_bytes)
    content = np.frombuffer(data, np.uint8, pages * PAGE_SIZE, fixed + header_bytes + pages * 8)
    if pages and (np.any(frames[1:] <= frames[:-1]) or frames[-1] >= MOST_PHYSICAL >> PAGE_SHIFT):
        raise BadSnapshot("the frame numbers are not ascending, or are too large")
    tables = TablePages(frames.astype(np.int64), content.reshape(pages, PAGE_SIZE))
    return Image(header, geometry, tables, roots)


def encode_ptsnap(image: Image) -> bytes:
    """The snapshot as an uncompressed file."""
    header = json.dumps(image.header, separators=(",", ":")).encode()
    sizes = struct.pack("<II", len(header), len(image.pages))
    frames = image.pages.frames.astype("<u8").tobytes()
    return MAGIC + sizes + header + frames + image.pages.content.tobytes()


def write_ptsnap(image: Image, path: Path) -> None:
    """Write a snapshot, compressed.  Raises OSError."""
    write(path, lzma.compress(encode_ptsnap(image), preset=6))


def _unpacked(data: bytes) -> bytes:
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    try:
        unpacked = decompressor.decompress(data, MOST_BYTES + 1)
    except lzma.LZMAError as error:
        raise BadSnapshot(f"the xz data is damaged: {error}") from None
    if len(unpacked) > MOST_BYTES:
        raise BadSnapshot(f"more than {MOST_BYTES} bytes when unpacked")
    if not decompressor.eof:
        raise BadSnapshot("the xz data is cut off")
    if decompressor.unused_data:
        raise BadSnapshot("there is something behind the xz data")
    return unpacked
