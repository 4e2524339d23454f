"""Designs that compose several systems, and what of them is looked at alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mapproof import TRUE, Design, DesignError, Part, Procedure, Step, always, operation, restricted
from mapproof.catalog import attached
from tests.designs import three as toy

THREE = toy.three
ANYTHING: Any = "anything"


class Other(toy.Memory):
    """A state that the design does not have."""


def names(items: Any) -> list[str]:
    return [item.name for item in items]


def test_parts_add_what_they_do_and_claim() -> None:
    assert names(THREE.operations) == ["fill_tlb", "hide", "show", "poison", "unpoison", "use"]
    assert names(THREE.own_operations) == ["fill_tlb"]
    assert toy.poisoned_pages_are_not_cached in THREE.properties
    assert not THREE.own_properties
    again = replace(THREE, name="again")
    assert names(again.operations) == names(THREE.operations)


def test_restricted_has_the_machine_and_the_named_parts() -> None:
    pair = restricted(THREE, ["mce", "secret"])
    assert pair.name == "three[secret+mce]"
    assert names(pair.operations) == ["fill_tlb", "hide", "show", "poison", "unpoison"]
    assert names(pair.parts) == ["secret", "mce"]
    assert toy.used_pages_are_in_use not in pair.properties
    # Word by word, so that what is proved of a transition is asked once for all pairs.
    whole = {t.name: t for t in THREE.system().transitions}
    assert all(whole[t.name] is t for t in pair.system().transitions)
    assert pair.system().components == THREE.system().components
    alone = restricted(THREE, [])
    assert names(alone.operations) == ["fill_tlb"]
    assert not alone.properties


def test_a_procedure_that_is_left_out_stands_idle() -> None:
    walk = Procedure("walk")

    @walk.step
    def begin(s: toy.Memory, f: toy.Frame) -> Step:
        return Step(when=s.mapped[f])

    @walk.step
    def end(s: toy.Memory, f: toy.Frame) -> Step:
        return Step(when=TRUE, then=[s.used.set(f, TRUE)])

    walker = Part(name="walker", procedures=[walk])
    design = THREE.but(name="four", parts=[*THREE.parts, walker])
    pair = restricted(design, ["pool"])
    assert walk.position in pair.system().components
    assert not any(
        walk.position == u.component for t in pair.system().transitions for u in t.updates
    )
    assert "walk.end" in {t.name for t in restricted(design, ["walker"]).system().transitions}


def test_a_slip_in_one_part_stays_in_it() -> None:
    @operation(kernel="mm/secretmem.c", name="hide")
    def hide_without_flush(s: toy.Memory, f: toy.Frame) -> Step:
        return Step(when=TRUE, then=[s.mapped.set(f, TRUE)])

    slip = THREE.replacing(toy.hide, hide_without_flush, name="slip")
    assert hide_without_flush in slip.part_named("secret").operations
    assert toy.hide not in slip.operations
    assert len(slip.operations) == len(THREE.operations)
    assert names(restricted(slip, ["mce"]).operations) == ["fill_tlb", "poison", "unpoison"]


def test_other_parts_take_what_they_did_with_them() -> None:
    fewer = THREE.but(name="fewer", parts=[toy.pool])
    assert names(fewer.operations) == ["fill_tlb", "use"]
    assert names(fewer.properties) == ["used_pages_are_in_use"]


def test_a_list_that_is_given_is_all_there_is() -> None:
    fewer = THREE.but(
        name="fewer",
        operations=[toy.fill_tlb, toy.poison],
        properties=[toy.poisoned_pages_are_not_cached],
    )
    assert names(fewer.operations) == ["fill_tlb", "poison"]
    assert names(fewer.properties) == ["poisoned_pages_are_not_cached"]
    assert names(restricted(fewer, ["secret"]).operations) == ["fill_tlb"]


def test_the_library_family_of_a_part_is_its_claim() -> None:
    @always
    def hidden_pages_are_used(s: toy.Memory, f: toy.Frame) -> Any:
        return s.hidden[f].implies(s.used[f])

    hidden_pages_are_used.function.__module__ = "mapproof.properties.pool"
    found = attached(THREE, [hidden_pages_are_used])
    assert hidden_pages_are_used in found.part_named("pool").claims
    assert hidden_pages_are_used not in found.own_properties
    named = THREE.but(name="named", parts=[replace(toy.secret, family="pool"), toy.mce])
    assert hidden_pages_are_used in attached(named, [hidden_pages_are_used]).parts[0].claims


def _with(*parts: Any) -> Callable[[], object]:
    return lambda: THREE.but(name="mine", parts=parts)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Part(name="machine"), "a part cannot be called 'machine'"),
        (lambda: Part(name="a+b"), "a part cannot be called 'a+b'"),
        (
            lambda: Part(name="a", operations=[ANYTHING]),
            "lists 'anything' under operations",
        ),
        (lambda: Part(name="a", claims=ANYTHING), "claims must be a list"),
        (_with(toy.pool, replace(toy.mce, name="pool")), "two parts called pool"),
        (_with("pool"), "lists 'pool' under parts: make it a Part"),
        (
            _with(toy.pool, replace(toy.mce, claims=toy.pool.claims)),
            "used_pages_are_in_use is claimed by two parts, pool and mce",
        ),
        (
            lambda: restricted(THREE, ["secretmem"]),
            "three has no part secretmem; it has secret, mce",
        ),
    ],
)
def test_mistakes_are_told(made: Callable[[], object], said: str) -> None:
    with pytest.raises(DesignError, match=re.escape(said)):
        made()


def test_a_claim_about_another_state_is_refused() -> None:
    @always
    def about_other(s: Other) -> Any:
        return TRUE

    with pytest.raises(DesignError, match="which the state Memory does not extend"):
        Design(
            name="d",
            state=toy.Memory,
            init=toy.boot,
            parts=[Part(name="a", claims=[about_other])],
        )
