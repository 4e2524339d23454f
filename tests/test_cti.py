"""Counterexamples to induction: small, genuine, and never taken for a bug."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from click import unstyle
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from mapproof.catalog import Catalog
from mapproof.cli import main
from mapproof.model.language import Design, Property
from mapproof.proofs.check import Options, check
from mapproof.proofs.cti import Cti, smallest
from mapproof.proofs.verdict import Result, Verdict

from .random_designs import designs_with_scopes

COUNTING = str(Path(__file__).parent / "designs" / "counting.py")
DESIGNS = Catalog().designs
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@cache
def counting() -> Design[Any]:
    return Catalog().target(COUNTING).design


def genuine(cti: Cti, claim: Property[Any], known: list[Property[Any]]) -> bool:
    """What is known holds before the step, the step is possible, and the claim fails after it."""
    trace = cti.trace
    before, after = trace.states
    holds = trace.machine.evaluate
    assert all(holds(a, before) for a in trace.machine.system.axioms)
    assert all(holds(k.closed(), before) for k in known)
    assert trace.machine.fire(before, trace.events[0]) == after
    step = claim.kind == "step"
    broken = not (holds(claim.closed(), before, after) if step else holds(claim.closed(), after))
    return broken and bool(cti.before)


def test_smallest() -> None:
    """Two frames, one of them spent already: with fewer of either the claim stays true."""
    (result,) = check(counting(), Options(timeout=5))
    assert result.verdict is Verdict.PROVED_AT_SCOPE
    cti = result.cti
    assert cti is not None
    assert cti.trace.machine.scope.names() == {"frame": 2}
    assert [(c.component.name, c.old, c.new) for c in cti.before] == [("reserved", 1, 0)]
    (claim,) = counting().properties
    assert genuine(cti, claim, [claim])


@pytest.mark.parametrize("name", ["kpt", "vmalloc-pae-2019", "vmalloc-x86-64"])
def test_genuine(name: str) -> None:
    design = DESIGNS[name].but(name=name, lemmas=[])
    results = check(design, Options(lemmas="given"))
    found = [r for r in results if r.cti is not None]
    assert found
    known = [p for p in design.properties if p.kind == "always"]
    for result in found:
        assert result.cti is not None
        assert result.verdict is Verdict.PROVED_AT_SCOPE
        assert genuine(result.cti, design.property_named(result.property), known)


def test_where_something_is_settled_there_is_none() -> None:
    results: list[Result] = check(DESIGNS["kpt-buggy"])
    assert {r.verdict for r in results} == {Verdict.PROVED, Verdict.VIOLATED}
    assert all(r.cti is None for r in results)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(designs_with_scopes(2000))
def test_genuine_whatever_the_design(drawn: Any) -> None:
    design, *_ = drawn
    for claim in (p for p in design.properties if p.kind != "sometimes"):
        known = [claim] if claim.kind == "always" else []
        cti = smallest(design, claim, known, 5.0)
        assert cti is None or genuine(cti, claim, known)


# What is said of it.


def run(*arguments: str, color: bool = False) -> str:
    done = CliRunner().invoke(main, arguments, color=color)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_text_is_not_that_of_a_bug() -> None:
    said = run("check", COUNTING, "--lemmas", "given", color=True)
    plain = " ".join(unstyle(said).split())
    assert "not known to be reachable: this is no counterexample" in plain
    assert not re.search("violat|bug|defect", plain, re.IGNORECASE)
    red = "\x1b[31m"
    assert red not in said
    assert red in CliRunner().invoke(main, ["check", "kpt-buggy"], color=True).stdout


def test_other_claims_are_named_with_what_breaks_them(tmp_path: Path) -> None:
    file = tmp_path / "bare.py"
    file.write_text(
        "from mapproof.model.designs.vmalloc_pae import vmalloc_pae_2019\n"
        "bare = vmalloc_pae_2019.but(name='bare', lemmas=[])\n"
    )
    said = " ".join(run("check", str(file), "--lemmas", "given").split())
    assert said.count("NOT PROVED") == 1
    assert "likewise, from other states: " in said
    assert "no_stale_copy_on_reuse (purge_vmap_area_lazy.free)" in said
    page = tmp_path / "review.md"
    after = f"{file}::bare"
    said = run("review", "vmalloc-pae-2019", after, "--lemmas", "given", "--markdown", str(page))
    assert "NOT PROVED for any size" in said
    assert "NOT PROVED" in page.read_text(encoding="utf-8")


def test_picture_is_not_that_of_a_bug(tmp_path: Path) -> None:
    path = tmp_path / "counting.graphml"
    said = run("check", COUNTING, "--lemmas", "given", "--graph", str(path))
    assert f"(not known to be reachable): {path}" in said
    graph: Any = nx.read_graphml(path, force_multigraph=True)
    assert graph.graph["title"].endswith("NOT PROVED for any size (not known to be reachable)")
    assert "from a state that is not known to be reachable" in graph.graph["caption"]
    marks = {data.get("mark") for _, data in graph.nodes(data=True)}
    assert "violates" not in marks
    assert "breaks" in marks
    drawing = tmp_path / "counting.svg"
    run("check", COUNTING, "--lemmas", "given", "--graph", str(drawing))
    text = drawing.read_text(encoding="utf-8")
    assert "would break the property" in text
    assert "#C43C00" not in text


def test_a_counterexample_is_drawn_first(tmp_path: Path) -> None:
    path = tmp_path / "both.dot"
    done = CliRunner().invoke(
        main, ["check", COUNTING, "kpt-buggy::P1", "--lemmas", "given", "--graph", str(path)]
    )
    assert done.exit_code == 1
    assert "kpt-buggy :: P1  VIOLATED" in path.read_text(encoding="utf-8")
