"""Costs: every bound is proved, comes to as much as it says, and is told where the system is."""

from __future__ import annotations

from typing import Any

import pytest
from click import unstyle

from mapproof.catalog import Catalog
from mapproof.costs import COSTS, Cost
from mapproof.explain import explanation, listing
from mapproof.model.language import Design
from mapproof.proofs.check import Options, check
from mapproof.proofs.ledger import defects
from mapproof.proofs.verdict import Verdict

CATALOG = Catalog()
BUGGY = {d.buggy for d in defects().values()}


def design_of(cost: Cost) -> Design[Any]:
    """A design that the cost is about, and that has no defect."""
    for name, design in CATALOG.designs.items():
        if name not in BUGGY and {cost.bound, cost.reached} <= {*design.properties}:
            return design
    raise AssertionError(f"no design has {cost.bound.name} and {cost.reached.name}")


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.bound.name)
def test_a_bound_is_proved_and_reached(cost: Cost) -> None:
    assert cost.bound.kind in ("always", "step")
    assert cost.reached.kind == "sometimes"
    design = design_of(cost)
    options = Options(only=(cost.bound.name, cost.reached.name), timeout=240)
    results = {r.property: r for r in check(design, options)}
    assert {r.verdict for r in results.values()} == {Verdict.PROVED}
    run = results[cost.reached.name].trace
    assert run is not None
    happened = [event.transition.name for event in run.events]
    assert sum(name in cost.steps for name in happened) == cost.most


def test_costs_are_told() -> None:
    listed = unstyle(listing(CATALOG, ("costs",)))
    assert "direct-map-split     2 x leaf demoted: a change of one page" in listed
    said = unstyle(explanation(CATALOG, "secretmem"))
    assert "1 x flush of all CPUs: a fault of a secret file" in said
    assert "who_loses_the_race_has_not_flushed, broken by D-10-race" in said
