"""The readings of one design agree: concrete, bounded, unbounded, and a naive oracle."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from math import comb, perm
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings

from mapproof.model.designs.kpt import kpt, kpt_bugpgd, kpt_buggy
from mapproof.model.language import Design, DesignError, Scope
from mapproof.model.language.bounded import Unrolling
from mapproof.model.language.concrete import Machine
from mapproof.model.language.scope import Layout
from mapproof.model.language.solver import Z3
from mapproof.model.language.unbounded import Scripts
from mapproof.model.operations.kpt import Frame, KernelPage, Mm, UserPage
from mapproof.proofs import second
from mapproof.proofs.induction import Prover, induction
from mapproof.proofs.obligations import Obligation, obligations
from mapproof.proofs.sat import CircuitSolver
from mapproof.proofs.search import search
from mapproof.properties.kpt import DEEP, P1, P2, SAFE

from .brute_force import BruteForce, Frozen
from .random_designs import all_scopes, designs_with_scopes

Drawn = tuple[Design[Any], Scope]

MOST_STATES = 300
FOREVER = 3600.0


def profile(examples: int) -> settings:
    """The same examples in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# --- states --------------------------------------------------------------------------------------


def decoded(oracle: BruteForce, machine: Machine, state: Any) -> Frozen:
    """A state of the concrete reading as one of the oracle's."""
    values: dict[Any, Any] = {}
    components = machine.system.components
    for c in components:
        keys = machine.scope.combinations(c.keys)
        for index, key in zip(keys, oracle.tuples(c.keys), strict=True):
            value = machine.cell(state, c, index)
            values[c.name, key] = oracle.domain(c.value)[value]
    return tuple(values[cell] for cell in oracle.cells)


def check_concrete(design: Design[Any], scope: Scope) -> None:
    """The concrete reading reaches the states that the oracle reaches."""
    oracle = BruteForce(design, scope)
    layers = oracle.layers()
    try:
        machine = Machine(design.system(), scope)
    except DesignError:  # the interpretation that the design gives breaks its assumptions
        assert layers[0] == set()
        return
    events = list(machine.events())
    seen: dict[Any, Frozen] = {s: decoded(oracle, machine, s) for s in machine.initial_states()}
    assert set(seen.values()) == layers[0]
    todo = list(seen)
    while todo:
        state = todo.pop()
        after = list(machine.successor_states(state))
        fired = [t for e in events if (t := machine.fire(state, e)) is not None]
        assert after == fired
        assert {decoded(oracle, machine, t) for t in after} == set(oracle.successors(seen[state]))
        fresh = [t for t in after if t not in seen]
        seen |= {t: decoded(oracle, machine, t) for t in fresh}
        todo += fresh
    assert set(seen.values()) == set(chain(*layers))


def literal_of(unrolling: Unrolling, oracle: BruteForce, state: Frozen) -> int:
    """The literal that says: the last state of the unrolling is this one."""
    cells = dict(zip(oracle.cells, state, strict=True))
    literals: list[int] = []
    for c in unrolling.system.components:
        for key, entry in zip(oracle.tuples(c.keys), unrolling.states[-1][c], strict=True):
            index = oracle.domain(c.value).index(cells[c.name, key])
            constant = unrolling.constant(c.value, index)
            literals += (a if b else a ^ 1 for a, b in zip(entry, constant, strict=True))
    return unrolling.circuit.all(literals)


def check_bounded(design: Design[Any], scope: Scope) -> None:
    """At each depth the bounded reading has the states that the oracle has, and no others."""
    oracle = BruteForce(design, scope)
    layers = oracle.layers()
    try:
        unrolling = Unrolling(design.system(), scope)
    except DesignError:
        assert layers[0] == set()
        return
    solving = CircuitSolver(unrolling.circuit)
    solving.require(unrolling.possible)
    deadline = monotonic() + FOREVER
    for depth, layer in enumerate(layers):
        if depth:
            unrolling.extend()
            solving.require(unrolling.enabled[-1])
        literals = [literal_of(unrolling, oracle, state) for state in layer]
        assert all(solving.holds(literal, deadline) for literal in literals)
        others = unrolling.circuit.all(literal ^ 1 for literal in literals)
        assert not solving.holds(others, deadline)


# --- verdicts ------------------------------------------------------------------------------------


def check_search(design: Design[Any], scope: Scope) -> None:
    """A search finds a violation where the oracle has one, at the same depth, and replays it."""
    oracle = BruteForce(design, scope)
    layers = oracle.layers()
    for prop in design.properties:
        expected = oracle.shortest(prop, layers)
        try:
            found = search(design, {prop: len(layers)}, scope, FOREVER)[prop.name]
        except DesignError:
            assert layers[0] == set()
            continue
        assert not found.reason
        event(f"{prop.kind} at {expected}")
        assert (found.trace is None) == (expected is None)
        if found.trace is None or expected is None:
            continue
        machine = found.trace.machine
        small = BruteForce(design, machine.scope)
        runs = small.layers()
        states = [decoded(small, machine, s) for s in found.trace.states]
        assert len(states) == found.depth + 1
        assert found.depth == small.shortest(prop, runs)
        assert found.depth == expected if machine.scope == scope else found.depth <= expected
        assert states[0] in runs[0]
        for old, new in zip(states, states[1:], strict=False):
            assert new in set(small.successors(old))


def at_scope(text: str, scope: Scope) -> str:
    """An obligation of sorts that have exactly as many elements as the scope says."""
    lines: list[str] = []
    for sort, size in scope.items():
        name = sort.__name__
        if f"(declare-sort {name} 0)" in text:
            elements = [f"{name}.{i}" for i in range(size)]
            lines += [f"(declare-const {e} {name})" for e in elements]
            lines += [f"(assert (distinct {' '.join(elements)}))"] * (size > 1)
            cases = " ".join(f"(= ?e {e})" for e in elements)
            lines.append(f"(assert (forall ((?e {name})) (or {cases} false)))")
    return text.replace("(check-sat)", "\n".join([*lines, "(check-sat)"]))


def check_cells(design: Design[Any], scope: Scope) -> None:
    """Each cell of the proof, at machines of one size, is what the oracle finds over all states."""
    system = design.system()
    exact = BruteForce(design, scope, interpreted=False)
    loose = BruteForce(design, scope, interpreted=False, unspecified=True)
    scripts = Scripts()
    hypotheses = [p for p in design.properties if p.kind == "always"]
    claims = [p for p in design.properties if p.kind != "sometimes"]
    for cell in obligations(design, system, claims):
        given = [] if cell.initial else hypotheses
        concrete = exact.breaks(cell.transition.name, cell.prop, given)
        if cell.trivial:
            assert concrete is False
            continue
        text = cell.text(scripts, system, hypotheses)
        answer = Z3().solve(at_scope(text, scope), 2000).answer
        event(f"cell {answer}, concretely {concrete}")
        if concrete:
            assert answer != "unsat"
        elif answer == "sat":  # only where something depends on the value of NONE
            assert loose.breaks(cell.transition.name, cell.prop, given) is not False
        check_second(text)
        check_second(at_scope(text, scope))


def check_second(text: str) -> None:
    """The two solvers do not contradict each other."""
    answers = {Z3().solve(text, 300).answer, second.solve_text(text, 300).answer}
    assert answers != {"sat", "unsat"}


def check_induction(design: Design[Any], scope: Scope) -> None:
    """What is proved for any size has no violation at any scope."""
    claims = [p for p in design.properties if p.kind != "sometimes"]
    system = design.system()
    proof = induction(design, system, claims, [], Prover(system, monotonic() + 3))
    event(f"proved {bool(proof.proved)}")
    for size in all_scopes(design, MOST_STATES // 2) if proof.proved else ():
        oracle = BruteForce(design, size)
        layers = oracle.layers()
        assert all(oracle.shortest(p, layers) is None for p in proof.proved)
