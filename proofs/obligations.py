"""The grid of a proof: one cell for each transition (and the start) and each property."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mapproof.model.language.design import Design, System
from mapproof.model.language.nodes import (
    FALSE_NODE,
    TRUE_NODE,
    Component,
    Node,
    components_of,
    negate,
)
from mapproof.model.language.operation import Transition
from mapproof.model.language.property import Property
from mapproof.model.language.unbounded import Scripts, after, ascii_name


@dataclass(frozen=True)
class Obligation:
    """``design :: transition :: property``: the property holds after the transition.

    For an ``always`` the hypotheses hold before it, for the start nothing does.  ``goal`` and
    ``when`` are over the state before; free variables are the transition's parameters.
    """

    design: str
    transition: Transition
    prop: Property[Any]
    goal: Node
    initial: bool

    @property
    def name(self) -> str:
        return f"{self.design}::{self.transition.name}::{self.prop.name}"

    def text(self, scripts: Scripts, system: System, hypotheses: Iterable[Property[Any]]) -> str:
        """The obligation as an SMT-LIB script that is unsatisfiable where it is met."""
        facts = [(f"assumption.{i}", axiom) for i, axiom in enumerate(system.axioms)]
        if not self.initial:
            facts += ((label(h), h.closed()) for h in hypotheses)
        facts += [("%when", self.transition.when), ("%goal", negate(self.goal))]  # no map's name
        return scripts.script([(n, f) for n, f in facts if f != TRUE_NODE], [self.name])

    def near(self, hypotheses: Iterable[Property[Any]]) -> list[Property[Any]]:
        """The hypotheses that speak only of what the obligation speaks of: mostly they suffice."""
        about = _mutable(self.goal, self.transition.when, self.prop.closed())
        return [h for h in hypotheses if _mutable(h.closed()) <= about]

    @property
    def trivial(self) -> bool:
        """Met whatever the hypotheses are, without a solver: the transition cannot happen, or
        changes nothing that the property reads."""
        if self.transition.when == FALSE_NODE or self.goal == TRUE_NODE:
            return True
        return not self.initial and self.prop.kind == "always" and self.goal == self.prop.closed()


def label(invariant: Property[Any]) -> str:
    """What an invariant is called in a script and in an unsat core."""
    return f"invariant.{ascii_name(invariant.name)}"


def _mutable(*terms: Node) -> set[Component]:
    return {c for c in components_of(*terms) if not c.rigid}


def obligations(design: Design[Any], properties: Sequence[Property[Any]]) -> list[Obligation]:
    """Every cell for the properties, in the order of the design; trivial ones included.

    ``always`` has one for the start and one for each transition, ``step`` one for each transition.
    """
    system = design.system()
    cells = []
    for prop in properties:
        if prop.kind == "always":
            start = system.init
            cells.append(Obligation(design.name, start, prop, after(prop.closed(1), start), True))
        for t in system.transitions:
            cells.append(Obligation(design.name, t, prop, after(prop.closed(1), t), False))
    return cells
