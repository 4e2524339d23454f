"""JSON: valid against the published schema, and saying what the text says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import mapproof
from mapproof.cli import main
from mapproof.proofs.finite import Settled

SCHEMA: dict[str, Any] = json.loads(
    (Path(mapproof.__file__).parent / "results.schema.json").read_text(encoding="utf-8")
)
VALIDATOR: Any = jsonschema.Draft202012Validator(SCHEMA)


COUNTING = str(Path(__file__).parent / "designs" / "counting.py")


def printed(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == code, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("check", "kpt"), 0),
        (("check", "kpt-buggy", "kpt-bugpgd"), 1),
        (("check", "kaiser-v1::shadow_maps_only_allowed"), 1),
        (("review", "kpt-bugpgd", "kpt"), 0),
        (("check", "kpt", "--lemmas", "infer"), 0),
        (("check", COUNTING, "--lemmas", "given"), 0),
    ],
)
def test_valid(arguments: tuple[str, ...], code: int) -> None:
    VALIDATOR.validate(printed(*arguments, code=code))


def bare_design(folder: Path) -> str:
    """P1 of a design that has lost its lemmas."""
    design = folder / "bare.py"
    design.write_text(
        "from mapproof.model.designs.kpt import kpt\nbare = kpt.but(name='bare', lemmas=[])\n"
    )
    return f"{design}::bare::P1"


def test_what_it_says_of_a_proof_at_a_scope(tmp_path: Path) -> None:
    target = bare_design(tmp_path)
    (result,) = (document := printed("check", target, "--lemmas", "given", "--require-proof"))[
        "results"
    ]
    VALIDATOR.validate(document)
    assert (result["verdict"], result["depth"]) == ("proved-at-scope", None)
    assert result["scope"] == {"frame": 4, "mm": 2, "userpage": 2, "kernelpage": 3}
    assert result["reason"].startswith("not for any size: ")
    assert result["checked_by"][0].startswith("z3 ")


def test_what_it_says_of_a_bounded_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapproof.proofs.check.settle", lambda *_: Settled(reason="time limit"))
    target = bare_design(tmp_path)
    (result,) = (document := printed("check", target, "--lemmas", "given", "--depth", "3"))[
        "results"
    ]
    VALIDATOR.validate(document)
    assert (result["verdict"], result["depth"]) == ("holds-to-depth", 3)
    assert result["scope"] == {"frame": 4, "mm": 2, "userpage": 2, "kernelpage": 3}
    assert result["reason"].startswith("not proved: ")
    assert (result["trace"], result["checked_by"]) == (None, [])
    printed("check", target, "--lemmas", "given", "--depth", "3", "--require-proof", code=3)


def test_what_it_says_of_a_counterexample() -> None:
    (result,) = printed("check", "kpt-buggy::P1", code=1)["results"]
    assert result.pop("seconds") < 60
    assert result == {
        "design": "kpt-buggy",
        "property": "P1",
        "kind": "always",
        "verdict": "violated",
        "scope": {"frame": 2, "mm": 1, "userpage": 1, "kernelpage": 2},
        "depth": 2,
        "trace": [
            {
                "operation": "kalloc",
                "kernel": None,
                "args": {"f": "pfn:0x1001"},
                "changes": {
                    "own[pfn:0x1001]": {"old": "FREE", "new": "SECRET"},
                    "km[mm0, ffff888001001000]": {"old": "none", "new": "pfn:0x1001"},
                },
            },
            {
                "operation": "kaiser_add_any",
                "kernel": "kaiser_add_mapping()",
                "args": {"m": "mm0", "i": "ffff888001001000"},
                "changes": {"sh[mm0, ffff888001001000]": {"old": "none", "new": "pfn:0x1001"}},
            },
        ],
        "witness": {"m": "mm0", "k": "ffff888001001000"},
        "replayed": True,
        "cti": None,
        "lemmas": [],
        "inferred": [],
        "certificate": None,
        "checked_by": ["concrete replay"],
        "solver": "glucose",
        "assumptions": ["one_to_one"],
        "reason": None,
    }


def test_what_it_says_of_a_proof() -> None:
    (result,) = printed("check", "kpt::P1")["results"]
    assert result["verdict"] == "proved"
    assert (result["scope"], result["depth"], result["trace"]) == (None, None, None)
    assert "user_half_maps_own_frames" in result["lemmas"]
    assert result["checked_by"]


def test_what_it_says_of_inferred_lemmas() -> None:
    (result,) = printed("check", "kpt::P1", "--lemmas", "infer")["results"]
    (lemma,) = result["inferred"]
    assert lemma["name"] in result["lemmas"]
    assert lemma["text"].startswith(f"@always\ndef {lemma['name']}(")
    assert not [name for name in result["lemmas"] if re.fullmatch(r"lemma_\d+", name)]


def test_what_it_says_of_a_step_that_nothing_rules_out() -> None:
    (result,) = printed("check", COUNTING, "--lemmas", "given")["results"]
    assert result["trace"] is None
    assert result["cti"] == {
        "scope": {"frame": 2},
        "before": {"reserved[frame1]": {"initial": "yes", "value": "no"}},
        "step": {
            "operation": "map_page",
            "kernel": "mm/memory.c: do_anonymous_page()",
            "args": {"f": "frame0", "g": "frame1"},
            "changes": {
                "reserved[frame0]": {"old": "yes", "new": "no"},
                "mapped[frame1]": {"old": "no", "new": "yes"},
            },
        },
        "witness": {"g": "frame0"},
    }


def test_roles_in_a_review() -> None:
    results = printed("review", "kpt-buggy", "kpt")["results"]
    assert [(r["role"], r["design"]) for r in results] == [
        *[("before", "kpt-buggy")] * (len(results) // 2),
        *[("after", "kpt")] * (len(results) // 2),
    ]


def test_what_could_not_be_checked_is_said(tmp_path: Path) -> None:
    design = tmp_path / "d.py"
    design.write_text(
        "from mapproof import TRUE, Design, State, Step, operation\n"
        "class S(State):\n    pass\n"
        "@operation\n"
        "def boot(s: S) -> Step:\n    return Step(TRUE)\n"
        "d = Design(name='d', state=S, init=boot)\n"
    )
    document = printed("check", "kpt::P2", str(design), code=2)
    VALIDATOR.validate(document)
    assert [r["property"] for r in document["results"]] == ["P2"]
    assert len(document["errors"]) == 1
    assert "no property to check" in document["errors"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "verified"},
        {"verdict": "violated", "replayed": False},
        {"verdict": "holds-to-depth", "depth": None},
        {"lemmas": "none"},
        {"scope": {"mm": 0}},
        {"cti": {}},
        {"inferred": [{"name": "x"}]},
    ],
)
def test_schema_rejects(change: dict[str, Any]) -> None:
    document = printed("check", "kpt::P2")
    document["results"][0].update(change)
    assert not VALIDATOR.is_valid(document)


def test_explore() -> None:
    document = printed("explore", "kpt", "--scope", "mm=1,userpage=2,kernelpage=2,frame=3")
    assert document == {
        "version": 1,
        "design": "kpt",
        "scope": {"mm": 1, "userpage": 2, "kernelpage": 2, "frame": 3},
        "states": 100,
        "depth": 6,
        "complete": True,
    }
