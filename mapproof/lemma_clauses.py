"""How a clause reads best: as which implication, and beside which others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mapproof.model.language import Procedure
from mapproof.model.language.nodes import (
    BOOL,
    Component,
    Node,
    OptOf,
    by_appearance,
    eq,
    negate,
    show,
    substitute,
    var,
)
from mapproof.model.language.terms import Enumeration
from mapproof.proofs.lemma import Lemma


@dataclass(frozen=True)
class _Said:
    """``premise implies conclusion``, for all values of the variables."""

    variables: tuple[Node, ...]
    premise: tuple[Node, ...]
    conclusion: Node


@dataclass(frozen=True)
class Group:
    """Lemmas with the same premise."""

    variables: tuple[Node, ...]
    premise: tuple[Node, ...]
    conclusions: tuple[Node, ...]
    lemmas: tuple[Lemma, ...]


def grouped(lemmas: Sequence[Lemma], positions: Mapping[Component, Procedure]) -> list[Group]:
    """The lemmas by premise; of the implications that read equally well, a clause becomes the one
    whose premise most others have, too."""
    options = {lemma: _options(lemma.clause, positions) for lemma in lemmas}
    tally = Counter(
        key for said in options.values() for key in {(s.variables, s.premise) for s in said}
    )
    members: dict[Any, list[tuple[Lemma, Node]]] = {}
    for lemma, said in options.items():
        best = max(said, key=lambda s: tally[s.variables, s.premise])
        members.setdefault((best.variables, best.premise), []).append((lemma, best.conclusion))
    return [
        Group(variables, premise, tuple(c for _, c in found), tuple(x for x, _ in found))
        for (variables, premise), found in members.items()
    ]


def _options(clause: Node, positions: Mapping[Component, Procedure]) -> list[_Said]:
    """The implications that a clause can be written as and that read best."""
    literals = clause.args if clause.op == "or" else (clause,)
    ranks = [_awkward(x, positions) for x in literals]
    found: list[_Said] = []
    for number, literal in enumerate(literals):
        if ranks[number] == min(ranks):
            rest = [negate(x) for i, x in enumerate(literals) if i != number]
            found.append(_named(rest, literal, positions))
    return found


def _awkward(literal: Node, positions: Mapping[Component, Procedure]) -> int:
    """How badly a literal reads as what follows from the others."""
    positive = literal.op != "not"
    atom = literal if positive else literal.args[0]
    if atom.op == "eq":
        a = atom.args[0]
        if position(atom, positions) is not None:
            return 2 if positive else 6
        if a.sort is BOOL or _is_enumeration(a.sort):
            return 1 if positive else 3
        return 0 if positive else 4
    if atom.op == "read":
        return 1 if positive else 3
    return 2 if positive else 5


def _named(rest: list[Node], conclusion: Node, positions: Mapping[Component, Procedure]) -> _Said:
    """The implication with variables by order of appearance, so that those that say the same of
    different variables are equal."""

    def order(literal: Node) -> tuple[int, str]:
        rank = 0 if position(literal, positions) else 1 if literal.op == "is_some" else 2
        plain = {v: var(v.sort, "") for v in literal.free}
        return rank, show(substitute(literal, plain))

    rest = sorted(rest, key=order)
    names: dict[Node, Node] = {}
    for variable in by_appearance((*rest, conclusion)):
        same = sum(v.sort == variable.sort for v in names)
        names[variable] = var(variable.sort, f"{variable.sort.__name__}{same}")
    premise = tuple(_turned(substitute(x, names)) for x in rest)
    conclusion = _turned(substitute(conclusion, names))
    return _Said(tuple(by_appearance((*premise, conclusion))), premise, conclusion)


def _turned(literal: Node) -> Node:
    """An equality with its sides in the usual order: a value by name on the right."""
    if literal.op == "not":
        return negate(_turned(literal.args[0]))
    if literal.op != "eq":
        return literal
    return eq(*sorted(literal.args, key=lambda n: (n.op in ("elem", "bool"), show(n))))


def position(
    literal: Node, positions: Mapping[Component, Procedure]
) -> tuple[Procedure, Node, str] | None:
    """Procedure, actor and label of "the actor is there in the procedure"."""
    if literal.op == "eq":
        for a, b in (literal.args, literal.args[::-1]):
            if a.op == "read" and a.data[0] in positions and b.op == "elem":
                return positions[a.data[0]], a.args[0], b.sort.values[b.data]
    return None


def _is_enumeration(sort: Any) -> bool:
    base = sort.base if isinstance(sort, OptOf) else sort
    return base is not BOOL and issubclass(base, Enumeration)


def field_of(node: Node) -> str:
    """The last part of the name of the map that a term reads."""
    while node.op in ("value", "some", "is_some", "not"):
        node = node.args[0]
    if node.op == "read":
        return str(node.data[0].name.rpartition(".")[2])
    sort = node.sort.base if isinstance(node.sort, OptOf) else node.sort
    return str(sort.__name__).lower() if sort is not None else "none"
