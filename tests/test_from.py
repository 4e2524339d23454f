"""Designs that start from the page tables of a real machine."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

import mapproof as package
from mapproof.catalog import Catalog
from mapproof.cli import main
from mapproof.model.language import DesignError
from mapproof.proofs.from_start import check_from
from mapproof.snapshots.facts import Facts
from mapproof.snapshots.image import Image, TablePages
from mapproof.snapshots.ptsnap import decode_ptsnap, encode_ptsnap
from mapproof.snapshots.starts import from_snapshot, readings

from .snapshot_files import image_of, path_of
from .test_readers import mutated

SCHEMA = json.loads((Path(package.__file__).parent / "results.schema.json").read_text("utf-8"))


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ("check", *arguments))
    return done.exit_code, done.output


def checked(design: str, snapshot: str, *options: str, code: int) -> dict[str, Any]:
    """By property the verdict, with the number of steps."""
    done, said = run(design, "--from", str(path_of(snapshot)), "--json", *options)
    assert done == code, said
    document = json.loads(said)
    jsonschema.validate(document, SCHEMA)
    return {r["property"]: (r["verdict"], r["depth"]) for r in document["results"]} | {
        "": document["from"][0]
    }


# A buggy operation breaks a machine that is sound; the merged design does not, as far as was searched.

BREAKS = [
    # design, the merged one, a snapshot, what breaks, in how many steps
    ("vmalloc-pae-additions-only", "vmalloc-pae-2019", "i386_pae_pti", "no_stale_copy_on_reuse", 5),
    ("top-level-kexec-page", "top-level-pti", "amd64_pti", "no_other_page_is_written", 2),
    ("top-level-kexec-page", "top-level-pti", "amd64_la57", "no_other_page_is_written", 2),
    ("pti-global-invlpg", "pti-global", "amd64_kaslr", "free_pages_are_in_no_tlb", 5),
]


@pytest.mark.parametrize(("buggy", "merged", "snapshot", "broken", "steps"), BREAKS)
def test_a_patch_that_breaks_a_machine(
    buggy: str, merged: str, snapshot: str, broken: str, steps: int
) -> None:
    depth = ("--depth", str(steps))
    found = checked(f"{buggy}::{broken}", snapshot, *depth, code=1)
    assert found[broken] == ("violated", steps)
    found = checked(f"{merged}::{broken}", snapshot, *depth, code=0)
    assert found[broken] == ("holds-to-depth", steps)


# A machine that is broken already.

BROKEN = [
    ("top-level-pti", "amd64_pti_seeded", "user_tables_have_the_user_half"),
    ("top-level-pti", "amd64_pti_seeded", "processes_are_poisoned"),
    ("pti-clone", "i386_pae_pti", "global_pages_are_cloned"),
    ("pti-upper", "amd64_pti_seeded", "user_tables_have_the_listed_entries_only"),
    ("pti-global", "amd64_pti_auto_global", "global_pages_are_in_the_user_tables"),
    ("pti-global", "i386_pae_pti", "global_pages_are_in_the_user_tables"),
    ("pti-finalize", "i386_pae_pti", "user_tables_have_init_mms_kernel_entries"),
    ("vma-protection", "i386_pae_pti", "user_pages_have_the_rights_of_their_vma"),
]


@pytest.mark.parametrize(("design", "snapshot", "broken"), BROKEN)
def test_what_is_wrong_with_a_machine_is_told_at_once(
    design: str, snapshot: str, broken: str
) -> None:
    found = checked(f"{design}::{broken}", snapshot, code=1)
    assert found[broken] == ("violated", 0)


def test_nothing_but_the_finding_is_wrong_at_the_start() -> None:
    """What is read fits the design: other claims hold in the state itself."""
    for design, snapshot, broken in BROKEN:
        if "seeded" not in snapshot:
            found = checked(design, snapshot, "--depth", "0", code=1)
            del found[""]
            assert [n for n, (verdict, _) in found.items() if verdict == "violated"] == [broken]
    for _, merged, snapshot, _, _ in BREAKS:
        checked(merged, snapshot, "--depth", "1", code=0)
    for snapshot in ("amd64_pti", "amd64_kaslr"):
        checked("pti-upper", snapshot, "--depth", "3", code=0)


def test_a_run_has_real_addresses_and_says_what_is_not_known() -> None:
    code, said = run(
        "vmalloc-pae-additions-only::no_stale_copy_on_reuse",
        *("--from", str(path_of("i386_pae_pti")), "--at", "d0000000", "--scope", "mm=3"),
    )
    assert code == 1
    assert "vmalloc_fault(i=" in said
    assert "init_mm's PMD page and those of 3 of 25" in said
    words = " ".join(said.split())
    assert "as at the start of the design: boot_mm, loaded_mm, pgd_lock" in words
    assert "read from the snapshot: pmd, in_use, on_list" in words
    assert "nothing is proved" in words
    assert max(map(len, said.splitlines())) <= 80


def test_the_start_is_where_the_user_wants_it() -> None:
    found = checked("vmalloc-pae-2019", "i386_pae_pti", "--at", "d0000000", "--depth", "0", code=0)
    assert found[""]["snapshot"] == "i386_pae_pti"
    done, said = run(
        "top-level-pti::processes_are_poisoned",
        *("--from", str(path_of("amd64_pti_seeded")), "--depth", "0"),
    )
    assert done == 1
    assert "pgd[PGD of z-uring:122, 0000000000000000] = P RW US pud@6327000" in said


def test_a_start_from_which_nothing_happens_says_so() -> None:
    found = checked("pti-clone", "amd64_pti", "--depth", "1", code=0)
    assert found[""]["moves"] is False
    found = checked("pti-upper::what_boot_links_stays", "amd64_pti", "--depth", "1", code=0)
    assert found[""]["moves"] is True
    code, said = run("pti-clone", "--from", str(path_of("amd64_pti")), "--depth", "1")
    assert (code, "nothing can happen from there" in said) == (0, True)


def test_every_reading_is_of_designs_that_there_are() -> None:
    states = {d.state for d in Catalog().designs.values()}
    assert {r.state for r in readings()} <= states


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kpt",), "kpt cannot start from a snapshot"),
        (("P-03",), "a defect of the ledger and --from do not go together"),
        (("top-level-pti", "--lemmas", "given"), "--lemmas and --from do not go together"),
        (("top-level-pti", "--scope", "pud=2"), "follows from the snapshot"),
        (("top-level-pti", "--at", "123456789abcdef0"), "not an address"),
        (("top-level-pti", "--at", "nonsense"), "give an address"),
        (("vma-protection",), "starts from i386"),
        (("top-level-pti::firmware_runs",), "no property that may be violated"),
    ],
)
def test_bad_usage_is_one_message(arguments: tuple[str, ...], message: str) -> None:
    code, said = run(*arguments, "--from", str(path_of("amd64_pti")))
    assert (code, len(said.splitlines())) == (2, 1), said
    assert message in said
    assert run("top-level-pti", "--at", "0")[0] == 2
    assert run("top-level-pti", "--from", "/nowhere")[0] == 2


# Damaged snapshots.

SUBJECTS = [
    ("top-level-pti", "amd64_pti"),
    ("pti-global", "amd64_kaslr"),
    ("pti-upper", "amd64_pti"),
    ("pti-clone", "amd64_pti"),
    ("vmalloc-pae-2019", "i386_pae_pti"),
    ("pti-finalize", "i386_pae_pti"),
    ("vma-protection", "i386_pae_pti"),
]


def starts(design: str, data: bytes, depth: int = 0) -> str:
    """What a check from a snapshot comes to: "refused", "started"; never anything else."""
    try:
        image = decode_ptsnap(data)
        begun, _ = from_snapshot(Catalog().design_named(design), image, lambda: Facts(image), {})
        check_from(begun, (), depth, 60)
    except DesignError:
        return "refused"
    return "started"


@pytest.mark.parametrize(("design", "snapshot"), SUBJECTS)
def test_damaged_snapshots(design: str, snapshot: str) -> None:
    chance, data = random.Random(design), encode_ptsnap(image_of(snapshot))
    found = set()
    for _ in range(6):
        changed = data[: len(data) // 4] + mutated(data[len(data) // 4 :], chance)
        found.add(starts(design, changed.ljust(len(data), b"\0")))
        found.add(starts(design, mutated(data, chance)))
    assert "started" in found


@pytest.mark.parametrize(("design", "snapshot"), SUBJECTS)
def test_tables_of_noise(design: str, snapshot: str) -> None:
    """Every entry of every table is made up: reserved bits, loops, frames beyond memory."""
    image, chance = image_of(snapshot), np.random.default_rng(1)
    content = chance.integers(0, 256, image.pages.content.shape, np.uint8)
    noise = Image(
        image.header, image.geometry, TablePages(image.pages.frames, content), image.roots
    )
    assert starts(design, encode_ptsnap(noise)) in ("started", "refused")
    # Frames that are there, so that tables lead to tables, and to themselves.
    words = content.view("<u8")
    frames = chance.choice(image.pages.frames, words.shape).astype(np.uint64)
    words[:] = frames << np.uint64(12) | chance.choice([0x63, 0x67, 0xE3], words.shape).astype(
        "<u8"
    )
    loops = Image(
        image.header, image.geometry, TablePages(image.pages.frames, content), image.roots
    )
    assert starts(design, encode_ptsnap(loops)) in ("started", "refused")


def test_a_machine_without_isolation_is_refused() -> None:
    for design in ("top-level-pti", "pti-global", "vmalloc-pae-2019", "pti-finalize"):
        code, said = run(design, "--from", str(path_of("amd64_nopti")))
        assert (code, "amd64_nopti" in said) == (2, True)
