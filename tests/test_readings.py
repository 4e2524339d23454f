"""The readings of one design agree: concrete, bounded, unbounded, and a naive oracle."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain, product
from math import comb, perm, prod
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings

from mapproof.model.designs.kpt import kpt, kpt_buggy, kpt_bugpgd
from mapproof.model.language import Design, DesignError, Scope
from mapproof.model.language.bounded import Unrolling
from mapproof.model.language.concrete import Machine
from mapproof.model.language.property import Property
from mapproof.model.language.solver import Z3
from mapproof.model.language.unbounded import Scripts
from mapproof.model.operations.kpt import Frame, KernelPage, Kpt, Mm, UserPage
from mapproof.proofs import second
from mapproof.proofs.check import Options, check
from mapproof.proofs.explore import explore
from mapproof.proofs.induction import Induction, Prover, induction
from mapproof.proofs.obligations import obligations
from mapproof.proofs.sat import CircuitSolver
from mapproof.proofs.search import search
from mapproof.proofs.verdict import Verdict
from mapproof.properties.kpt import DEEP, P1, P2, SAFE

from .agreement import FOREVER, MOST_STATES, check_found, check_trace, decoded
from .brute_force import BruteForce, Frozen
from .random_designs import all_scopes, designs_with_scopes

# --- states --------------------------------------------------------------------------------------


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
    for properties in [*([p] for p in design.properties), design.properties]:
        try:
            found = search(design, dict.fromkeys(properties, len(layers)), scope, FOREVER)
        except DesignError:
            assert layers[0] == set()
            continue
        for prop in properties:
            expected = oracle.shortest(prop, layers)
            event(f"{prop.kind} at {expected}")
            check_found(design, prop, found[prop.name], scope, expected, bool(layers[0]))


def at_scope(text: str, scope: Scope) -> str:
    """An obligation of sorts that have exactly as many elements as the scope says."""
    sizes = {sort.__name__: size for sort, size in scope.items()}
    lines: list[str] = []
    for name in re.findall(r"\(declare-sort (\S+) 0\)", text):
        elements = [f"{name}.{i}" for i in range(sizes[name.rpartition(".")[2]])]
        cases = " ".join(f"(= ?e {e})" for e in elements)
        lines += [f"(declare-const {e} {name})" for e in elements]
        lines.append(f"(assert (forall ((?e {name})) (or {cases} false)))")
        if len(elements) > 1:
            lines.append(f"(assert (distinct {' '.join(elements)}))")
    return text.replace("(check-sat)", "\n".join([*lines, "(check-sat)"]))


def check_cells(design: Design[Any], scope: Scope) -> None:
    """Each cell of the proof, at machines of one size, is what the oracle finds over all states."""
    system = design.system()
    exact = BruteForce(design, scope, interpreted=False)
    loose = BruteForce(design, scope, interpreted=False, unspecified=True)
    scripts = Scripts()
    hypotheses = [p for p in design.properties if p.kind == "always"]
    claims = {p.name: p for p in design.properties if p.kind != "sometimes"}
    for cell in obligations(design, [*claims.values()]):
        given, claim = [] if cell.initial else hypotheses, claims[cell.prop.name]
        concrete = exact.breaks(cell.transition.name, claim, given)
        if cell.trivial:
            assert concrete is False
            continue
        text = cell.text(scripts, system, hypotheses)
        answer = Z3().solve(at_scope(text, scope), 2000).answer
        event(f"cell {answer}, concretely {concrete}")
        if concrete:
            assert answer != "unsat"
        elif answer == "sat":  # only where something depends on the value of NONE
            assert loose.breaks(cell.transition.name, claim, given) is not False
        check_second(text)
        check_second(at_scope(text, scope))


def check_second(text: str) -> None:
    """The two solvers do not contradict each other."""
    answers = {Z3().solve(text, 300).answer, second.solve_text(text, 300).answer}
    assert answers != {"sat", "unsat"}


def proved(design: Design[Any], claims: Sequence[Property[Any]], seconds: float) -> Induction:
    """What induction makes of the claims and the design's lemmas."""
    return induction(design, claims, design.lemmas, Prover(design.system(), seconds))


def check_induction(design: Design[Any], scope: Scope) -> None:
    """What is proved for any size has no violation at any scope."""
    proof = proved(design, [p for p in design.properties if p.kind != "sometimes"], 3)
    event(f"proved {bool(proof.proved)}")
    claims = [p for p in proof.proved if p in design.properties]  # not lemmas that nothing used
    for size in all_scopes(design, MOST_STATES // 2) if claims else ():
        oracle = BruteForce(design, size)
        layers = oracle.layers()
        assert all(oracle.shortest(p, layers) is None for p in claims)


def check_verdicts(design: Design[Any], scope: Scope) -> None:
    """What a check says of a design as a whole is what the oracle finds."""
    oracle = BruteForce(design, scope)
    layers = oracle.layers()
    options = Options(depth=len(layers), scope=scope, timeout=2)
    try:
        results = check(design, options)
    except DesignError:
        assert layers[0] == set()
        return
    for prop, result in zip(design.properties, results, strict=True):
        expected = oracle.shortest(prop, layers)
        event(f"{prop.kind} {result.verdict} at {expected}")
        job = prop.kind == "sometimes"
        if result.trace is not None:
            assert result.verdict is (Verdict.PROVED if job else Verdict.VIOLATED)
            check_trace(prop, result.trace)
        elif result.verdict is (Verdict.VACUOUS if job else Verdict.PROVED):
            for size in all_scopes(design, MOST_STATES // 2):
                small = BruteForce(design, size)
                assert small.shortest(prop, small.layers()) is None
        elif result.verdict in (Verdict.HOLDS_TO_DEPTH, Verdict.PROVED_AT_SCOPE):
            assert expected is None
        else:
            assert result.verdict is Verdict.UNKNOWN
            assert expected is None or re.search("time limit|answers", result.reason)


# --- the tests -----------------------------------------------------------------------------------

Check = Callable[[Design[Any], Scope], None]

CHECKS: dict[str, tuple[Check, int, bool]] = {  # examples in a fast run; only stratified designs
    "concrete": (check_concrete, 200, False),
    "bounded": (check_bounded, 150, False),
    "search": (check_search, 120, False),
    "cells": (check_cells, 60, True),
    "induction": (check_induction, 150, True),
    "verdicts": (check_verdicts, 60, True),
}


def run(check: Check, examples: int, stratified: bool, shrink: bool = True) -> None:
    """A check over random designs, the same ones in every run."""

    @settings(
        max_examples=examples,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(designs_with_scopes(MOST_STATES, stratified))
    def each(drawn: tuple[Design[Any], Scope]) -> None:
        check(*drawn)

    each()


@pytest.mark.parametrize("name", CHECKS)
def test_the_readings_agree(name: str) -> None:
    run(*CHECKS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_the_readings_agree_on_many_designs(name: str) -> None:
    check, _, stratified = CHECKS[name]
    run(check, 2000, stratified)


# --- the benchmark -------------------------------------------------------------------------------

Size = tuple[int, int, int, int]  # processes, user pages, kernel pages, frames

SIZES: dict[Size, int] = {
    (1, 2, 2, 3): 100,
    (1, 2, 2, 4): 296,
    (1, 3, 4, 6): 3776,
    (1, 2, 4, 6): 1664,
    (2, 2, 3, 4): 7712,
    (2, 3, 4, 6): 383_104,
    (3, 3, 4, 6): 24_181_760,
    (3, 4, 6, 8): 5_056_471_040,
    (4, 6, 8, 12): 470_344_862_940_528_640,
}


def entry_pages(kernel_pages: int) -> int:
    return max(1, kernel_pages // 2)


def reachable(size: Size) -> int:
    """The closed form: any entry pages in the shadows; any injection of user slots into the other
    frames, each of the rest free or the kernel's; the PGD entries and the mode of a process in 3
    states, or in 5 if it maps nothing."""
    mms, user, kernel, frames = size
    entry = entry_pages(kernel)
    others = frames - entry
    total = 0
    for mapped in product(range(user + 1), repeat=mms):
        used = sum(mapped)
        slots = prod(comb(user, n) for n in mapped)
        modes = prod(3 if n else 5 for n in mapped)
        total += slots * perm(others, used) * (1 << max(0, others - used)) * modes
    return total << entry * mms


def scope_of_size(size: Size) -> Scope:
    return Scope(dict(zip((Mm, UserPage, KernelPage, Frame), size, strict=True)))


def test_the_closed_form_is_that_of_the_benchmark() -> None:
    assert {size: reachable(size) for size in SIZES} == SIZES


@pytest.mark.parametrize("size", [s for s, states in SIZES.items() if states < 10_000])
def test_kpt_reaches_as_many_states_as_the_closed_form_says(size: Size) -> None:
    found = explore(kpt, scope_of_size(size))
    assert (found.states, found.complete) == (reachable(size), True)


@pytest.mark.slow
def test_kpt_reaches_as_many_states_at_a_larger_scope() -> None:
    found = explore(kpt, scope_of_size((2, 3, 4, 6)))
    assert (found.states, found.complete) == (reachable((2, 3, 4, 6)), True)


@pytest.mark.parametrize("size", [(1, 2, 2, 3), (1, 2, 2, 4), (1, 2, 4, 6), (2, 2, 3, 4)])
def test_the_fullest_state_of_kpt_takes_the_known_number_of_steps(size: Size) -> None:
    mms, _, kernel, frames = size
    entry = entry_pages(kernel)
    steps = (frames - entry) + 3 * mms + mms * entry
    found = search(kpt, {DEEP: steps + 3}, scope_of_size(size), FOREVER)[DEEP.name]
    assert found.trace is not None
    assert found.depth == len(found.trace.events) == steps


@pytest.mark.parametrize(
    ("design", "violated", "kept"), [(kpt_buggy, P1, P2), (kpt_bugpgd, P2, P1)]
)
def test_the_mistakes_of_kpt_take_two_steps(
    design: Design[Kpt], violated: Property[Kpt], kept: Property[Kpt]
) -> None:
    scope = scope_of_size((2, 2, 3, 4))
    found = search(design, {p: 5 for p in (SAFE, violated, kept)}, scope, FOREVER)
    assert [found[p.name].depth for p in (SAFE, violated)] == [2, 2]
    assert found[kept.name].trace is None


def test_kpt_is_proved_for_any_size() -> None:
    proof = proved(kpt, [SAFE, P1, P2], FOREVER)
    assert set(proof.proved) >= {SAFE, P1, P2}
    texts = [p.text for p in proof.proofs.values()]
    assert {Z3().solve(text, 60_000).answer for text in texts} == {"unsat"}
    assert {second.solve_text(text, 60_000).answer for text in texts} == {"unsat"}
