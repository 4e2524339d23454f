"""Mutants: every kind of slip is made, killed where a property notices, and recognised as harmless."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import mapproof
from mapproof.catalog import Catalog
from mapproof.cli import main
from mapproof.model.language import (
    FALSE,
    TRUE,
    Bool,
    Design,
    DesignError,
    Enumeration,
    Group,
    Map,
    Procedure,
    Sort,
    State,
    Step,
    Var,
    always,
    operation,
    sometimes,
    step,
)
from mapproof.mutation_text import mutation_json, mutation_page
from mapproof.proofs.mutants import Slip, mutants
from mapproof.proofs.mutation import Fate, Mutation, Outcome, mutate

RIGHT = ("kpt", "kaiser-v2", "vmalloc-pae-2019", "vmalloc-x86-64")
PAGE = Path(__file__).parent.parent / "docs" / "mutation.md"
REGENERATE = "MAPPROOF_REGENERATE"
SCHEMA: dict[str, Any] = json.loads(
    (Path(mapproof.__file__).parent / "mutation.schema.json").read_text(encoding="utf-8")
)
VALIDATOR: Any = jsonschema.Draft202012Validator(SCHEMA)


class Actor(Sort):
    """Who runs."""


class Slot(Sort):
    """A place in a table."""


class Lamp(Enumeration):
    OFF: Lamp
    ON: Lamp


class Words(Group):
    """Entries of two bits that are never different."""

    low: Map[Slot, Bool]
    high: Map[Slot, Bool]


class Tiny(State):
    """Two tables that are written one after the other under a lock, and a cache of the first."""

    first: Words
    second: Words
    lock: Var[Bool]
    cached: Map[Slot, Bool]
    red: Var[Lamp]
    green: Var[Lamp]


@operation
def boot(s: Tiny) -> Step:
    """Everything is zero."""
    maps = (s.first.low, s.first.high, s.second.low, s.second.high, s.cached)
    return Step(
        when=TRUE,
        then=[
            *(m.fill(lambda i: FALSE) for m in maps),
            s.lock.become(FALSE),
            s.red.become(Lamp.ON),
            s.green.become(Lamp.OFF),
        ],
    )


copy = Procedure("copy", doc="Set an entry of the first table, then of the second.")


@copy.step
def set_first(s: Tiny, a: Actor, i: Slot) -> Step:
    """Under the lock, the first table; a redundant test of one bit beside the other."""
    return Step(
        when=~s.lock.now & ~s.first.low[i] & ~s.first.high[i],
        then=[s.lock.become(TRUE), s.first.low.set(i, TRUE), s.first.high.set(i, TRUE)],
    )


@copy.step
def set_second(s: Tiny, a: Actor) -> Step:
    """The second table takes over all of the first."""
    return Step(
        when=TRUE,
        then=[
            s.lock.become(FALSE),
            s.second.low.fill(lambda i: s.first.low[i]),
            s.second.high.fill(lambda i: s.first.high[i]),
        ],
    )


@operation
def cache_entry(s: Tiny, i: Slot) -> Step:
    """The cache takes an entry of the first table."""
    return Step(when=s.first.low[i], then=[s.cached.set(i, TRUE)])


@operation(kernel="flush_all()")
def clear_and_flush(s: Tiny) -> Step:
    """The lamps change; the cache is flushed when nobody writes."""
    return Step(
        when=~s.lock.now & (s.red.now == Lamp.ON),
        then=[
            s.cached.fill(lambda i: FALSE),
            s.red.become(Lamp.OFF),
            s.green.become(Lamp.ON),
        ],
    )


@always
def bits_agree(s: Tiny, i: Slot) -> Bool:
    """Half an entry is never seen."""
    return (s.first.low[i] == s.first.high[i]) & (s.second.low[i] == s.second.high[i])


@always
def second_follows_first(s: Tiny, i: Slot) -> Bool:
    """The second table has nothing that the first lacks; without the lock they are equal."""
    return s.second.low[i].implies(s.first.low[i]) & (
        s.lock.now | (s.first.low[i] == s.second.low[i])
    )


@always
def one_lamp(s: Tiny) -> Bool:
    """Exactly one lamp is lit."""
    return (s.red.now == Lamp.ON) == (s.green.now == Lamp.OFF)


@step
def changing_lamps_empties_the_cache(old: Tiny, new: Tiny, i: Slot) -> Bool:
    """When the lamps change nothing is cached."""
    return (old.red.now != new.red.now).implies(~new.cached[i])


@step
def one_at_a_time(old: Tiny, new: Tiny, i: Slot) -> Bool:
    """While the lock is held the first table stays."""
    return old.lock.now.implies(old.first.low[i] == new.first.low[i])


@sometimes
def copied(s: Tiny, i: Slot) -> Bool:
    """An entry is in both tables."""
    return s.second.low[i] & ~s.lock.now


@sometimes
def cached_entry(s: Tiny, i: Slot) -> Bool:
    """An entry is cached."""
    return s.cached[i]


@sometimes
def lamps_changed(s: Tiny) -> Bool:
    """The green lamp is lit."""
    return s.green.now == Lamp.ON


tiny = Design(
    name="tiny",
    state=Tiny,
    init=boot,
    operations=[cache_entry, clear_and_flush],
    procedures=[copy],
    properties=[
        bits_agree,
        second_follows_first,
        one_lamp,
        changing_lamps_empties_the_cache,
        one_at_a_time,
        copied,
        cached_entry,
        lamps_changed,
    ],
)


@cache
def judged(name: str = "tiny") -> Mutation:
    return mutate(tiny if name == "tiny" else Catalog().design_named(name))


def outcome(name: str) -> Outcome:
    return next(o for o in judged().outcomes if o.mutant.name == name)


@pytest.mark.parametrize("slip", Slip)
def test_every_kind_of_slip_is_made_and_killed(slip: Slip) -> None:
    assert Fate.KILLED in {o.fate for o in judged().outcomes if o.mutant.slip is slip}


@pytest.mark.parametrize(
    ("name", "killer", "steps"),
    [
        ("copy.set_first: bit high of first[i] flipped", "bits_agree", 1),
        ("copy.set_second: without write lock", "copied", None),
        ("cache_entry: without write cached[i]", "cached_entry", None),
        ("clear_and_flush: values of red and green swapped", "lamps_changed", None),
        ("clear_and_flush: without write red", "one_lamp", 1),
    ],
)
def test_killers(name: str, killer: str, steps: int | None) -> None:
    found = outcome(name)
    assert (found.fate, found.killer) == (Fate.KILLED, killer)
    if steps is not None:
        assert found.steps == steps
        assert found.trace is not None
        assert len(found.trace.events) == steps
    else:
        assert found.reason == "it provably never happens"


def test_equivalent_mutants_are_recognised() -> None:
    """Each of the two tests of one entry is implied by the other, for bits agree."""
    for bit in ("low", "high"):
        found = outcome(f"copy.set_first: without guard ~first.{bit}[i]")
        assert found.fate is Fate.EQUIVALENT
        assert "bits_agree" in found.reason


def test_mutants_are_stable_and_distinct() -> None:
    names = [m.name for m in mutants(tiny)]
    assert names == [m.name for m in mutants(tiny)]
    assert len(set(names)) == len(names)
    assert tiny.system() is not mutants(tiny)[0].design().system()


def test_a_broken_design_is_refused() -> None:
    with pytest.raises(DesignError, match="violates P1 itself, in 2 steps"):
        mutate(Catalog().design_named("kpt-buggy"))


def enough(name: str) -> None:
    found = judged(name)
    assert found.enough, [o.mutant.name for o in found.of(Fate.SURVIVED)]
    unexplained = [o.mutant.name for o in found.of(Fate.SURVIVED) if not o.harmless]
    assert unexplained == [], "say in proofs/ledger/mutants.toml why they are harmless"


def test_score_of_kpt() -> None:
    enough("kpt")


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT[1:])
def test_scores(name: str) -> None:
    enough(name)


@pytest.mark.slow
def test_page() -> None:
    """The page in docs/ has what the command finds."""
    page = mutation_page([judged(name) for name in RIGHT])
    if os.environ.get(REGENERATE):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page, f"run {REGENERATE}=1 pytest -m slow {__file__}"


def command(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["mutate", *arguments])


def test_command() -> None:
    done = command("kpt")
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "mutants killed (" in done.stdout.splitlines()[-1]


def test_command_json() -> None:
    document = json.loads(command("kpt", "--json").stdout)
    VALIDATOR.validate(document)
    assert document["version"] == 1
    assert document["score"] >= 0.9
    fates = [mutant["fate"] for mutant in document["mutants"]]
    assert [fates.count(f) for f in Fate] == [document[str(f)] for f in Fate]


@pytest.mark.parametrize("name", ["tiny", "kpt"])
def test_json_is_valid(name: str) -> None:
    document = json.loads(mutation_json(judged(name)))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(document)
    kinds = SCHEMA["$defs"]["mutant"]["properties"]
    assert kinds["slip"]["enum"] == [str(slip) for slip in Slip]
    assert kinds["fate"]["enum"] == [str(fate) for fate in Fate]


@pytest.mark.parametrize(
    "change",
    [
        {"fate": "alive"},
        {"fate": "killed", "killer": None},
        {"fate": "equivalent", "killer": "P1"},
        {"fate": "killed", "killer": "P1", "harmless": "never mind"},
        {"slip": "typo"},
        {"steps": -1},
    ],
)
def test_schema_rejects(change: dict[str, Any]) -> None:
    document = json.loads(mutation_json(judged("kpt")))
    document["mutants"][0].update(change)
    assert not VALIDATOR.is_valid(document)


def test_command_refuses_a_broken_design() -> None:
    done = command("kpt-buggy")
    assert done.exit_code == 2
    assert "mutants tell something of designs that are right" in done.stderr
