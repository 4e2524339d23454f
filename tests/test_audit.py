"""The audit of five snapshots of real kernels, against figures that were obtained independently."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

import mapproof as package
from mapproof.cli import main
from mapproof.model.machine.geometry import GEOMETRIES
from mapproof.proofs.ledger import defects
from mapproof.snapshots.audit import Audit, Finding, Status
from mapproof.snapshots.bits import COMPARED_IN_COPIES
from mapproof.snapshots.image import Root
from mapproof.snapshots.like import like
from mapproof.snapshots.offences import Offence, offences
from mapproof.snapshots.ptsnap import decode_ptsnap, encode_ptsnap
from mapproof.snapshots.report import report
from mapproof.snapshots.statistics import statistics
from mapproof.snapshots.walk import META_LEVEL, Walk

from .snapshot_files import FOLDER, NAMES, OTHERS, audit_of, image_of, path_of, properties

# Leaves, against QEMU's "info tlb".

_LETTERS = tuple(zip("XGPDACTUW", (63, 8, 7, 6, 5, 4, 3, 2, 1), strict=True))


def lines_of(walk: Walk, slot: int, word: int) -> list[str]:
    """What QEMU prints of the leaves below one top-level entry."""
    leaves = walk.leaves(slot, word)
    depth = leaves.meta >> META_LEVEL
    frames = np.zeros(len(leaves.va), np.int64)
    for number, level in enumerate(walk.levels):
        frames[depth == number] = level.frames(leaves.word[depth == number])
    return [
        f"{va:016x}: {frame << 12:016x} "
        + "".join(letter if word >> bit & 1 else "-" for letter, bit in _LETTERS)
        for va, frame, word in zip(
            leaves.va.tolist(), frames.tolist(), leaves.word.tolist(), strict=True
        )
    ]


def digest(walk: Walk, root: Root, known: dict[tuple[int, int], list[str]]) -> list[object]:
    lines: list[str] = []
    for slot, word in enumerate(walk.top[root.pa].tolist()):
        key = slot, word & int(COMPARED_IN_COPIES)
        if key not in known:
            known[key] = lines_of(walk, slot, word)
        lines += known[key]
    lines.sort()
    return [len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()]


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_every_leaf_of_every_root_is_qemus(name: str) -> None:
    oracle = json.loads((FOLDER / "oracle.json").read_text("utf-8"))[name]
    walk = audit_of(name).facts.walk
    known: dict[tuple[int, int], list[str]] = {}
    assert {str(r.pa): digest(walk, r, known) for r in image_of(name).roots} == oracle


# Properties, against an independent checker.

# The invariants of the table, and what stands there for each snapshot: violations / checked, "-" if the
# invariant does not apply.  The one difference is S11 of the seeded snapshot: the table counts the two
# mappings of the page, in both halves of one process, the property counts the page.
TABLE = """\
S1  user_tables_map_known_regions_only        0/1704890 - 0/1711312 0/562 1306/1706196
S1b only_entry_text_is_executable             54312960/54525952 - 381681664/381894656 2088960/2301952 \
54317056/54530048
S1c user_tables_have_the_kernels_leaf         0/1704890 - 0/1711312 1/562 0/1706196
S1d ldt_leaves_are_the_processs_ldt           0/18 - 0/18 - 0/18
S2  user_tables_have_the_user_half            0/54 - 0/54 0/75 1/54
S3  processes_are_poisoned                    0/54 - 0/54 - 1/54
S4  no_kernel_page_is_writable_and_executable 0/2004127 0/2072949 0/2018348 0/128166 26/1989845
S4c user_tables_have_no_writable_code         0/1704890 - 0/1711312 1/562 1/1706196
S5  mappings_have_one_memory_type             0/7750 0/8968 0/8107 0/5302 1/7404
S6  global_pages_are_in_the_user_tables       0/1770390 - 234/1770957 13261/13806 25/1770417
S6b no_user_page_is_global                    0/10051 0/11094 0/10583 0/4857 0/9539
S7  secret_pages_are_not_in_the_kernel_half   0/16 0/16 0/16 0/16 1/16
S8  kernel_entries_are_init_mms               0/1725 0/1725 0/1725 0/2700 0/1725
S8b user_tables_have_init_mms_kernel_entries  0/100 - 0/100 1/100 1/101
S9  kernel_pages_are_closed_to_user_mode      0/2004127 0/2072949 0/2018348 0/128166 27/1989845
S10 user_pages_have_the_rights_of_their_vma   0/4671 0/4691 0/4691 2273/4651 1/4529
S11 table_pages_are_out_of_reach_of_user_mode 0/395 0/374 0/396 0/311 1/394
S12 user_half_tables_are_private              0/235 0/254 0/236 0/185 0/234
S13 text_has_no_writable_alias                0/5868 0/5868 0/5868 0/2355 0/5868
S15 free_pages_are_in_the_direct_map_only     265/25695 1038/25688 384/25714 0/37752 275/25714
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


def finding(audit: Audit, name: str) -> Finding:
    return next(f for f in audit.findings if f.prop.name == name)


def told(audit: Audit, name: str) -> list[Offence]:
    return offences(finding(audit, name), audit.facts)


@pytest.mark.parametrize("name", NAMES)
def test_both_numbers_of_every_invariant(name: str) -> None:
    audit = audit_of(name)
    found = {}
    for row in ROWS:
        done = finding(audit, row[1])
        numbers = f"{done.found.violated}/{done.found.checked}"
        found[row[1]] = "-" if done.status is Status.NOT_APPLICABLE else numbers
    assert found == {row[1]: row[2 + NAMES.index(name)] for row in ROWS}
    assert audit.problems == []


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_is_wrong_with_other_kernels(name: str) -> None:
    audit = audit_of(name)
    assert audit.violated == []
    assert audit.problems == []
    direct_map = audit.facts.regions.named("direct map")
    assert direct_map is not None
    user_regions = {r.region for r in statistics(audit.facts).rows}
    assert {"direct map", "espfix", "cpu entry area", "kernel image"} < user_regions


def test_what_needs_more_than_a_snapshot_is_listed_with_the_reason() -> None:
    audit = audit_of("amd64_pti")
    reasons = {f.prop.name: f.reason for f in audit.findings if f.status is Status.NOT_APPLICABLE}
    assert "TLB" in reasons["ring_3_uses_the_user_tables_only"]
    assert "mirrored" in reasons["set_pgd_only_on_pairs"]
    assert all(reasons.values())


# Nine bugs that a module planted in a running kernel, at addresses that it reported.

SEEDS = {
    "mappings_have_one_memory_type": "pfn:0x6560 ",
    "no_kernel_page_is_writable_and_executable": "ffffc9000005d000",
    "global_pages_are_in_the_user_tables": "ffffc90000065000",
    "user_tables_map_known_regions_only": "ffffc90000000000",
    "user_tables_have_init_mms_kernel_entries": "z-bpf",
    "processes_are_poisoned": "z-uring",
    "user_tables_have_the_user_half": "z-plain",
    "secret_pages_are_not_in_the_kernel_half": "pfn:0x62b7 ",
    "kernel_pages_are_closed_to_user_mode": "ffffc9000006d000",
    "table_pages_are_out_of_reach_of_user_mode": "pfn:0x6536 ",
}


@pytest.mark.parametrize("name", SEEDS)
def test_each_planted_bug_is_named_where_it_is(name: str) -> None:
    audit = audit_of("amd64_pti_seeded")
    first = told(audit, name)[0]
    where = first.about + " ".join(f"{m.va:x}" for m in first.mappings)
    assert SEEDS[name] in where
    assert finding(audit_of("amd64_pti"), name).status is Status.HOLDS


def test_a_page_table_that_user_mode_reaches_is_shown_in_both_halves() -> None:
    (only,) = told(audit_of("amd64_pti_seeded"), "table_pages_are_out_of_reach_of_user_mode")
    assert [m.half for m in only.mappings] == ["kernel", "user"]  # what the table counts as two


# What the real kernels do wrong.


def test_user_pages_of_pae_are_executable_whatever_their_vma_says() -> None:
    found = told(audit_of("i386_pae_pti"), "user_pages_have_the_rights_of_their_vma")
    assert all(m.flags.endswith("x") for o in found for m in o.mappings)


def test_poking_mm_keeps_a_stale_writable_large_page_of_text() -> None:
    for name in ("user_tables_have_no_writable_code", "user_tables_have_the_kernels_leaf"):
        (only,) = told(audit_of("i386_pae_pti"), name)
        shadow = only.mappings[-1]
        assert (shadow.half, shadow.va, shadow.page) == ("user", 0xC1800000, 1 << 21)
        assert "RW" in shadow.flags
        assert "GLB x" in shadow.flags
        assert shadow.owners == ("poking_mm?",)


def test_kernel_text_of_pae_is_global_without_being_in_user_tables() -> None:
    found = told(audit_of("i386_pae_pti"), "global_pages_are_in_the_user_tables")
    first = [m for o in found for m in o.mappings if "init_mm" in m.owners]
    assert sum(m.bytes for m in first) >> 12 == 510


def test_the_report_says_what_the_vma_allows_and_what_does_not_apply() -> None:
    said = report(audit_of("i386_pae_pti"), figures=True)
    lines = said.splitlines()
    at = lines.index("  where the VMA is not executable:")
    assert lines[at + 1].startswith(
        "    08112000 4K user USR RW x pfn:0xbfb4, both tables of z-cow1"
    )
    assert lines.count("  where the VMA is not executable:") == 1  # not said again of each page
    assert "a snapshot does not show what TLBs hold: loaded_entries_are_fresh," in said
    assert "regions of this machine:" in lines


def test_the_direct_map_alias_of_text_is_global_without_pcids() -> None:
    found = told(audit_of("amd64_pti_auto_global"), "global_pages_are_in_the_user_tables")
    regions = {m.region for o in found for m in o.mappings}
    assert regions == {"direct map"}
    assert sum(o.mappings[0].bytes // o.mappings[0].page for o in found) == 9


# Writing and comparing.


@pytest.mark.parametrize("name", ["amd64_pti", "i386_pae_pti"])
def test_a_snapshot_is_written_as_it_was_read(name: str) -> None:
    image = image_of(name)
    again = decode_ptsnap(encode_ptsnap(image))
    assert again.header == image.header
    assert again.roots == image.roots
    assert np.array_equal(again.pages.content, image.pages.content)


def mapproof(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ("audit", *arguments))
    return done.exit_code, done.output


def test_command(tmp_path: Path) -> None:
    saved, picture = tmp_path / "again.ptsnap.xz", tmp_path / "path.svg"
    name = str(path_of("amd64_pti_seeded"))
    code, said = mapproof(name, "--figures", "--save", str(saved), "--graph", str(picture))
    assert code == 1
    assert "ffffc9000005d000 4K vmalloc RW x pfn:0x6561" in said
    assert "VIOLATED" in picture.read_text("utf-8")
    code, said = mapproof(str(saved), "--only", "user_half_tables_are_private")
    assert (code, "1 holds" in said) == (0, True)
    assert max(map(len, said.splitlines())) <= 80


SCHEMA: dict[str, Any] = json.loads(
    (Path(package.__file__).parent / "audit.schema.json").read_text("utf-8")
)


def printed(*names: str, code: int) -> dict[str, Any]:
    """What an audit prints as JSON, which is as the schema says."""
    done, said = mapproof(*(str(path_of(name)) for name in names), "--json")
    assert done == code
    document: dict[str, Any] = json.loads(said)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def test_json_has_the_same_figures() -> None:
    (audit,) = printed("i386_pae_pti", code=1)["audits"]
    found = {f["property"]: (f["violated"], f["checked"]) for f in audit["findings"]}
    assert found["global_pages_are_in_the_user_tables"] == (13261, 13806)


def test_json_is_as_the_schema_says() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    printed("amd64_nopti", code=1)
    printed("amd64_la57", code=0)
    document = printed("amd64_pti", "amd64_pti_seeded", code=1)
    assert document["difference"]["findings"]
    # What it is about is refused if it is damaged: the schema is no formality.
    document["audits"][0]["findings"][0]["status"] = "fine"
    del document["difference"]
    assert len(list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(document))) >= 2


LIKE = {
    "i386_pae_pti": {
        "user_pages_have_the_rights_of_their_vma": ["A-01"],
        "user_tables_have_init_mms_kernel_entries": ["A-02"],
        "user_tables_have_no_writable_code": ["A-02"],
        "user_tables_have_the_kernels_leaf": ["A-02"],
        "global_pages_are_in_the_user_tables": ["A-03"],
    },
    "amd64_pti_auto_global": {"global_pages_are_in_the_user_tables": ["A-04"]},
    "amd64_pti_seeded": {},
    "amd64_nopti": {},
}


@pytest.mark.parametrize("name", LIKE)
def test_a_finding_names_its_row_of_the_ledger(name: str) -> None:
    audit = audit_of(name)
    found = {
        f.prop.name: [d.id for d in like(f, offences(f, audit.facts), audit.image.geometry)]
        for f in audit.violated
    }
    assert {name: ids for name, ids in found.items() if ids} == LIKE[name]


def test_what_the_ledger_says_of_audits_exists() -> None:
    names, geometries = {p.name for p in properties()}, {g.name for g in GEOMETRIES.values()}
    for defect in defects().values():
        if defect.seen is not None:
            assert set(defect.seen.properties) <= names
            assert set(defect.seen.geometries) <= geometries


def test_difference() -> None:
    clean, seeded = (str(path_of(n)) for n in ("amd64_pti", "amd64_pti_seeded"))
    code, said = mapproof(clean, seeded)
    assert code == 1
    assert "no_kernel_page_is_writable_and_executable" in said
    assert mapproof(clean, clean)[1].splitlines()[1] == "  no difference"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("/nowhere.ptsnap",), "cannot read it"),
        ((str(FOLDER / "oracle.json"),), "no snapshot, ELF dump or compressed kdump"),
        ((str(FOLDER),), "it is a folder"),
        (("/dev/zero",), "it is a pipe or a device"),
        ((str(path_of("amd64_pti")), "--registers", "/dev/zero"), "it is a pipe or a device"),
        ((str(path_of("amd64_pti")), "--only", "nonsense"), "no property of snapshots"),
        ((str(path_of("amd64_pti")),) * 3, "one snapshot, or two"),
    ],
)
def test_bad_usage_is_one_message(arguments: tuple[str, ...], message: str) -> None:
    code, said = mapproof(*arguments)
    assert (code, len(said.splitlines())) == (2, 1)
    assert message in said
