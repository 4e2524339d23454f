"""The kernel's own table of symbols (scripts/kallsyms.c, kernel/kallsyms.c), read out of a dump.

Since 6.0 VMCOREINFO says where its parts are.  A name is a row of numbers of tokens, the first character
of the first being the symbol's type.  Symbols of data are there only with CONFIG_KALLSYMS_ALL.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mapproof.model.language.sparse import Column

from .kernel import Kernel

_MOST_SYMBOLS = 1 << 20
_MOST_NAMES = 1 << 24  # bytes
_PIECE = 1 << 16
_TOKENS = 256
_MOST_TOKENS = 1 << 16  # bytes
_LONG = 0x80  # of a length: another byte of it follows (since 6.1)


def kernel_symbols(kernel: Kernel, wanted: Collection[str]) -> dict[str, int]:
    """The addresses of those of the wanted symbols that the kernel's table has."""
    number = _word(kernel, "kallsyms_num_syms", 4)
    offsets = _array(kernel, "kallsyms_offsets", 4 * number)
    if not 0 < number <= _MOST_SYMBOLS or offsets is None:
        return {}
    base = _word(kernel, "kallsyms_relative_base", kernel.geometry.word_bits // 8)
    places: dict[str, int] = {}
    for place, name in enumerate(_names(kernel, number)):
        if name == "_stext" or name in wanted:
            places[name] = place
    # Whether symbols of per-CPU data are absolute (CONFIG_KALLSYMS_ABSOLUTE_PERCPU, until 6.14) is told
    # by the symbol whose address is known.
    known, place = kernel.symbol("_stext"), places.get("_stext", -1)
    for addresses in _addresses(np.frombuffer(offsets, "<i4"), base):
        if place >= 0 and known == addresses[place]:
            return {name: int(addresses[at]) for name, at in places.items() if name in wanted}
    return {}


def _addresses(offsets: Column, base: int) -> tuple[Column, Column]:
    """All addresses, in both of the ways in which offsets are meant."""
    start, signed = np.full(1, base, np.uint64), offsets.astype(np.int64).view(np.uint64)
    relative = start + (signed & np.uint64(0xFFFF_FFFF))
    return relative, np.where(offsets >= 0, signed, (start - 1) - signed)


def _names(kernel: Kernel, number: int) -> list[str]:
    tokens = _tokens(kernel)
    names = _bytes(kernel, "kallsyms_names", _MOST_NAMES)
    found: list[str] = []
    at = 0
    while len(found) < number and at + 1 < len(names) and tokens:
        size = names[at]
        at += 1
        if size & _LONG:
            size = size & ~_LONG | names[at] << 7
            at += 1
        found.append("".join([tokens[i] for i in names[at : at + size]])[1:])
        at += size
    return found


def _tokens(kernel: Kernel) -> list[str]:
    index = _array(kernel, "kallsyms_token_index", 2 * _TOKENS)
    table = _bytes(kernel, "kallsyms_token_table", _MOST_TOKENS)
    if index is None:
        return []
    starts = np.frombuffer(index, "<u2").tolist()
    return [table[s:].split(b"\0", 1)[0].decode("ascii", "replace") for s in starts]


def _word(kernel: Kernel, name: str, size: int) -> int:
    data = _array(kernel, name, size)
    return int.from_bytes(data, "little") if data else 0


def _array(kernel: Kernel, name: str, size: int) -> bytes | None:
    address = kernel.symbol(name)
    if address is None or not 0 <= size <= 4 * _MOST_SYMBOLS:
        return None
    return kernel.read(address, size)


def _bytes(kernel: Kernel, name: str, most: int) -> bytes:
    """What there is from a symbol on, so many bytes at most."""
    address = kernel.symbol(name)
    found: list[bytes] = []
    while address is not None and len(found) * _PIECE < most:
        piece = kernel.read(address, _PIECE)
        if piece is None:
            break
        found.append(piece)
        address += _PIECE
    return b"".join(found)
