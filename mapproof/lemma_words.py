"""Inferred lemmas in words: a sentence for each, and a name."""

from __future__ import annotations

from collections.abc import Mapping

from mapproof.model.language import Procedure
from mapproof.model.language.nodes import Component, Node, nodes_of, show

from .lemma_clauses import Group, field_of, position

LONGEST_NAME = 60  # characters, without what must be there


class English:
    """Terms and literals in words."""

    def __init__(self, names: Mapping[Node, str], positions: Mapping[Component, Procedure]) -> None:
        self._names = dict(names)
        self._positions = positions

    def term(self, node: Node) -> str:
        """A term without the state and without what only a program needs."""

        def name(n: Node) -> str | None:
            match n.op:
                case "var":
                    return self._names[n]
                case "elem":
                    return str(n.sort.values[n.data])
                case "value" | "some":
                    return show(n.args[0], name)
                case "forall" | "exists":
                    every = "every" if n.op == "forall" else "some"
                    bound = ", ".join(f"{v.sort.__name__} {self._names[v]}" for v in n.data)
                    return f"for {every} {bound}: {show(n.args[0], name)}"
                case _:
                    return None

        return show(node, name)

    def literal(self, literal: Node) -> str:
        """What a literal says."""
        true = literal.op != "not"
        atom = literal if true else literal.args[0]
        found = position(atom, self._positions)
        if found is not None:
            procedure, actor, label = found
            if label == Procedure.IDLE:
                return f"{self.term(actor)} is {'not ' if true else ''}in {procedure.name}"
            where = f"about to take {procedure.name}.{label}"
            return f"{self.term(actor)} is {'' if true else 'not '}{where}"
        if atom.op == "read":
            return f"{self.term(atom)} {'holds' if true else 'does not hold'}"
        if atom.op == "is_some":
            return f"{self.term(atom.args[0])} is {'set' if true else 'none'}"
        if atom.op == "eq":
            return self._equal(*atom.args, true=true)
        return self.term(literal)

    def _equal(self, a: Node, b: Node, *, true: bool) -> str:
        if b.op == "value":
            a, b = b, a
        one, two = self.term(a), self.term(b)
        if b.op == "value":  # two entries, neither of which is none
            what = a.sort.__name__.lower()
            return f"{two} and {one} {'' if true else 'do not '}lead to the same {what}"
        if a.op == "value":
            return f"{one} {'leads' if true else 'does not lead'} to {two}"
        return f"{one} is {'' if true else 'not '}{two}"


def sentence(group: Group, english: English) -> str:
    conclusion = listed([english.literal(x) for x in group.conclusions])
    premise = telling(group)
    if not premise:
        return f"At all times {conclusion}."
    return f"If {listed([english.literal(x) for x in premise])}, then {conclusion}."


def telling(group: Group) -> list[Node]:
    """The premise without that something is set of which more is said."""
    rest = [x for x in group.premise if x.op != "is_some"]
    used = {n.args[0] for n in nodes_of(*rest, *group.conclusions) if n.op == "value"}
    return [x for x in group.premise if x.op != "is_some" or x.args[0] not in used]


def listed(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def title_of(group: Group, positions: Mapping[Component, Procedure]) -> str:
    """A name for a function, from what it says."""
    premise = telling(group)
    at = [x for x in premise if position(x, positions) is not None]
    rest = [x for x in premise if x not in at]
    then = dict.fromkeys(_word(x, positions) for x in group.conclusions)
    front = "_and_".join(then) if len(then) < 3 else "what_holds"
    where = "".join(f"_{w}" for w in dict.fromkeys(_word(x, positions) for x in at))
    when = list(dict.fromkeys(_word(x, positions) for x in rest))
    while True:
        condition = f"_if_{'_and_'.join(when)}" if when else ""
        name = f"{front}{where}{condition}"
        if len(name) <= LONGEST_NAME or not when:
            return name
        when.pop()


def _word(literal: Node, positions: Mapping[Component, Procedure]) -> str:
    true = literal.op != "not"
    atom = literal if true else literal.args[0]
    found = position(atom, positions)
    if found is not None:
        procedure, _, label = found
        if label == Procedure.IDLE:
            return f"{'outside' if true else 'inside'}_{procedure.name}"
        return f"{'' if true else 'not_'}at_{label}"
    if atom.op == "is_some":
        return f"{'' if true else 'no_'}{field_of(atom)}"
    if atom.op == "eq":
        a, b = atom.args
        if b.op == "elem":
            value = str(b.sort.values[b.data]).lower()
            return f"{field_of(a)}_{'' if true else 'not_'}{value}"
        one, two = field_of(a), field_of(b)
        if one == two:
            return f"{'same' if true else 'other'}_{one}"
        return f"{one}_is_{'' if true else 'not_'}{two}"
    if atom.op == "read":
        return f"{'' if true else 'not_'}{field_of(atom)}"
    fields = sorted({field_of(n) for n in nodes_of(atom) if n.op == "read"})
    return "_and_".join(fields) or "invariant"
