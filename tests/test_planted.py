"""Faults planted in snapshots of real kernels: each is found, and no other property changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mapproof.snapshots.audit import Audit, audit
from mapproof.snapshots.image import Image
from mapproof.snapshots.records import secret_frames, vmas

from .planting import NX, PWT, RW, US, G, P, Patient, Place, frame_of, with_frame
from .snapshot_files import audit_of, image_of, properties

VMALLOC = 0xFFFFC90000000000
DIRECT_MAP = 0xFFFF888000000000
LDT = 0xFFFF880000000000


def vmalloc_page(p: Patient) -> Place:
    """A page of the kernel's that nobody else maps but the direct map."""
    return p.leaf(p.root("init_mm"), VMALLOC)


def pages_of_vma(p: Patient, process: str, right: int) -> Place:
    """A present page of a VMA with exactly these rights (1: writable, 4: executable)."""
    root = p.root(process)
    name = next(n for n in root.names if n.startswith(process))
    table = vmas(p.image)[name]
    for start, end, rights in zip(table.starts, table.ends, table.rights, strict=True):
        if rights == right:
            for va in range(int(start), int(end), 4096):
                place = p.path(root, va)[-1]
                if p[place] & P and len(p.path(root, va)) == 4:
                    return place
    raise AssertionError("no such page")


def kind_of_frame(image: Image, kind: str) -> int:
    return next(int(first) for first, number, k in image.header["frames"] if k == kind and number)


def tss_leaf(p: Patient) -> Place:
    """In the user tables' own tables: the page with the TSS of the first CPU."""
    return p.leaf(p.user("z-plain"), p.image.header["percpu"][0]["tss_va"])


def page_in_the_shadow(p: Patient) -> None:
    """A page of the direct map beside the TSS of the CPU, as the kernel has it."""
    place = tss_leaf(p)
    beside = Place(place.frame, place.slot + 1)
    assert not p[beside]
    p[beside] = with_frame(p[place], frame_of(p[place]) + 1)


def open_to_user_mode(p: Patient) -> None:
    p[vmalloc_page(p)] |= US


def lost_user_entry(p: Patient) -> None:
    p[Place(p.user("z-plain").pa >> 12, 0)] = 0


def no_poison(p: Patient) -> None:
    p[Place(p.root("z-plain").pa >> 12, 0)] &= ~NX


def write_combining_alias(p: Patient) -> None:
    p[vmalloc_page(p)] |= PWT


def writable_code(p: Patient) -> None:
    p[vmalloc_page(p)] &= ~NX


def global_kernel_page(p: Patient) -> None:
    p[vmalloc_page(p)] |= G


def global_user_page(p: Patient) -> None:
    p[pages_of_vma(p, "z-plain", 1)] |= G


def secret_page_in_the_direct_map(p: Patient) -> None:
    frames = secret_frames(p.image)
    assert frames
    place = p.entry(p.root("init_mm"), DIRECT_MAP + (frames[0] << 12))
    assert p[place] & P == 0
    p[place] = NX | frames[0] << 12 | 0x63


def free_page_mapped(p: Patient) -> None:
    place = vmalloc_page(p)
    p[place] = with_frame(p[place], kind_of_frame(p.image, "F"))


def page_table_in_user_space(p: Patient) -> None:
    place = pages_of_vma(p, "z-plain", 1)
    p[place] = with_frame(p[place], place.frame)


def more_than_the_vma(p: Patient) -> None:
    p[pages_of_vma(p, "z-plain", 0)] |= RW


def writable_text(p: Patient) -> None:
    p[p.leaf(p.root("init_mm"), DIRECT_MAP + p.image.header["text_pa"]["_text"])] |= RW


def table_of_two_processes(p: Patient) -> None:
    for root in (p.root, p.user):
        giver, taker = (Place(root(n).pa >> 12, slot) for n, slot in (("z-plain", 0), ("zoo:1", 9)))
        assert not p[taker]
        p[taker] = p[giver]


def wrong_ldt(p: Patient) -> None:
    place = p.leaf(p.root("z-ldt:"), LDT)
    p[place] = with_frame(p[place], kind_of_frame(p.image, "S"))


def user_tables_allow_more(p: Patient) -> None:
    p[p.leaf(p.root("init_mm"), p.image.header["percpu"][0]["tss_va"])] &= ~RW


def stale_kernel_entry(p: Patient) -> None:
    place = Place(p.root("z-plain").pa >> 12, 300 + 110)
    assert p[place]
    p[place] = 0


def stale_pmd(p: Patient) -> None:
    path = p.path(p.root("z-plain"), 0xCC800000)
    p[path[1]] = 0


FAULTS: list[tuple[Callable[[Patient], None], str, str]] = [
    (page_in_the_shadow, "amd64_pti", "user_tables_map_known_regions_only"),
    (open_to_user_mode, "amd64_pti", "kernel_pages_are_closed_to_user_mode"),
    (open_to_user_mode, "amd64_nopti", "kernel_pages_are_closed_to_user_mode"),
    (lost_user_entry, "amd64_pti", "user_tables_have_the_user_half"),
    (no_poison, "amd64_pti", "processes_are_poisoned"),
    (write_combining_alias, "amd64_pti", "mappings_have_one_memory_type"),
    (writable_code, "amd64_pti", "no_kernel_page_is_writable_and_executable"),
    (global_kernel_page, "amd64_pti", "global_pages_are_in_the_user_tables"),
    (global_user_page, "amd64_pti", "no_user_page_is_global"),
    (secret_page_in_the_direct_map, "amd64_nopti", "secret_pages_are_not_in_the_kernel_half"),
    (free_page_mapped, "amd64_pti", "free_pages_are_in_the_direct_map_only"),
    (page_table_in_user_space, "amd64_pti", "table_pages_are_out_of_reach_of_user_mode"),
    (more_than_the_vma, "amd64_nopti", "user_pages_have_the_rights_of_their_vma"),
    (writable_text, "amd64_pti", "text_has_no_writable_alias"),
    (table_of_two_processes, "amd64_pti", "user_half_tables_are_private"),
    (wrong_ldt, "amd64_pti", "ldt_leaves_are_the_processs_ldt"),
    (user_tables_allow_more, "amd64_pti", "user_tables_have_the_kernels_leaf"),
    (stale_kernel_entry, "amd64_pti", "kernel_entries_are_init_mms"),
    (stale_pmd, "i386_pae_pti", "kernel_entries_are_init_mms"),
]


def violations(done: Audit) -> dict[str, int]:
    return {f.prop.name: f.found.violated for f in done.findings}


@pytest.mark.parametrize(
    ("fault", "snapshot", "name"), FAULTS, ids=lambda x: getattr(x, "__name__", x)
)
def test_each_fault_is_named_and_nothing_else(
    fault: Callable[[Patient], None], snapshot: str, name: str
) -> None:
    patient = Patient(image_of(snapshot))
    fault(patient)
    changed = np.count_nonzero(patient.image.pages.content != image_of(snapshot).pages.content)
    assert 0 < changed <= 32
    before = violations(audit_of(snapshot))
    after = violations(audit(patient.image, properties()))
    assert {n for n in after if after[n] != before[n]} == {name}
    assert after[name] > before[name]
