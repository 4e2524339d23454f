"""The sparse reading against the concrete one, on arbitrary states of built-in designs."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from mapproof.catalog import Catalog
from mapproof.model.language.concrete import Machine
from mapproof.model.language.nodes import BOOL, Component, OptOf
from mapproof.model.language.sparse import (
    NONE,
    Count,
    Reading,
    Relation,
    Single,
    Table,
    Universe,
    Unreadable,
    Values,
    evaluate,
)

DESIGNS = ("top-level-pti", "pti-global", "pti-pae", "kaiser-v2", "vmalloc-pae-2019", "ldt-pti")
STATES = 12


class ConcreteState(Reading):
    """A state of a finite scope as a sparse one."""

    def __init__(self, machine: Machine, state: Any) -> None:
        self.machine = machine
        self.state = state

    def universe(self, sort: Any) -> Universe:
        return Count(self.machine.scope[sort])

    def relation(self, component: Component) -> Relation:
        machine, keys = self.machine, component.keys
        rows = list(machine.scope.combinations(keys))
        values = [machine.cell(self.state, component, row) for row in rows]
        if isinstance(component.value, OptOf):
            none = machine.scope[component.value.base]
            values = [NONE if v == none else v for v in values]
        if not keys:
            return Single(values[0])
        if len(keys) == 1:
            return Values(np.array(values))
        otherwise = 0 if component.value is BOOL else NONE
        there = [(row, v) for row, v in zip(rows, values, strict=True) if v != otherwise]
        columns = tuple(np.array([row[i] for row, _ in there], np.int64) for i in range(len(keys)))
        return Table(columns, np.array([v for _, v in there], np.int64), otherwise)


def arbitrary(machine: Machine, chance: random.Random) -> Any:
    """Values of all maps, most of them small, so that claims hold now and then."""
    sizes = [machine.scope[component.value] for component, *_ in machine.layout.cells()]
    return machine.freeze([chance.randrange(chance.choice([1, 1, size])) for size in sizes])


@pytest.mark.parametrize("name", DESIGNS)
def test_both_readings_agree(name: str) -> None:
    design, chance = Catalog().design_named(name), random.Random(name)
    machine = Machine(design.system(), design.scope_at({}))
    claims = [p for p in design.properties if p.kind == "always" and p.parameters]
    outcomes = set()
    for _ in range(STATES):
        state = arbitrary(machine, chance)
        for claim in claims:
            expected = bool(machine.evaluate(claim.closed(), state))
            found = evaluate(claim, ConcreteState(machine, state))
            assert (found.violated == 0) == expected, (claim.name, state)
            assert found.violated <= found.checked
            for i in range(len(next(iter(found.examples.values()), ()))):
                env = {p.variable: int(found.examples[p.name][i]) for p in claim.parameters}
                assert not machine.evaluate(claim.body(), state, env=env)
            outcomes.add(expected)
    assert outcomes == {False, True}


def test_every_violation_is_counted_and_shown() -> None:
    design, chance = Catalog().design_named("pti-pae"), random.Random(1)
    machine = Machine(design.system(), design.scope_at({}))
    claim = design.property_named("ldts_stay_where_they_are")
    for _ in range(STATES):
        state = arbitrary(machine, chance)
        found = evaluate(claim, ConcreteState(machine, state))
        combinations = machine.scope.combinations(p.sort for p in claim.parameters)
        rows = [
            dict(zip((p.variable for p in claim.parameters), row, strict=True))
            for row in combinations
        ]
        false = [r for r in rows if not machine.evaluate(claim.body(), state, env=r)]
        assert found.violated == len(false)


def test_what_is_not_known_is_refused_by_name() -> None:
    class Nothing(Reading):
        def universe(self, sort: Any) -> Universe:
            return Count(1)

        def relation(self, component: Component) -> Relation:
            raise Unreadable(f"no {component.name}")

    claim = Catalog().design_named("pti-pae").property_named("ldts_stay_where_they_are")
    with pytest.raises(Unreadable, match="no ldt"):
        evaluate(claim, Nothing())
