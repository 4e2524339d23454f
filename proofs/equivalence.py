"""Mutants that are the same design: their slip changes nothing in any state that can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from time import monotonic
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import Design
from mapproof.model.language.nodes import TRUE_NODE, Component, Node
from mapproof.model.language.operation import Transition
from mapproof.model.language.property import Property
from mapproof.model.language.solver import Outcome
from mapproof.model.language.unbounded import Scripts, after

from .induction import FIRST_EFFORT, Failure, Prover, induction
from .mutants import Change, Mutant
from .obligations import axiom_label, label, obligations
from .worker import NOW, shared


class Reference:
    """What is known, for any size, of the design whose mutants are judged."""

    def __init__(self, design: Design[Any], timeout: float) -> None:
        self.design = design
        self.timeout = timeout
        self.claims = [p for p in design.properties if p.kind != "sometimes"]
        self._scripts = Scripts()

    @cached_property
    def _proved(self) -> tuple[Property[Any], ...]:
        prover = Prover(self.design.system(), max(60.0, self.timeout))
        return induction(self.design, [*self.claims, *self.design.lemmas], [], prover).proved

    @cached_property
    def invariants(self) -> tuple[Property[Any], ...]:
        """The properties and lemmas that hold in every reachable state."""
        return tuple(p for p in self._proved if p.kind == "always")

    def equivalent(self, mutant: Mutant, *, quick: bool = False) -> str:
        """Why the mutant has the same runs as the design; empty if that was not proved.

        ``quick`` leaves out what takes long.
        """
        used: set[str] = set()
        idle = False
        for change in mutant.changes:
            needed = self._follows(_unchanged(change, self._unread(mutant)), quick=quick)
            if needed is None and self._idle_steps_are_allowed:
                goal = _unchanged(change, self._unread(mutant), idle=True)
                needed = self._follows(goal, quick=quick)
                idle = True
            if needed is None:
                return ""
            used |= needed
        what = "it differs only in steps that change nothing" if idle else "it changes no step"
        if any(_written_otherwise(c) & self._unread(mutant) for c in mutant.changes):
            what += " but for what nobody reads"
        return what + (f", given {', '.join(sorted(used))}" if used else "")

    def _unread(self, mutant: Mutant) -> set[Component]:
        """What neither the mutant nor a property ever reads."""
        system = mutant.design().system()
        steps = (*self.design.system().transitions, *system.transitions)
        terms = [n for t in steps for u in t.updates for n in (u.when, u.value, *(u.at or ()))]
        terms += [t.when for t in steps]
        terms += [p.closed() for p in self.design.properties]
        return set(system.components) - nodes.components_of(*terms)

    @cached_property
    def _idle_steps_are_allowed(self) -> bool:
        """A step that changes nothing violates no claim about steps."""
        claims = [p.closed() for p in self.claims if p.kind == "step"]
        return all(
            self._follows(nodes.rewrite_reads(c, lambda m, _, keys: nodes.read(m, keys, 0)))
            is not None
            for c in claims
        )

    def preserved(self, mutant: Mutant) -> bool:
        """The claims are proved of the mutant, too: no run of any machine tells them apart."""
        design = mutant.design()
        if len(self._proved) == len(self.claims) + len(self.design.lemmas):
            names = {c.after.name for c in mutant.changes if c.after is not None}
            prover = Prover(design.system(), self.timeout)
            cells = obligations(design, self._proved)
            cells = [c for c in cells if c.transition.name in names and not c.trivial]
            if not any(isinstance(prover.prove(c, self.invariants), Failure) for c in cells):
                return True  # the other transitions are those of the design
        prover = Prover(design.system(), self.timeout)
        proof = induction(design, self.claims, self.design.lemmas, prover)
        return {p.name for p in self.claims} <= {p.name for p in proof.proved}

    def impossible(self, mutant: Mutant, job: Property[Any]) -> bool:
        """The mutant provably never does the job."""
        design = mutant.design()
        prover = Prover(design.system(), self.timeout / 5)
        helpers = [p for p in (*self.claims, *self.design.lemmas) if p.kind == "always"]
        proof = induction(design, [job.never()], helpers, prover)
        return any(p.name == job.never().name for p in proof.proved)

    def _follows(self, goal: Node, *, quick: bool = False) -> set[str] | None:
        """The invariants from which the goal follows; None if that was not proved."""
        if goal == TRUE_NODE:
            return set()
        near = [p for p in self.invariants if p.closed().changing <= goal.changing]
        for hypotheses in ([], near, self.invariants):
            text = self._text(goal, hypotheses)
            outcome = self._solve("z3", text, FIRST_EFFORT)
            if outcome.answer == "unsat":
                return self._named(outcome.core)
        if outcome.answer == "sat" or quick:
            return None
        outcome = self._solve("cvc5", text)
        return self._named(outcome.core) if outcome.answer == "unsat" else None

    def _solve(self, name: str, text: str, effort: int = 0) -> Outcome:
        return shared().submit(name, text, monotonic() + self.timeout, effort, NOW).result()

    def _named(self, core: Iterable[str]) -> set[str]:
        """The invariants that a core mentions."""
        return {p.name for p in self.invariants if label(p) in core}

    def _text(self, goal: Node, hypotheses: Sequence[Property[Any]]) -> str:
        axioms = enumerate(self.design.system().axioms)
        facts = [(axiom_label(i), axiom) for i, axiom in axioms]
        facts += [(label(p), p.closed()) for p in hypotheses]
        return self._scripts.script([*facts, ("%goal", nodes.negate(goal))])


def _unchanged(change: Change, unread: set[Component], *, idle: bool = False) -> Node:
    """That a changed transition is possible when it was before, and then does the same; with
    ``idle``, where only one of the two is possible or they differ, neither changes anything."""
    old, new = change.before, change.after
    if new is None:
        return nodes.disj((nodes.negate(old.when), _idle(old) if idle else nodes.FALSE_NODE))
    if old.parameters != new.parameters:
        return nodes.FALSE_NODE
    differing = _written_otherwise(change) - unread
    same = nodes.conj(_same(_later(c, old), _later(c, new), c) for c in _ordered(differing))
    alike = nodes.conj((nodes.eq(old.when, new.when), nodes.implies(old.when, same)))
    if not idle:
        return alike
    still = (nodes.implies(t.when, _idle(t)) for t in (old, new))
    return nodes.disj((alike, nodes.conj(still)))


def _idle(transition: Transition) -> Node:
    """The transition changes nothing."""
    written = _ordered({u.component for u in transition.updates})
    return nodes.conj(_same(_later(c, transition), _now(c), c) for c in written)


def _written_otherwise(change: Change) -> set[Component]:
    """The maps that the changed transition writes in another way."""
    old, new = change.before, change.after
    after_updates = () if new is None else new.updates
    return {
        u.component
        for u in (*old.updates, *after_updates)
        if [v for v in old.updates if v.component == u.component]
        != [v for v in after_updates if v.component == u.component]
    }


def _ordered(components: Iterable[Component]) -> list[Component]:
    return sorted(components, key=lambda c: c.name)


_KEY_HEIGHT = 9  # above every binder of a design, so that no key is captured


def _key(component: Component) -> tuple[Node, ...]:
    return tuple(nodes.var(sort, (f"key{i}", _KEY_HEIGHT)) for i, sort in enumerate(component.keys))


def _now(component: Component) -> Node:
    return nodes.read(component, _key(component), 0)


def _later(component: Component, transition: Transition) -> Node:
    """An entry of the map, any one, after the transition."""
    return after(nodes.read(component, _key(component), 1), transition)


def _same(a: Node, b: Node, component: Component) -> Node:
    """Two maps over the keys of a component agree everywhere."""
    return nodes.close("forall", _key(component), nodes.eq(a, b))
