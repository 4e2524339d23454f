"""A design's claims as documents for other tools: obligations, or the system at a finite scope."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mapproof.model.language.design import Design
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.unbounded import Scripts

from .aiger import aiger
from .btor2 import btor2
from .netlist import netlist
from .obligations import obligations

Format = Literal["smt2", "aiger", "btor2"]
FORMATS: tuple[Format, ...] = ("smt2", "aiger", "btor2")


@dataclass(frozen=True)
class Document:
    """One file: its name without the ending, and its content."""

    name: str
    content: bytes


def systems(
    design: Design[Any],
    properties: Sequence[Property[Any]],
    scope: Scope,
    kind: Format,
    *,
    binary: bool = True,
) -> Iterator[Document]:
    """One document for each property: the system that matters to it at a scope, as AIGER or BTOR2."""
    for prop in properties:
        net = netlist(design, prop, scope)
        content = aiger(net, binary=binary) if kind == "aiger" else btor2(net).encode()
        yield Document(f"{design.name}.{prop.name}", content)


def cells(design: Design[Any], properties: Sequence[Property[Any]]) -> Iterator[Document]:
    """One SMT-LIB document for each cell of the grid, unsatisfiable where the cell is met.

    The hypotheses are every ``always`` and every lemma of the design, so the cells of those are
    there, too.  A ``sometimes`` has none.
    """
    invariants = [p for p in (*design.properties, *design.lemmas) if p.kind == "always"]
    steps = [p for p in properties if p.kind == "step"]
    system, scripts = design.system(), Scripts()
    for cell in obligations(design, [*dict.fromkeys((*invariants, *steps))]):
        text = cell.text(scripts, system, invariants)
        yield Document(f"{cell.transition.name}.{cell.prop.name}", text.encode())


def stream(documents: Sequence[Document]) -> bytes:
    """SMT-LIB documents as one, for solvers that read several questions in a row."""
    return b"(reset)\n".join(d.content for d in documents)
