"""Reached states as evidence: which conjunctions of literals never occur in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.nodes import Node


class Samples:
    """Some reached states.  A set of states is a number with a bit for each."""

    def __init__(self, machine: Machine, states: Iterable[State]) -> None:
        self.machine = machine
        self.states: list[State] = list(states)
        self._tables: dict[Node, _Table] = {}

    def add(self, state: State) -> None:
        """One more."""
        self.states.append(state)

    def occurrence(
        self, literals: Sequence[Node], loosely: bool = False
    ) -> tuple[State, dict[Node, int]] | None:
        """A state, and values of the variables, in which all literals are true; loosely: or might
        be, if the value of none were another."""
        tables = [self._table(_loose(x) if loosely else x) for x in literals]
        variables = _ordered(tables)
        ready: list[list[_Table]] = [[] for _ in range(len(variables) + 1)]
        for table in tables:
            places = [variables.index(v) + 1 for v in table.variables]
            ready[max(places, default=0)].append(table)
        env: dict[Node, int] = {}
        everything = (1 << len(self.states)) - 1

        def search(depth: int, alive: int) -> int:
            for table in ready[depth]:
                alive &= table.where[tuple([env[v] for v in table.variables])]
                if not alive:
                    return 0
            if depth == len(variables):
                return alive
            v = variables[depth]
            for value in range(self.machine.scope[v.sort]):
                env[v] = value
                found = search(depth + 1, alive)
                if found:
                    return found
            return 0

        alive = search(0, everything)
        if not alive:
            return None
        return self.states[(alive & -alive).bit_length() - 1], dict(env)

    def _table(self, literal: Node) -> _Table:
        """Where a literal is true; up to date with the states."""
        plain, variables = _canonical(literal)
        found = self._tables.get(plain)
        if found is None:
            found = self._tables[plain] = _Table(plain, plain.variables)
            found.function = self.machine.states_where(plain, plain.variables)
            found.where = {k: 0 for k in product(*(range(self.machine.scope[v.sort]) for v in plain.variables))}
        if found.known < len(self.states):
            fresh = self.states[found.known :]
            for key in found.where:
                found.where[key] |= found.function(fresh, *key) << found.known
            found.known = len(self.states)
        renamed = _Table(literal, tuple(variables[v] for v in plain.variables))
        renamed.where = found.where
        return renamed


class _Table:
    """For each choice of values for the variables, the states where a literal is true."""

    def __init__(self, literal: Node, variables: tuple[Node, ...]) -> None:
        self.literal = literal
        self.variables = variables
        self.where: dict[tuple[int, ...], int] = {}
        self.known = 0
        self.function: Any = None


def _ordered(tables: Sequence[_Table]) -> list[Node]:
    """Variables such that many literals are decided early."""
    order: list[Node] = []
    left = {v for t in tables for v in t.variables}
    while left:
        open_ = [t for t in tables if set(t.variables) & left]
        table = min(open_, key=lambda t: (len(set(t.variables) & left), repr(t.literal)))
        for v in table.variables:
            if v in left:
                order.append(v)
                left.remove(v)
    return order


def _canonical(literal: Node) -> tuple[Node, dict[Node, Node]]:
    """The literal with variables named by order of appearance, and whom each stands for."""
    names: dict[Node, Node] = {}

    def visit(n: Node) -> None:
        if n.op == "var" and n in literal.free and n not in names:
            names[n] = nodes.var(n.sort, f"x{len(names)}")
        for arg in n.args:
            visit(arg)

    visit(literal)
    return nodes.substitute(literal, names), {new: old for old, new in names.items()}


def _loose(literal: Node) -> Node:
    """The literal, or there is no such value."""
    absent = [
        nodes.negate(nodes.is_some(n.args[0]))
        for n in nodes.nodes_of(literal)
        if n.op == "value" and n.free
    ]
    return nodes.disj((literal, *absent))
