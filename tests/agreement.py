"""What the engines say of one design, each compared with the oracle of the tests.

A contradiction is an AssertionError, or whatever else an engine raises that it should not.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, pairwise
from random import Random
from typing import Any

from mapproof.model.language import TRUE, Design, DesignError, Operation, Scope, Step
from mapproof.model.language.concrete import Machine
from mapproof.model.language.property import Property
from mapproof.model.language.terms import wrap
from mapproof.model.language.unbounded import check_stratified
from mapproof.proofs.certified_any_size import certificate
from mapproof.proofs.finite import settle
from mapproof.proofs.induction import Induction, Prover, Rechecker, induction
from mapproof.proofs.inference import Inference
from mapproof.proofs.obligations import grid
from mapproof.proofs.search import Searched, search
from mapproof.proofs.trace import Trace
from mapproof.proofs.verify import Standing, Verifier
from mapproof.proofs.worker import Solvers

from .brute_force import BruteForce, Event, Frozen, State
from .random_designs import all_scopes, random_design

FOREVER = 3600.0
INDUCTION = 3.0  # seconds for the proofs of one design
INFERENCE = 2.0  # seconds for the lemmas of one design
MOST_STATES = 300  # of a design at its scope, reachable or not
ELSEWHERE = 150  # the same at the scopes at which a proof for any size is tried
SAMPLE = 6  # states in which what is to be proved of a step is evaluated
STRATIFIED = 0.8  # of the designs: only those can be proved for any size

Pair = tuple[str, str, str, str]  # kind of claim, what the oracle says, which engine, what it says

TRUTH = {  # whether the oracle found a violation (a ``sometimes``: a witness)
    ("sometimes", True): "happens",
    ("sometimes", False): "never happens",
    ("claim", True): "violated",
    ("claim", False): "holds",
}


# One claim at one scope.


def decoded(oracle: BruteForce, machine: Machine, state: Any) -> Frozen:
    """A state of the concrete reading as one of the oracle's."""
    values: dict[Any, Any] = {}
    for c in machine.system.components:
        keys = machine.scope.combinations(c.keys)
        for index, key in zip(keys, oracle.tuples(c.keys), strict=True):
            value = machine.cell(state, c, index)
            values[c.name, key] = oracle.domain(c.value)[value]
    return tuple(values[cell] for cell in oracle.cells)


def check_found(
    design: Design[Any],
    prop: Property[Any],
    found: Searched,
    scope: Scope,
    expected: int | None,
    possible: bool,
) -> None:
    """What a search found, against the shortest violation at its scope (if a start is possible)."""
    assert not found.reason
    if found.trace is None or possible:
        assert (found.trace is None) == (expected is None)
    if found.trace is None:
        return
    check_trace(prop, found.trace)
    small = found.trace.machine.scope
    assert all(small[sort] <= size for sort, size in scope.items())
    oracle = BruteForce(design, small)
    assert found.depth == len(found.trace.events) == oracle.shortest(prop, oracle.layers())
    if expected is not None:
        assert found.depth == expected if small == scope else found.depth <= expected


def check_trace(prop: Property[Any], trace: Trace) -> None:
    """A trace is a run of the design that shows what is claimed of the property."""
    oracle = BruteForce(trace.design, trace.machine.scope)
    states = [decoded(oracle, trace.machine, s) for s in trace.states]
    assert len(states) == len(trace.events) + 1
    assert states[0] in oracle.layers()[0]
    for old, new in pairwise(states):
        assert new in set(oracle.successors(old))
    last = [oracle.thaw(s) for s in [states[0], *states][-2:]]
    assert oracle.holds(prop, *last) is (prop.kind == "sometimes")


# All engines on one design.


class Comparison:
    """The engines' verdicts on the claims of a design, beside the oracle's at one scope.

    ``pairs`` raises AssertionError where two contradict each other.
    """

    def __init__(self, design: Design[Any], scope: Scope, solvers: Solvers) -> None:
        self.design, self.scope, self.solvers = design, scope, solvers
        self.oracle = BruteForce(design, scope)
        self.layers = self.oracle.layers()
        self.possible = bool(self.layers[0])  # else there is no initial state
        self.expected = {p: self.oracle.shortest(p, self.layers) for p in design.properties}

    def pairs(self) -> Iterator[Pair]:
        """Each claim with the oracle's verdict and that of each engine which has one."""
        self._rewritten()
        yield from self._searched()
        yield from self._at_scope()
        yield from self._for_any_size(inferred=False)
        yield from self._for_any_size(inferred=True)

    def _pair(self, prop: Property[Any], engine: str, verdict: str) -> Pair:
        kind = "sometimes" if prop.kind == "sometimes" else "claim"
        truth = TRUTH[kind, self.expected[prop] is not None] if self.possible else "no start"
        return prop.kind, truth, engine, verdict

    def _rewritten(self) -> None:
        """What is to be proved of a step, evaluated before it, is the claim after it."""
        claims = [
            p for p in (*self.design.properties, *self.design.lemmas) if p.kind != "sometimes"
        ]
        oracle, system = self.oracle, self.design.system()
        events = defaultdict[str, list[Event]](list)
        for event in oracle.events:
            events[event.name].append(event)
        before = list(islice(oracle.all_states(), 200))
        reached = [oracle.thaw(s) for s in sorted(set().union(*self.layers), key=repr)]
        for cell in grid("", system, claims):
            prop = next(p for p in claims if p.name == cell.prop.name)
            parameters = cell.transition.parameters
            calls = [oracle.start] if cell.initial else events[cell.transition.name]
            for arguments, event in zip(
                oracle.tuples(p.sort for p in parameters), calls, strict=True
            ):
                env = {p.variable: v for p, v in zip(parameters, arguments, strict=True)}
                for old in spread(before if cell.initial else reached):
                    enabled = oracle.evaluate(cell.transition.when, old, old, env)
                    assert enabled is oracle.enabled(old, event), cell.name
                    if enabled:
                        after = oracle.holds(prop, old, oracle.after(old, event))
                        assert oracle.evaluate(cell.goal, old, old, env) is after, cell.name

    def _searched(self) -> Iterator[Pair]:
        """The shortest runs, of a search as deep as there are new states."""
        properties = self.design.properties
        try:
            deep = dict.fromkeys(properties, len(self.layers))
            found = search(self.design, deep, self.scope, FOREVER)
        except DesignError:
            assert not self.possible
            return
        for prop in properties:
            seen = found[prop.name]
            check_found(self.design, prop, seen, self.scope, self.expected[prop], self.possible)
            told = f"run of {seen.depth}" if seen.trace else "no run"
            yield self._pair(prop, "bounded search", re.sub("[0-9]{2,}", "10 or more", told))

    def _at_scope(self) -> Iterator[Pair]:
        """The finite-scope prover, its invariants confirmed."""
        for prop in self.design.properties:
            with closing(Rechecker(FOREVER, self.solvers)) as second:
                try:
                    found = settle(self.design, prop, self.scope, FOREVER, second.ask)
                except DesignError:
                    assert not self.possible
                    continue
            assert not found.reason, found.reason
            assert self.possible
            assert (found.trace is None) == (self.expected[prop] is None)
            if found.trace is not None:
                check_trace(prop, found.trace)
            yield self._pair(prop, "at the scope", "run" if found.trace else "proved")

    def _for_any_size(self, *, inferred: bool) -> Iterator[Pair]:
        """Induction, with the second solver and a certificate; it has no other verdict.  Lemmas are
        the design's, or inferred ones."""
        try:
            check_stratified(self.design.system())
        except DesignError:
            return
        claims = [p.never() if p.kind == "sometimes" else p for p in self.design.properties]
        helpers, source = self.design.lemmas, None
        if inferred:
            try:
                source = Inference(self.design, claims, INFERENCE)
            except DesignError:
                return
            source.settle()
            claims = [c for c in claims if c in source.claims]
            helpers = ()
        engine = "inferred lemmas" if inferred else "any size"
        prover = Prover(self.design.system(), INDUCTION, self.solvers)
        with closing(Rechecker(INDUCTION, self.solvers)) as second:
            found = second.submit
            proof = induction(self.design, claims, helpers, prover, found=found, inferred=source)
            answers = {p.cell.name: second.answer(p).answer for p in proof.proofs.values()}
        assert "sat" not in answers.values(), f"the second solver: {answers}"
        for claim in claims:
            prop = next(
                p for p in self.design.properties if claim.name in (p.name, f"never_{p.name}")
            )
            if claim in proof.proved:
                names = (claim.name, *proof.uses(claim.name))
                cells = [c.cell.name for n in names for c in proof.cells_of(n)]
                sure = all(answers[c] == "unsat" for c in cells)
                yield self._pair(prop, engine, "proved" if sure else "second gave up")
                self._hold_everywhere([prop, *(h for h in helpers if h.name in names)])
                if sure and claim is prop:
                    self._certified(prop, proof)

    def _hold_everywhere(self, proved: Sequence[Property[Any]]) -> None:
        for size in all_scopes(self.design, ELSEWHERE):
            oracle = BruteForce(self.design, size)
            layers = oracle.layers()
            assert all(oracle.shortest(p, layers) is None for p in proved), size

    def _certified(self, prop: Property[Any], proof: Induction) -> None:
        """What is written of a proof verifies, and as a proof of this design."""
        content = certificate(self.design, prop.name, proof).text().encode()
        checked = Verifier(timeout=FOREVER).verify(content, lambda _: self.design)
        assert checked.standing is Standing.PROVED, checked.reason
        assert checked.bound


def spread(states: Sequence[State]) -> Sequence[State]:
    """Some of them, evenly spaced."""
    return states[:: len(states) // SAMPLE + 1]


# Many designs.


@dataclass
class Tally:
    """What was compared."""

    designs: int = 0
    claims: int = 0
    pairs: Counter[Pair] = field(default_factory=Counter)


@dataclass
class Contradiction(Exception):
    """Two readings of a design that contradict each other; the design is made small."""

    seed: int
    design: Design[Any]
    scope: Scope
    error: Exception


def drawn(seed: int) -> tuple[Design[Any], Scope] | None:
    """The random design of a seed, and a scope; None if it is too large at every scope."""
    random = Random(seed)
    design = random_design(random, stratified=random.random() < STRATIFIED)
    scopes = all_scopes(design, MOST_STATES)
    return (design, random.choice(scopes[len(scopes) // 2 :])) if scopes else None


def compare_many(seeds: Iterable[int], solvers: Solvers, tally: Tally) -> Iterator[int]:
    """Compare the designs of some seeds, each of which is told when it is done.

    Raises Contradiction.
    """
    for seed in seeds:
        made = drawn(seed)
        if made is not None:
            error = failure(*made, solvers, tally)
            if error is not None:
                small = shrunk(*made, solvers, type(error))
                raise Contradiction(seed, *small, error)
            tally.designs += 1
            tally.claims += len(made[0].properties)
        yield seed


def failure(
    design: Design[Any], scope: Scope, solvers: Solvers, tally: Tally | None = None
) -> Exception | None:
    """The contradiction in a design, if there is one; else its verdicts are counted."""
    try:
        found = Counter(Comparison(design, scope, solvers).pairs())
    except Exception as error:
        return error
    if tally is not None:
        tally.pairs += found
    return None


def shrunk(
    design: Design[Any], scope: Scope, solvers: Solvers, error: type[Exception]
) -> tuple[Design[Any], Scope]:
    """The design without whatever the same kind of error does not need."""
    again = True
    while again:
        again = False
        for small in simpler(design, scope):
            if type(failure(*small, solvers)) is error:
                (design, scope), again = small, True
                break
    return design, scope


def simpler(design: Design[Any], scope: Scope) -> Iterator[tuple[Design[Any], Scope]]:
    """Designs with one thing less, and smaller scopes."""
    for what in ("procedures", "properties", "lemmas", "operations", "assumptions"):
        items = list(getattr(design, what))
        for i in range(len(items)):
            fewer: dict[str, Any] = {what: items[:i] + items[i + 1 :]}
            yield replace(design, **fewer), scope
    for i, op in enumerate(design.operations):
        for less in plainer(op):
            others = [*design.operations[:i], less, *design.operations[i + 1 :]]
            yield replace(design, operations=others), scope
    for less in plainer(design.init):
        yield replace(design, init=less), scope
    for sort, size in scope.items():
        if size > 1:
            yield design, Scope({**scope, sort: size - 1})


def plainer(op: Operation[Any, ...]) -> Iterator[Operation[Any, ...]]:
    """The operation without its guard, and without one of its writes."""
    step = op(op.state(0), *(wrap(p.variable) for p in op.parameters))

    def but(change: Callable[[Step], Step]) -> Operation[Any, ...]:
        made = copy(op)
        made.function = lambda *arguments: change(op.function(*arguments))
        return made

    if step.when.node != TRUE.node:
        yield but(lambda s: replace(s, when=TRUE))
    for i in range(len(step.then)):
        yield but(partial(_without, i))


def _without(i: int, step: Step) -> Step:
    return replace(step, then=[*step.then[:i], *step.then[i + 1 :]])
