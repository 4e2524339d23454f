"""A transition system as plain data and back: what a certificate is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mapproof.model.language import Enumeration, Sort
from mapproof.model.language.design import System
from mapproof.model.language.nodes import Component, Node, OptOf, nodes_of, var
from mapproof.model.language.operation import Parameter, Transition
from mapproof.model.language.state import Update

from .trees import Malformed, Reader, sort_text, tree_text

Data = dict[str, Any]

# Procedures are called by strings of any kind, all else by Python's identifiers.
_PART = r"[\w!%&*+/<=>@^-]+"
NAME = re.compile(_PART)
NAMES = re.compile(rf"{_PART}([.]{_PART})*")
_KEY = re.compile(rf"{_PART}([.]{_PART})*#\d")
# What the classes of sorts and of enumerations need for themselves.
_SORTS = ("Bool", "Opt")
_VALUES = ("values", "node", "element_name")


# Writing.


def system_data(system: System, assumptions: Sequence[str], claims: Iterable[Node]) -> Data:
    """The system, the names of its assumptions in order; with the sorts that the claims mention."""
    sorts = sorts_of(system, claims)
    enumerations = {s.__name__: list(s.values) for s in sorts if issubclass(s, Enumeration)}
    return {
        "sorts": [s.__name__ for s in sorts if not issubclass(s, Enumeration)],
        "enumerations": enumerations,
        "components": [
            {
                "name": c.name,
                "keys": [sort_text(k) for k in c.keys],
                "value": sort_text(c.value),
                "changes": not c.rigid,
                "local": c.local,
            }
            for c in system.components
        ],
        "assumptions": [
            {"name": name, "holds": tree_text(axiom)}
            for name, axiom in zip(assumptions, system.axioms, strict=True)
        ],
        "start": _transition_data(system.init),
        "transitions": [_transition_data(t) for t in system.transitions],
    }


def _transition_data(transition: Transition) -> Data:
    return {
        "name": transition.name,
        "parameters": {p.name: sort_text(p.sort) for p in transition.parameters},
        "when": tree_text(transition.when),
        "writes": [
            {
                "map": u.component.name,
                "keys": [v.data for v in u.variables],
                "where": tree_text(u.when),
                "value": tree_text(u.value),
            }
            for u in transition.updates
        ],
    }


def sorts_of(system: System, claims: Iterable[Node]) -> list[Any]:
    """Every sort and enumeration in use, by name."""
    terms = [*system.axioms, *claims]
    found: list[Any] = [s for c in system.components for s in (*c.keys, c.value)]
    for t in (system.init, *system.transitions):
        found += (p.sort for p in t.parameters)
        terms += [t.when, *(n for u in t.updates for n in (u.when, u.value))]
    found += _mentioned(terms)
    bases = {s.base if isinstance(s, OptOf) else s for s in found}
    return sorted((b for b in bases if isinstance(b, type)), key=lambda s: s.__name__)


def _mentioned(terms: Iterable[Node]) -> Iterable[Any]:
    for node in nodes_of(*terms):
        yield node.sort
        if node.op in ("forall", "exists"):
            yield from (v.sort for v in node.data)


# Reading.


def fields(given: Any, what: str, /, **types: Any) -> list[Any]:
    """The members of an object that has exactly these, in their order.  Raises Malformed."""
    if not isinstance(given, dict):
        raise Malformed(f"{what} is not an object")
    for name in given:
        if name not in types:
            raise Malformed(f"{what} has an unknown member {name[:60]!r}")
    found = []
    for name, kind in types.items():
        if name not in given:
            raise Malformed(f"{what} has no {name}")
        if type(given[name]) is not kind:
            raise Malformed(f"{what}: {name} is not of the type {kind.__name__}")
        found.append(given[name])
    return found


def texts(values: Sequence[Any] | Mapping[str, Any], where: str) -> list[str]:
    """The values, all of which are strings.  Raises Malformed."""
    items = list(values.values() if isinstance(values, Mapping) else values)
    if not all(type(v) is str for v in items):
        raise Malformed(f"{where} has something else than strings in it")
    return items


def named(name: str, where: str, pattern: re.Pattern[str] = NAMES) -> str:
    """The name, which is one.  Raises Malformed."""
    if not pattern.fullmatch(name) or len(name) > 200:
        raise Malformed(f"{where}: {name[:60]!r} is no name")
    return name


class Systems:
    """Reads one system."""

    def __init__(self, data: Any) -> None:
        parts = fields(
            data,
            "the system",
            sorts=list,
            enumerations=dict,
            components=list,
            assumptions=list,
            start=dict,
            transitions=list,
        )
        sorts, enumerations, components, assumptions, start, transitions = parts
        every = {n: _sort(n) for n in texts(sorts, "sorts")}
        every |= {n: _enumeration(n, values) for n, values in enumerations.items()}
        _distinct([*sorts, *enumerations], "sort")
        bare = Reader(every)
        made = [_component(bare, c) for c in components]
        _distinct(_symbols(made), "map")
        self.reader = Reader(every, made)
        self.assumptions: list[str] = []
        axioms = []
        for entry in assumptions:
            name, holds = fields(entry, "an assumption", name=str, holds=str)
            self.assumptions.append(named(name, "an assumption"))
            axioms.append(self._about(f"the assumption {name}", holds, rigid=True))
        _distinct(self.assumptions, "assumption")
        first = self._transition(start)
        if first.parameters:
            raise Malformed("the start has parameters")
        rest = [self._transition(t) for t in transitions]
        _distinct([first.name, *(t.name for t in rest)], "transition")
        self.system = System(tuple(made), first, tuple(rest), tuple(axioms))

    def claim(self, where: str, text: str, epochs: Sequence[int]) -> Node:
        """A closed formula about the system's state."""
        return self._about(where, text, epochs=epochs)

    def _about(
        self,
        where: str,
        text: str,
        variables: Sequence[Node] = (),
        epochs: Sequence[int] = (0,),
        sort: str = "Bool",
        rigid: bool = False,
    ) -> Node:
        try:
            tree = self.reader.tree(text, variables, () if rigid else epochs)
        except Malformed as error:
            raise Malformed(f"{where}: {error}") from None
        if sort_text(tree.sort) != sort:
            raise Malformed(f"{where}: a {sort_text(tree.sort)} stands where a {sort} is expected")
        return tree

    def _transition(self, data: Any) -> Transition:
        name, parameters, when, writes = fields(
            data, "a transition", name=str, parameters=dict, when=str, writes=list
        )
        where = named(name, "a transition")
        texts(parameters, where)
        declared = tuple(
            Parameter(named(n, where, NAME), self.reader.sort(s)) for n, s in parameters.items()
        )
        variables = [p.variable for p in declared]
        guard = self._about(where, when, variables)
        updates = tuple(self._update(where, w, variables) for w in writes)
        return Transition(name, "", declared, guard, updates)

    def _update(self, where: str, data: Any, parameters: Sequence[Node]) -> Update:
        name, keys, when, value = fields(
            data, f"a write of {where}", map=str, keys=list, where=str, value=str
        )
        component = self.reader.components.get(name)
        if component is None or component.rigid:
            raise Malformed(f"{where} writes {name[:60]}, which is no map that changes")
        names = [named(k, where, _KEY) for k in texts(keys, where)]
        _distinct(names, f"key of a write of {where}")
        if len(names) != len(component.keys):
            raise Malformed(f"{where} writes {name} with the wrong keys")
        variables = tuple(var(s, k) for s, k in zip(component.keys, names, strict=True))
        sight = [*parameters, *variables]
        at = f"{where}, {name}"
        return Update(
            component,
            variables,
            self._about(at, when, sight),
            self._about(at, value, sight, sort=sort_text(component.value)),
        )


def _sort(name: str) -> type[Sort]:
    return type(_sort_name(name), (Sort,), {"__slots__": ()})


def _sort_name(name: str) -> str:
    if name in _SORTS:
        raise Malformed(f"a sort is called {name}")
    return named(name, "a sort", NAME)


def _enumeration(name: str, values: Any) -> type[Enumeration]:
    if type(values) is not list or not values:
        raise Malformed(f"the enumeration {name[:60]} has no list of values")
    names = [named(v, "a value", NAME) for v in texts(values, "an enumeration")]
    _distinct(names, f"value of {name[:60]}")
    if any(n in _VALUES for n in names):
        raise Malformed(f"the enumeration {name[:60]} has a value that cannot be called so")
    body = {"__slots__": (), "values": tuple(names)}
    return type(_sort_name(name), (Enumeration,), body)


def _component(reader: Reader, data: Any) -> Component:
    name, keys, value, changes, local = fields(
        data, "a map", name=str, keys=list, value=str, changes=bool, local=bool
    )
    named(name, "a map")
    sorts = tuple(reader.sort(k) for k in texts(keys, name))
    if any(isinstance(s, OptOf) for s in sorts):
        raise Malformed(f"the map {name} has an optional key")
    return Component(name, sorts, reader.sort(value), not changes, local=local)


def _symbols(components: Sequence[Component]) -> list[str]:
    """What a script may declare for the maps: an optional one is two functions."""
    optional = [c.name for c in components if isinstance(c.value, OptOf)]
    return [c.name for c in components] + [f"{name}.some" for name in optional]


def _distinct(names: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Malformed(f"there are two of the {what} {name[:60]}")
        seen.add(name)
