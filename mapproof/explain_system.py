"""Systems in one screen each: what it does, kernel functions, invariants, how it was broken.

A system is a file of ``model/operations``, a family of such files that begin alike (``pti`` is
pti_clone, pti_upper and so on), or else a part of a design that composes several.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import click

from mapproof.model.language import Design, Part, Property
from mapproof.proofs.ledger import Defect, defects

from . import costs
from .catalog import LIBRARY, Catalog
from .text import WIDTH, counted, first_sentence, fold

OPERATIONS = "mapproof.model.operations"
LINES = 45  # of a screen
# Lines that a section may take at most.
_FILES, _MORE, _KERNEL, _DESIGNS, _COSTS, _DEFECTS = 6, 5, 5, 4, 6, 3


@dataclass
class System:
    """What belongs together: the modules of operations, or the parts, and what is known of them."""

    name: str
    doc: str
    modules: list[str]
    designs: list[Design[Any]] = field(default_factory=list[Design[Any]])
    parts: list[Part] = field(default_factory=list[Part])
    composed: list[Design[Any]] = field(default_factory=list[Design[Any]])

    @property
    def kernel(self) -> list[str]:
        """The kernel functions that its operations model, each once."""
        found = [
            kernel
            for design in self.designs
            for module, kernel in _steps(design, self.parts)
            if module in self.modules or self.parts
        ]
        # The kernel's own functions first, then what the processor does.
        return sorted(
            dict.fromkeys(filter(None, found)), key=lambda k: ".c:" not in k and ".h:" not in k
        )

    def claims(self, library: Iterable[Property[Any]]) -> list[Property[Any]]:
        """The properties of the files that are called alike, or about a state that it defines, first
        those that a defect broke; of a part its claims."""
        if self.parts:
            return list(dict.fromkeys(claim for part in self.parts for claim in part.claims))
        families = {f"{LIBRARY}.{module.rpartition('.')[2]}" for module in self.modules}
        known = {defect.property for defect in self.defects}
        return sorted(
            (
                p
                for p in library
                if p.function.__module__ in families or p.state.__module__ in self.modules
            ),
            key=lambda p: p.name not in known,
        )

    @property
    def defects(self) -> list[Defect]:
        """Rows of the ledger about its designs, the shortest story first."""
        names = {design.name for design in self.designs}
        rows = [d for d in defects().values() if names & {d.buggy, d.fixed}]
        if self.parts:
            own = {claim.name for part in self.parts for claim in part.claims}
            rows = [d for d in rows if d.property in own]
        return sorted(rows, key=lambda d: len(d.story))


def rows(catalog: Catalog) -> list[tuple[str, str]]:
    """Every system with a sentence: the files of operations, then parts that have no such file."""
    found = {_name(module): _doc(module) for module in _modules()}
    for design in catalog.designs.values():
        for part in design.parts:
            found.setdefault(part.name, part.doc or f"a part of {design.name}")
    return [(name, first_sentence(doc)) for name, doc in found.items()]


def names(catalog: Catalog) -> Iterator[str]:
    """What :func:`explanation` knows."""
    yield from (name for name, _ in rows(catalog))


def explanation(catalog: Catalog, name: str) -> str | None:
    """A system in about one screen, if there is one of that name."""
    system = _system(catalog, name)
    return None if system is None else "\n".join(_told(system, catalog.library))


def _system(catalog: Catalog, name: str) -> System | None:
    stem = name.lower().replace("-", "_")
    every = catalog.designs.values()
    having = [d for d in every if any(p.name == name for p in d.parts)]
    parts = [part for design in having for part in design.parts if part.name == name]
    doc = next((p.doc for p in parts if p.doc), "")
    modules = [m for m in _modules() if _stem(m) == stem or _stem(m).startswith(f"{stem}_")]
    if modules:
        using = [d for d in every if any(module in modules for module, _ in _steps(d, []))]
        # Others may have an operation of these modules in a machine of their own.
        designs = [d for d in using if d.state.__module__ in modules] or using
        own = next((_doc(m) for m in modules if _stem(m) == stem), doc)
        return System(name, own, modules, designs, composed=having)
    return System(name, doc, [], having, parts) if having else None


def _steps(design: Design[Any], parts: Sequence[Part]) -> Iterator[tuple[str, str]]:
    """The module that each step of a design (or of its parts of those names) is defined in, and what
    it models."""
    wanted = {part.name for part in parts}
    sources: list[Any] = [p for p in design.parts if p.name in wanted] if parts else [design]
    for source in sources:
        for procedure in source.procedures:
            modules = {step.operation.function.__module__ for step in procedure.steps}
            yield from ((module, procedure.kernel) for module in modules)
        yield from ((o.function.__module__, o.kernel) for o in source.operations)


def _told(system: System, library: Iterable[Property[Any]]) -> Iterator[str]:
    lines = [f"{click.style(system.name, bold=True)}  (system)"]
    paragraph = " ".join(system.doc.partition("\n\n")[0].split())
    lines += fold(paragraph, "  ") if paragraph else []
    rest = [p for p in system.doc.split("\n\n")[1:] if p.strip()]
    family = [m for m in system.modules if system.doc != _doc(m)] if len(system.modules) > 1 else []
    if rest and not family:
        lines += _cut(fold(" ".join(rest[0].split()), "  "), _MORE)
    if family:
        width = max(18, *(len(_name(m)) for m in family))
        files = [f"{_name(m):{width}}  {first_sentence(_doc(m))}" for m in family]
        lines += ["", "  files", *_cut([_short(f"    {line}") for line in files], _FILES)]
    if system.kernel:
        lines += ["", *_cut(fold("; ".join(system.kernel), "  kernel  "), _KERNEL)]
    if system.designs:
        listed = ", ".join(design.name for design in system.designs)
        lines += ["", *_cut(fold(listed, "  designs "), _DESIGNS)]
    if system.composed:
        lines += fold(", ".join(design.name for design in system.composed), "  part of ")
    costly = [line for cost in costs.of(system.modules) for line in fold(cost, "    ", "      ")]
    if costly:
        costly = ["", "  costs, at most", *_cut(costly, _COSTS)]
    broken, others = _broken(system.defects)
    room = LINES - len(lines) - len(costly) - len(broken) - 2
    claims = [p for p in system.claims(library) if p.kind != "sometimes"]
    if claims:
        shown = [_short(f"    {p.name}: {first_sentence(p.doc)}") for p in claims]
        shown = _cut(shown, max(3, room - min(_DEFECTS, len(others))))
        lines += ["", "  invariants", *shown]
        room -= len(shown)
    yield from (*lines, *costly, *broken, *_cut(others, max(_DEFECTS, room)))


def _broken(known: Sequence[Defect]) -> tuple[list[str], list[str]]:
    """The smallest counterexample with its operations; the other defects, a line each."""
    if not known:
        return ["", "  no counterexample is in the ledger"], []
    first, *others = known
    steps = counted(len(first.story), "step")
    told = f"smallest counterexample: {first.id} [{first.confidence}] {first.title}"
    wide = max((len(d.id) for d in others), default=0)
    return [
        "",
        *fold(told, "  "),
        *fold(f"{first.buggy} breaks {first.property} in {steps}:", "    "),
        *fold(", ".join(first.story), "      "),
    ], [_short(f"    {d.id:{wide}}  {counted(len(d.story), 'step'):8}  {d.title}") for d in others]


def _cut(lines: list[str], most: int) -> list[str]:
    """No more than so many lines; the last says how many are left out."""
    if len(lines) <= most:
        return lines
    indent = " " * (len(lines[-1]) - len(lines[-1].lstrip()))
    return [*lines[: most - 1], f"{indent}... {len(lines) - most + 1} more"]


def _short(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 4].rstrip()} ..."


def _modules() -> list[str]:
    package = import_module(OPERATIONS)
    return [info.name for info in pkgutil.iter_modules(package.__path__, f"{OPERATIONS}.")]


def _stem(module: str) -> str:
    return module.rpartition(".")[2]


def _name(module: str) -> str:
    return _stem(module).replace("_", "-")


def _doc(module: str) -> str:
    return inspect.getdoc(import_module(module)) or ""
