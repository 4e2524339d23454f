"""Why a term is true in a state: a few literals that are true there and imply it.

Literals are atoms of the term or their negations, over variables: the term's own, and one for each
element that a quantifier was witnessed by.  A choice (``ite``) is resolved as it is made in the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, product
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.nodes import BOOL, QUANTIFIERS, Node, negate

Assignment = dict[Node, int]


class Implicant:
    """Literals (in order) and the values of their variables, for one state of a machine.

    Once described, the literals are those that are needed and those that only describe elements."""

    def __init__(self, machine: Machine, state: State, values: Mapping[Node, int]) -> None:
        self.machine = machine
        self.state = state
        self.values: Assignment = dict(values)
        self.literals: dict[Node, None] = {}
        self.needed: list[Node] = []
        self.described: list[Node] = []
        self._fresh = count()
        self._opened: dict[Node, Node] = {}  # what bound variables were first replaced by

    def holds(self, term: Node) -> bool:
        """The truth of a term under the values."""
        env = {v: self.values[v] for v in term.variables}
        return bool(self.machine.evaluate(term, self.state, None, env))

    def require(self, term: Node) -> None:
        """Add literals that imply a term, which must be true."""
        match term.op:
            case "bool":
                return
            case "and":
                for arg in term.args:
                    self.require(arg)
            case "or":
                true = [a for a in term.args if self.holds(a)]
                self.require(min(true, key=self._cost))
            case "ite":
                self._require_choice(term, self.require)
            case "eq" if term.args[0].sort is BOOL:
                for arg in term.args:
                    self.require(arg if self.holds(arg) else negate(arg))
            case "exists":
                self.require(self._witnessed(term))
            case "not":
                self._refute(term.args[0])
            case _:
                self._literal(term)

    def _refute(self, term: Node) -> None:
        """Add literals that imply the negation of a term, which must be false."""
        match term.op:
            case "and":
                self.require(nodes.disj(map(negate, term.args)))
            case "or":
                self.require(nodes.conj(map(negate, term.args)))
            case "ite":
                self._require_choice(term, lambda arm: self.require(negate(arm)))
            case "eq" if term.args[0].sort is BOOL:
                for arg in term.args:
                    self.require(arg if self.holds(arg) else negate(arg))
            case "forall":
                self.require(negate(self._witnessed(term)))
            case _:
                self._literal(negate(term))

    def instantiate(self) -> None:
        """Add what the quantified literals say of the elements that have a variable."""
        for literal in list(self.literals):
            atom = literal.args[0] if literal.op == "not" else literal
            denied = literal is not atom
            if atom.op != ("exists" if denied else "forall"):
                continue
            body = negate(atom.args[0]) if denied else atom.args[0]
            alike = [[v for v in self.values if v.sort is b.sort] for b in atom.data]
            for choice in product(*alike):
                self.require(nodes.substitute(body, dict(zip(atom.data, choice, strict=True))))

    def recall(self, claim: Node) -> None:
        """Add what the quantifiers inside a claim say, of the elements that witness it later."""
        matrix = claim.args[0] if claim.op == "forall" else claim
        matrix = nodes.substitute(matrix, self._opened)
        if matrix.free <= self.values.keys():
            self._recall(matrix)

    def _recall(self, term: Node) -> None:
        connective = term.op in ("and", "or", "not", "ite") or (
            term.op == "eq" and term.args[0].sort is BOOL
        )
        if connective:
            for arg in term.args:
                self._recall(arg)
        elif term.op in QUANTIFIERS:
            self._literal(term if self.holds(term) else negate(term))

    def describe(self) -> None:
        """Add what rigid maps say of each single element that a literal mentions."""
        kinds = [
            c
            for c in self.machine.system.components
            if c.rigid and len(c.keys) == 1 and nodes.is_finite(c.value)
        ]
        self.needed = list(self.literals)
        terms = dict.fromkeys(n for x in self.needed for n in nodes.nodes_of(x))
        for term in terms:
            if term.free and term.free <= self.values.keys():
                for c in kinds:
                    if c.keys[0] == term.sort:
                        self.require(self._fact(nodes.read(c, (term,), 0)))
        needed = set(self.needed)
        self.described = [x for x in self.literals if x not in needed]

    def _fact(self, term: Node) -> Node:
        if term.sort is BOOL:
            return term if self.holds(term) else negate(term)
        env = {v: self.values[v] for v in term.variables}
        found = self.machine.evaluate(term, self.state, None, env)
        return nodes.eq(term, nodes.elem(term.sort, found))

    def _require_choice(self, term: Node, then: Any) -> None:
        when, yes, no = term.args
        if self.holds(when):
            self.require(when)
            then(yes)
        else:
            self.require(negate(when))
            then(no)

    def _witnessed(self, term: Node) -> Node:
        """The body of a quantifier at elements that decide it."""
        wanted = term.op == "exists"
        fresh = {v: nodes.var(v.sort, f"w{next(self._fresh)}") for v in term.data}
        self._opened = fresh | self._opened
        body = nodes.substitute(term.args[0], fresh)
        outer = {v: self.values[v] for v in body.variables if v in self.values}
        for values in self.machine.scope.combinations(v.sort for v in term.data):
            env = outer | dict(zip(fresh.values(), values, strict=True))
            if bool(self.machine.evaluate(body, self.state, None, _of(body, env))) == wanted:
                self.values |= dict(zip(fresh.values(), values, strict=True))
                return body
        raise AssertionError("nothing decides the quantifier")

    def _literal(self, literal: Node) -> None:
        """An atom or its negation; the choices inside it are resolved."""
        atom = literal.args[0] if literal.op == "not" else literal
        if atom.op in QUANTIFIERS:
            self.literals[literal] = None
            return
        known = self.values.keys()  # what a quantifier inside the atom binds has no value
        inside = [n for n in nodes.nodes_of(atom) if n.free <= known]
        choice = next((n for n in inside if n.op == "ite"), None)
        if choice is None:
            for n in inside:
                if n.op == "value":  # means something only where there is one
                    there = nodes.is_some(n.args[0])
                    self.require(there if self.holds(there) else negate(there))
            self.literals[literal] = None
            return
        when, yes, no = choice.args
        holds = self.holds(when)
        self.require(when if holds else negate(when))
        self.require(nodes.replace_term(literal, choice, yes if holds else no))

    def _cost(self, term: Node) -> int:
        """How many new literals a term may need, roughly."""
        return 0 if term in self.literals else nodes.size(term)


def _of(term: Node, env: Mapping[Node, int]) -> Assignment:
    return {v: env[v] for v in term.variables}
