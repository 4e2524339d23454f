"""From literals that no reached state has together to a lemma: fewer literals, more general terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import System
from mapproof.model.language.nodes import QUANTIFIERS, Node, OptOf, negate
from mapproof.model.language.unbounded import Scripts, after

from .deadline import Deadline
from .lemma import Lemma
from .obligations import Obligation
from .samples import Evidence, Samples
from .worker import NOW, shared

MOST_VARIABLES = 6  # of a lemma: one that needs more is about numbers, which clauses cannot express
EFFORT = 40_000  # of z3, for whether a clause holds at the start


class NothingToSay(Exception):
    """No clause that excludes the literals can be an invariant, as far as can be seen."""


class Generaliser:
    """Makes clauses of literals, judged by reached states."""

    def __init__(self, design: str, system: System, samples: Samples, deadline: Deadline) -> None:
        self.design = design
        self.system = system
        self.samples = samples
        self.deadline = deadline
        self._banned: set[Node] = set()
        self._started: dict[Node, bool] = {}
        self._scripts = Scripts()
        self._fresh = count()

    def ban(self, lemma: Lemma) -> None:
        """Never make this clause again."""
        self._banned.add(lemma.clause)

    def clause(self, needed: Iterable[Node], described: Sequence[Node]) -> Node:
        """The lightest clause found that the literals make false and no reached state does.  What was
        only described may help to say it in fewer words, or happen to be so: both ways are tried.
        Raises NothingToSay if there is no such clause."""
        literals = [self._plain(x) for x in (*described, *needed)]
        asides = len(described)
        occurs = Evidence(self.samples).occurs

        def refused(cube: Sequence[Node]) -> bool:
            return occurs(cube) or not self._allowed(_clause(cube))

        found = [c for c in self._clauses(literals, asides, occurs) if self._possible(c)]
        if not found:
            found = [c for c in self._clauses(literals, asides, refused) if self._possible(c)]
        found = [c for c in found if len(c.variables) <= MOST_VARIABLES]
        if not found:
            raise NothingToSay
        return min(found, key=_weight)

    def _possible(self, clause: Node) -> bool:
        """Nothing is known against the clause."""
        return not self.samples.refutes(clause) and self._allowed(clause)

    def _allowed(self, clause: Node) -> bool:
        """Not banned, and true at the start of a machine of any size."""
        if clause not in self._started:
            start, lemma = self.system.init, Lemma(clause, "candidate")
            cell = Obligation(self.design, start, lemma, after(lemma.closed(1), start), True)
            self._started[clause] = cell.trivial or self._met(cell)
        return self._started[clause] and clause not in self._banned

    def _met(self, cell: Obligation) -> bool:
        text = cell.text(self._scripts, self.system, ())
        asked = shared().submit("z3", text, self.deadline.clock, EFFORT, NOW)
        return asked.result().answer == "unsat"

    # Making them.

    def _clauses(
        self, literals: list[Node], asides: int, occurs: Callable[[Sequence[Node]], bool]
    ) -> Iterator[Node]:
        """Clauses, by some orders in which literals are dropped, before or after terms are widened."""
        found: dict[Node, None] = {}
        essential = _less(literals, occurs, asides)
        cubes = [self._widened(literals, occurs), literals]
        if len(essential) < len(literals):
            cubes += [self._widened(essential, occurs), essential]
        for cube in dict.fromkeys(map(tuple, cubes)):
            for order in _orders(cube):
                kept = _less(order, occurs, len(order))
                kept.sort(key=cube.index)
                found[_clause(self._widened(_substituted(kept), occurs))] = None
        yield from found

    def _plain(self, literal: Node) -> Node:
        """An equality of two values of a one-to-one rigid map, as an equality of the keys."""
        atom = literal.args[0] if literal.op == "not" else literal
        if atom.op == "eq":
            a, b = atom.args
            if a.op == b.op == "read" and a.data == b.data and a.data[0].rigid:
                equal = nodes.conj(map(nodes.eq, a.args, b.args))
                single = equal.op in ("eq", "bool")
                if single and self.samples.occurrence([atom, negate(equal)]) is None:
                    return equal if literal is atom else negate(equal)
        return literal

    def _widened(
        self, literals: list[Node], occurs: Callable[[Sequence[Node]], bool]
    ) -> list[Node]:
        """The literals with terms replaced by variables, the largest first, where nothing objects."""
        tried: set[Node] = set()
        while True:
            inside = (n for x in literals for n in nodes.nodes_of(x))
            terms = {n for n in inside if _is_element(n)} - tried
            if not terms:
                return literals
            term = min(terms, key=lambda n: (-nodes.size(n), repr(n)))
            tried.add(term)
            variable = nodes.var(term.sort, f"any{next(self._fresh)}")
            wider = [nodes.replace_term(x, term, variable) for x in literals]
            if not occurs(wider):
                literals = wider


def _less(
    literals: Sequence[Node], occurs: Callable[[Sequence[Node]], bool], most: int
) -> list[Node]:
    """The literals, without those of the first that can be missed."""
    kept = list(literals)
    for x in literals[:most]:
        less = [k for k in kept if k is not x]
        if less and not occurs(less):
            kept = less
    return kept


def _orders(cube: Iterable[Node]) -> Iterator[list[Node]]:
    """Orders in which to try to do without literals: quantified ones and those about something else
    first, then the heavy ones, or those of many variables."""
    literals = sorted(cube, key=lambda x: -nodes.size(x))
    for way in (literals, sorted(literals, key=lambda x: -len(x.free))):
        yield sorted(way, key=lambda x: (not _quantified(x), not _isolated(x, literals)))


def _quantified(literal: Node) -> bool:
    return (literal.args[0] if literal.op == "not" else literal).op in QUANTIFIERS


def _isolated(literal: Node, literals: Sequence[Node]) -> bool:
    """Nothing else is said of what it is about."""
    return not any(x.free & literal.free for x in literals if x is not literal)


def _is_element(node: Node) -> bool:
    """A term over variables whose value is an element."""
    bound = any(isinstance(v.data, tuple) for v in node.free)
    if node.op not in ("read", "value") or not node.free or bound:
        return False
    return not isinstance(node.sort, OptOf) and not nodes.is_finite(node.sort)


def _substituted(literals: list[Node]) -> list[Node]:
    """Without variables that the literals make equal to a term."""
    for x in literals:
        for v, t in (x.args, x.args[::-1]) if x.op == "eq" else ():
            if v.op == "var" and v not in t.free:
                rest = (nodes.substitute(y, {v: t}) for y in literals if y is not x)
                return _substituted([y for y in rest if y.op != "bool"])
    return literals


def _clause(cube: Sequence[Node]) -> Node:
    """That no elements make all literals true; variables are named after their sorts."""
    numbers: dict[Any, int] = {}
    names: dict[Node, Node] = {}
    for v in nodes.by_appearance(cube):
        number = numbers[v.sort] = numbers.get(v.sort, -1) + 1
        names[v] = nodes.var(v.sort, f"{v.sort.__name__.lower()}{number or ''}")
    return nodes.substitute(nodes.disj(map(negate, cube)), names)


def _weight(clause: Node) -> tuple[int, int, str]:
    return len(clause.args) if clause.op == "or" else 1, nodes.size(clause), repr(clause)
