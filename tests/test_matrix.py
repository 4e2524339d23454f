"""Pairs of the parts of a design: what each cell says, and that the short cuts to it are sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click import unstyle
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from referencing import Registry, Resource

import mapproof
from mapproof import Design, Part, restricted
from mapproof.catalog import Catalog
from mapproof.cli import main
from mapproof.matrix_picture import picture
from mapproof.matrix_text import grid, matrix_text
from mapproof.pictures.grid import grid_svg
from mapproof.proofs import matrix as engine
from mapproof.proofs.check import Options, check
from mapproof.proofs.crew import Crew
from mapproof.proofs.matrix import Cell, Matrix, Pairs, Standing
from mapproof.proofs.trace import ReplayError
from mapproof.proofs.verdict import Result, Verdict

from .designs import counting, relay, three
from .random_designs import designs_with_scopes

FOLDER = Path(__file__).parent / "designs"
THREE = str(FOLDER / "three.py")
RELAY = str(FOLDER / "relay.py")
SCHEMAS = [
    json.loads((Path(mapproof.__file__).parent / name).read_text(encoding="utf-8"))
    for name in ("matrix.schema.json", "results.schema.json")
]
REGISTRY: Any = Registry().with_resources(
    [(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS]
)
VALIDATOR: Any = jsonschema.Draft202012Validator(SCHEMAS[0], registry=REGISTRY)


def settled(design: Design[Any], timeout: float = 20.0) -> Matrix:
    pairs = Pairs(design, (), Options(timeout=timeout))
    pairs.settle()
    return pairs.matrix()


def said(cell: Cell) -> dict[str, Verdict]:
    return {result.property: result.verdict for result in cell.results}


def test_one_pair_is_broken_one_part_by_itself_and_the_rest_is_proved() -> None:
    found = settled(three.three)
    assert found.complete
    standings = {key: cell.standing for key, cell in found.cells.items()}
    assert standings == {
        ("secret", "secret"): Standing.PROVED,
        ("secret", "mce"): Standing.BROKEN,
        ("secret", "pool"): Standing.PROVED,
        ("mce", "secret"): Standing.OWN_DEFECT,
        ("mce", "mce"): Standing.OWN_DEFECT,
        ("mce", "pool"): Standing.OWN_DEFECT,
        ("pool", "secret"): Standing.PROVED,
        ("pool", "mce"): Standing.PROVED,
        ("pool", "pool"): Standing.PROVED,
    }
    broken = found.cells["secret", "mce"].broken
    assert [(r.property, r.depth) for r in broken] == [
        ("hidden_pages_are_not_mapped", 3),
        ("hidden_pages_are_not_cached", 4),
    ]
    for cell in found.cells.values():
        for result in cell.results:
            assert result.design in (f"three[{cell.row}]", *_pair(cell.row, cell.column))
            assert (result.trace is None) or (result.replayed and _fits(result, cell))


def _pair(row: str, column: str) -> set[str]:
    return {restricted(three.three, [row, column]).name}


def _fits(result: Result, cell: Cell) -> bool:
    """The run has no step of a third part."""
    assert result.trace is not None
    owned = {s for p in three.three.parts if p.name in (cell.row, cell.column) for s in p.steps}
    return all(e.transition.name in {"fill_tlb", *owned} for e in result.trace.events)


def test_a_proof_of_the_whole_stands_for_the_pairs() -> None:
    found = settled(three.three)
    assert found.cells["pool", "mce"].shown_in == {"used_pages_are_in_use": "three"}
    # What is violated in the whole says nothing of a pair that lacks a step of the run.
    shown = found.cells["secret", "pool"].shown_in
    assert shown["hidden_pages_are_not_mapped"] == "three[secret+pool]"


def test_a_claim_that_takes_three_parts_to_break_holds_in_every_pair() -> None:
    found = settled(relay.relay)
    assert not found.of(Standing.BROKEN)
    assert not found.of(Standing.OPEN)
    (whole,) = [r for r in check(relay.relay) if r.property == "the_goal_is_not_reached"]
    assert whole.verdict is Verdict.VIOLATED
    assert {found.cells["goal", c].shown_in["the_goal_is_not_reached"] for c in "ab"} == {
        "relay[a+goal]",
        "relay[b+goal]",
    }


def test_the_machine_has_a_row_of_its_own() -> None:
    claims = three.three.but(
        name="machine-claims",
        properties=[three.hidden_pages_are_not_cached],
        parts=[replace(three.secret, claims=[]), three.mce, three.pool],
    )
    found = settled(claims)
    assert found.rows == ("machine", "mce", "pool")
    marks = {c: found.cells["machine", c].standing for c in found.columns}
    # No pair of mce and secret is in this row: the machine is alone with one part.
    assert set(marks.values()) == {Standing.PROVED}


def test_a_part_that_is_not_seen_at_work_is_not_proved() -> None:
    idle = replace(three.secret, operations=[three.show])
    found = settled(three.three.but(name="idle", parts=[idle, three.pool]))
    assert found.cells["secret", "secret"].standing is Standing.OPEN
    assert found.cells["secret", "pool"].standing is Standing.OPEN
    assert found.cells["pool", "secret"].standing is Standing.PROVED


def test_what_is_not_proved_for_any_size_is_not_green() -> None:
    part = Part(
        name="pool",
        operations=counting.counting.operations,
        claims=counting.counting.properties,
    )
    design = counting.counting.but(name="counts", parts=[part], properties=[], operations=[])
    found = settled(design, timeout=2.0)
    assert found.cells["pool", "pool"].standing is Standing.OPEN
    text = matrix_text(found, 0.0)
    assert "pool, alone: 1 claim not settled" in text
    assert "proved-at-scope" in text


# The short cuts, against a check of each pair by itself.


def differences(design: Design[Any], *names: str) -> list[str]:
    """Where the matrix says something else than a check of the pair does."""
    pairs = Pairs(design, names, Options(timeout=20, depth=6))
    pairs.settle()
    found = [] if pairs.matrix().complete else ["a cell is missing"]
    for (row, column), cell in pairs.matrix().cells.items():
        pair = restricted(design, {row, column} - {"machine"})
        claims = [r.property for r in cell.results]
        alone = {r.property: r for r in check(pair, Options(timeout=20, depth=6, only=claims))}
        for result in cell.results:
            expected = alone[result.property]
            violated = result.verdict is Verdict.VIOLATED, expected.verdict is Verdict.VIOLATED
            other = result.depth != expected.depth and result.property not in cell.own
            if violated[0] != violated[1] or (violated[0] and other):
                found.append(f"{row} with {column}: {result.property} {result.verdict}")
            if result.verdict is Verdict.PROVED and expected.verdict is Verdict.VIOLATED:
                found.append(f"{row} with {column}: {result.property} is not proved")
    return found


@st.composite
def composed(draw: st.DrawFn) -> Design[Any]:
    """A random design whose operations and claims are dealt out to three parts and the machine."""
    design, _ = draw(designs_with_scopes(300, stratified=True))
    places = st.integers(0, 3)
    hands: list[list[Any]] = [[], [], [], []]
    claims: list[list[Any]] = [[], [], [], []]
    for op in design.operations:
        hands[draw(places)].append(op)
    for prop in design.properties:
        if prop.kind != "sometimes":
            claims[draw(places)].append(prop)
    parts = [Part(name=n, operations=hands[i], claims=claims[i]) for i, n in enumerate("abc")]
    return replace(design, operations=hands[3], properties=claims[3], lemmas=[], parts=parts)


@given(composed())
@settings(max_examples=20, deadline=None)
def test_random_designs_have_the_cells_of_their_pairs(design: Design[Any]) -> None:
    for names in ((), ("a", "c"), ("b",)):
        parts = [part for part in design.parts if not names or part.name in names]
        if design.own_properties or any(part.claims for part in parts):
            assert differences(design, *names) == []


def proofs_of_a_part_stand_for_its_pairs(patch: pytest.MonkeyPatch) -> None:
    real = Pairs._settle_alone

    def settle(self: Any, questions: Any) -> list[Any]:
        for row, claim in real(self, questions):
            self._record(row, claim, self.columns, *self._found[row, row][claim.name])
        return []

    patch.setattr(Pairs, "_settle_alone", settle)


def runs_are_blamed_on_every_column(patch: pytest.MonkeyPatch) -> None:
    real = Pairs._settled

    def blame(self: Any, *given: Any) -> list[str]:
        self._owners = {}
        return real(self, *given)

    patch.setattr(Pairs, "_settled", blame)


def columns_are_left_out(patch: pytest.MonkeyPatch) -> None:
    def lonely(design: Design[Any], parts: Any) -> Design[Any]:
        both, one = restricted(design, parts), restricted(design, sorted(parts)[-1:])
        return both.running(one.system(), name=both.name)

    patch.setattr(engine, "restricted", lonely)


@pytest.mark.parametrize(
    "plant",
    [
        proofs_of_a_part_stand_for_its_pairs,
        runs_are_blamed_on_every_column,
        columns_are_left_out,
    ],
)
def test_planted_mistakes_are_noticed(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert differences(three.three) == []
    plant(monkeypatch)
    try:
        noticed = differences(three.three)
    except (ReplayError, KeyError) as error:  # a run is not one of the pair
        noticed = [str(error)]
    assert noticed


# The command.


def ran(*arguments: str, code: int) -> str:
    done = CliRunner().invoke(main, ["matrix", *arguments, "--cache", "off"])
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((THREE,), 1), ((THREE, "secret", "pool"), 0), ((THREE, "mce"), 1), ((RELAY,), 0)],
)
def test_exit_codes_and_schema(arguments: tuple[str, ...], code: int) -> None:
    document = json.loads(ran(*arguments, "--json", code=code))
    VALIDATOR.validate(document)
    (found,) = document["matrices"]
    assert len(found["cells"]) == len(found["rows"]) * len(found["columns"])
    for cell in found["cells"]:
        for claim in cell["claims"]:
            assert claim["replayed"] is (claim["trace"] is not None)


def test_the_schema_refuses_a_green_cell_that_is_not_proved() -> None:
    document = json.loads(ran(THREE, "secret", "pool", "--json", code=0))
    document["matrices"][0]["cells"][0]["claims"][0]["verdict"] = "unknown"
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((THREE, "mcee"), "three has no system mcee, it has secret, mce, pool; did you mean mce?"),
        (("kpt",), "kpt composes no systems"),
        (("no-such-thing",), "no-such-thing is neither a design that composes systems nor"),
        ((THREE, "--graph", "m.pdf"), "end the name in one of .svg, .png, .html"),
    ],
)
def test_mistakes_have_one_message(arguments: tuple[str, ...], message: str) -> None:
    output = ran(*arguments, code=2)
    assert message in output
    assert "Traceback" not in output


def test_traces_in_full() -> None:
    output = ran(THREE, "secret", "mce", "--traces", code=1)
    assert "three[secret+mce] :: hidden_pages_are_not_mapped  VIOLATED in 3 steps" in output
    assert "  step 2  hide(f=frame0)  [mm/secretmem.c: secretmem_fault()]" in output


def test_what_was_settled_before_an_interrupt_is_shown() -> None:
    calls = iter(range(1000))

    def stop(text: str) -> None:
        if "three[pool]" in text or next(calls) > 500:
            raise KeyboardInterrupt

    pairs = Pairs(three.three, (), Options(timeout=20), stop)
    with pytest.raises(KeyboardInterrupt):
        pairs.settle()
    found = pairs.matrix()
    assert not found.complete
    assert found.cells["mce", "mce"].standing is Standing.OWN_DEFECT
    assert "- not reached" in matrix_text(found, 0.0)


@pytest.mark.parametrize("number", [12, 16, 30])
def test_the_grid_fits_a_mail(number: int) -> None:
    parts = [
        Part(name=f"{i}-arch-set-direct-map-noflush", claims=[], operations=[])
        for i in range(number)
    ]
    names = tuple(p.name for p in parts)
    standings = [Result("d", "p", "always", v) for v in (Verdict.PROVED, Verdict.VIOLATED)]
    cells = {
        (r, c): Cell(r, c, (standings[r == c],), {"p": "d"}, frozenset())
        for r in names
        for c in names
    }
    design = three.three.but(name="wide", parts=parts)
    lines = [unstyle(line) for line in grid(Matrix(design, names, names, cells))]
    assert max(map(len, lines)) <= 80
    assert sum(line.count("X") for line in lines if line.startswith("  ")) >= number


def test_the_picture_names_what_breaks(tmp_path: Path) -> None:
    drawn = tmp_path / "m.svg"
    ran(THREE, "--graph", str(drawn), code=1)
    svg = drawn.read_text(encoding="utf-8")
    assert svg == grid_svg(picture(settled(three.three)))
    assert "secret with mce: hidden_pages_are_not_mapped broken in 3 steps" in svg
    assert "poison(f=frame0); hide(f=frame0); unpoison(f=frame0)" in svg
    for name in ("m.png", "m.html"):
        ran(THREE, "--graph", str(tmp_path / name), code=1)
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_several_processes_find_the_same() -> None:
    alone = settled(three.three)
    pairs = Pairs(three.three, (), Options(timeout=20), processes=2)
    pairs.settle()
    together = pairs.matrix()
    assert matrix_text(together, 0.0, traces=True, proofs=True) == matrix_text(
        alone, 0.0, traces=True, proofs=True
    )


def test_inferred_lemmas_come_back_from_other_processes() -> None:
    design = Catalog().design_named("kpt").but(name="lemmas", lemmas=[])
    part = Part(name="kpt", operations=design.operations, claims=design.properties)
    composed = design.but(name="lemmas", operations=[], properties=[], parts=[part])
    found = []
    for processes in (1, 2):
        pairs = Pairs(composed, (), Options(timeout=30), processes=processes)
        pairs.settle()
        cell = pairs.matrix().cells["kpt", "kpt"]
        found.append({r.property: [x.clause for x in r.inferred] for r in cell.results})
    assert any(found[0].values())
    assert found[0] == found[1]


def test_what_fails_in_another_process_is_told() -> None:
    crew: Crew[int, int] = Crew(2, lambda: lambda n: 12 // n)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(crew.values([1, 2, 0, 3]))
    crew.close()
    crew = Crew(2, lambda: lambda n: 12 // n)
    assert list(crew.values([1, 2, 3, 4])) == [12, 6, 4, 3]
    crew.close()
