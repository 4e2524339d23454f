"""The sparse reading: terms as columns over what is present, for states as large as a real machine.

A :class:`Reading` gives each sort the elements that occur and each component its values, both as numpy
arrays; elements are plain integers, such as row or frame numbers, and -1 is "none".  Quantifiers range
over what is present: a property is evaluated for all its instances at once, by joins that start from its
premises, and nothing enumerates addresses.

What may be enumerated is bounded (``MOST_INSTANCES``); a term that needs more, or a component that the
reading does not know, raises :class:`Unreadable`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .nodes import (
    FALSE_NODE,
    TRUE_NODE,
    Component,
    Node,
    conj,
    disj,
    is_finite,
    negate,
    nodes_of,
)
from .property import Property

Column: TypeAlias = NDArray[Any]
Instances: TypeAlias = dict[Node, Column]

NONE = -1
MOST_INSTANCES = 1 << 26
CHUNK = 1 << 17  # instances that are evaluated at once
SMALL = 1 << 12  # a sort that may be enumerated beside others, such as slots of a table


class Unreadable(Exception):
    """The term cannot be evaluated; the message says what is missing."""


class Universe:
    """The elements of a sort that occur, in ascending order; each may stand for several alike.

    ``weights``: for how many, by element.
    """

    def __init__(self, elements: Column) -> None:
        self.elements = elements

    def __len__(self) -> int:
        return len(self.elements)

    def chunk(self, start: int, stop: int) -> Column:
        """Elements by their place."""
        return self.elements[start:stop]

    def places(self, elements: Column) -> tuple[Column, Column]:
        """Where elements are, and which of them are there at all."""
        at = np.searchsorted(self.elements, elements)
        at[at == len(self.elements)] = 0
        there = self.elements[at] == elements if len(self.elements) else np.zeros(len(at), bool)
        return at, there

    def weights(self, elements: Column) -> Column | None:
        """How many each element stands for; None if one each."""
        return None


class Count(Universe):
    """The elements 0, 1, ... below a number."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def chunk(self, start: int, stop: int) -> Column:
        return np.arange(start, min(stop, self.size))

    def places(self, elements: Column) -> tuple[Column, Column]:
        there = (elements >= 0) & (elements < self.size)
        return np.where(there, elements, 0), there


class Relation(ABC):
    """The values of one component."""

    sparse = False
    """Most keys have no entry: only those that have one count as checked."""

    @abstractmethod
    def at(self, *keys: Column) -> Column:
        """The values at rows of keys."""

    def has(self, *keys: Column) -> Column:
        """The rows of keys that have an entry."""
        return np.ones(len(keys[0]), bool)

    def rows(self) -> tuple[Column, ...] | None:
        """The keys where a truth value is true, as columns; None if they cannot be listed."""
        return None

    def reached(self, chunks: Iterator[Column], universe: Universe) -> Column | None:
        """Of a relation (x, y): which elements of the universe of y are related to one of the given x;
        None if that takes a join."""
        return None


@dataclass
class Values(Relation):
    """A column with a value for each element 0, 1, ... of its only key, or a function that makes one
    for the elements asked for."""

    column: Column | Callable[[Column], Column]

    def at(self, *keys: Column) -> Column:
        if isinstance(self.column, np.ndarray):
            return np.asarray(self.column[keys[0]])
        return self.column(keys[0])


@dataclass
class Single(Relation):
    """A component without a key."""

    value: int

    def at(self, *keys: Column) -> Column:
        return np.asarray(self.value)


class Table(Relation):
    """Entries of a component with several keys: ascending rows of keys, each with a value.

    ``otherwise`` is the value where there is no entry.
    """

    sparse = True

    def __init__(self, keys: tuple[Column, ...], values: Column, otherwise: int = NONE) -> None:
        self._sizes = [int(k.max()) + 1 if len(k) else 1 for k in keys]
        order = np.argsort(self._packed(keys), kind="stable")
        self.keys = tuple(k[order] for k in keys)
        self.values = values[order]
        self.otherwise = otherwise
        self._index = Universe(self._packed(self.keys))

    def _packed(self, keys: tuple[Column, ...]) -> Column:
        packed = np.zeros(len(keys[0]), np.int64)
        for key, size in zip(keys, self._sizes, strict=True):
            packed = np.where((key < 0) | (key >= size) | (packed < 0), -1, packed * size + key)
        return packed

    def has(self, *keys: Column) -> Column:
        return self._index.places(self._packed(keys))[1]

    def at(self, *keys: Column) -> Column:
        if not len(self.values):
            return np.full(len(keys[0]), self.otherwise)
        places, there = self._index.places(self._packed(keys))
        return np.where(there, self.values[places], self.otherwise)

    def rows(self) -> tuple[Column, ...] | None:
        return tuple(k[self.values != 0] for k in self.keys) if self.otherwise == 0 else None


class Reading(ABC):
    """A state that can be read: its sorts and its components."""

    @abstractmethod
    def universe(self, sort: Any) -> Universe:
        """The elements of a sort.  Raises Unreadable."""

    @abstractmethod
    def relation(self, component: Component) -> Relation:
        """The values of a component.  Raises Unreadable, saying why it is not known."""


@dataclass
class Found:
    """What a property came to.

    violated, checked: instances, each counted as often as it occurs.
    examples: the instances that violate it, or the first of them, as columns by parameter.
    """

    violated: int = 0
    checked: int = 0
    examples: dict[str, Column] = field(default_factory=dict)


def evaluate(prop: Property[Any], reading: Reading, most_examples: int = 100_000) -> Found:
    """Evaluate an ``always`` property on a state.

    An instance counts as checked if the premises of the property hold for it and, where the property is
    about entries that mostly are not there, one of those it concludes something of is.
    Raises Unreadable.
    """
    return _Evaluation(prop, reading).found(most_examples)


def witnesses(
    prop: Property[Any], reading: Reading, element: int, most: int = 20
) -> list[tuple[Component, int]]:
    """Of a property with one parameter that concludes something of all elements related to it: those
    that are related to the given one as the property asks, with the relation.  Raises Unreadable."""
    return _Evaluation(prop, reading).witnesses(element, most)


def premises(claim: Node) -> Node:
    """When a claim says something: what stands before its outermost ``implies``."""
    if claim.op == "and":
        return disj(premises(part) for part in claim.args)
    if claim.op == "or" and claim.args[0].op == "not":
        return negate(claim.args[0])
    return TRUE_NODE


class _Evaluation:
    def __init__(self, prop: Property[Any], reading: Reading) -> None:
        self.prop = prop
        self.reading = reading
        self.claim = prop.body()
        self.premises = premises(self.claim)
        self._sets: dict[Node, Column] = {}
        self._relations: dict[Component, Relation] = {}
        for component in sorted(self.claim.components, key=lambda c: c.name):
            self.relation(component)

    def relation(self, component: Component) -> Relation:
        known = self._relations.get(component)
        if known is None:
            known = self._relations[component] = self.reading.relation(component)
        return known

    def found(self, most_examples: int) -> Found:
        result = Found()
        examples: list[Instances] = []
        kept = 0
        for candidates in self._instances():
            holds = self.column(self.premises, candidates)
            rows = {v: c[holds] for v, c in candidates.items()}
            checked = self._present(rows)
            violated = ~self.column(self.claim, rows)
            weights = self._weights(rows)
            result.checked += _sum(checked | violated, weights)
            result.violated += _sum(violated, weights)
            if violated.any() and kept < most_examples:
                examples.append({v: c[violated][: most_examples - kept] for v, c in rows.items()})
                kept += len(next(iter(examples[-1].values()), ()))
        for p in self.prop.parameters:
            if examples:
                result.examples[p.name] = np.concatenate([e[p.variable] for e in examples])
        return result

    def _weights(self, rows: Instances) -> Column | None:
        total: Column | None = None
        for variable, column in rows.items():
            if is_finite(variable.sort):
                continue
            weights = self.reading.universe(variable.sort).weights(column)
            if weights is not None:
                total = weights if total is None else total * weights
        return total

    def _present(self, rows: Instances) -> Column:
        """The instances that are about an entry which is there."""
        size = len(next(iter(rows.values()), ()))
        found, any_sparse = np.zeros(size, bool), False
        for node in _reads(self.claim):
            relation = self.relation(node.data[0])
            concludes = node.data[0] not in self.premises.components
            if concludes and relation.sparse and all(k.free <= rows.keys() for k in node.args):
                any_sparse = True
                found |= relation.has(*(self.column(k, rows) for k in node.args))
        return found if any_sparse else np.ones(size, bool)

    # Instances.

    def _instances(self) -> Iterator[Instances]:
        """All instances for which the premises may hold, some at a time."""
        variables = [p.variable for p in self.prop.parameters]
        parts = self.premises.args if self.premises.op == "and" else (self.premises,)
        if len(variables) == 1:
            universe = self.reading.universe(variables[0].sort)
            for start in range(0, len(universe), CHUNK):
                yield {variables[0]: universe.chunk(start, start + CHUNK)}
            return
        rows: Instances = {}
        left = list(variables)
        while left:
            variable, extended = self._extended(rows, left, parts)
            left.remove(variable)
            rows = extended
            for part in parts:
                if variable in part.free and part.free <= rows.keys():
                    keep = self.column(part, rows)
                    rows = {v: c[keep] for v, c in rows.items()}
        size = len(next(iter(rows.values()), ()))
        for start in range(0, size, CHUNK):
            yield {v: c[start : start + CHUNK] for v, c in rows.items()}

    def _extended(
        self, rows: Instances, left: list[Node], parts: tuple[Node, ...]
    ) -> tuple[Node, Instances]:
        """The rows with one more variable: by a relation that leads to it, else by its whole sort."""
        for part in parts:
            if part.op != "read" or not part.args or any(a.op != "var" for a in part.args):
                continue
            new = [a for a in part.args if a in left]
            listed = self.relation(part.data[0]).rows()
            if len(new) >= 1 and listed is not None and (rows or len(left) > 1):
                known = dict(zip(part.args, listed, strict=True))
                shared = [a for a in part.args if a in rows]
                if not rows or shared:
                    joined = _join(rows, known, shared)
                    for extra in new[1:]:
                        left.remove(extra)
                    return new[0], joined
        variable = min(left, key=lambda v: len(self._elements(v)))
        elements = self._elements(variable)
        size = len(next(iter(rows.values()), (0,)))
        if size * len(elements) > MOST_INSTANCES:
            raise Unreadable(f"{variable!r} has {len(elements)} values beside {size} others")
        extended = {v: np.repeat(c, len(elements)) for v, c in rows.items()}
        return variable, {**extended, variable: np.tile(elements, size)}

    def _elements(self, variable: Node) -> Column:
        if is_finite(variable.sort):
            return np.arange(_size(variable.sort))
        universe = self.reading.universe(variable.sort)
        return universe.chunk(0, min(len(universe), MOST_INSTANCES + 1))

    # Terms.

    def column(self, node: Node, rows: Mapping[Node, Column]) -> Column:
        """The values of a term, one for each instance."""
        size = len(next(iter(rows.values()), (0,)))
        value = self._value(node, rows)
        return np.broadcast_to(value, (size,)) if value.ndim == 0 else value

    def _value(self, node: Node, rows: Mapping[Node, Column]) -> Column:
        def go(n: Node) -> Column:
            return self._value(n, rows)

        match node.op:
            case "bool" | "elem":
                return np.asarray(node.data)
            case "var":
                return rows[node]
            case "read":
                keys = [self.column(k, rows) for k in node.args]
                read = self.relation(node.data[0]).at(*keys)
                return read.astype(bool, copy=False) if node.sort.__name__ == "Bool" else read
            case "not":
                return ~go(node.args[0])
            case "and" | "or":
                result = go(node.args[0])
                for part in node.args[1:]:
                    result = result & go(part) if node.op == "and" else result | go(part)
                return result
            case "eq":
                return np.asarray(go(node.args[0]) == go(node.args[1]))
            case "ite":
                return np.where(*map(go, node.args))
            case "none":
                return np.asarray(NONE)
            case "some":
                return go(node.args[0])
            case "is_some":
                return np.asarray(go(node.args[0]) != NONE)
            case "value":  # of none: an element that nothing may depend on
                return np.maximum(go(node.args[0]), 0)
            case "forall":
                return ~self._exists(node.data, negate(node.args[0]), rows)
            case "exists":
                return self._exists(node.data, node.args[0], rows)
            case _:
                raise AssertionError(node.op)

    def _exists(
        self, variables: tuple[Node, ...], body: Node, rows: Mapping[Node, Column]
    ) -> Column:
        """Whether the body holds for some values of the variables."""
        first, *others = variables
        if any(map(self._many, variables)):
            if others:
                raise Unreadable(f"several variables under one quantifier: {body!r}")
            return self._related(first, body, rows)
        size = len(next(iter(rows.values()), (0,)))
        found = np.zeros(size, bool)
        for values in product(*(self._elements(v) for v in variables)):
            here = {v: np.full(size, x) for v, x in zip(variables, values, strict=True)}
            found |= self.column(body, {**rows, **here})
        return found

    def _many(self, variable: Node) -> bool:
        return not is_finite(variable.sort) and len(self.reading.universe(variable.sort)) > SMALL

    def _related(self, x: Node, body: Node, rows: Mapping[Node, Column]) -> Column:
        """Whether some x with what the body asks of it alone is related to the instance's y."""
        result = np.zeros(len(next(iter(rows.values()), ())), bool)
        for branch in body.args if body.op == "or" else (body,):
            parts = branch.args if branch.op == "and" else (branch,)
            links = [p for p in parts if p.op == "read" and len(p.args) == 2 and p.args[0] == x]
            rest = conj(p for p in parts if p not in links)
            if len(links) != 1 or rest.free - {x} or links[0].args[1].op != "var":
                raise Unreadable(f"no relation leads from an instance to {x!r} in {branch!r}")
            y = links[0].args[1]
            reached = self._sets.get(branch)
            if reached is None:
                relation = self.relation(links[0].data[0])
                target = self.reading.universe(y.sort)
                made = relation.reached(self._chosen(x, rest), target)
                if made is None:
                    raise Unreadable(f"{links[0]!r} does not say what it leads to")
                reached = self._sets[branch] = made
            places, there = self.reading.universe(y.sort).places(rows[y])
            result |= there & reached[places]
        return result

    def witnesses(self, element: int, most: int) -> list[tuple[Component, int]]:
        known = set(nodes_of(self.premises))
        found: dict[tuple[Component, int], None] = {}
        for node in nodes_of(self.claim):
            if node.op != "exists" or node in known or not self._many(node.data[0]):
                continue
            (x,) = node.data
            for branch in node.args[0].args if node.args[0].op == "or" else node.args:
                parts = branch.args if branch.op == "and" else (branch,)
                links = [p for p in parts if p.op == "read" and p.args[0] == x and len(p.args) == 2]
                relation = links[0].data[0]
                rest = conj(p for p in parts if p not in links)
                for rows in self._chosen(x, rest):
                    linked = self.relation(relation).at(rows, np.full(len(rows), element))
                    for row in rows[linked][:most].tolist():
                        found[relation, row] = None
                    if len(found) >= most:
                        return list(found)
        return list(found)

    def _chosen(self, x: Node, condition: Node) -> Iterator[Column]:
        """The elements of a sort for which a condition holds, some at a time."""
        universe = self.reading.universe(x.sort)
        if condition == FALSE_NODE:
            return
        for start in range(0, len(universe), CHUNK):
            elements = universe.chunk(start, start + CHUNK)
            chosen = elements[self.column(condition, {x: elements})]
            if len(chosen):
                yield chosen


def _join(rows: Instances, known: Instances, shared: list[Node]) -> Instances:
    """Every pair of a row and a known row that agree on the shared variables."""
    if not rows:
        return known
    sizes = [int(max(known[v].max(initial=0), rows[v].max(initial=0))) + 1 for v in shared]

    def packed(columns: Instances) -> Column:
        result = np.zeros(len(columns[shared[0]]), np.int64)
        for v, size in zip(shared, sizes, strict=True):
            result = result * size + columns[v]
        return result

    left, right = packed(rows), packed(known)
    order = np.argsort(right, kind="stable")
    first = np.searchsorted(right[order], left, "left")
    count = np.searchsorted(right[order], left, "right") - first
    total = int(count.sum())
    if total > MOST_INSTANCES:
        raise Unreadable(f"{total} instances")
    ours = np.repeat(np.arange(len(left)), count)
    within = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
    theirs = order[np.repeat(first, count) + within]
    return {**{v: c[ours] for v, c in rows.items()}, **{v: c[theirs] for v, c in known.items()}}


def _reads(node: Node) -> Iterator[Node]:
    if node.op == "read":
        yield node
    for argument in node.args:
        yield from _reads(argument)


def _size(sort: Any) -> int:
    return len(sort.values) if hasattr(sort, "values") else 2


def _sum(mask: Column, weights: Column | None) -> int:
    return int(np.count_nonzero(mask)) if weights is None else int(weights[mask].sum())
