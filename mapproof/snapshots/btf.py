"""Offsets of members of the kernel's structures, from the BTF that it carries in its memory
(Documentation/bpf/btf.rst): debug information is not needed.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from .kernel import Kernel

_MAGIC = 0xEB9F
_MOST_BYTES = 64 << 20
_MOST_DEPTH = 8  # of structures without a name in one another
_INT, _ARRAY, _STRUCT, _UNION, _ENUM, _FUNC_PROTO, _VAR, _DATASEC, _DECL_TAG, _ENUM64 = (
    1, 3, 4, 5, 6, 13, 14, 15, 17, 19,
)  # fmt: skip
_FIXED = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
_TYPE = struct.Struct(
    "<III"
)  # name, kind and number of members, size; of a member: name, type, offset


def member_offsets(
    kernel: Kernel, symbols: dict[str, int], wanted: Collection[str]
) -> dict[str, int]:
    """Offsets in bytes, by names such as "mm_struct.pgd"; of those that the kernel's BTF has."""
    start, stop = symbols.get("__start_BTF", 0), symbols.get("__stop_BTF", 0)
    data = kernel.read(start, stop - start) if 24 < stop - start <= _MOST_BYTES else None
    return {} if data is None else offsets_in(data, wanted)


def offsets_in(data: bytes, wanted: Collection[str]) -> dict[str, int]:
    """The same of BTF in bytes; nothing, if it is damaged."""
    try:
        return _Btf(data).offsets(wanted)
    except (struct.error, IndexError, ValueError):  # it runs over its end
        return {}


class _Btf:
    def __init__(self, data: bytes) -> None:
        magic, _, _, size, types, length, strings, room = struct.unpack_from("<HBBIIIII", data)
        known = magic == _MAGIC
        self._types = data[size + types : size + types + length] if known else b""
        self._strings = data[size + strings : size + strings + room] if known else b""
        self._at = [0]  # where each type lies; number 0 is void
        at = 0
        while at < len(self._types):
            self._at.append(at)
            info = _TYPE.unpack_from(self._types, at)[1]
            kind = info >> 24 & 31
            at += _TYPE.size + _FIXED.get(kind, 0) + (info & 0xFFFF) * _EACH.get(kind, 0)

    def offsets(self, wanted: Collection[str]) -> dict[str, int]:
        """The offsets of the members that there are."""
        by_struct: dict[bytes, list[str]] = {}
        for name in wanted:
            by_struct.setdefault(name.partition(".")[0].encode(), []).append(name)
        found: dict[str, int] = {}
        for at in self._at[1:]:
            name, info, _ = _TYPE.unpack_from(self._types, at)
            if info >> 24 & 31 == _STRUCT:
                members = by_struct.get(self._name(name))
                for member in members or ():
                    offset = self._offset(at, member.partition(".")[2].encode(), _MOST_DEPTH)
                    if offset is not None:
                        found.setdefault(member, offset // 8)
        return found

    def _name(self, at: int) -> bytes:
        return self._strings[at : self._strings.index(b"\0", at)] if at else b""

    def _offset(self, at: int, wanted: bytes, depth: int) -> int | None:
        """The offset of a member in bits; those of members without a name are members as well."""
        info = _TYPE.unpack_from(self._types, at)[1]
        if info >> 24 & 31 not in (_STRUCT, _UNION) or not depth:
            return None
        for i in range(info & 0xFFFF):
            where = at + _TYPE.size + i * _EACH[_STRUCT]
            name, kind, offset = map(int, _TYPE.unpack_from(self._types, where))
            if info >> 31:  # the size of a bit field lies above
                offset &= 0xFF_FFFF
            said = self._name(name)
            if said == wanted:
                return offset
            inner = None if said else self._offset(self._at[kind], wanted, depth - 1)
            if inner is not None:
                return offset + inner
        return None
