"""What a function promises: proved, short, and different where the functions differ."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from click.testing import CliRunner

from mapproof.cli import main
from mapproof.model.language import (
    FALSE,
    TRUE,
    Bool,
    Design,
    DesignError,
    Map,
    Sort,
    State,
    Step,
    Var,
    operation,
)
from mapproof.proofs.promise import promise

ADDED = "(on_list[m] & pmd.present[init_pmd, i]).implies(pmd.present[pmd_of[m], i])"
REMOVED = "(on_list[m] & pmd.present[pmd_of[m], i]).implies(pmd.present[init_pmd, i])"


@cache
def said(name: str) -> Any:
    done = CliRunner().invoke(main, ["promise", name, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def formulas(name: str, part: str = "promises") -> set[str]:
    return {fact["formula"] for fact in said(name)[part]}


def test_the_sync_of_2018_promises_additions_only() -> None:
    name = "vmalloc-pae-additions-only::vmalloc_sync_all"
    assert formulas(name) == {ADDED, "~pgd_lock"}
    assert formulas(name, "not_promised") == {REMOVED}
    (denial,) = said(name)["not_promised"]
    assert denial["run"][-1] == "cpu0: vmalloc_sync_all.unlock_pgd_list()"


def test_the_difference_between_the_two_purges_is_the_defect() -> None:
    fixed = "vmalloc-pae-2019::purge_vmap_area_lazy"
    buggy = "vmalloc-pae-break-early::purge_vmap_area_lazy"
    assert formulas(fixed) - formulas(buggy) == {REMOVED}
    assert formulas(buggy) < formulas(fixed)
    assert formulas(buggy, "not_promised") == {REMOVED}
    assert not formulas(fixed, "not_promised")


SHARED_ADDED = "pmd.present[init_pmd, i].implies(pmd.present[pmd_of[m], i])"
SHARED_REMOVED = "pmd.present[pmd_of[m], i].implies(pmd.present[init_pmd, i])"


def test_the_sync_of_2018_and_of_2019_with_shared_and_with_unshared_pmds() -> None:
    """With unshared PMDs the texts differ in the removals, which is the defect; with shared ones in
    nothing: processes have what init_mm has without either."""
    unshared_2018 = "vmalloc-pae-sync-2018::purge_vmap_area_lazy"
    unshared_2019 = "vmalloc-pae-2019::purge_vmap_area_lazy"
    assert formulas(unshared_2019) - formulas(unshared_2018) == {REMOVED}
    assert formulas(unshared_2018) < formulas(unshared_2019)
    assert formulas(unshared_2018, "not_promised") == {REMOVED}
    assert not formulas(unshared_2019, "not_promised")
    for name in (unshared_2018, unshared_2019):
        assert not formulas(name, "invariants")

    shared_2018 = "vmalloc-pae-shared-2018::purge_vmap_area_lazy"
    shared_2019 = "vmalloc-pae-shared-2019::purge_vmap_area_lazy"
    assert formulas(shared_2018) == formulas(shared_2019)
    assert formulas(shared_2019) == formulas(unshared_2019) - {ADDED, REMOVED}
    for name in (shared_2018, shared_2019):
        assert formulas(name, "invariants") == {SHARED_ADDED, SHARED_REMOVED}
        assert not formulas(name, "not_promised")


def test_an_interrupt_handler_speaks_of_who_asked() -> None:
    name = "huge-vmap::do_kernel_range_flush"
    assert formulas(name) == {"~call.waits_for[by, cpu]", "pmd_cache[cpu, call.slot[by]].is_none"}


def test_what_longer_runs_refute_is_not_left_open() -> None:
    """A clause about a second slot, which the machine of the prover's own search does not have."""
    assert said("split::set_memory_4k")["unsettled"] == 0


def test_every_fact_is_proved_by_two_solvers() -> None:
    for fact in said("vmalloc-pae-2019::purge_vmap_area_lazy")["promises"]:
        assert fact["checked_by"]


def test_the_text_is_a_comment() -> None:
    arguments = ["promise", "purge_vmap_area_lazy", "--design", "vmalloc-pae-2019"]
    done = CliRunner().invoke(main, arguments)
    lines = done.stdout.splitlines()
    assert lines[0] == "/**"
    assert lines[-1] == " */"
    assert all(line.startswith(" *") and len(line) <= 83 for line in lines[1:])


class Page(Sort):
    pass


class Memory(State):
    mapped: Map[Page, Bool]
    lock: Var[Bool]


@operation
def boot(s: Memory) -> Step:
    return Step(when=TRUE, then=[s.mapped.fill(lambda p: FALSE), s.lock.become(FALSE)])


@operation
def take(s: Memory) -> Step:
    return Step(when=~s.lock.now, then=[s.lock.become(TRUE)])


@operation
def map_page(s: Memory, p: Page) -> Step:
    return Step(when=s.lock.now, then=[s.mapped.set(p, TRUE)])


@operation
def never(s: Memory) -> Step:
    return Step(when=s.lock.now & ~s.lock.now, then=[s.lock.become(FALSE)])


SMALL = Design(name="small", state=Memory, init=boot, operations=[take, map_page, never])


def test_an_operation_promises_what_it_writes_and_what_it_keeps() -> None:
    found = promise(SMALL, "map_page", 10.0)
    assert {repr(f.clause) for f in found.facts} == {"mapped[p]", "lock"}
    assert not found.unsettled


def test_what_never_returns_promises_nothing() -> None:
    with pytest.raises(DesignError, match="was not seen to return"):
        promise(SMALL, "never", 10.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no built-in design has an operation nothing"),
        (["vunmapp"], "did you mean vunmap"),
        (["fork"], "vmalloc-pae-2019::fork, "),
        (["vmalloc-pae-2019::nothing"], "vmalloc-pae-2019 has no operation nothing"),
        (["kpt::kalloc", "--design", "kpt"], "names a design already"),
        (["no-such-design::kalloc"], "no-such-design"),
    ],
)
def test_bad_input(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["promise", *arguments])
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
