"""What checks find is kept as a hint: it saves the search, and no lie in it makes a wrong verdict."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mapproof import Design
from mapproof.cli import main
from mapproof.model.language.solver import Outcome
from mapproof.proofs import check as engine
from mapproof.proofs import findings
from mapproof.proofs.cache import FILE, Cache, CachedPool, Mismatch, Mode
from mapproof.proofs.check import Options, check
from mapproof.proofs.findings import Finding, Findings, question, read_finding
from mapproof.proofs.lemma import Lemma
from mapproof.proofs.trees import Malformed
from mapproof.proofs.verdict import Result, Verdict
from mapproof.proofs.worker import shared

from .designs import stages

GOOD, BUGGY = stages.stages, stages.stages_buggy


CLAIM = stages.what_is_mapped_is_usable.name


class Counting:
    """The solvers of this process, and how often they were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, solver: str, *rest: Any) -> Future[Outcome]:
        self.asked.append(solver)
        return shared().submit(solver, *rest)

    def drop(self, futures: Iterable[Future[Outcome]]) -> None:
        shared().drop(futures)


class Kept:
    """A cache in a folder, and checks that use it."""

    def __init__(self, folder: Path, mode: Mode = Mode.ON) -> None:
        self.cache = Cache(folder, read_only=mode in (Mode.READ_ONLY, Mode.VERIFY))
        self.asked = Counting()
        pool: Any = self.asked
        self.options = Options(
            solvers=CachedPool(pool, self.cache, mode),
            findings=Findings(self.cache, mode),
        )

    def check(self, design: Design[Any], **changes: Any) -> list[Result]:
        """The results, but for the time that they took and the design that their traces have."""
        return check(design, replace(self.options, **changes))


def said(results: Iterable[Result]) -> list[Any]:
    """All of some results but for the time that they took, in a form that can be compared."""

    def run(result: Result) -> Any:
        trace = result.trace
        if trace is None:
            return None
        events = [(e.transition.name, e.arguments) for e in trace.events]
        return trace.machine.scope.names(), events, list(map(tuple, trace.states)), trace.witness

    return [
        (
            run(r),
            [(x.name, x.clause) for x in r.inferred],
            r.but(seconds=0.0, trace=None, inferred=(), certificate=None),
            None if r.certificate is None else r.certificate.text(),
        )
        for r in results
    ]


@pytest.fixture
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def checked(*_: Any) -> None:
        raise AssertionError("the check began anew")

    monkeypatch.setattr(engine._Run, "checked", checked)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has seen both designs."""
    place = tmp_path_factory.mktemp("findings")
    first = Kept(place)
    FIRST.update({d.name: said(first.check(d, certify=True)) for d in (GOOD, BUGGY)})
    first.cache.close()
    return place


FIRST: dict[str, list[Any]] = {}


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize("design", [GOOD, BUGGY], ids=lambda d: d.name)
def test_the_second_check_says_the_same_and_does_not_search(
    folder: Path, design: Design[Any]
) -> None:
    second = Kept(folder)
    assert said(second.check(design, certify=True)) == FIRST[design.name]
    assert second.asked.asked == []
    assert second.cache.complaint == ""


def test_what_the_designs_show(folder: Path) -> None:
    verdicts = {r.verdict for name in FIRST for _, _, r, _ in FIRST[name]}
    assert verdicts == {Verdict.PROVED, Verdict.VIOLATED}
    assert any(lemmas for _, lemmas, _, _ in FIRST[GOOD.name])


@pytest.mark.usefixtures("no_search")
def test_without_the_answers_both_solvers_are_asked_for_every_cell(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes())
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("delete from answers")
    db.close()
    again = Kept(tmp_path)
    assert said(again.check(GOOD, certify=True)) == FIRST[GOOD.name]
    cells = stored_in(tmp_path)[key_of_all(GOOD)].cells
    assert Counter(again.asked.asked) == {"z3": len(cells), "cvc5": len(cells)}


# Lies.


def stored_in(folder: Path) -> dict[str, Finding]:
    with sqlite3.connect(folder / FILE) as db:
        rows = list(db.execute("select key, finding from findings"))
    db.close()
    return {key: read_finding(text) for key, text in rows}


def key_of_all(design: Design[Any]) -> str:
    return question(design, design.properties, design.scope_at(), [10, ""])


def forged(folder: Path, tmp_path: Path, design: Design[Any], lie: Callable[[Any], Any]) -> Kept:
    """A cache whose finding about a design is another, with its checksum."""
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes())
    kept = Kept(tmp_path)
    key = key_of_all(design)
    text = kept.cache.finding(key)
    assert text is not None
    lied = json.dumps(lie(json.loads(text)), separators=(",", ":"))
    assert lied != text
    kept.cache.put_finding(key, lied)
    return kept


def of_the_first_lemma(change: Callable[[str], str]) -> Callable[[Any], Any]:
    def lie(data: Any) -> Any:
        data["lemmas"][0][1] = change(data["lemmas"][0][1])
        return data

    return lie


def of_the_cells(change: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    def lie(data: Any) -> Any:
        data["cells"] = [change(cell) or cell for cell in data["cells"]]
        return data

    return lie


def but(name: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda data: {**data, name: change(data[name])}


def rests_on_nothing(cell: list[Any]) -> None:
    cell[2] = cell[3] = []


def rests_on_itself_at_the_start(cell: list[Any]) -> None:
    if cell[0] == "boot":
        cell[2] = [cell[1]]


def a_row_is_missing(cells: list[Any]) -> list[Any]:
    return [c for c in cells if c[1] != cells[0][1]]


PROOFS: dict[str, Callable[[Any], Any]] = {
    "a lemma that is false": of_the_first_lemma(lambda _: "false"),
    "a lemma that is its opposite": of_the_first_lemma(lambda text: f"(not {text})"),
    "a lemma that is no term": of_the_first_lemma(lambda text: f"({text}"),
    "a lemma that is no claim": lambda d: {
        **d,
        "lemmas": [[d["lemmas"][0][0], "$x", [["x", "Frame"]]], *d["lemmas"][1:]],
    },
    "a lemma that is called as a claim": but(
        "lemmas", lambda all_: [[CLAIM, *all_[0][1:]], *all_[1:]]
    ),
    "no lemmas": but("lemmas", lambda _: []),
    "cells that rest on nothing": of_the_cells(rests_on_nothing),
    "a start that rests on something": of_the_cells(rests_on_itself_at_the_start),
    "cells that rest on what there is not": of_the_cells(lambda c: [*c[:2], ["other"], *c[3:]]),
    "an assumption that there is not": of_the_cells(lambda c: [*c[:3], [7], c[4]]),
    "a claim without cells": but("cells", a_row_is_missing),
    "no cells": but("cells", lambda _: []),
    "no runs": but("shown", lambda _: {}),
    "a run that shows another job": but(
        "shown", lambda runs: dict(zip(runs, [*runs.values()][::-1], strict=True))
    ),
    "a proved claim that is violated": lambda d: {
        **d,
        "violated": {CLAIM: next(iter(d["shown"].values()))[0]},
    },
    "an engine that there is not": but(
        "shown", lambda runs: {n: [run, "other"] for n, (run, _) in runs.items()}
    ),
    "something else": lambda _: {"lemmas": 1},
    "a list": lambda _: [1],
    "numbers for texts": of_the_cells(lambda c: [1, 2, 3, 4, 5]),
}


@pytest.mark.parametrize("lie", PROOFS.values(), ids=PROOFS)
def test_a_lie_about_a_proof_is_not_believed(
    folder: Path, tmp_path: Path, lie: Callable[[Any], Any]
) -> None:
    kept = forged(folder, tmp_path, GOOD, lie)
    assert said(kept.check(GOOD, certify=True)) == FIRST[GOOD.name]
    assert stored_in(tmp_path) == stored_in(folder)
    assert kept.cache.complaint == ""


def of_the_run(change: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    def lie(data: Any) -> Any:
        runs = data["violated"]
        name = max(runs, key=lambda n: len(runs[n][2]))
        runs[name] = change(runs[name]) or runs[name]
        return data

    return lie


RUNS: dict[str, Callable[[Any], Any]] = {
    "a shorter run": of_the_run(lambda r: [*r[:2], r[2][:-1]]),
    "no step": of_the_run(lambda r: [*r[:2], []]),
    "steps in another order": of_the_run(lambda r: [*r[:2], r[2][::-1]]),
    "a step that there is not": of_the_run(lambda r: [*r[:2], [["other", []], *r[2]]]),
    "too few arguments": of_the_run(lambda r: [*r[:2], [[n, a[:-1]] for n, a in r[2]]]),
    "an argument that there is not": of_the_run(
        lambda r: [*r[:2], [[n, [v + 9 for v in a]] for n, a in r[2]]]
    ),
    "a start in the middle": of_the_run(lambda r: [r[0], [1 for _ in r[1]], r[2]]),
    "a start of another length": of_the_run(lambda r: [r[0], r[1][1:], r[2]]),
    "a value that there is not": of_the_run(lambda r: [r[0], [200 for _ in r[1]], r[2]]),
    "a larger machine": of_the_run(lambda r: [{n: 9 for n in r[0]}, *r[1:]]),
    "no machine": of_the_run(lambda r: [{n: 0 for n in r[0]}, *r[1:]]),
    "a sort too few": of_the_run(lambda r: [dict([*r[0].items()][1:]), *r[1:]]),
    "a sort that there is not": of_the_run(lambda r: [{**r[0], "Other": 2}, *r[1:]]),
    "texts for numbers": of_the_run(lambda r: [r[0], [str(v) for v in r[1]], r[2]]),
    "a run of another claim": but("violated", lambda runs: {CLAIM: runs[max(runs)]}),
}


@pytest.mark.parametrize("lie", RUNS.values(), ids=RUNS)
def test_a_lie_about_a_run_is_not_believed(
    folder: Path, tmp_path: Path, lie: Callable[[Any], Any]
) -> None:
    kept = forged(folder, tmp_path, BUGGY, lie)
    assert said(kept.check(BUGGY, certify=True)) == FIRST[BUGGY.name]
    assert stored_in(tmp_path) == stored_in(folder)


def a_step_too_many(data: Any) -> Any:
    """A run with a detour: a violation all right, but not a shortest one."""
    for run in data["violated"].values():
        run[2] = [*DETOUR, *run[2]]
    return data


DETOUR = [["take", [0]], ["free", [0]]]


def test_a_longer_run_is_found_by_verify(folder: Path, tmp_path: Path) -> None:
    forged(folder, tmp_path, BUGGY, a_step_too_many).cache.close()
    with pytest.raises(Mismatch, match=r"a shortest run has \d steps, the search finds one of \d"):
        Kept(tmp_path, Mode.VERIFY).check(BUGGY)


def test_verify_agrees_with_what_is_so(folder: Path) -> None:
    again = Kept(folder, Mode.VERIFY)
    assert said(again.check(BUGGY, certify=True)) == FIRST[BUGGY.name]
    assert again.asked.asked


@pytest.mark.parametrize("change", ["finding = replace(finding, 'z3', 'cvc')", "key = 'x' || key"])
def test_a_changed_finding_is_not_even_tried(folder: Path, tmp_path: Path, change: str) -> None:
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes())
    with sqlite3.connect(tmp_path / FILE) as db:
        keys = [key for (key,) in db.execute("select key from findings")]
        db.execute(f"update findings set {change}")
    db.close()
    kept = Cache(tmp_path)
    assert [kept.finding(key) for key in keys] == [None] * len(keys)
    assert kept.finding("x" + keys[0]) is None
    assert "corrupt" in kept.complaint


def test_the_command_line_says_so_once(tmp_path: Path) -> None:
    def run() -> Any:
        return CliRunner().invoke(main, ["check", "kpt-buggy", "--cache-dir", str(tmp_path)])

    first = run()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("update findings set finding = '{}'")
    db.close()
    second, third = run(), run()
    assert [r.exit_code for r in (first, second, third)] == [1, 1, 1]
    assert [r.stderr.count("was corrupt") for r in (first, second, third)] == [0, 1, 0]


def test_a_text_that_is_no_finding() -> None:
    for text in ("", "{", "[]", "null", "[" * 100_000, '{"lemmas":[],"cells":[],"violated":{}}'):
        with pytest.raises(Malformed):
            read_finding(text)


# What a finding is bound to.


def test_whatever_a_finding_depends_on_is_in_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(design: Design[Any] = GOOD, most: int = 2, depth: int = 10, first: int = 0) -> str:
        sizes = {design.sorts[0]: most}
        wanted = design.properties[first:]
        return question(design, wanted, design.scope_at(sizes), [depth, ""])

    first = GOOD.properties[0]
    others = [
        key(most=3),
        key(depth=9),
        key(first=1),
        key(BUGGY),
        key(GOOD.but(name=GOOD.name, assumptions=())),
        key(GOOD.but(name=GOOD.name, operations=GOOD.operations[::-1])),
        key(GOOD.but(name=GOOD.name, operations=GOOD.operations[1:])),
        key(GOOD.but(name=GOOD.name, properties=[*GOOD.properties[1:], first])),
        key(GOOD.but(name=GOOD.name, lemmas=[Lemma(first.closed(), "more")])),
    ]
    monkeypatch.setattr(findings, "engine", lambda: ["another"])
    others.append(key())
    monkeypatch.undo()
    assert len({key(), *others}) == 1 + len(others)
    assert key() == key(GOOD.but(name="the same under another name"))
