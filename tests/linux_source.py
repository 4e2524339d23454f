"""The kernel's own headers and documents, from Debian's linux-source, and the constants in them."""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_FOLDERS = ("arch/x86/include/", "Documentation/x86/x86_64/", "Documentation/arch/x86/x86_64/")
_FILES = (
    "include/asm-generic/kmap_size.h",
    "arch/x86/kernel/head64.c",
    "arch/x86/kernel/ldt.c",
    "arch/x86/mm/pat/memtype.c",
    "arch/x86/mm/pgtable.c",
    "arch/x86/mm/pgtable_32.c",
    "arch/x86/mm/pti.c",
    "arch/x86/mm/tlb.c",
    "mm/vmalloc.c",
)


class NoSource(Exception):
    """linux-source is not here and cannot be installed."""


def archive() -> Path:
    """Debian's archive of the kernel source, installed if it is not there."""
    found = sorted(Path("/usr/src").glob("linux-source-*.tar.xz"))
    if not found:
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", "linux-source"],
        ):
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=600)
            except (OSError, subprocess.SubprocessError) as error:
                raise NoSource(f"{' '.join(command)}: {error}") from error
        found = sorted(Path("/usr/src").glob("linux-source-*.tar.xz"))
    if not found:
        raise NoSource("the package linux-source has no archive in /usr/src")
    return found[-1]


def unpack(source: Path, folder: Path) -> None:
    """Unpack what the tests read."""
    with tarfile.open(source, "r|xz") as stream:
        for member in stream:
            path = member.name.partition("/")[2]
            if member.isfile() and (path.startswith(_FOLDERS) or path in _FILES):
                content = stream.extractfile(member)
                assert content is not None
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


class Headers:
    """The constants of some header files under one configuration.

    Enough of the C preprocessor for object-like macros: conditionals, other macros, and the operators
    that constants are made of.  ``given`` has what the configuration or a variable provides.
    """

    def __init__(
        self,
        root: Path,
        files: Iterable[str],
        config: Iterable[str] = (),
        *,
        bits: int = 64,
        **given: int,
    ) -> None:
        self._config = {f"CONFIG_{name}" for name in config}
        self._bits = bits
        self._given = given
        self._macros: dict[str, str] = {}
        for file in files:
            self._read((root / file).read_text())

    def __getitem__(self, name: str) -> int:
        """The value of a macro, as an unsigned number; KeyError if there is none."""
        return self._evaluate(self._macros[name]) % (1 << self._bits)

    def names(self, prefix: str) -> list[str]:
        """The macros that begin so."""
        return [name for name in self._macros if name.startswith(prefix)]

    def _read(self, text: str) -> None:
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text.replace("\\\n", " "), flags=re.DOTALL)
        active = [True]  # for each open conditional: does this branch count
        taken = [True]  # ... and has one of its branches counted
        for line in text.splitlines():
            found = re.match(r"\s*#\s*(\w+)\s*(.*)", line)
            if not found:
                continue
            word, rest = found[1], found[2].strip()
            if word in ("if", "ifdef", "ifndef"):
                test = {"ifdef": f"defined({rest})", "ifndef": f"!defined({rest})"}.get(word, rest)
                active.append(all(active) and self._holds(test))
                taken.append(active[-1])
            elif word in ("elif", "else"):
                holds = not taken[-1] and all(active[:-1])
                active[-1] = holds and (word == "else" or self._holds(rest))
                taken[-1] |= active[-1]
            elif word == "endif":
                active.pop()
                taken.pop()
            elif word == "define" and all(active):
                macro = re.match(r"(\w+)(?:\s+(.*))?$", rest)
                if macro:  # not one with parameters
                    self._macros[macro[1]] = macro[2] or ""

    def _holds(self, test: str) -> bool:
        known = {*self._config, *self._macros}
        test = re.sub(
            r"(?:defined|IS_ENABLED)\s*\(?\s*(\w+)\s*\)?", lambda m: str(int(m[1] in known)), test
        )
        test = re.sub(r"\b[A-Za-z_]\w*\b", "0", test)
        test = test.replace("&&", " and ").replace("||", " or ").replace("!", " not ")
        return bool(eval(test, {"__builtins__": {}}))

    def _evaluate(self, text: str) -> int:
        text = re.sub(r"\(\s*(?:unsigned )?(?:long|int|u64|pteval_t|phys_addr_t)\s*\)", "", text)
        text = re.sub(r"\b_AC\(([^,]+),\s*\w+\)", r"(\1)", text)
        text = re.sub(r"\b_AT\(\w+,\s*([^)]+)\)", r"(\1)", text)
        text = re.sub(r"\b(?:_BITULL|_BITUL|BIT_ULL)\(", "(1 << ", text)
        text = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]*\b", r"\1", text)

        def value(name: re.Match[str]) -> str:
            if name[0] in self._given:
                return str(self._given[name[0]])
            return f"({self._evaluate(self._macros[name[0]])})"

        text = re.sub(r"\b[A-Za-z_]\w*\b", value, text).replace("/", "//")
        return int(eval(text, {"__builtins__": {}}))


@cache
def memory_maps(root: Path) -> tuple[dict[str, tuple[int, int]], ...]:
    """The two tables of mm.rst, with 4 and with 5 levels: description to (start, end)."""
    (document,) = [
        root / folder / "mm.rst" for folder in _FOLDERS[1:] if (root / folder / "mm.rst").exists()
    ]
    tables: list[dict[str, tuple[int, int]]] = []
    for line in document.read_text().splitlines():
        if line.startswith("Complete virtual memory map"):
            tables.append({})
        row = re.match(r"\s*([0-9a-f]{16})\s*\|[^|]*\|\s*([0-9a-f]{16})\s*\|[^|]*\|\s*(.*)", line)
        if row and not row[3].startswith("..."):
            tables[-1][row[3]] = (int(row[1], 16), int(row[2], 16) + 1)
    return tuple(tables)
