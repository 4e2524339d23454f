"""A state to start in that was read off a machine, in place of the one that a design's init makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from . import nodes
from .design import Design
from .errors import DesignError
from .nodes import BOOL, Component, Node, OptOf
from .operation import S
from .scope import Scope
from .state import Update

Key = tuple[int, ...]
Entries = Mapping[Key, int | bool | None]
"""Some entries of a map: indices, truths, or None for "none"."""


@dataclass(frozen=True)
class Start:
    """Elements and map entries of a concrete state.

    names: of the elements of each sort, as a reader sees them; their number is the sort's size.
    values: entries by the name of the map, such as ``pgd.present``; those that are not there are
    false, none, or the first element.  What ``values`` does not name starts as the design's init has it.
    doc: what the state is, in one sentence.
    """

    names: Mapping[type, Sequence[str]]
    values: Mapping[str, Entries]
    doc: str


def started(design: Design[S], start: Start, *, name: str) -> Design[S]:
    """The same design, but it starts in that state.  Raises DesignError if it has no such state."""
    system = design.system()
    known = {c.name: c for c in system.components}
    strange = [n for n in start.values if n not in known]
    if strange:
        raise DesignError(f"{design.name} has no {', '.join(strange)} to start with")
    scope = design.scope_at({sort: len(names) for sort, names in start.names.items()})
    read = {known[n]: entries for n, entries in start.values.items()}
    tables = {c: _table(c, entries, scope) for c, entries in read.items() if c.rigid}
    writes = [_write(c, entries, scope) for c, entries in read.items() if not c.rigid]
    kept = [u for u in system.init.updates if u.component not in read]
    init = replace(system.init, updates=(*kept, *writes))
    shown = replace(
        design,
        name=name,
        scope={**design.scope, **{sort: len(names) for sort, names in start.names.items()}},
        init=design.init.saying(start.doc),
        shown_as=start.names,
    )
    return shown.running(replace(system, init=init, tables=tables), name=name)


def _value(c: Component, value: int | bool | None, scope: Scope) -> int:
    """The value as the index that a finite scope has for it."""
    index = scope[c.value] - 1 if value is None and isinstance(c.value, OptOf) else value
    if index is None or not 0 <= index < scope[c.value]:
        raise DesignError(f"{c.name} cannot start as {value!r} at scope {scope}")
    return int(index)


def _otherwise(c: Component) -> int | None:
    return None if isinstance(c.value, OptOf) else 0


def _table(c: Component, entries: Entries, scope: Scope) -> tuple[int, ...]:
    nothing = _otherwise(c)
    return tuple(_value(c, entries.get(k, nothing), scope) for k in scope.combinations(c.keys))


def _write(c: Component, entries: Entries, scope: Scope) -> Update:
    """Every entry of the map at once, the commonest value last."""
    variables = tuple(nodes.var(sort, f"{c.name}#{i}") for i, sort in enumerate(c.keys))
    table = _table(c, entries, scope)
    usual = Counter(table).most_common(1)[0][0]
    value = _term(c.value, usual, scope)
    for key, index in zip(product(*(range(scope[s]) for s in c.keys)), table, strict=True):
        if index != usual:
            here = nodes.conj(
                nodes.eq(v, _term(v.sort, k, scope)) for v, k in zip(variables, key, strict=True)
            )
            value = nodes.ite(here, _term(c.value, index, scope), value)
    return Update(c, variables, nodes.TRUE_NODE, value)


def _term(sort: Any, index: int, scope: Scope) -> Node:
    if sort is BOOL:
        return nodes.boolean(bool(index))
    if isinstance(sort, OptOf):
        if index == scope[sort] - 1:
            return nodes.none(sort.base)
        return nodes.some(nodes.elem(sort.base, index))
    return nodes.elem(sort, index)
