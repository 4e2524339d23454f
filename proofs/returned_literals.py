"""What a promise may speak of: atoms about what a function decides by and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from itertools import islice, product
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import Design
from mapproof.model.language.nodes import BOOL, Component, Node, OptOf, negate
from mapproof.model.language.operation import Procedure, Transition

from .returned import Returned, argument


def literals_of(design: Design[Any], view: Returned) -> list[Node]:
    """Atoms of the design's guards, writes and claims, about the arguments and, of each other sort, one
    variable, and their negations."""
    trees = [n for t in design.system().transitions for n in (t.when, *_parts(t))]
    trees += [p.body() for p in (*design.properties, *design.lemmas)]
    arguments: dict[Any, list[Node]] = {}
    for a in view.meaning:
        term = nodes.value(a) if isinstance(a.sort, OptOf) else a
        arguments.setdefault(term.sort, []).append(term)
    about = relevant(view)
    rigid = (c for c in design.system().components if c.rigid and c.keys)
    named = {c.value for c in rigid if not nodes.is_finite(c.value)}
    positions = {p.position for p in design.procedures}
    told = _told(view)
    hidden = view.local - {c for c, _ in told}
    for c, a in told:
        if c.keys == (a.sort,) and not nodes.is_finite(c.value) and not isinstance(c.value, OptOf):
            arguments.setdefault(c.value, []).append(nodes.read(c, (a,), 0))
    found: dict[Node, None] = {}
    for n in nodes.nodes_of(*trees):
        if n.sort != BOOL or n.op not in ("read", "eq", "is_some"):
            continue
        atom = _plain(n, view.own_locals, hidden)
        inside = list(nodes.nodes_of(atom))
        reads = {m.data[0] for m in inside if m.op == "read"}
        if not atom.changing or not atom.changing <= about or reads & (positions | hidden):
            continue
        if any(m.op in ("ite", *nodes.QUANTIFIERS) for m in inside):
            continue
        if atom.op == "eq" and atom.args[0].sort is BOOL:
            continue
        holes = list(nodes.by_appearance([atom]))
        if any(isinstance(v.sort, OptOf) or nodes.is_finite(v.sort) for v in holes):
            continue
        # A table is spoken of by whose it is, where a rigid map says that.
        if any(v.sort in named and v.sort not in arguments for v in holes):
            continue
        whom = [arguments.get(v.sort) or [nodes.var(v.sort, v.sort.__name__)] for v in holes]
        for chosen in islice(product(*whom), 8):
            made = _canonical(nodes.substitute(atom, dict(zip(holes, chosen, strict=True))))
            locals_ = (
                n for n in nodes.nodes_of(made) if n.op == "read" and n.data[0] in view.local
            )
            if any((n.data[0], n.args[0]) not in told for n in locals_):
                continue
            if made.op != "bool" and not _names_some(made):
                found[made] = None
    return [x for atom in found for x in (atom, negate(atom))]


def _told(view: Returned) -> dict[tuple[Component, Node], None]:
    """The locals that an operation reads, and whose: of an argument, such as the CPU that asks for
    what an interrupt handler does."""
    if isinstance(view.subject, Procedure):
        return {}
    of = {p.variable: argument(p.name, p.sort) for p in view.first.parameters}
    parts = nodes.nodes_of(view.first.when, *_parts(view.first))
    reads = (n for n in parts if n.op == "read" and n.data[0] in view.local and n.args)
    return {(n.data[0], of[n.args[0]]): None for n in reads if n.args[0] in of}


def _names_some(atom: Node) -> bool:
    """A term equals a variable: where a sort has one element that is always so."""
    sides = (x.args[0] if x.op == "some" else x for x in atom.args)
    return atom.op == "eq" and any(x.op == "var" for x in sides)


def relevant(view: Returned) -> set[Component]:
    """What the subject decides by, and what it writes: of the fields of an entry only those that it
    decides by, or whether the entry is present where it decides by none."""
    decides: set[Component] = set()
    writes: set[Component] = set()
    for t in view.steps:
        conditions = [t.when, *(u.when for u in t.updates)]
        choices = (n.args[0] for u in t.updates for n in nodes.nodes_of(u.value) if n.op == "ite")
        decides |= nodes.components_of(*conditions, *choices)
        writes |= {u.component for u in t.updates}
    groups = {c.name.rpartition(".")[0] for c in decides}

    def telling(c: Component) -> bool:
        group, dot, field = c.name.rpartition(".")
        return not dot or (group not in groups and field == "present")

    return decides | {c for c in writes if telling(c)}


def _parts(t: Transition) -> Iterator[Node]:
    for u in t.updates:
        yield u.when
        yield u.value
        if u.at is not None:
            written = nodes.read(u.component, u.at, 0)
            yield written if written.sort is BOOL else nodes.eq(written, u.value)


def _plain(atom: Node, own: Mapping[Component, Node], hidden: Set[Component]) -> Node:
    """The atom of one state, with the name of it for what the subject's own locals keep, and a variable
    for what hidden locals keep."""

    def plain(c: Component, _: int, keys: tuple[Node, ...]) -> Node:
        if c in own:
            return own[c]
        if c in hidden and not nodes.is_finite(c.value) and not isinstance(c.value, OptOf):
            return nodes.var(c.value, c.name)
        return nodes.read(c, keys, 0)

    return nodes.rewrite_reads(atom, plain)


def _canonical(atom: Node) -> Node:
    """What is said in two ways is said in one: "x is some y" for "its value is y", constants last."""
    if atom.op != "eq":
        return atom
    a, b = atom.args
    for x, y in ((a, b), (b, a)):
        if x.op == "value":
            a, b = x.args[0], nodes.some(y)
            break
    if is_constant(a) > is_constant(b) or (a.op == b.op and nodes.show(a) > nodes.show(b)):
        a, b = b, a
    return nodes.eq(a, b)


def is_constant(term: Node) -> bool:
    """It is a value of an enumeration, or some such value."""
    return term.op == "elem" or (term.op == "some" and is_constant(term.args[0]))


def undefined(literal: Node) -> list[Node]:
    """That an optional is none whose value the literal speaks of: then it says nothing."""
    terms = (n.args[0] for n in nodes.nodes_of(literal) if n.op == "value")
    return [negate(nodes.is_some(x)) for x in terms]
