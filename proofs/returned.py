"""A design with a record of the last return of one of its operations or procedures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.nodes import BOOL, Component, Node, negate
from mapproof.model.language.operation import Operation, Parameter, Procedure, Transition
from mapproof.model.language.state import Update

from .lemma import Lemma


def subject_of(design: Design[Any], name: str) -> Operation[Any, ...] | Procedure:
    """The operation or procedure of that name; DesignError lists those that exist."""
    every: list[Operation[Any, ...] | Procedure] = [*design.operations, *design.procedures]
    for one in every:
        if one.name == name:
            return one
    names = ", ".join(o.name for o in every)
    raise DesignError(f"{design.name} has no operation {name}; it has {names or 'none'}")


def argument(name: str, sort: Any) -> Node:
    """How a fact speaks of an argument."""
    return nodes.read(Component(name, (), sort, rigid=True), (), 0)


class Returned:
    """A design with a record of the last return of one of its operations or procedures."""

    def __init__(self, design: Design[Any], subject: Operation[Any, ...] | Procedure) -> None:
        system = design.system()
        self.subject = subject
        if isinstance(subject, Procedure):
            last = {
                f"{subject.name}.{s.name}"
                for s in subject.steps
                if subject.target(s) == Procedure.IDLE
            }
            kept: tuple[Parameter, ...] = subject.steps[0].operation.parameters[:1]
        else:
            last, kept = {subject.name}, subject.parameters
        steps = last
        if isinstance(subject, Procedure):
            steps = {f"{subject.name}.{s.name}" for s in subject.steps}
        self.steps = [t for t in system.transitions if t.name in steps]
        self.first = first = next(t for t in self.steps if _starts(subject, t))
        self.flag = Component("returned", (), BOOL)
        self._record = {p: Component(f"returned.{p.name}", (), p.sort, local=True) for p in kept}
        self.meaning = {
            argument(p.name, p.sort): nodes.read(c, (), 0) for p, c in self._record.items()
        }
        self.local = frozenset(c for c in system.components if c.local)
        self._started: dict[Parameter, Component] = {}
        if isinstance(subject, Procedure):
            self.meaning = self._locals(system) | self.meaning
            self._started = {
                p: Component(f"started.{p.name}", (kept[0].sort,), p.sort, local=True)
                for p in first.parameters[1:]
                if argument(p.name, p.sort) not in self.meaning
                and p.sort
                is not kept[0].sort  # a map of a sort to itself: not provable for any size
            }
            self.meaning |= {
                argument(p.name, p.sort): nodes.read(c, (self._actor,), 0)
                for p, c in self._started.items()
            }
        self.arguments = {argument(p.name, p.sort) for p in first.parameters} & set(self.meaning)
        self.own_locals = {n.data[0]: a for a, n in self.meaning.items() if n.data[0] in self.local}
        added = (self.flag, *self._record.values(), *self._started.values())
        self.system = replace(
            system,
            components=(*system.components, *added),
            init=replace(system.init, updates=(*system.init.updates, _set(self.flag, False))),
            transitions=tuple(self._recorded(t, last) for t in system.transitions),
        )
        self.design = design.running(self.system, name=design.name)

    def claiming(self, design: Design[Any], claims: Sequence[Lemma]) -> Design[Any]:
        """The design with other claims; its own are lemmas."""
        own = [p for p in (*design.properties, *design.lemmas) if p.kind == "always"]
        fewer = design.but(name=design.name, properties=list(claims), lemmas=own)
        return fewer.running(self.system, name=design.name)

    def lemma(self, clause: Node, name: str) -> Lemma:
        """That a clause holds after every return."""
        return Lemma(nodes.disj((negate(nodes.read(self.flag, (), 0)), self.of(clause))), name)

    def invariant(self, clause: Node, name: str) -> Lemma:
        """That a clause holds at any time, of whatever might be an argument."""
        return Lemma(self.of_any(clause), name)

    def of_any(self, clause: Node) -> Node:
        """A clause about arguments as one about variables with their names."""
        any_ = {a: nodes.var(a.sort, a.data[0].name) for a in self.meaning}
        return nodes.rewrite_reads(
            clause, lambda c, e, keys: any_.get(n := nodes.read(c, keys, e), n)
        )

    def of_current(self, clause: Node) -> Node:
        """A clause about arguments as one about those of the call that an actor is in."""
        actor = self._actor
        return nodes.replace_term(self.of(clause), actor, nodes.var(actor.sort, "actor"))

    @property
    def running(self) -> Node:
        """An actor is in a call, between two of its steps."""
        if isinstance(self.subject, Operation):
            return nodes.FALSE_NODE
        at = nodes.read(self.subject.position, (nodes.var(self._actor.sort, "actor"),), 0)
        return negate(nodes.eq(at, nodes.elem(at.sort, 0)))

    def of(self, clause: Node) -> Node:
        """A clause about arguments as one about the record of them."""
        return nodes.rewrite_reads(clause, self._meant)

    def _meant(self, component: Component, epoch: int, keys: tuple[Node, ...]) -> Node:
        read = nodes.read(component, keys, epoch)
        return self.meaning.get(read, read)

    @property
    def _actor(self) -> Node:
        return nodes.read(next(iter(self._record.values())), (), 0)

    def _recorded(self, t: Transition, last: set[str]) -> Transition:
        returns = t.name in last
        more = [_set(self.flag, returns)]
        if returns:
            more += (Update(c, (), nodes.TRUE_NODE, p.variable, ()) for p, c in self._record_of(t))
        if t.name == self.first.name:
            actor = t.parameters[0].variable if t.parameters else nodes.TRUE_NODE
            for p, c in self._started.items():
                i = nodes.var(c.keys[0], f"{c.name}#0")
                here = nodes.eq(i, actor)
                more.append(Update(c, (i,), here, p.variable, (actor,)))
        return replace(t, updates=(*t.updates, *more))

    def _record_of(self, t: Transition) -> Iterator[tuple[Parameter, Component]]:
        return zip(t.parameters, self._record.values(), strict=False)

    def _locals(self, system: System) -> dict[Node, Node]:
        """What the actor's locals keep: an argument, under its name, if the first step puts it there, or
        what is spoken of by the local's own name."""
        named = {p.variable: p for p in self.first.parameters[1:]}
        kept = {u.component: named[u.value] for u in self.first.updates if u.value in named}
        later = {u.component for t in self.steps if t is not self.first for u in t.updates}
        kept = {c: p for c, p in kept.items() if c not in later}
        taken = {str(p.name) for p in self.first.parameters}
        found: dict[Node, Node] = {}
        for c in dict.fromkeys(u.component for t in self.steps for u in t.updates):
            own = c.name.rpartition(".")[2]
            name = str(kept[c].name) if c in kept else own
            one_each = c.local and c.keys == (self._actor.sort,) and not nodes.is_finite(c.value)
            if one_each and (c in kept or own not in taken):
                found.setdefault(argument(name, c.value), nodes.read(c, (self._actor,), 0))
        return found


def _starts(subject: Operation[Any, ...] | Procedure, t: Transition) -> bool:
    return isinstance(subject, Operation) or t.name == f"{subject.name}.{subject.steps[0].name}"


def _set(flag: Component, value: bool) -> Update:
    return Update(flag, (), nodes.TRUE_NODE, nodes.boolean(value), ())
