"""Bounded search: shortest runs to a violation, over circuits and a SAT solver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from mapproof.model.language import circuit as c
from mapproof.model.language.bounded import Encoder, Unrolling
from mapproof.model.language.concrete import Event, Machine
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.nodes import (
    TRUE_NODE,
    Node,
    negate,
    read,
    rewrite_reads,
)
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

from .sat import CircuitSolver
from .trace import Cell, Run, Trace, replay


@dataclass(frozen=True)
class Searched:
    """The outcome for one property: a trace, or the depth to which there is none, or why it stopped."""

    trace: Trace | None
    depth: int
    scope: Scope
    reason: str = ""


def search(
    design: Design[Any],
    properties: Mapping[Property[Any], int],
    scope: Scope,
    timeout: float,
    progress: Callable[[int], None] = lambda _: None,
    *,
    shrink: bool = True,
) -> dict[str, Searched]:
    """For each property the shortest run, of at most as many steps as given with it, that violates
    it, shrunk to a scope in which no sort can be made smaller (unless ``shrink`` is off); for a
    ``sometimes``, the shortest run that shows it, at ``scope`` itself.  All properties share one
    unrolling.

    ``timeout`` is in seconds, for the whole search.  Raises DesignError if the design has no machine
    at the scope.
    """
    deadline = monotonic() + timeout
    system = sliced_for(design.system(), properties)
    hunt = _Hunt(system, scope)
    goals = {p.name: _Goal(p) for p in properties}
    found: dict[str, Searched] = {}
    at = 0
    try:
        for at in range(max(properties.values(), default=-1) + 1):
            left = [p for p in properties if p.name not in found and properties[p] >= at]
            if not left or not hunt.reach(at):
                break
            progress(at)
            for prop in left:
                run = hunt.run_of(goals[prop.name], deadline)
                if run is not None:
                    found[prop.name] = _settled(design, prop, run, deadline, shrink=shrink)
    except TimeoutError as error:
        why = f"step {at} of the bounded search: {error}"
        return {p.name: found.get(p.name) or Searched(None, at - 1, scope, why) for p in properties}
    return {p.name: found.get(p.name) or Searched(None, d, scope) for p, d in properties.items()}


def can_move(design: Design[Any], scope: Scope, timeout: float) -> bool:
    """Some step is possible in an initial state.  Raises TimeoutError."""
    hunt = _Hunt(design.system(), scope)
    return hunt.reach(1) and hunt.solving.holds(c.TRUE, monotonic() + timeout)


class _Goal:
    """What a run is to end in, as a closed term that is false there."""

    def __init__(self, prop: Property[Any]) -> None:
        self.term: Node = negate(prop.closed()) if prop.kind == "sometimes" else prop.closed()
        self.two_states = prop.kind == "step"


class _Hunt:
    """Looks for runs of a growing length."""

    def __init__(self, system: System, scope: Scope) -> None:
        self.scope = scope
        self.unrolling = Unrolling(system, scope)
        self.solving = CircuitSolver(self.unrolling.circuit)
        self.solving.require(self.unrolling.possible)
        self.dead_end = self.unrolling.possible == c.FALSE

    def reach(self, depth: int) -> bool:
        """Unroll to runs of so many steps; false if there are none so long."""
        while len(self.unrolling.enabled) < depth and not self.dead_end:
            self.unrolling.extend()
            self.solving.require(self.unrolling.enabled[-1])
            self.dead_end = self.unrolling.enabled[-1] == c.FALSE
        return not self.dead_end

    def run_of(self, goal: _Goal, deadline: float) -> Run | None:
        """A run of the length reached that ends in the goal."""
        unrolling = self.unrolling
        if goal.two_states and not unrolling.enabled:
            return None
        if not self.solving.holds(unrolling.violation(goal.term, goal.two_states), deadline):
            return None
        true = self.solving.model()
        cells = {place: (component, key) for component, key, place in unrolling.layout.cells()}
        boot = {cells[place]: value for place, value in unrolling.arbitrary(true).items()}
        return Run(self.scope, boot, unrolling.events(true))


def _settled(
    design: Design[Any], prop: Property[Any], run: Run, deadline: float, *, shrink: bool
) -> Searched:
    """The run made as small as it goes, and replayed on the whole design."""
    runs = [run]
    shrink = shrink and prop.kind != "sometimes"
    if shrink:
        runs += _smaller(design, prop, run, deadline)
    try:
        trace = replayed(design, prop, runs[-1])
    except DesignError:  # the maps outside the slice need more elements
        runs = [run]
        if shrink:
            runs += _smaller(design, prop, run, deadline, replaying=True)
        trace = replayed(design, prop, runs[-1])
    return Searched(trace, len(runs[-1].events), runs[-1].scope)


def _smaller(
    design: Design[Any], prop: Property[Any], run: Run, deadline: float, replaying: bool = False
) -> Iterator[Run]:
    """Runs that are no longer, at smaller and smaller scopes; in the last, no sort can be made
    smaller.  A scope is not tried if a larger one had no such run.

    replaying: take only runs of the whole design, not of its slice: slower.
    """
    system, goal = sliced_for(design.system(), [prop]), _Goal(prop)
    own = {s: n for s, n in run.scope.items() if isinstance(design.scope.get(s, 0), int)}
    sizes = dict(own)
    hopeless: list[dict[Any, int]] = []

    def attempt(small: dict[Any, int]) -> Run | None:
        if any(all(small[s] <= h[s] for s in small) for h in hopeless):
            return None
        try:
            hunt = _Hunt(system, design.scope_at({**own, **small}))
            shorter = _shortest(hunt, goal, len(run.events), deadline)
            if shorter is not None and replaying:
                replayed(design, prop, shorter)
        except (DesignError, TimeoutError):  # the design has no machine so small
            return None
        if shorter is None:
            hopeless.append(small)
        return shorter

    candidates = [close for room in (0, 1) if (close := _touched(run, sizes, room)) != sizes]
    before = None
    while sizes != before:
        before = sizes
        for sort in sorted(sizes, key=lambda s: -sizes[s]):
            candidates += ({**sizes, sort: n} for n in range(1, sizes[sort]))
            for small in candidates:
                shorter = attempt(small)
                if shorter is not None:
                    sizes, run = small, shorter
                    yield run
                    break
            candidates = []


def _touched(run: Run, sizes: dict[Any, int], room: int) -> dict[Any, int]:
    """The sizes that hold what the events of a run name, with room for so many elements more."""
    small = dict.fromkeys(sizes, 1)
    for event in run.events:
        for parameter, value in zip(event.transition.parameters, event.arguments, strict=True):
            if parameter.sort in small:
                small[parameter.sort] = max(small[parameter.sort], value + 1)
    return {sort: min(sizes[sort], size + room) for sort, size in small.items()}


def _shortest(hunt: _Hunt, goal: _Goal, depth: int, deadline: float) -> Run | None:
    for at in range(depth + 1):
        run = hunt.run_of(goal, deadline) if hunt.reach(at) else None
        if run is not None:
            return run
    return None


def sliced_for(system: System, properties: Iterable[Property[Any]]) -> System:
    """What can influence the properties; everything, if one of them is about steps and may fail in
    a step that changes nothing of what it reads."""
    for claim in [p.closed() for p in properties if p.kind == "step"]:
        idle = rewrite_reads(claim, lambda component, _, keys: read(component, keys, 0))
        if idle != TRUE_NODE:
            return system
    return system.sliced(*(p.closed() for p in properties))


def replayed(design: Design[Any], prop: Property[Any], run: Run) -> Trace:
    """The run of the sliced system as a run of the whole design, replayed concretely."""
    system = design.system()
    machine = Machine(system, run.scope)
    transitions = {t.name: t for t in system.transitions}
    events = [Event(transitions[e.transition.name], e.arguments) for e in run.events]
    return replay(design, prop, machine, complete_boot(system, machine, run.boot), events)


def complete_boot(system: System, machine: Machine, fixed: dict[Cell, int]) -> dict[int, int]:
    """Values for every arbitrary place before booting that agree with ``fixed`` and with the
    design's assumptions about the maps that a slice left out."""
    places = {(component, key): place for component, key, place in machine.layout.cells()}
    known = {places[cell]: value for cell, value in fixed.items()}
    open_cells = set(machine.layout.arbitrary) - known.keys()
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
    facts = [encoder.literal(n, {}, state) for n in (*system.axioms, system.init.when)]
    if not solving.holds(encoder.circuit.all(facts), monotonic() + 60):
        raise DesignError(f"the assumptions of the design cannot hold at scope {machine.scope}")
    true = solving.model()
    for (component, _), place in places.items():
        if place in bits:
            known[place] = encoder.number(bits[place], component.value, true)
    return known
