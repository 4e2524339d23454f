"""A property at a finite scope as a closed circuit for other model checkers.

Everything starts at zero.  The first step leads into an initial state, chosen by inputs of its own:
until those are a possible start, nothing happens.  So a run here is one step longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mapproof.model.language.circuit import Circuit
from mapproof.model.language.design import Design
from mapproof.model.language.latches import Sequential
from mapproof.model.language.nodes import BOOL, Component, OptOf
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.terms import Enumeration

from .search import sliced_for

STARTED = "%started"  # no map's name


@dataclass(frozen=True)
class Word:
    """Some bits that belong together, lowest first, by name."""

    name: str
    bits: tuple[int, ...]


@dataclass(frozen=True)
class Latched:
    """A word that is kept, and its next value."""

    word: Word
    following: tuple[int, ...]


@dataclass(frozen=True)
class Netlist:
    """A closed circuit: ``bad`` can become true if and only if the property is violated (or, for a
    ``sometimes``, shown) at the scope."""

    circuit: Circuit
    inputs: tuple[Word, ...]
    latches: tuple[Latched, ...]
    bad: int
    name: str
    comments: tuple[str, ...]


def netlist(design: Design[Any], prop: Property[Any], scope: Scope) -> Netlist:
    """The circuit of a property.  Raises DesignError if the design has no machine at the scope."""
    sequential = Sequential(sliced_for(design.system(), [prop]), scope)
    circuit = sequential.circuit
    bad = sequential.bad(prop)
    started = circuit.input()
    latches = [Latched(Word(STARTED, (started,)), (circuit.or_(started, sequential.possible),))]
    begin = circuit.and_(started ^ 1, sequential.possible)
    for place in sequential.places:
        if not place.bits:
            continue
        first = sequential.encoded(place.component.value, place.first)
        after = sequential.encoded(place.component.value, place.after)
        following = tuple(
            circuit.or_(circuit.and_(started, a), circuit.and_(begin, f))
            for f, a in zip(first, after, strict=True)
        )
        name = entry_name(place.component, place.key)
        latches.append(Latched(Word(name, place.bits), following))
    meaning = "is shown" if prop.kind == "sometimes" else "is violated"
    comments = (
        f"{design.name} :: {prop.name} at {scope}",
        f"bad: the {prop.kind} {prop.name} {meaning}; the first step leads to an initial state",
        *_codes(sequential),
    )
    return Netlist(
        circuit,
        tuple(_inputs(sequential)),
        tuple(latches),
        circuit.and_(started, bad),
        prop.name,
        comments,
    )


def _inputs(sequential: Sequential) -> Iterator[Word]:
    step = sequential.step
    if step.which:
        yield Word("%step", tuple(step.which))
    for (sort, position), bits in step.arguments.items():
        if bits:
            yield Word(f"%{sort.__name__.lower()}{position}", tuple(bits))
    for component, key, place in sequential.layout.cells():
        first = sequential.first_bits.get(place)
        if first:
            yield Word(f"%first.{entry_name(component, key)}", tuple(first))


def entry_name(component: Component, key: tuple[int, ...]) -> str:
    """One entry of a map, its key as a reader sees it: ``sh[mm0,ffff888001001000]``."""
    names = [value_name(sort, index) for sort, index in zip(component.keys, key, strict=True)]
    return component.name + (f"[{','.join(names)}]" if names else "")


def value_name(sort: Any, index: int) -> str:
    """A value as a reader sees it, without spaces."""
    if sort is BOOL:
        return "yes" if index else "no"
    shown = sort.values[index] if issubclass(sort, Enumeration) else sort.show(index)
    return "_".join(str(shown).split())


def _codes(sequential: Sequential) -> Iterator[str]:
    """What the codes of words mean; a code past the last means the last."""
    transitions = [t.name for t in sequential.system.transitions]
    yield f"codes of %step: {_listed(transitions)}"
    sorts: dict[Any, None] = {}
    for component in sequential.layout.offset:
        sorts[component.value] = None
    for sort in sorts:
        if sort is BOOL:
            continue
        base = sort.base if isinstance(sort, OptOf) else sort
        values = [value_name(base, i) for i in range(sequential.scope[base])]
        values += ["none"] if isinstance(sort, OptOf) else []
        yield f"codes of {sort.__name__}: {_listed(values)}"


def _listed(names: list[str]) -> str:
    return " ".join(f"{i}={name}" for i, name in enumerate(names))
