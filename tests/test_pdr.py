"""The finite-scope prover against enumeration."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from hypothesis import event

from mapproof.model.designs.kpt import kpt, kpt_buggy, kpt_bugpgd
from mapproof.model.language import (
    FALSE,
    TRUE,
    Bool,
    Design,
    DesignError,
    Fun,
    Map,
    Scope,
    Sort,
    State,
    Step,
    always,
    assumption,
    operation,
)
from mapproof.model.language.latches import Sequential
from mapproof.model.language.property import Property
from mapproof.model.language.solver import Z3
from mapproof.proofs import second
from mapproof.proofs.check import Options, check
from mapproof.proofs.finite import Settled, scripts, settle
from mapproof.proofs.pdr import Invariant, pdr
from mapproof.proofs.search import sliced_for
from mapproof.proofs.verdict import Verdict
from mapproof.properties.kpt import DEEP, P1, P2, SAFE

from .agreement import FOREVER
from .brute_force import BruteForce
from .test_readings import Size, run, scope_of_size

BARE = kpt.but(name="kpt-bare", lemmas=[], properties=[P1, P2, SAFE])


def ask_z3(script: str) -> str:
    return Z3().solve(script, 60_000).answer


def ask_both(script: str) -> str:
    answers = {Z3().solve(script, 60_000).answer, second.solve_text(script, 60_000).answer}
    assert len(answers) == 1
    return answers.pop()


def settled(
    design: Design[Any], prop: Property[Any], scope: Scope, ask: Callable[[str], str] = ask_z3
) -> Settled:
    return settle(design, prop, scope, FOREVER, ask)


# --- against enumeration -------------------------------------------------------------------------


def check_prover(design: Design[Any], scope: Scope) -> None:
    """The prover finds a run where the oracle finds a violation, and an invariant elsewhere."""
    oracle = BruteForce(design, scope)
    layers = oracle.layers()
    for prop in design.properties:
        expected = oracle.shortest(prop, layers)
        try:
            found = settled(design, prop, scope)
        except DesignError:
            assert layers[0] == set()
            continue
        event(f"{prop.kind} at {expected}")
        if not layers[0]:  # a slice may start where the whole design does not
            continue
        assert not found.reason
        assert (found.trace is None) == (expected is None)
        assert (found.invariant is None) == (expected is not None)
        if found.trace is not None and expected is not None:
            assert len(found.trace.events) >= expected


def test_the_prover_agrees_with_enumeration() -> None:
    run(check_prover, 120, False)


@pytest.mark.slow
def test_the_prover_agrees_with_enumeration_on_many_designs() -> None:
    run(check_prover, 3000, False)


# --- the benchmark -------------------------------------------------------------------------------

SMALL: list[Size] = [(1, 2, 2, 3), (2, 2, 3, 4), (2, 3, 4, 6), (3, 4, 6, 8), (4, 6, 8, 12)]
LARGE: list[Size] = [(6, 8, 12, 18), (8, 12, 16, 28)]


def check_safe(size: Size, ask: Callable[[str], str]) -> None:
    found = settled(kpt, SAFE, scope_of_size(size), ask)
    assert found.invariant is not None
    assert found.invariant.clauses


@pytest.mark.parametrize("size", SMALL[:3])
def test_kpt_is_safe_and_both_solvers_confirm_it(size: Size) -> None:
    check_safe(size, ask_both)


@pytest.mark.parametrize("size", SMALL[3:])
def test_kpt_is_safe_at_scopes_that_cannot_be_enumerated(size: Size) -> None:
    check_safe(size, ask_z3)


@pytest.mark.slow
@pytest.mark.parametrize("size", LARGE)
def test_kpt_is_safe_at_large_scopes(size: Size) -> None:
    check_safe(size, ask_z3)


@pytest.mark.parametrize("size", SMALL)
@pytest.mark.parametrize(("design", "prop"), [(kpt_buggy, P1), (kpt_bugpgd, P2), (kpt_buggy, SAFE)])
def test_the_mistakes_of_kpt_are_found(
    design: Design[Any], prop: Property[Any], size: Size
) -> None:
    found = settled(design, prop, scope_of_size(size))
    assert found.trace is not None
    assert len(found.trace.events) >= 2


@pytest.mark.parametrize("size", SMALL[:3])
def test_the_fullest_state_is_reached(size: Size) -> None:
    """A run of so many steps is far beyond a bounded search at the larger sizes."""
    mms, _, kernel, frames = size
    entry = max(1, kernel // 2)
    found = settled(kpt, DEEP, scope_of_size(size))
    assert found.trace is not None
    assert len(found.trace.events) >= (frames - entry) + 3 * mms + mms * entry


# --- what is said --------------------------------------------------------------------------------


def test_a_proof_is_the_same_on_every_run() -> None:
    system, scope = sliced_for(kpt.system(), [SAFE]), scope_of_size((2, 2, 3, 4))
    one, two = (pdr(Sequential(system, scope), SAFE, FOREVER) for _ in range(2))
    assert isinstance(one, Invariant)
    assert isinstance(two, Invariant)
    assert one.lines() == two.lines()
    assert "sh[0, 0] == 0 | sh[0, 0] == none" in one.lines()


def test_an_invariant_that_lacks_a_clause_is_not_confirmed() -> None:
    sequential = Sequential(sliced_for(kpt.system(), [SAFE]), scope_of_size((1, 2, 2, 3)))
    found = pdr(sequential, SAFE, FOREVER)
    assert isinstance(found, Invariant)

    def answers(clauses: Any) -> set[str]:
        lacking = Invariant(found.atoms, tuple(clauses), found.frames)
        return {ask_both(text) for _, text in scripts(sequential, SAFE, lacking)}

    assert answers(found.clauses) == {"unsat"}
    assert answers([]) == {"sat", "unsat"}
    lacking = [answers(k for k in found.clauses if k != clause) for clause in found.clauses]
    assert {"sat", "unsat"} in lacking


def test_nothing_is_proved_unless_the_second_solver_confirms_it() -> None:
    found = settled(kpt, SAFE, scope_of_size((1, 2, 2, 3)), lambda _: "unknown")
    assert found == Settled(reason="the second solver answers unknown to: it holds at the start")


def test_the_time_limit_is_kept() -> None:
    started = monotonic()
    found = settle(kpt, DEEP, scope_of_size((8, 12, 16, 28)), 1.0, ask_z3)
    assert found == Settled(reason="time limit")
    assert monotonic() - started < 10


def test_what_is_not_inductive_for_any_size_is_proved_at_the_scope() -> None:
    one, two, both = check(BARE, Options(lemmas="given"))
    for result in (one, both):
        assert result.verdict is Verdict.PROVED_AT_SCOPE
        assert result.scope == {"mm": 2, "userpage": 2, "kernelpage": 3, "frame": 4}
        assert result.checked_by
        assert result.reason.startswith("not for any size: user_free may break it")
    assert two.verdict is Verdict.PROVED


def test_a_violation_beyond_the_depth_is_shown_by_a_shortest_run() -> None:
    never = DEEP.never()
    design = BARE.but(name="kpt-never-full", properties=[never])
    (result,) = check(design, Options(depth=2, scope=scope_of_size((1, 2, 2, 3))))
    assert result.verdict is Verdict.VIOLATED
    assert result.depth == 5  # at a smaller scope
    assert result.trace is not None
    assert result.replayed


def test_a_job_is_done_beyond_the_depth_or_not_at_all_at_the_scope() -> None:
    full = kpt.but(name="kpt-full", lemmas=[], properties=[DEEP])
    (result,) = check(full, Options(depth=2, scope=scope_of_size((2, 3, 4, 6))))
    assert result.verdict is Verdict.PROVED
    assert result.depth is not None
    assert result.depth >= 14
    (result,) = check(full, Options(depth=2, scope=scope_of_size((2, 1, 2, 2))))
    assert result.verdict is Verdict.UNKNOWN
    assert result.reason.startswith("it cannot happen at ")


class Page(Sort): ...


class Slot(Sort): ...


class Slots(State):
    used: Map[Slot, Bool]
    page_of: Fun[Slot, Page]


@operation
def nothing_used(s: Slots) -> Step:
    return Step(when=TRUE, then=[s.used.fill(lambda i: FALSE)])


@assumption
def own_pages(s: Slots, i: Slot, j: Slot) -> Bool:
    return (s.page_of[i] == s.page_of[j]).implies(i == j)


@always
def unused(s: Slots, i: Slot) -> Bool:
    return ~s.used[i]


def test_nothing_is_proved_where_the_design_cannot_start() -> None:
    """The property has nothing to do with the assumption that two slots on one page break."""
    design = Design(
        name="slots",
        state=Slots,
        init=nothing_used,
        properties=[unused],
        assumptions=[own_pages],
    )
    assert settled(design, unused, Scope({Slot: 2, Page: 2})).invariant is not None
    with pytest.raises(DesignError, match="no initial state"):
        settled(design, unused, Scope({Slot: 2, Page: 1}))


def test_at_a_large_scope_a_job_may_be_seen_on_a_smaller_machine() -> None:
    """The fullest state of kpt is 66 steps away there; it is not looked for until time is up."""
    full = kpt.but(name="kpt-full", properties=[DEEP])
    large = scope_of_size((6, 8, 12, 18))
    (result,) = check(full, Options(scope=large))
    own = kpt.scope_at()
    assert (result.verdict, result.depth) == (Verdict.PROVED, 11)
    assert result.scope == own.names()
    assert result.reason.startswith(f"on a smaller machine, {own}; at ")


def test_at_a_scope_below_that_of_the_design_no_other_machine_is_looked_at() -> None:
    full = kpt.but(name="kpt-full", properties=[DEEP])
    (result,) = check(full, Options(scope=scope_of_size((1, 1, 1, 1))))
    assert result.verdict is not Verdict.PROVED
