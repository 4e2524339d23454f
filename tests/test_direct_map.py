"""Everything that edits the direct map: the matrix of today, of the rules, and of the rules but one."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from click import unstyle

from mapproof.catalog import Catalog
from mapproof.matrix_text import grid
from mapproof.model.language import TRUE
from mapproof.model.language.operation import Transition
from mapproof.proofs.check import Options, check
from mapproof.proofs.ledger import defects
from mapproof.proofs.matrix import Matrix, Pairs, Standing
from mapproof.proofs.search import search
from mapproof.proofs.verdict import Verdict

PAGE = Path(__file__).parents[1] / "docs" / "direct-map.md"
TODAY, ARCHITECTED = "direct-map-today", "direct-map-architected"
RULES = ("owner", "alias", "flush")
SOME = ("image", "secretmem", "hibernation")  # a part of the matrix that is soon settled


@cache
def matrix(name: str, *systems: str, timeout: float = 60) -> Matrix:
    pairs = Pairs(Catalog().design_named(name), systems, Options(timeout=timeout))
    pairs.settle()
    return pairs.matrix()


def broken(found: Matrix) -> set[tuple[str, str, str]]:
    cells = found.of(Standing.BROKEN)
    return {(c.row, c.column, result.property) for c in cells for result in c.broken}


def told(rule: str = "") -> set[tuple[str, str, str]]:
    """The broken cells of the page, all or those that a rule mends: row, column, claim."""
    rows = re.findall(
        r"^\| ([a-z]+) \| ([a-z, ]+) \| `(\w+)` \| .* \| (\w+) \|$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {
        (row, column, claim)
        for row, columns, claim, mended in rows
        for column in columns.split(", ")
        if rule in ("", mended)
    }


def left_out(rule: str) -> str:
    return f"direct-map-without-{rule}"


def test_some_systems_of_today_break_what_the_page_says() -> None:
    found = matrix(TODAY, *SOME)
    assert found.complete
    assert not found.of(Standing.OPEN)
    assert broken(found) == {cell for cell in told() if {*cell[:2]} <= {*SOME, "machine"}}
    assert len(broken(found)) == 2


def test_every_rule_has_entries_of_the_ledger() -> None:
    """The table of rules names every entry that leaves one out, with its claim."""
    text = PAGE.read_text(encoding="utf-8")
    for rule in RULES:
        entries = {d.id: d.property for d in defects().values() if d.buggy == left_out(rule)}
        (row,) = re.findall(rf"^\| {rule} \| `{left_out(rule)}` \| (.*) \|$", text, re.MULTILINE)
        named = {entry: claim for claim, entry in re.findall(r"`(\w+)` \((X-[\w-]+)\)", row)}
        assert entries == named
        assert entries
        assert {d.fixed for d in defects().values() if d.buggy == left_out(rule)} == {ARCHITECTED}


def test_systems_differ_in_the_rules_only() -> None:
    """Parts and machine have the same names in each of the designs."""
    designs = [Catalog().design_named(n) for n in (TODAY, ARCHITECTED, *map(left_out, RULES))]
    first, *others = designs
    for other in others:
        assert [p.name for p in other.parts] == [p.name for p in first.parts]
        assert other.own_operations == first.own_operations
        assert other.init is first.init
        claims = {p.name for part in other.parts for p in part.claims}
        assert claims == {p.name for part in first.parts for p in part.claims}
    assert len(first.parts) >= 12


# A step of direct-map-architected, what is left out of it (a component that it writes, or whatever it
# waits for), and the claim that notices, in so many steps.
SLIPS = [
    ("split_large_page", "split_asked", "large_entries_are_flushed_before_an_edit", 6),
    ("finish_fault", "", "secrets_are_not_in_the_direct_map", 8),
    ("set_direct_map_invalid", "leaf.present", "secrets_are_not_in_the_direct_map", 8),
    ("zero_and_put", "secret", "others_get_no_secret", 10),
    ("set_memory_wb", "asked", "entries_have_the_type_of_the_leaf", 10),
    ("set_memory_decrypted", "asked", "entries_have_the_encryption_of_the_leaf", 6),
    ("set_memory_encrypted", "call", "what_the_host_has_is_shared", 6),
    ("free_pages", "", "free_pages_are_private", 6),
    ("kmap_high", "", "pages_with_slots_are_not_free", 3),
    ("set_mce_nospec", "leaf.present", "poisoned_pages_are_not_mapped", 4),
    ("copy_data_page", "", "the_image_has_no_secret", 8),
    ("set_memory_np_noalias", "high", "freed_pages_have_no_image_alias", 4),
    ("module_enable_ro", "asked", "text_is_not_writable", 6),
    ("reset_and_free", "leaf.present", "free_pages_are_as_expected", 8),
    ("memremap_pages", "leaf.shared", "device_pages_are_decrypted", 6),
    ("memremap_pages", "leaf.keyed", "device_pages_have_the_key", 6),
    ("online_pages", "", "memory_is_reached_by_all", 6),
    ("arch_remove_memory", "asked", "absent_memory_is_in_no_tlb", 6),
    ("purged", "", "slots_lead_to_their_page", 8),
    ("free_pages", "", "pages_in_areas_are_not_given_away", 6),
    ("folio_put", "", "pinned_pages_are_a_users", 6),
    ("xpfo_kunmap", "asked", "user_pages_are_not_in_the_direct_map", 10),
]


@pytest.mark.parametrize(("step", "what", "claim", "depth"), SLIPS)
def test_a_slip_is_noticed(step: str, what: str, claim: str, depth: int) -> None:
    design = Catalog().design_named(ARCHITECTED)
    system = design.system()

    def slipped(t: Transition) -> Transition:
        if t.name != step:
            return t
        if not what:
            return replace(t, when=TRUE.node)
        kept = tuple(u for u in t.updates if u.component.name != what)
        assert len(kept) == len(t.updates) - 1
        return replace(t, updates=kept)

    transitions = tuple(map(slipped, system.transitions))
    slip = design.running(replace(system, transitions=transitions), name="slip")
    prop = slip.property_named(claim)
    found = search(slip, {prop: depth}, slip.scope_at(), 120, shrink=False)
    trace = found[claim].trace
    assert trace is not None
    assert step in {event.transition.name for event in trace.events}


@pytest.mark.slow
def test_today_breaks_what_the_page_says() -> None:
    found = matrix(TODAY)
    assert found.complete
    assert not found.of(Standing.OPEN)
    assert broken(found) == told()
    text = PAGE.read_text(encoding="utf-8")
    assert all(unstyle(line).rstrip() in text for line in grid(found))


@pytest.mark.slow
def test_every_cell_is_proved_under_the_rules() -> None:
    found = matrix(ARCHITECTED)
    assert found.complete
    assert {cell.standing for cell in found.cells.values()} == {Standing.PROVED}


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_what_it_mends_is_broken(rule: str) -> None:
    """And nothing that another one mends."""
    claims = {claim for _, _, claim in told(rule)}
    others = {claim for _, _, claim in told()} - claims
    options = Options(only=(*claims, *others), timeout=240)
    results = check(Catalog().design_named(left_out(rule)), options)
    verdicts = {r.property: r.verdict for r in results}
    assert {name for name in verdicts if verdicts[name] is Verdict.VIOLATED} == claims
    assert {verdicts[name] for name in others} <= {Verdict.PROVED, Verdict.PROVED_AT_SCOPE}
