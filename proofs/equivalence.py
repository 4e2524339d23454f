"""Mutants that are the same design: their slip changes nothing in any state that can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from mapproof.model.language import nodes, solver
from mapproof.model.language.design import Design
from mapproof.model.language.nodes import TRUE_NODE, Component, Node
from mapproof.model.language.operation import Transition
from mapproof.model.language.property import Property
from mapproof.model.language.unbounded import Scripts, after

from . import second
from .induction import FIRST_EFFORT, Failure, Prover, induction
from .mutants import Change, Mutant
from .obligations import obligations


class Reference:
    """What is known, for any size, of the design whose mutants are judged."""

    def __init__(self, design: Design[Any], timeout: float) -> None:
        self.design = design
        self.timeout = timeout
        self.claims = [p for p in design.properties if p.kind != "sometimes"]
        self._scripts = Scripts()
        self._z3 = solver.Z3()

    @cached_property
    def invariants(self) -> tuple[Property[Any], ...]:
        """The properties and lemmas that hold in every reachable state."""
        candidates = [p for p in (*self.claims, *self.design.lemmas) if p.kind == "always"]
        prover = Prover(self.design.system(), max(60.0, self.timeout))
        return induction(self.design, candidates, [], prover).proved

    def equivalent(self, mutant: Mutant) -> str:
        """Why the mutant has the same runs as the design; empty if that was not proved."""
        used: set[str] = set()
        for change in mutant.changes:
            goal = _unchanged(change)
            needed = None if goal is None else self._follows(goal)
            if needed is None:
                return ""
            used |= needed
        if used:
            return f"by {', '.join(sorted(used))} it changes no reachable step"
        return "it changes no step, whatever the state"

    def preserved(self, mutant: Mutant) -> bool:
        """The claims are proved of the mutant, too: no run of any machine tells them apart."""
        design = mutant.design()
        names = {c.after.name for c in mutant.changes if c.after is not None}
        prover = Prover(design.system(), self.timeout)
        steps = [p for p in self.claims if p.kind == "step"]
        cells = obligations(design, [*self.invariants, *steps])
        cells = [c for c in cells if c.transition.name in names and not c.trivial]
        if not any(isinstance(prover.prove(c, self.invariants), Failure) for c in cells):
            return len(self.invariants) == len({p.name for p in self._candidates})
        prover = Prover(design.system(), self.timeout)
        proof = induction(design, self.claims, self.design.lemmas, prover)
        return {p.name for p in self.claims} <= {p.name for p in proof.proved}

    @property
    def _candidates(self) -> list[Property[Any]]:
        return [p for p in (*self.claims, *self.design.lemmas) if p.kind == "always"]

    def impossible(self, mutant: Mutant, job: Property[Any]) -> bool:
        """The mutant provably never does the job."""
        design = mutant.design()
        prover = Prover(design.system(), self.timeout)
        helpers = [p for p in (*self.claims, *self.design.lemmas) if p.kind == "always"]
        proof = induction(design, [job.never()], helpers, prover)
        return any(p.name == job.never().name for p in proof.proved)

    def _follows(self, goal: Node) -> set[str] | None:
        """The invariants from which the goal follows; None if that was not proved."""
        if goal == TRUE_NODE:
            return set()
        about = _mutable(goal)
        near = [p for p in self.invariants if _mutable(p.closed()) <= about]
        for hypotheses in ([], near, self.invariants):
            text = self._text(goal, hypotheses)
            outcome = self._z3.solve(text, int(1000 * self.timeout), FIRST_EFFORT)
            if outcome.answer == "unsat":
                return _names(outcome.core)
        if outcome.answer == "sat":
            return None
        outcome = second.solve_text(text, int(1000 * self.timeout))
        return _names(outcome.core) if outcome.answer == "unsat" else None

    def _text(self, goal: Node, hypotheses: Sequence[Property[Any]]) -> str:
        axioms = enumerate(self.design.system().axioms)
        facts = [(f"assumption.{i}", axiom) for i, axiom in axioms]
        facts += [(f"invariant.{p.name}", p.closed()) for p in hypotheses]
        return self._scripts.script([*facts, ("%goal", nodes.negate(goal))])


def _names(core: Iterable[str]) -> set[str]:
    return {n.removeprefix("invariant.") for n in core if n.startswith("invariant.")}


def _mutable(term: Node) -> set[Component]:
    return {c for c in nodes.components_of(term) if not c.rigid}


def _unchanged(change: Change) -> Node | None:
    """That a changed transition is possible when it was before, and then does the same; None where
    its arguments are not those of before."""
    old, new = change.before, change.after
    if new is None:
        return nodes.negate(old.when)
    if old.parameters != new.parameters:
        return None
    same = nodes.conj(
        nodes.eq(_later(c, old), _later(c, new))
        for c in dict.fromkeys(u.component for u in (*old.updates, *new.updates))
        if _writes(old, c) != _writes(new, c)
    )
    return nodes.conj((nodes.eq(old.when, new.when), nodes.implies(old.when, same)))


def _writes(t: Transition, component: Component) -> list[Any]:
    return [u for u in t.updates if u.component == component]


def _later(component: Component, transition: Transition) -> Node:
    """An entry of the map, any one, after the transition."""
    key = tuple(nodes.var(sort, f"!{i}") for i, sort in enumerate(component.keys))
    return after(nodes.read(component, key, 1), transition)
