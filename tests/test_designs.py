"""What is claimed of every built-in design: verdicts, and the stories of the counterexamples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from mapproof.catalog import Catalog
from mapproof.model.language import Operation, Procedure
from mapproof.proofs.check import Options, check
from mapproof.proofs.ledger import defects
from mapproof.proofs.verdict import Verdict

from .verdicts import about, results


@dataclass(frozen=True)
class Story:
    """A property that a design violates, and the operations of the shortest run to that."""

    design: str
    violated: str
    steps: tuple[str, ...]


POPULATE = ("pgd_populate.write_shadow", "pgd_populate.write_kernel")
CLEAR = ("pgd_clear.clear_shadow", "pgd_clear.clear_kernel")
HUGE = ("alloc_vmap_area", "ioremap_huge")
PURGE = (
    "purge_vmap_area_lazy.lock",
    "purge_vmap_area_lazy.sync_one",
    "purge_vmap_area_lazy.unlock",
    "purge_vmap_area_lazy.free",
)

STALE = ("ioremap", "fork", "iounmap")
FLUSH = (
    "purge_vmap_area_lazy.begin",
    "purge_vmap_area_lazy.ask",
    "do_kernel_range_flush",
    "purge_vmap_area_lazy.answered",
)
PUSH = (
    "purge_vmap_area_lazy.lock",
    "purge_vmap_area_lazy.sync_one",
    "purge_vmap_area_lazy.unlock",
    "purge_vmap_area_lazy.free",
)

STORIES = [
    Story("kpt-buggy", "P1", ("kalloc", "kaiser_add_any")),
    Story("kpt-buggy", "SAFE", ("kalloc", "kaiser_add_any")),
    Story("kpt-bugpgd", "P2", ("pgd1", "enter_user_between_halves")),
    Story("kpt-bugpgd", "SAFE", ("pgd1", "enter_user_between_halves")),
    Story("kaiser-v1", "shadow_maps_only_allowed", ("kaiser_add_mapping",)),
    Story("kaiser-v1", "shadow_kernel_half_is_supervisor", ("kaiser_add_mapping",)),
    Story(
        "kaiser-v1",
        "same_address_same_page",
        ("vmap_page", "kaiser_add_mapping", "vunmap_page"),
    ),
    Story(
        "kaiser-v1",
        "interface_used_on_kernel_addresses",
        (
            "pgd_populate.write_kernel_first",
            "map_user_page",
            "pgd_populate.copy_to_shadow",
            "kaiser_add_mapping",
        ),
    ),
    Story("kaiser-v1", "user_half_equal", ("pgd_populate.write_kernel_first", "return_to_user")),
    Story("kaiser-v2-no-copy-on-clear", "user_half_equal", (*POPULATE, *CLEAR)),
    Story("kaiser-v2-nx-on-clear", "empty_top_level_entry_is_empty", (*POPULATE, *CLEAR)),
    Story("kaiser-v2-mirror-beside-single", "mirror_safety", ("set_low_pgd.write_beside",)),
    Story(
        "vmalloc-pae-additions-only",
        "no_stale_copy_on_reuse",
        (*HUGE, "vmalloc_fault", "vunmap", "purge_without_sync"),
    ),
    Story(
        "vmalloc-pae-additions-only",
        "copies_agree_or_fault",
        (*HUGE, "vmalloc_fault", "vunmap", "purge_without_sync", "alloc_vmap_area"),
    ),
    Story(
        "vmalloc-pae-sync-2018",
        "no_stale_copy_on_reuse",
        (*HUGE, "vmalloc_fault", "vunmap", *PURGE),
    ),
    Story(
        "vmalloc-pae-sync-2018",
        "copies_agree_or_fault",
        (*HUGE, "vmalloc_fault", "vunmap", *PURGE, "alloc_vmap_area"),
    ),
    Story(
        "vmalloc-no-preallocation",
        "processes_have_every_entry",
        ("mem_init", "fork", "alloc_track"),
    ),
    Story(
        "vmalloc-no-preallocation",
        "everything_is_reached_without_a_fault",
        ("mem_init", "fork", "alloc_track", "vmap"),
    ),
    Story("vmalloc-no-preallocation", "nothing_is_left_to_allocate", ("mem_init",)),
    Story("vmalloc-no-preallocation", "linked_entries_stay", ("mem_init", "alloc_track")),
    Story(
        "vmalloc-32-preallocated-large",
        "processes_have_every_entry",
        ("preallocate", "mem_init", "fork", "ioremap_large"),
    ),
    Story(
        "vmalloc-32-preallocated-large",
        "everything_is_reached_without_a_fault",
        ("preallocate", "mem_init", "ioremap_large", "fork", "alloc_track", "vmap"),
    ),
    Story(
        "vmalloc-32-preallocated-large",
        "nothing_is_left_to_allocate",
        ("preallocate", "mem_init", "ioremap_large"),
    ),
    Story(
        "vmalloc-32-preallocated-large",
        "linked_entries_stay",
        ("preallocate", "mem_init", "ioremap_large"),
    ),
    Story(
        "flush-sync-last",
        "free_ranges_are_nowhere",
        (*STALE, *FLUSH, "switch_mm", "fill_tlb", *PUSH),
    ),
    Story(
        "flush-sync-last",
        "used_ranges_are_init_mms",
        (*STALE, *FLUSH, "switch_mm", "fill_tlb", *PUSH, "ioremap"),
    ),
    Story(
        "flush-sync-last",
        "pushed_ranges_are_in_no_table",
        (*STALE, "purge_vmap_area_lazy.begin"),
    ),
    Story(
        "flush-sync-last",
        "who_has_flushed_cannot_refill",
        (*STALE, *FLUSH[:-1], "switch_mm", "fill_tlb"),
    ),
    Story("vmalloc-pae-break-early", "no_stale_copy_on_reuse", (*HUGE, "fork", "vunmap", *PURGE)),
    Story(
        "vmalloc-pae-break-early",
        "copies_agree_or_fault",
        (*HUGE, "fork", "vunmap", *PURGE, "alloc_vmap_area"),
    ),
]
# Slips that nobody made, and ways that would not do: what else they break is not claimed.
SLIPS = [
    Story(
        "kmap-local-migration",
        "threads_with_mappings_stay",
        (
            "dup_task_struct",
            "kmap_local",
            "kmap_local_fork",
            "context_switch.kmap_local_sched_out",
            "context_switch.switch_to",
            "migrate",
        ),
    ),
    Story(
        "kmap-local-any-order",
        "pointers_reach_their_page",
        ("kmap_local", "kmap_local", "kunmap_local"),
    ),
    Story(
        "pgmap-early-always",
        "warnings_come_with_the_pointer",
        ("kmap_local_page", "page_address"),
    ),
    Story(
        "pgmap-key-added",
        "stray_writes_miss_protected_pages",
        ("memremap_pages", "fill_tlb", "add_protection", "stray_write"),
    ),
    Story("pgmap-late-passed", "faults_name_who_asked", ("page_address", "pass_pointer", "use")),
    Story(
        "pkeys-freed-in-use",
        "keys_of_pages_are_allocated",
        (
            "pkey_alloc",
            "pkey_mprotect.change_pte_range",
            "flush_tlb",
            "pkey_mprotect.tlb_finish_mmu",
            "pkey_free",
        ),
    ),
]
HEADINGS = (
    "What it checks:",
    "Why it matters:",
    "Kernel precedent:",
    "Smallest counterexample:",
    "Not covered:",
)
BROKEN = sorted({story.design for story in STORIES})


@pytest.mark.parametrize(
    "story",
    [about(s.design, s, name=f"{s.design}::{s.violated}") for s in [*STORIES, *SLIPS]],
)
def test_the_shortest_counterexample_tells_the_story(story: Story) -> None:
    result = results(story.design)[story.violated]
    assert result.verdict is Verdict.VIOLATED
    assert result.replayed
    assert result.trace is not None
    happened = [event.transition.name for event in result.trace.events]
    # Steps of different actors may come in another order; what happens is the same.
    assert sorted(happened) == sorted(story.steps)
    assert happened[-1] == story.steps[-1]
    assert result.depth == len(story.steps)


# Designs with a defect of the ledger, whose other properties nobody claims anything about.
OF_THE_LEDGER = {d.buggy for d in defects().values()} - {story.design for story in STORIES}
UNCLAIMED = OF_THE_LEDGER | {story.design for story in SLIPS}


@pytest.mark.parametrize(
    "name", [about(d, d, name=d) for d in sorted({*Catalog().designs} - UNCLAIMED)]
)
def test_nothing_else_is_violated(name: str) -> None:
    """Every other property keeps its verdict: proved for any size by two solvers, or reached."""
    broken = {story.violated for story in STORIES if story.design == name}
    others = [r for r in results(name).values() if r.property not in broken]
    assert {r.verdict for r in others} == {Verdict.PROVED}
    assert all(r.checked_by and r.solver not in r.checked_by for r in others)
    assert all(r.scope is None for r in others if r.kind != "sometimes")


def parts(name: str) -> list[Operation[Any, ...] | Procedure]:
    design = Catalog().designs[name]
    return [*design.operations, *design.procedures]


def test_every_variant_is_one_replacement_away() -> None:
    """The one-slip variants differ from the repaired design in one operation."""
    repaired = parts("kaiser-v2")
    for name in BROKEN:
        if name.startswith("kaiser-v2-"):
            new = [o for o in parts(name) if o not in repaired]
            gone = [o for o in repaired if o not in parts(name)]
            assert (len(new), len(gone)) == (1, 1), name


def test_families_document_themselves() -> None:
    for prop in Catalog().library:
        assert prop.doc, prop.name
        at = [prop.module.find(heading) for heading in HEADINGS]
        assert -1 not in at, f"{prop.name}: its module lacks a heading"
        assert at == sorted(at), f"{prop.name}: the headings of its module are out of order"


def test_operations_cite_what_they_model() -> None:
    for name, design in Catalog().designs.items():
        assert design.doc, name
        for op in parts(name):
            assert op.doc, f"{name}: {op.name} says nothing"
            if not name.startswith("kpt"):
                assert op.kernel, f"{name}: {op.name} cites no kernel function"


@pytest.mark.parametrize("only", [["P1"], ["P1", "DEEP"]])
def test_nothing_is_proved_of_a_design_that_does_not_do_its_job(only: list[str]) -> None:
    """Every "sometimes" is checked with every proof, whatever was asked for."""
    kpt = Catalog().design_named("kpt")
    claims = [kpt.property_named(name) for name in ("P1", "DEEP")]
    idle = kpt.but(name="idle", operations=[], properties=claims)
    results = {r.property: r for r in check(idle, Options(only=only))}
    assert results["P1"].verdict is Verdict.UNKNOWN
    assert "not seen to do its job: DEEP" in results["P1"].reason
    if "DEEP" in only:
        assert results["DEEP"].verdict is Verdict.VACUOUS
