"""Lemmas that nobody wrote: what they prove, that they are true, and what becomes of false ones."""

from __future__ import annotations

from itertools import islice, product
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from mapproof.catalog import Catalog
from mapproof.model.language import (
    FALSE,
    TRUE,
    Bool,
    Design,
    DesignError,
    State,
    Step,
    Var,
    always,
    ite,
    nodes,
    operation,
)
from mapproof.model.language.concrete import Machine
from mapproof.model.language.nodes import negate
from mapproof.model.language.terms import enumeration
from mapproof.proofs import deadline
from mapproof.proofs.check import Options, check
from mapproof.proofs.implicants import Implicant
from mapproof.proofs.induction import Prover, induction
from mapproof.proofs.inference import Inference, scope_for
from mapproof.proofs.lemma import Lemma
from mapproof.proofs.obligations import Obligation
from mapproof.proofs.samples import Samples, uninterpreted
from mapproof.proofs.verdict import Verdict

from .random_designs import designs_with_scopes

DESIGNS = Catalog().designs
LARGE = pytest.mark.slow
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
SMALL = ["kpt", "kpt-buggy", "vmalloc-pae-2019", "vmalloc-pae-break-early", "vmalloc-x86-64"]
VARIANTS = [n for n in DESIGNS if n.startswith("kaiser-v2-")]


@always
def unreadable(s: State) -> Bool:
    """A lemma that nobody may look at."""
    raise AssertionError("an author's lemma was read")


@pytest.mark.parametrize(
    "name", [*SMALL, "kaiser-v2", *(pytest.param(n, marks=LARGE) for n in VARIANTS)]
)
def test_everything_true_is_proved_with_nothing_given(name: str) -> None:
    design = DESIGNS[name]
    given = check(design, Options(lemmas="given"))
    found = check(design.but(name=name, lemmas=[unreadable]), Options(lemmas="infer", timeout=200))
    assert [(r.property, r.verdict) for r in found] == [(r.property, r.verdict) for r in given]
    for result in found:
        if result.verdict is Verdict.PROVED and result.kind != "sometimes":
            assert result.checked_by
            assert {x.name for x in result.inferred} <= set(result.lemmas)


def explored(design: Design[Any], sizes: dict[Any, int], most: int) -> tuple[Machine, list[Any]]:
    machine = Machine(design.system(), design.scope_at(sizes))
    found = dict.fromkeys(machine.initial_states())
    todo = list(found)
    for state in todo:  # grows
        for after in machine.successor_states(state):
            if after not in found and len(found) < most:
                found[after] = None
                todo.append(after)
    return machine, todo


@pytest.mark.parametrize("name", ["kpt", "vmalloc-pae-2019", "vmalloc-x86-64"])
def test_lemmas_hold_in_every_state_that_exploration_reaches(name: str) -> None:
    design = DESIGNS[name]
    results = check(design, Options(lemmas="infer"))
    lemmas = {x.name: x for r in results for x in r.inferred}
    assert lemmas
    machine, states = explored(design, {}, 20_000)
    for lemma in lemmas.values():
        assert all(machine.evaluate(lemma.closed(), s) for s in states)


def test_a_deadline_counts_work_and_a_few_times_as_much_on_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0, 5.0]
    monkeypatch.setattr(deadline, "thread_time", lambda: now[0])
    monkeypatch.setattr(deadline, "monotonic", lambda: now[1])
    until, passed = deadline.Deadline(10), []
    last = 5 + 10 * deadline.WAITING
    for later in ([109.9, last], [110.1, 6.0], [101.0, last + 0.1]):
        now[:] = later
        passed.append(until.passed)
    assert passed == [False, True, True]


def test_without_time_nothing_is_found() -> None:
    design = DESIGNS["vmalloc-pae-2019"]
    inference = Inference(design, [p for p in design.properties if p.kind != "sometimes"], 0.0)
    inference.settle()
    assert not inference.lemmas
    assert not inference.claims


def test_the_same_lemmas_on_every_run() -> None:
    found = []
    for _ in range(2):
        design = DESIGNS["vmalloc-pae-2019"]
        inference = Inference(design, [p for p in design.properties if p.kind != "sometimes"], 60.0)
        inference.settle()
        found.append([x.clause for x in inference.lemmas])
    assert found[0]
    assert found[0] == found[1]


@always
def lemma_1(s: State) -> Bool:
    """What an author may call a lemma."""
    return TRUE


def test_the_names_of_an_author_are_not_used_again() -> None:
    design = DESIGNS["kpt"].but(name="kpt", lemmas=[lemma_1])
    results = check(design, Options())
    assert all(r.verdict is Verdict.PROVED for r in results)
    names = {x.name for r in results for x in r.inferred}
    assert names
    assert "lemma_1" not in names


# A clock that strikes long after every random walk has ended.

LAST = 60
Hour: Any = enumeration("Hour", tuple(f"H{i}" for i in range(LAST + 1)))


def hour(i: int) -> Any:
    return getattr(Hour, f"H{i}")


class Clock(State):
    """The hour, and whether the clock has struck."""

    hour: Var[Hour]  # pyright: ignore[reportInvalidTypeForm]
    struck: Var[Bool]


@operation(kernel="none")
def wind(s: Clock) -> Step:
    """The clock starts at its first hour."""
    return Step(when=TRUE, then=[s.hour.become(hour(0)), s.struck.become(FALSE)])


@operation(kernel="none")
def tick(s: Clock) -> Step:
    """An hour passes; after the last one the clock strikes."""
    following = hour(LAST)
    for i in range(LAST):
        following = ite(s.hour.now == hour(i), hour(i + 1), following)
    struck = s.struck.now | (s.hour.now == hour(LAST))
    return Step(when=TRUE, then=[s.hour.become(following), s.struck.become(struck)])


@always
def silent(s: Clock) -> Bool:
    """The clock has not struck."""
    return ~s.struck.now


def test_a_lemma_that_holds_as_far_as_anyone_has_walked_is_taken_back() -> None:
    clock = Design(name="clock", state=Clock, init=wind, operations=[tick], properties=[silent])
    (result,) = check(clock, Options(lemmas="infer"))
    assert result.verdict is Verdict.VIOLATED
    assert result.depth == LAST + 1


@operation(kernel="none")
def tick_short(s: Clock) -> Step:
    """An hour passes, but never the last one."""
    following = s.hour.now
    for i in range(LAST - 1):
        following = ite(s.hour.now == hour(i), hour(i + 1), following)
    struck = s.struck.now | (s.hour.now == hour(LAST))
    return Step(when=TRUE, then=[s.hour.become(following), s.struck.become(struck)])


def test_what_no_step_reaches_is_a_lemma() -> None:
    clock = Design(
        name="clock", state=Clock, init=wind, operations=[tick_short], properties=[silent]
    )
    (result,) = check(clock, Options(lemmas="infer"))
    assert result.verdict is Verdict.PROVED
    assert [str(x.clause) for x in result.inferred] == [f"hour != Hour.H{LAST}"]


# The parts.


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(designs_with_scopes(2000), st.randoms(use_true_random=False))
def test_the_cause_of_a_step_implies_it(drawn: Any, random: Random) -> None:
    """Wherever the literals of a cause are true, so is the term that they were found for."""
    design, scope, *_ = drawn
    try:
        machine = Machine(uninterpreted(design.system()), scope)
    except DesignError:  # an assumption that is false whatever the maps are
        reject()
    sizes = [scope[c.value] for c, _, _ in machine.layout.cells()]
    states = [machine.freeze([random.randrange(n) for n in sizes]) for _ in range(30)]
    for transition in design.system().transitions:
        variables = [p.variable for p in transition.parameters]
        arguments = [
            dict(zip(variables, values, strict=True))
            for values in scope.combinations(v.sort for v in variables)
        ]
        for state, values in islice(product(states, arguments), 40):
            if not machine.evaluate(transition.when, state, None, values):
                continue
            cause = Implicant(machine, state, values)
            cause.require(transition.when)
            cause.instantiate()
            cause.describe()
            assert all(cause.holds(x) for x in cause.literals)
            fresh = [v for v in cause.values if v not in values]
            whole = nodes.conj(cause.literals)
            for other, more in product(states, arguments):
                for extra in islice(scope.combinations(v.sort for v in fresh), 50):
                    env = more | dict(zip(fresh, extra, strict=True))
                    inner = {v: env[v] for v in whole.variables}
                    if machine.evaluate(whole, other, None, inner):
                        when = {v: env[v] for v in transition.when.variables}
                        assert machine.evaluate(transition.when, other, None, when)


def test_samples_find_what_occurs_and_only_that() -> None:
    """The join over tables, beside a look at every state with every choice of elements."""
    design = DESIGNS["kpt"]
    samples = Samples(design.system(), scope_for(design))
    machine = samples.machine
    for prop in (p for p in design.properties if p.kind == "always"):
        body = prop.body()
        literals = [*(body.args if body.op in ("and", "or") else (body,))]
        for cube in (literals, [negate(x) for x in literals]):
            variables = list(dict.fromkeys(v for x in cube for v in x.variables))
            naive = any(
                all(machine.evaluate(x, s, None, {v: env[v] for v in x.variables}) for x in cube)
                for s in samples.states
                for values in machine.scope.combinations(v.sort for v in variables)
                for env in [dict(zip(variables, values, strict=True))]
            )
            found = samples.occurrence(cube)
            assert (found is not None) == naive
            if found is not None:
                state, env = found
                for x in cube:
                    assert machine.evaluate(x, state, None, {v: env[v] for v in x.variables})


def test_samples_are_reached_states_of_any_interpretation() -> None:
    """Every sample satisfies what a design with every property proved says of reachable states."""
    design = DESIGNS["vmalloc-pae-2019"]
    samples = Samples(design.system(), scope_for(design))
    claims = [p for p in design.properties if p.kind == "always"]
    rigid = [c for c in samples.machine.system.components if c.rigid]
    seen = {
        tuple(samples.machine.cell(s, c, k) for c in rigid for k in keys(samples, c))
        for s in samples.states
    }
    assert len(seen) > 3  # interpretations
    for claim in claims:
        assert all(samples.machine.evaluate(claim.closed(), s) for s in samples.states)


def keys(samples: Samples, component: Any) -> list[tuple[int, ...]]:
    return list(samples.machine.scope.combinations(component.keys))


class Liar:
    """Offers lemmas that are false, one after the other."""

    def __init__(self, false: list[Lemma]) -> None:
        self.left = false

    @property
    def lemmas(self) -> list[Lemma]:
        return self.left[:1]

    def enough(self, cell: Obligation) -> list[Lemma]:
        return self.left[:1]

    def mend(self, cell: Obligation) -> bool:
        return False

    def give_up(self, name: str) -> None:
        self.left = [x for x in self.left if x.name != name]


@pytest.mark.parametrize("name", ["kpt-buggy", "kpt-bugpgd", "vmalloc-pae-break-early"])
def test_no_lemma_is_believed(name: str) -> None:
    """Whatever is offered has to be proved itself."""
    design = DESIGNS[name]
    violated = [
        design.property_named(r.property)
        for r in check(design, Options(lemmas="given"))
        if r.verdict is Verdict.VIOLATED
    ]
    claims = [p for p in violated if p.kind == "always"]
    assert claims
    false = [nodes.FALSE_NODE, *(p.body() for p in claims)]
    liar = Liar([Lemma(clause, f"lie_{i}") for i, clause in enumerate(false)])
    prover = Prover(design.system(), 60.0)
    found = induction(design, claims, [], prover, inferred=liar)
    assert not set(found.proved) & set(claims)
    assert not found.proofs
