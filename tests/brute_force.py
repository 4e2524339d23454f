"""An oracle for the tests: the documented meaning of a design, read in the most naive way.

A state is a dict from ``(map, key)`` to a plain value: a bool, the name of an enumeration's value,
the number of a sort's element, ``None`` for NONE.  Operations are called at concrete arguments and
their terms evaluated by recursion.  Neither the readings under test nor the elaboration of
procedures is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from mapproof.model.language import FALSE, TRUE, Design, Enumeration, Opt, Procedure, Scope, Step
from mapproof.model.language import nodes as tree
from mapproof.model.language.property import Property

State = dict[tuple[str, tuple[Any, ...]], Any]
Frozen = tuple[Any, ...]  # the values of a state, in order

UNKNOWN: Final = object()  # of a value that nothing is said about: Kleene's third truth value


def all_of(values: Iterable[Any]) -> Any:
    """Conjunction, of three truth values."""
    found = list(values)
    return False if False in found else UNKNOWN if UNKNOWN in found else True


def negation(value: Any) -> Any:
    return value if value is UNKNOWN else not value


def any_of(values: Iterable[Any]) -> Any:
    return negation(all_of(map(negation, values)))


@dataclass(frozen=True)
class Event:
    """An operation, or a step of a procedure, at concrete arguments; who moves where by it."""

    name: str
    step: Step
    move: tuple[Procedure, Any, str, str] | None = None


class BruteForce:
    """A design at a scope.

    unspecified: the ``value`` of NONE is UNKNOWN, not the first element.
    interpreted: rigid maps with a ``given`` have that interpretation and no other.
    """

    def __init__(
        self, design: Design[Any], scope: Scope, unspecified: bool = False, interpreted: bool = True
    ) -> None:
        self.design, self.scope, self.unspecified = design, scope, unspecified
        self.cells: dict[tuple[str, tuple[Any, ...]], list[Any]] = {}
        for c in design.state(0).components():
            for key in self.tuples(c.keys):
                self.cells[c.name, key] = self.domain(c.value)
                if c.given is not None and interpreted:
                    index = [self.domain(s).index(k) for s, k in zip(c.keys, key, strict=True)]
                    value = c.given(scope, *index)
                    self.cells[c.name, key] = [self.domain(c.value)[-1 if value is None else value]]
        for p in design.procedures:
            for actor in self.domain(p.actor):
                self.cells[f"{p.name}.at", (actor,)] = ["IDLE", *(s.at for s in p.steps[1:])]
        self.start = Event(design.init.name, design.init(design.state(0)))
        self.events = list(self._events())
        self._claims: dict[Property[Any], list[tree.Node]] = {}

    def domain(self, sort: Any) -> list[Any]:
        """The values of a sort, NONE last."""
        if sort is tree.BOOL:
            return [False, True]
        if isinstance(sort, tree.OptOf):
            return [*self.domain(sort.base), None]
        return list(sort.values if issubclass(sort, Enumeration) else range(self.scope[sort]))

    def tuples(self, sorts: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        return product(*map(self.domain, sorts))

    def calls(self, of: Any) -> Iterator[tuple[Any, ...]]:
        """Every choice of arguments for the parameters of an operation or a property, as terms."""
        for values in self.tuples(p.sort for p in of.parameters):
            yield tuple(term(p.sort, v) for p, v in zip(of.parameters, values, strict=True))

    def evaluate(self, n: tree.Node, old: State, new: State, env: Mapping[tree.Node, Any]) -> Any:
        """The value of a term."""
        if n.op in ("forall", "exists"):
            keys = self.tuples(v.sort for v in n.data)
            choices = ({**env, **dict(zip(n.data, key, strict=True))} for key in keys)
            each = (self.evaluate(n.args[0], old, new, choice) for choice in choices)
            return all_of(each) if n.op == "forall" else any_of(each)
        a = [self.evaluate(arg, old, new, env) for arg in n.args]
        match n.op:
            case "bool":
                return n.data
            case "elem":
                return self.domain(n.sort)[n.data]
            case "var":
                return env[n]
            case "and":
                return all_of(a)
            case "or":
                return any_of(a)
            case "none":
                return None
            case "ite" if a[0] is UNKNOWN:
                return a[1] if a[1] == a[2] else UNKNOWN
            case "ite":
                return a[1] if a[0] else a[2]
            case _ if UNKNOWN in a:
                return UNKNOWN
            case "read":
                return (new if n.data[1] else old)[n.data[0].name, tuple(a)]
            case "not":
                return not a[0]
            case "eq":
                return a[0] == a[1]
            case "some":
                return a[0]
            case "is_some":
                return a[0] is not None
            case "value" if a[0] is None:
                return UNKNOWN if self.unspecified else self.domain(n.sort)[0]
            case "value":
                return a[0]
            case _:
                raise AssertionError(n.op)

    # Steps.

    def _events(self) -> Iterator[Event]:
        state = self.design.state(0)
        for op in self.design.operations:
            yield from (Event(op.name, op(state, *terms)) for terms in self.calls(op))
        for p in self.design.procedures:
            following = [*(s.at for s in p.steps[1:]), "DONE"]
            for s, later in zip(p.steps, following, strict=True):
                end = s.to or later
                for terms in self.calls(s.operation):
                    actor = terms[0].node.data
                    move = (p, actor, s.at, "IDLE" if end == "DONE" else end)
                    yield Event(f"{p.name}.{s.name}", s.operation(state, *terms), move)

    def enabled(self, state: State, event: Event) -> Any:
        if event.move:
            procedure, actor, start, _ = event.move
            if state[f"{procedure.name}.at", (actor,)] != start:
                return False
            rivals = (p for p in self.design.procedures if p.actor is procedure.actor)
            if start == "IDLE" and any(state[f"{p.name}.at", (actor,)] != "IDLE" for p in rivals):
                return False
        return self.evaluate(event.step.when.node, state, state, {})

    def after(self, state: State, event: Event) -> State:
        new = dict(state)
        for update in event.step.then:
            for key in self.tuples(v.sort for v in update.variables):
                env = dict(zip(update.variables, key, strict=True))
                when = self.evaluate(update.when, state, state, env)
                value = self.evaluate(update.value, state, state, env)
                cell = update.component.name, key
                if when is True or (when is UNKNOWN and value != new[cell]):
                    new[cell] = value if when is True else UNKNOWN
        if event.move:
            procedure, actor, _, end = event.move
            new[f"{procedure.name}.at", (actor,)] = end
        if event is self.start:
            new |= {cell: "IDLE" for cell, domain in self.cells.items() if "IDLE" in domain}
        return new

    def successors(self, state: Frozen) -> Iterator[Frozen]:
        old = self.thaw(state)
        for event in self.events:
            if self.enabled(old, event):
                yield tuple(self.after(old, event).values())

    def thaw(self, state: Frozen) -> State:
        return dict(zip(self.cells, state, strict=True))

    def all_states(self) -> Iterator[State]:
        """Every state that the assumptions allow, reachable or not."""
        for state in map(self.thaw, product(*self.cells.values())):
            if all_of(self.holds(a, state, state) for a in self.design.assumptions) is not False:
                yield state

    def layers(self) -> list[set[Frozen]]:
        """The states after exactly 0, 1, 2, ... steps, to one step beyond the last new one."""
        able = (s for s in self.all_states() if self.enabled(s, self.start))
        layers = [{tuple(self.after(s, self.start).values()) for s in able}]
        seen: set[Frozen] = set()
        while not layers[-1] <= seen:
            seen |= layers[-1]
            layers.append({t for s in layers[-1] for t in self.successors(s)})
        return layers

    # Claims.

    def holds(self, prop: Property[Any], old: State, new: State) -> Any:
        """A property of ``new`` (a ``step``: of both), for all its parameters or for some."""
        if prop not in self._claims:
            states = [self.design.state(0), self.design.state(1)][: 1 + (prop.kind == "step")]
            terms = (prop.function(*states, *arguments) for arguments in self.calls(prop))
            self._claims[prop] = [t.node for t in terms]
        old = old if prop.kind == "step" else new
        each = (self.evaluate(node, old, new, {}) for node in self._claims[prop])
        return any_of(each) if prop.kind == "sometimes" else all_of(each)

    def shortest(self, prop: Property[Any], layers: Sequence[set[Frozen]]) -> int | None:
        """Steps to the first violation (of a ``sometimes``: to the first witness)."""
        wanted = prop.kind == "sometimes"
        for depth, layer in enumerate(layers):
            for state in layer:
                old = self.thaw(state)
                if prop.kind != "step":
                    if self.holds(prop, old, old) is wanted:
                        return depth
                elif any(not self.holds(prop, old, self.thaw(t)) for t in self.successors(state)):
                    return depth + 1
        return None

    def breaks(self, name: str, prop: Property[Any], hypotheses: Sequence[Property[Any]]) -> Any:
        """Whether the transition (or the start) can break the property from some state, reachable
        or not, in which the hypotheses hold."""
        verdict: Any = False
        for old in self.all_states():
            for event in (self.start, *self.events):
                if event.name == name:
                    facts = [self.holds(h, old, old) for h in hypotheses]
                    broken = negation(self.holds(prop, old, self.after(old, event)))
                    verdict = any_of([verdict, all_of([*facts, self.enabled(old, event), broken])])
        return verdict


def term(sort: Any, value: Any) -> Any:
    """A plain value as a term."""
    if sort is tree.BOOL:
        return TRUE if value else FALSE
    if isinstance(sort, tree.OptOf):
        base: Any = sort.base
        return Opt[Any](tree.none(base) if value is None else tree.some(term(base, value).node))
    return getattr(sort, value) if issubclass(sort, Enumeration) else sort(tree.elem(sort, value))
