"""The ledger is held to its expectations, and the command line shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from mapproof.catalog import Catalog
from mapproof.cli import main
from mapproof.proofs.ledger import (
    CONFIDENCE,
    Defect,
    Role,
    defects,
    met,
    out_of_reach,
    tells,
)
from mapproof.proofs.verdict import Result, Verdict

from .verdicts import about, refuted, results

SCHEMA = Path(__file__).parents[1] / "mapproof" / "results.schema.json"
SLOWEST = 20.0  # seconds of a counterexample, on a machine that others use as well


def found(design: str, role: Role) -> dict[str, Result]:
    """What is established of a design: test_designs.py asks all of a fixed one."""
    if role == "fixed":
        return results(design)
    stories = {d.property: len(d.story) for d in defects().values() if d.buggy == design}
    return refuted(design, tuple(stories), max(stories.values()))


@pytest.mark.parametrize(
    ("defect", "role"),
    [
        about(d.design(role), d, role, name=f"{d.id}-{role}")
        for d in defects().values()
        for role in ("buggy", "fixed")
    ],
)
def test_the_ledger_is_met(defect: Defect, role: Role) -> None:
    result = found(defect.design(role), role)[defect.property]
    happened = [e.transition.name for e in result.trace.events] if result.trace else []
    assert met(defect, role, result), f"{result.verdict} {happened} {result.reason}"
    if role == "buggy":
        assert result.replayed
        assert result.depth == len(defect.story)
        assert result.seconds < SLOWEST


def test_stories_are_matched_in_any_order_but_for_the_end() -> None:
    assert tells(["a", "b.one", "c"], ["b.one", "a", "c"])
    assert tells(["a", "b.one", "c"], ["a", "b.*", "c"])
    assert tells(["b.two", "b.one"], ["b.*", "b.one"])
    assert not tells(["a", "c", "b"], ["a", "b", "c"])
    assert not tells(["a", "b"], ["a", "b", "b"])
    assert not tells(["a", "b.one"], ["a", "c.*"])


def test_no_fixed_design_is_another_entrys_buggy_one() -> None:
    buggy = {d.buggy for d in defects().values()}
    assert not buggy & {d.fixed for d in defects().values()}


def test_a_buggy_design_is_one_replacement_away_or_a_series_as_posted() -> None:
    catalog = Catalog()
    for d in defects().values():
        buggy, fixed = catalog.designs[d.buggy], catalog.designs[d.fixed]
        new = {*buggy.operations, *buggy.procedures} - {*fixed.operations, *fixed.procedures}
        assert new or buggy.init is not fixed.init, d.id
        assert issubclass(fixed.state, buggy.state), d.id


def test_entries_are_complete() -> None:
    folder = Path(__file__).parents[1] / "proofs" / "ledger"
    assert {path.stem for path in folder.glob("?-*.toml")} == set(defects())
    for d in defects().values():
        assert re.fullmatch(r"[A-Z]-\d\d[a-z-]*", d.id), d.id
        assert d.title, d.id
        assert d.source, d.id
        assert set(d.confidence.split("/")) <= set(CONFIDENCE), d.id
        assert d.story, d.id
        assert bool(d.reason) == (d.verdict is not Verdict.PROVED), d.id
        assert d.verdict in (Verdict.PROVED, Verdict.PROVED_AT_SCOPE), d.id


def test_at_most_two_proofs_are_at_a_scope_only() -> None:
    at_scope = {(d.fixed, d.property) for d in defects().values() if d.reason}
    assert len(at_scope) <= 2


def test_what_is_out_of_reach_is_not_in_the_ledger() -> None:
    assert not set(out_of_reach()) & set(defects())
    assert all(out_of_reach().values())


def mapproof(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.output


def test_check_takes_a_defect() -> None:
    code, said = mapproof("check", "V-01")
    assert code == 0
    assert "buggy  vmalloc-pae-additions-only  violated in 5 steps" in said
    assert "fixed  vmalloc-pae-2019            proved for any size" in said
    assert "2 of 2 expectations met" in said


def test_check_says_what_is_not_met() -> None:
    """One CPU alone cannot miss a flush, nor can it show that two of them work together."""
    code, said = mapproof("check", "P-14", "--scope", "cpu=1")
    assert code == 1
    assert "not met: expected violated in 3 steps, by ds_update, fill_*" in said
    assert "not met: expected proved" in said
    assert "0 of 2 expectations met" in said


def test_json_says_what_was_expected() -> None:
    code, said = mapproof("check", "K-01", "kpt::P1", "--json")
    assert code == 0
    document = json.loads(said)
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    first, buggy, fixed = document["results"]
    assert "defect" not in first
    assert [(r["defect"], r["role"], r["expected"], r["met"]) for r in (buggy, fixed)] == [
        ("K-01", "buggy", "violated in 1 step", True),
        ("K-01", "fixed", "proved", True),
    ]


def test_list_and_explain_show_the_ledger() -> None:
    _, listed = mapproof("list", "defects")
    for name in (*defects(), *out_of_reach()):
        assert f"  {name} " in listed
    _, explained = mapproof("explain", "V-02")
    assert "source  8e998fc24de4" in explained
    assert "grade   V: patch or code text was read" in explained
