"""Settling a claim at one finite scope: an invariant that a second solver confirms, or a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from mapproof.model.language import circuit as c
from mapproof.model.language.circuit import Circuit
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.latches import Sequential
from mapproof.model.language.operation import Transition
from mapproof.model.language.property import Claim, Property
from mapproof.model.language.scope import Scope

from .atoms import Atoms
from .pdr import Invariant, pdr
from .sat import CircuitSolver
from .search import replayed, sliced_for
from .trace import Trace

Ask = Callable[[str], str]
"""What a solver answers to an SMT-LIB script: sat, unsat or unknown."""


@dataclass(frozen=True)
class Settled:
    """What was established at a scope: a confirmed invariant, or a replayed run, or why neither."""

    invariant: Invariant | None = None
    trace: Trace | None = None
    reason: str = ""


def settle(
    design: Design[Any],
    prop: Property[Any],
    scope: Scope,
    timeout: float,
    ask: Ask,
    progress: Callable[[int, int], None] = lambda _frame, _clauses: None,
) -> Settled:
    """Prove a property at a scope, or find a run that violates it (a ``sometimes``: shows it).

    The invariant is found on what can influence the property, and it counts only once ``ask`` has
    answered "unsat" to each of its :func:`scripts`, which are about the whole design.
    Raises DesignError if the design has no machine, or cannot start, at the scope.
    """
    sequential = Sequential(sliced_for(design.system(), [prop]), scope)
    try:
        found = pdr(sequential, prop, timeout, progress)
        if not isinstance(found, Invariant):
            return Settled(trace=replayed(design, prop, found))
        whole = Sequential(plain(design.system()), scope)
        if not CircuitSolver(whole.circuit).holds(whole.possible, monotonic() + timeout):
            raise DesignError(f"the design has no initial state at scope {scope}")
    except TimeoutError as error:
        return Settled(reason=str(error))
    invariant = found.over(Atoms(whole))
    for name, script in scripts(whole, prop, invariant):
        answer = ask(script)
        if answer != "unsat":
            return Settled(reason=f"the second solver answers {answer} to: {name}")
    return Settled(invariant=invariant)


def plain(system: System) -> System:
    """The system without the hints at which writes have just one key: what a certificate keeps."""

    def but(transition: Transition) -> Transition:
        return replace(transition, updates=tuple(replace(u, at=None) for u in transition.updates))

    transitions = tuple(map(but, system.transitions))
    return replace(system, init=but(system.init), transitions=transitions)


def scripts(sequential: Sequential, prop: Claim, invariant: Invariant) -> Iterator[tuple[str, str]]:
    """What makes an invariant a proof, each as a SMT-LIB script that is to be unsatisfiable."""
    circuit, atoms = sequential.circuit, invariant.atoms
    facts = sequential.facts
    inside = [facts, *(circuit.any(map(atoms.now, k)) for k in invariant.clauses)]
    outside = [*(circuit.any(map(atoms.after, k)) ^ 1 for k in invariant.clauses)]
    started = [circuit.any(map(atoms.first, k)) ^ 1 for k in invariant.clauses]
    always = circuit.all(
        sequential.literal(a, {}, sequential.first) for a in sequential.system.axioms
    )
    later = circuit.all(
        sequential.literal(a, {}, sequential.after) for a in sequential.system.axioms
    )
    yield "it holds at the start", _script(circuit, [sequential.possible], [*started, always ^ 1])
    yield "every step keeps it", _script(circuit, inside, [*outside, later ^ 1])
    yield "it excludes violations", _script(circuit, [*inside, sequential.bad(prop)], [c.TRUE])


def _script(circuit: Circuit, facts: list[int], one_of: list[int]) -> str:
    lines = ["(set-logic QF_UF)"]
    for gate in circuit.cone([*facts, *one_of]):
        fanin = circuit.fanin[gate]
        if fanin:
            a, b = map(_name, fanin)
            lines.append(f"(define-fun g{gate} () Bool (and {a} {b}))")
        else:
            lines.append(f"(declare-const g{gate} Bool)")
    lines += (f"(assert {_name(fact)})" for fact in facts)
    lines += [f"(assert (or false {' '.join(map(_name, one_of))}))", "(check-sat)", ""]
    return "\n".join(lines)


def _name(literal: int) -> str:
    if literal < 2:
        return "true" if literal == c.TRUE else "false"
    return f"(not g{literal >> 1})" if literal & 1 else f"g{literal >> 1}"
