"""What the model says of an access to memory, against an emulated processor.

The ordinary run makes some thousand accesses; ``benchmarks/mmu.py`` and the slow tests make 100,000
for each paging mode and plant every mistake.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from mapproof.model.language.nodes import TRUE_NODE, Node, nodes_of
from mapproof.model.machine.words import decode

from .mmu_mistakes import Fate, Mistake, Record, mistakes
from .mmu_oracle import (
    EXPLAINED,
    MODES,
    Observation,
    Oracle,
    Request,
    World,
    observations,
    observe,
    show,
)

every_mode = pytest.mark.parametrize("name", MODES)
the_three = pytest.mark.parametrize("name", ["4-level", "PAE", "2-level"])


@cache
def oracle_for(name: str) -> Oracle:
    return Oracle(MODES[name])


@cache
def record_for(name: str, count: int) -> Record:
    oracle = oracle_for(name)
    return Record(oracle, observations(oracle, count, seed=3))


def assert_agreement(name: str, count: int, seed: int) -> Counter[str]:
    """Every access comes to the same on both sides, or differs as explained."""
    oracle, seen = oracle_for(name), Counter[str]()
    for observation in observations(oracle, count, seed):
        if not observation.agrees:
            assert observation.explained, show(oracle, observation)
            seen[observation.explained.what] += 1
        seen["fault" if observation.emulator.error_code is not None else "no fault"] += 1
    return seen


@every_mode
def test_random_accesses(name: str) -> None:
    seen = assert_agreement(name, 1_500, seed=1)
    assert seen["fault"] > 400
    assert seen["no fault"] > 200


@pytest.mark.slow
@the_three
def test_a_hundred_thousand_random_accesses(name: str) -> None:
    assert_agreement(name, 100_000, seed=2)


def test_every_explanation_is_needed_and_cites_the_manual() -> None:
    seen = assert_agreement("4-level", 1_000, seed=4) + assert_agreement("PAE", 1_000, seed=4)
    for explained in EXPLAINED:
        assert seen[explained.what] > 0
        assert explained.manual.startswith("4.")


# Hypothesis: the same comparison, and what a disagreement looks like.


@st.composite
def entries(draw: st.DrawFn, oracle: Oracle, level: str, pse: bool) -> int:
    """One entry, which shrinks by itself."""
    return oracle.draw_word(
        lambda options: draw(st.sampled_from(options)), oracle.geometry.level(level), pse
    )


@st.composite
def accesses(draw: st.DrawFn, name: str) -> tuple[World, Request]:
    """One access, and some of the entries that it may come to, the simplest first."""
    oracle = oracle_for(name)

    def pick(options: Any) -> Any:
        return draw(st.sampled_from(options))

    world = World(pse=draw(st.booleans()))
    request = oracle.draw_request(pick, world)
    slots = dict(zip((level.name for level in oracle.levels), request.slots, strict=True))
    for place in oracle.places():
        level, _, slot = place
        if slot == slots[level]:
            word = draw(entries(oracle, level, world.pse))
            world.words |= {place: word} if word else {}
    return world, request


def observed(name: str, world: World, request: Request) -> Observation:
    oracle = oracle_for(name)
    oracle.put(world)
    state = oracle.model.start(oracle.model.tables(world), request)
    return observe(oracle, world, state, request)


@every_mode
@settings(max_examples=10, deadline=None, derandomize=True)
@given(data=st.data())
def test_drawn_accesses(name: str, data: st.DataObject) -> None:
    observation = observed(name, *data.draw(accesses(name)))
    assert observation.agrees or observation.explained, show(oracle_for(name), observation)


def test_a_disagreement_shrinks_to_the_smallest_table() -> None:
    oracle = oracle_for("2-level")
    (flag,) = (n for n in reads(oracle) if n.data[0].name == "pte.writable")
    planted = Mistake(flag, TRUE_NODE).planted(oracle.model.outputs)
    wrong = {name: oracle.model.function(node) for name, node in planted.items()}
    functions = {**oracle.model.functions, **wrong}

    def disagrees(drawn: tuple[World, Request]) -> bool:
        seen = observed("2-level", *drawn)
        return oracle.model.result(seen.state, seen.request, functions) != seen.emulator

    world, request = find(
        accesses("2-level"),
        disagrees,
        settings=settings(
            max_examples=2_000,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
        ),
    )
    # A PDE that is writable, a PTE that is not, and nothing else.
    words = {place[0]: word for place, word in world.words.items()}
    assert len(world.words) == 2
    pde, pte = (decode(oracle.geometry, level, words[level]) for level in ("pgd", "pte"))
    assert (pde.present, pde.writable, pde.large) == (True, True, False)
    assert (pte.present, pte.writable) == (True, False)
    assert request.kind == "WRITE"


# Planted mistakes.


def reads(oracle: Oracle) -> list[Node]:
    """The reads of the state in the terms that are compared."""
    return [n for n in nodes_of(*oracle.model.outputs.values()) if n.op == "read"]


def assert_caught(record: Record, planted: list[Mistake]) -> None:
    """Each mistake is a disagreement with the processor; or it changes nothing, whatever the tables;
    or the emulator makes it, as explained (test_access.py then stands in)."""
    for mistake in planted:
        fate, _ = record.fate(mistake)
        assert fate is not Fate.MISSED, f"not caught in {len(record)} accesses: {mistake}"


def named(oracle: Oracle, *components: str) -> list[Mistake]:
    """What the state has under these names is always set, or always clear."""
    all_of_them = mistakes(n for n in reads(oracle))
    return [m for m in all_of_them if m.right.op == "read" and m.right.data[0].name in components]


@the_three
def test_a_control_bit_that_is_ignored_is_caught(name: str) -> None:
    record = record_for(name, 3_000)
    controls = ["wp", "smep", "smap", "ac", "user", "kind"]
    controls += {"4-level": ["nxe", "pke"], "PAE": ["nxe"], "2-level": ["pse"]}[name]
    planted = named(record.oracle, *controls)
    assert len(planted) >= 2 * len(controls)
    assert_caught(record, planted)


@pytest.mark.parametrize("name", ["PAE", "2-level"])
def test_a_flag_or_a_level_that_is_ignored_is_caught(name: str) -> None:
    record = record_for(name, 3_000)
    levels = [level.name for level in record.oracle.levels if level.rights]
    flags = ["present", "writable", "user", "accessed", "dirty", "reserved"]
    planted = named(record.oracle, *(f"{level}.{flag}" for level in levels for flag in flags))
    planted += named(record.oracle, *(f"{level}_index" for level in levels))
    assert len(planted) > len(levels) * len(flags)
    assert_caught(record, planted)


@pytest.mark.slow
@the_three
def test_every_planted_mistake_is_caught(name: str) -> None:
    record = record_for(name, 20_000)
    planted = list(mistakes(record.outputs.values()))
    assert len(planted) > 200
    assert_caught(record, planted)
