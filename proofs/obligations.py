"""The grid of a proof: one cell for each transition (and the start) and each property."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from mapproof.model.language.design import Design, System
from mapproof.model.language.nodes import FALSE_NODE, TRUE_NODE, Node, negate
from mapproof.model.language.operation import Transition
from mapproof.model.language.property import Kind
from mapproof.model.language.unbounded import Scripts, after, ascii_name

C = TypeVar("C", bound="Claim")


class Claim(Protocol):
    """What an obligation needs to know of a property: it may also come from a certificate."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...

    def closed(self, epoch: int = 0, /) -> Node:
        """The claim of the old (0) or the new (1) state; a step sees both."""
        ...


@dataclass(frozen=True)
class Obligation:
    """``design :: transition :: property``: the property holds after the transition.

    For an ``always`` the hypotheses hold before it, for the start nothing does.  ``goal`` and
    ``when`` are over the state before; free variables are the transition's parameters.
    """

    design: str
    transition: Transition
    prop: Claim
    goal: Node
    initial: bool

    @cached_property
    def name(self) -> str:
        return f"{self.design}::{self.transition.name}::{self.prop.name}"

    def text(
        self,
        scripts: Scripts,
        system: System,
        hypotheses: Iterable[Claim],
        axioms: Iterable[int] | None = None,
    ) -> str:
        """The obligation as an SMT-LIB script that is unsatisfiable where it is met.

        ``axioms`` are the numbers of the system's assumptions that a known proof rests on; without,
        all are in the script, and it asks what a proof rests on.
        """
        numbers = range(len(system.axioms)) if axioms is None else axioms
        facts = [(axiom_label(i), system.axioms[i]) for i in numbers]
        if not self.initial:
            facts += ((label(h), h.closed()) for h in hypotheses)
        facts += [("%when", self.transition.when), ("%goal", negate(self.goal))]  # no map's name
        named = [(n, f) for n, f in facts if f != TRUE_NODE]
        return scripts.script(named, [self.name], core=axioms is None)

    def near(self, hypotheses: Iterable[C]) -> list[C]:
        """The hypotheses that speak only of what the obligation speaks of: mostly they suffice."""
        about = self.goal.changing | self.transition.when.changing | self.prop.closed().changing
        return [h for h in hypotheses if h.closed().changing <= about]

    @property
    def trivial(self) -> bool:
        """Met whatever the hypotheses are, without a solver: the transition cannot happen, or
        changes nothing that the property reads."""
        if self.transition.when == FALSE_NODE or self.goal == TRUE_NODE:
            return True
        return not self.initial and self.prop.kind == "always" and self.goal == self.prop.closed()


def axiom_label(number: int) -> str:
    """What an assumption of a system is called in a script and in an unsat core."""
    return f"assumption.{number}"


def label(invariant: Claim) -> str:
    """What an invariant is called in a script and in an unsat core."""
    return f"invariant.{ascii_name(invariant.name)}"


def obligations(design: Design[Any], properties: Sequence[Claim]) -> list[Obligation]:
    """Every cell for the properties, in the order of the design; trivial ones included."""
    return grid(design.name, design.system(), properties)


def grid(design: str, system: System, claims: Iterable[Claim]) -> list[Obligation]:
    """Every cell for the claims: an ``always`` has one for the start and one for each transition, a
    ``step`` one for each transition."""
    cells = []
    for claim in claims:
        if claim.kind == "always":
            start = system.init
            cells.append(Obligation(design, start, claim, after(claim.closed(1), start), True))
        for t in system.transitions:
            cells.append(Obligation(design, t, claim, after(claim.closed(1), t), False))
    return cells


def to_solve(row: Sequence[Obligation]) -> Sequence[Obligation]:
    """Of all cells of one claim those that a solver must meet: all but the trivial ones, or, for a
    claim that nothing touches, every one, so that a solver has seen it, too."""
    return [cell for cell in row if not cell.trivial] or row
