"""Bounded search: the shortest run to a violation, over circuits and a SAT solver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from time import monotonic
from typing import Any

from mapproof.model.language import circuit as c
from mapproof.model.language.bounded import Encoder, Unrolling
from mapproof.model.language.concrete import Event, Machine
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.nodes import Node, negate
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

from .sat import CircuitSolver
from .trace import Cell, Trace, replay

DEFAULT_SIZE = 2


@dataclass(frozen=True)
class Searched:
    """The outcome of a search: a trace, or the depth to which there is none, or why it stopped."""

    trace: Trace | None
    depth: int
    scope: Scope
    reason: str = ""


def scope_of(design: Design[Any], system: System, sizes: Mapping[Any, int] | None = None) -> Scope:
    """The scope of a bounded search: what is asked for, else what the design says, else 2 each."""
    chosen = {**design.scope, **(sizes or {})}
    return Scope({sort: chosen.get(sort, DEFAULT_SIZE) for sort in system.sorts})


def search(
    design: Design[Any],
    prop: Property[Any],
    scope: Scope,
    depth: int,
    deadline: float,
    progress: Callable[[int], None] = lambda _: None,
) -> Searched:
    """The shortest run, of at most ``depth`` steps, that violates the property, at the smallest
    scope within ``scope`` that has one so short; for a ``sometimes``, the shortest run that shows it
    at ``scope`` itself.

    ``deadline`` is a value of time.monotonic().
    """
    system = design.system()
    claim = prop.closed()
    witness, two_states = prop.kind == "sometimes", prop.kind == "step"
    goal = negate(claim) if witness else claim
    sliced = system.sliced(claim)
    first = int(two_states)
    at = first
    try:
        hunt = _Hunt(sliced, scope, goal, two_states)
        for at in range(first, depth + 1):
            progress(at)
            run = hunt.run_of(at, deadline)
            if run is not None:
                if not witness:
                    run = _smallest(sliced, scope, goal, two_states, at, run, deadline)
                trace = _replayed(design, system, prop, *run, scope)
                return Searched(trace, len(trace.events), run[0])
            if hunt.dead_end:
                return Searched(None, depth, scope)
    except TimeoutError as error:
        return Searched(None, at - 1, scope, f"depth {at} of the bounded search: {error}")
    return Searched(None, depth, scope)


Run = tuple[Scope, dict[Cell, int], list[Event]]


class _Hunt:
    """Looks for runs of exactly so many steps, one step longer at a time."""

    def __init__(self, system: System, scope: Scope, goal: Node, two_states: bool) -> None:
        self.scope = scope
        self.goal = goal
        self.two_states = two_states
        self.unrolling = Unrolling(system, scope)
        self.solving = CircuitSolver(self.unrolling.circuit)
        self.solving.require(self.unrolling.possible)
        self.dead_end = self.unrolling.possible == c.FALSE

    def run_of(self, depth: int, deadline: float) -> Run | None:
        unrolling = self.unrolling
        while len(unrolling.enabled) < depth and not self.dead_end:
            unrolling.extend()
            self.solving.require(unrolling.enabled[-1])
            self.dead_end = unrolling.enabled[-1] == c.FALSE
        if self.dead_end:
            return None
        if not self.solving.holds(unrolling.violation(self.goal, self.two_states), deadline):
            return None
        true = self.solving.model()
        boot = unrolling.arbitrary(true)
        places = {place: (component, key) for component, key, place in unrolling.layout.cells()}
        return self.scope, {places[p]: v for p, v in boot.items()}, unrolling.events(true)


def _smallest(
    system: System, scope: Scope, goal: Node, two_states: bool, depth: int, run: Run, deadline: float
) -> Run:
    """A run no longer than this one at a scope with the fewest elements.

    A run at a scope is taken to be one at every larger scope, too.  Sizes are lowered one at a time;
    then every scope with one element fewer is tried, until none has a run.
    """
    sorts = list(scope)

    def attempt(sizes: tuple[int, ...]) -> Run | None:
        try:
            small = _Hunt(system, Scope(dict(zip(sorts, sizes, strict=True))), goal, two_states)
            runs = (small.run_of(at, deadline) for at in range(depth + 1) if at or not two_states)
            return next((run for run in runs if run is not None), None)
        except (DesignError, TimeoutError):  # an interpretation that has no such scope; out of time
            return None

    def with_total(total: int) -> Iterator[tuple[int, ...]]:
        return (s for s in product(*(range(1, scope[k] + 1) for k in sorts)) if sum(s) == total)

    best = tuple(scope[s] for s in sorts)
    for i in range(len(sorts)):
        while best[i] > 1:
            lower = (*best[:i], best[i] - 1, *best[i + 1 :])
            found = attempt(lower)
            if found is None:
                break
            best, run = lower, found
    while True:
        better = next(((s, r) for s in with_total(sum(best) - 1) if (r := attempt(s))), None)
        if better is None:
            return run
        best, run = better


def _replayed(
    design: Design[Any], system: System, prop: Property[Any], scope: Scope, boot: dict[Cell, int], events: list[Event], wide: Scope
) -> Trace:
    """The run of the sliced system as a run of the whole design, replayed concretely."""
    full = scope_of(design, system, {**wide, **scope})
    machine = Machine(system, full)
    transitions = {t.name: t for t in system.transitions}
    whole = [Event(transitions[e.transition.name], e.arguments) for e in events]
    return replay(design, prop, machine, complete_boot(system, machine, boot), whole)


def complete_boot(system: System, machine: Machine, fixed: dict[Cell, int]) -> dict[int, int]:
    """Values for every arbitrary place before booting that agree with ``fixed`` and with the
    design's assumptions about the maps that the slice left out."""
    places = {(component, key): place for component, key, place in machine.layout.cells()}
    known = {places[cell]: value for cell, value in fixed.items()}
    open_cells = set(machine.free_cells()) - known.keys()
    if not open_cells:
        return known
    encoder = Encoder(system, machine.scope)
    bits: dict[int, list[int]] = {}
    state = encoder.arbitrary_state(bits, open_cells)
    for (component, _), place in places.items():
        if place in known:
            entry = place - machine.layout.offset[component]
            state[component][entry] = encoder.constant(component.value, known[place])
    solving = CircuitSolver(encoder.circuit)
    facts = encoder.circuit.all(encoder.literal(n, {}, state) for n in (*system.axioms, system.init.when))
    if not solving.holds(facts, monotonic() + 60):
        raise DesignError(f"the assumptions of the design cannot hold at scope {machine.scope}")
    true = solving.model()
    sizes = {place: machine.scope[component.value] for (component, _), place in places.items()}
    for place, inputs in bits.items():
        known[place] = min(sum(true(b) << i for i, b in enumerate(inputs)), sizes[place] - 1)
    return known
