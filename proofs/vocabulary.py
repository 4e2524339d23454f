"""The words in which lemmas are sought: the atoms that a design's own text is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import System
from mapproof.model.language.nodes import BOOL, QUANTIFIERS, Node, OptOf
from mapproof.model.language.terms import Enumeration


MOST_NODES = 5  # of a term that is compared with every other of its sort


def atoms_of(system: System, claims: Iterable[Node]) -> list[Node]:
    """Atoms (Bool terms without connectives) over free variables, each once up to renaming.

    They come from guards, from what writes leave behind (``map[key] == value``), and from the claims.
    """
    found: dict[Node, None] = {}
    for transition in (*system.transitions, system.init):
        for node in _parts(transition.when):
            found[node] = None
        for update in transition.updates:
            for node in _parts(update.when):
                found[node] = None
            keys = update.at if update.at is not None else update.variables
            written = nodes.eq(nodes.read(update.component, keys, 0), update.value)
            for node in _parts(written):
                found[node] = None
    for claim in (*claims, *system.axioms):
        of_one_state = nodes.rewrite_reads(claim, lambda k, _, keys: nodes.read(k, keys, 0))
        for node in _parts(of_one_state):
            found[node] = None
    kept: dict[Node, None] = {}
    for node in found:
        if node.op != "bool":
            kept[_canonical(node)] = None
    return list(kept)


def _parts(node: Node) -> Iterator[Node]:
    """The atoms of a Bool term; choices inside an atom are taken both ways."""
    if node.op in ("and", "or", "not") or (node.op == "ite" and node.sort is BOOL):
        for arg in node.args:
            yield from _parts(arg)
    elif node.op == "eq" and node.args[0].sort is BOOL:
        for arg in node.args:
            yield from _parts(arg)
    elif node.op in QUANTIFIERS:
        opened = {v: nodes.var(v.sort, f"{v.data[0]}{v.data[1]}") for v in node.data}
        yield from _parts(nodes.substitute(node.args[0], opened))
    else:
        choice = next((n for n in nodes.nodes_of(node) if n.op == "ite"), None)
        if choice is None:
            if node.op != "bool":
                yield node
            return
        yield from _parts(choice.args[0])
        for arm in choice.args[1:]:
            yield from _parts(_replace(node, choice, arm))


def _replace(node: Node, old: Node, new: Node) -> Node:
    if node == old:
        return new
    if not node.args:
        return node
    return nodes.rebuild(node, tuple(_replace(a, old, new) for a in node.args))


def _canonical(node: Node) -> Node:
    """The atom with its variables named after their sorts, in order of appearance."""
    order: dict[Node, Node] = {}
    count: dict[Any, int] = {}

    def visit(n: Node) -> None:
        if n.op == "var" and n not in order:
            count[n.sort] = count.get(n.sort, -1) + 1
            order[n] = variable(n.sort, count[n.sort])
        for arg in n.args:
            visit(arg)

    visit(node)
    return nodes.substitute(node, order)


def variable(sort: Any, number: int) -> Node:
    """The number-th lemma variable of a sort."""
    return nodes.var(sort, f"{sort.__name__.lower()}{number or ''}")


def terms_of(atoms: Iterable[Node]) -> list[Node]:
    """The element-valued terms inside the atoms: what an element leads to."""
    found: dict[Node, None] = {}
    for atom in atoms:
        for n in nodes.nodes_of(atom):
            if n.op in ("read", "value") and _is_index(n.sort) and n.free:
                found[_canonical(n)] = None
    return list(found)


def _is_index(sort: Any) -> bool:
    return sort is not BOOL and not isinstance(sort, OptOf) and not issubclass(sort, Enumeration)


def instances(patterns: Sequence[Node], sorts: tuple[Any, ...]) -> list[Node]:
    """Every atom over the variables of a prefix with these sorts."""
    count: dict[Any, int] = {}
    variables: list[Node] = []
    for sort in sorts:
        variables.append(variable(sort, count.get(sort, 0)))
        count[sort] = count.get(sort, 0) + 1
    by_sort: dict[Any, list[Node]] = {}
    for v in variables:
        by_sort.setdefault(v.sort, []).append(v)
    found: dict[Node, None] = {}
    for pattern in patterns:
        free = sorted(pattern.free, key=repr)
        if any(v.sort not in by_sort for v in free):
            continue
        for choice in product(*(by_sort[v.sort] for v in free)):
            atom = nodes.substitute(pattern, dict(zip(free, choice, strict=True)))
            if atom.op != "bool":
                found[atom] = None
    alike: dict[Any, dict[Node, None]] = {}
    for v in variables:
        alike.setdefault(v.sort, {})[v] = None
    for atom in list(found):
        for n in nodes.nodes_of(atom):
            if n.op in ("read", "value") and _is_index(n.sort) and _size(n) <= MOST_NODES:
                alike.setdefault(n.sort, {})[n] = None
    for same in alike.values():
        for a, b in combinations(same, 2):
            equal = nodes.eq(a, b)
            if equal.op != "bool":
                found[equal] = None
    return list(found)


def _size(node: Node) -> int:
    return sum(1 for _ in nodes.nodes_of(node))
