"""Runs from the initial state, and their replay without any solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mapproof.model.language.concrete import Event, Machine, State
from mapproof.model.language.design import Design
from mapproof.model.language.nodes import Component
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

REPLAY = "concrete replay"
"""What confirms a run."""

Cell = tuple[Component, tuple[int, ...]]


@dataclass(frozen=True)
class Run:
    """A run of a sliced system, as a solver found it: values of the arbitrary places before booting,
    and the events."""

    scope: Scope
    boot: dict[Cell, int]
    events: list[Event]


class ReplayError(Exception):
    """A run that a solver reported is not a run of the design: a defect of mapproof itself."""


@dataclass(frozen=True)
class Change:
    """One map entry that a step changed."""

    component: Component
    key: tuple[int, ...]
    old: int
    new: int


@dataclass(frozen=True)
class Trace:
    """A run: the initial state and, for each event, the state after it.

    ``witness`` holds the parameters of the property at which it fails (or, for a ``sometimes``,
    holds) in the last state, by name.
    """

    design: Design[Any]
    machine: Machine
    events: tuple[Event, ...]
    states: tuple[State, ...]
    witness: dict[str, int]

    def changes(self, step: int) -> list[Change]:
        """What the step (counted from 0) changed, in the order of the state's declaration."""
        return differences(self.machine, self.states[step], self.states[step + 1])


def differences(machine: Machine, old: State, new: State) -> list[Change]:
    """The entries in which two states differ, in the order of the state's declaration."""
    cells = machine.layout.cells()
    return [Change(c, key, old[i], new[i]) for c, key, i in cells if old[i] != new[i]]


def replay(
    design: Design[Any],
    prop: Property[Any],
    machine: Machine,
    boot: Mapping[int, int],
    events: Sequence[Event],
) -> Trace:
    """Run the events concretely and confirm that they establish what is claimed of the property.

    Raises ReplayError if a step is not possible or the last state shows no violation (for a
    ``sometimes``: is no witness).
    """
    state = machine.boot(boot)
    if state is None:
        raise ReplayError(f"{design.name}: the start of the run is no initial state")
    return rerun(design, prop, machine, state, events)


def rerun(
    design: Design[Any],
    prop: Property[Any],
    machine: Machine,
    state: State,
    events: Sequence[Event],
) -> Trace:
    """As :func:`replay`, from a state that is known to be an initial one."""
    states = [state]
    for event in events:
        after = machine.fire(states[-1], event)
        if after is None:
            raise ReplayError(
                f"{design.name}: step {len(states)} ({event.transition.name}) is not possible"
            )
        states.append(after)
    witness = find_witness(machine, prop, states)
    if witness is None:
        raise ReplayError(f"{design.name}: the run does not show what was claimed of {prop.name}")
    return Trace(design, machine, tuple(events), tuple(states), witness)


def find_witness(
    machine: Machine, prop: Property[Any], states: Sequence[State]
) -> dict[str, int] | None:
    """Parameters at which the property fails in the last state (a ``sometimes``: holds)."""
    wanted = prop.kind == "sometimes"
    old, new = (states[-2], states[-1]) if prop.kind == "step" else (states[-1], None)
    for values in machine.scope.combinations(p.sort for p in prop.parameters):
        env = {p.variable: v for p, v in zip(prop.parameters, values, strict=True)}
        if bool(machine.evaluate(prop.body(), old, new, env)) is wanted:
            return {p.name: v for p, v in zip(prop.parameters, values, strict=True)}
    return None
