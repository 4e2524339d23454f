"""Which reader a file needs."""

from __future__ import annotations

import errno
import re
import stat
from pathlib import Path

from . import elf, kdump
from .elf import Dump
from .extraction import image_of
from .image import BadSnapshot, Image
from .memory import FileMemory
from .ptsnap import read_ptsnap

_CR = re.compile(r"\bCR([34])\s*[=:]\s*(?:0x)?([0-9a-fA-F]{1,16})\b")
_MOST_REGISTERS = 1 << 20  # bytes
_LONG_MODE = re.compile(r"\b(RIP|RAX|rip|rax)\b")


def read_image(path: Path, registers: Path | None = None) -> Image:
    """The image in a file: a snapshot, an ELF dump or /proc/kcore, a compressed dump; with ``registers``
    (what QEMU's "info registers -a" prints), the physical memory from address 0 on.

    Raises BadSnapshot.
    """
    try:
        _need_file(path)
        if registers is not None:
            _need_file(registers)
            with registers.open("rb") as text:
                said = text.read(_MOST_REGISTERS).decode("utf-8", "replace")
            return image_of(_raw(path, said), path)
        with path.open("rb") as file:
            start = file.read(16)
        if start.startswith(elf.MAGIC):
            return image_of(elf.read_elf(path), path)
        if start.startswith((kdump.MAGIC, kdump.FLATTENED)):
            return image_of(kdump.read_kdump(path), path)
        return read_ptsnap(path)
    except OSError as error:
        raise BadSnapshot(f"{error.filename or path}: cannot read it: {error.strerror}") from None
    except BadSnapshot as error:
        raise BadSnapshot(f"{path}: {error}") from None


def _need_file(path: Path) -> None:
    """A pipe may never be written to, a device may never end; /proc/kcore is a file.  Raises OSError."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise OSError(errno.EINVAL, f"it is {what}", str(path))


def _raw(path: Path, registers: str) -> Dump:
    """Physical memory as it is, and the registers of CPUs as text."""
    found: dict[str, list[int]] = {"3": [], "4": []}
    for number, value in _CR.findall(registers):
        found[number].append(int(value, 16))
    if not found["3"]:
        raise BadSnapshot("the registers do not have a CR3")
    cr4 = found["4"] + [0] * (len(found["3"]) - len(found["4"]))
    machine = "x86_64" if _LONG_MODE.search(registers) else "i386"
    memory = FileMemory(path, [(0, 0, path.stat().st_size)])
    return Dump(memory, machine, "", list(zip(found["3"], cr4, strict=False)))
