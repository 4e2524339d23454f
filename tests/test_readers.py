"""Readers of dumps: the same tables in every format, and files that are damaged or lie."""

from __future__ import annotations

import json
import lzma
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mapproof.model.machine.geometry import GEOMETRIES
from mapproof.snapshots.audit import audit
from mapproof.snapshots.image import BadSnapshot, Image, table_pages
from mapproof.snapshots.memory import FileMemory
from mapproof.snapshots.ptsnap import MAGIC, decode_ptsnap, encode_ptsnap
from mapproof.snapshots.readers import read_image
from mapproof.snapshots.report import audit_json, report

from . import dumps
from .snapshot_files import FOLDER as SNAPSHOTS
from .snapshot_files import audit_of, image_of, properties

# Formats.


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "dump"
    path.write_bytes(data)
    return path


def processes(image: Image) -> set[int]:
    return {r.pa for r in image.roots if r.kind == "kernel"}


@pytest.mark.parametrize("name", ["amd64_pti", "amd64_nopti", "amd64_pti_seeded"])
@pytest.mark.parametrize("make", [dumps.elf, dumps.kdump, dumps.flattened])
def test_dumps_have_the_roots_and_the_tables(
    name: str, make: Callable[[Image], bytes], tmp_path: Path
) -> None:
    image = image_of(name)
    found = read_image(written(tmp_path, make(image)))
    assert processes(found) == processes(image)
    assert found.isolation == image.isolation
    assert set(found.pages.frames.tolist()) <= set(image.pages.frames.tolist())
    assert found.problems == []
    # Everything but what only the records of the snapshot say.
    done = audit(found, properties())
    known = {f.prop.name: f for f in audit_of(name).findings}
    for prop in ("kernel_entries_are_init_mms", "user_tables_have_the_user_half"):
        (finding,) = (f for f in done.findings if f.prop.name == prop)
        assert finding.status is known[prop].status
        assert finding.found.violated == known[prop].found.violated


@pytest.mark.parametrize("flag", dumps.PACKERS)
def test_pages_are_unpacked_however_they_are_packed(flag: int, tmp_path: Path) -> None:
    image = image_of("amd64_nopti")
    found = read_image(written(tmp_path, dumps.kdump(image, flag)))
    assert found.problems == []
    there, here = found.pages.places(image.pages.frames)
    assert here.sum() > 300
    assert np.array_equal(found.pages.content[there[here]], image.pages.content[here])


@pytest.mark.parametrize("flag", [f for f in dumps.PACKERS if f])
def test_damaged_pages_are_counted(flag: int, tmp_path: Path) -> None:
    image, chance = image_of("amd64_nopti"), random.Random(flag)
    data = bytearray(dumps.kdump(image, flag))
    for _ in range(600):  # in the second half there are pages only
        data[chance.randrange(len(data) // 2, len(data))] ^= 1 << chance.randrange(8)
    assert survives(bytes(data), tmp_path / "f") in ("incomplete", "refused")


def test_a_pae_dump_has_the_roots_that_cpus_run_on(tmp_path: Path) -> None:
    image = image_of("i386_pae_pti")
    found = read_image(written(tmp_path, dumps.elf(image)))
    assert found.geometry is image.geometry
    assert {cpu["cr3"] & ~0x1FFF for cpu in image.header["cpus"]} < processes(found)
    assert processes(found) <= processes(image)


@pytest.mark.parametrize("said", ["vmcoreinfo", "registers"])
def test_a_kdump_of_qemu_says_x86_64_of_any_kernel(said: str, tmp_path: Path) -> None:
    image = image_of("i386_pae_pti")
    data = dumps.kdump(image, info=said == "vmcoreinfo")
    found = read_image(written(tmp_path, data))
    assert found.geometry is image.geometry
    assert {cpu["cr3"] & ~0x1FFF for cpu in image.header["cpus"]} <= processes(found)


def test_a_pae_dump_without_isolation_has_every_process(tmp_path: Path) -> None:
    """Tables of 32 bytes, on no list; the one that boots other CPUs is not taken for a process's."""
    image = read_image(SNAPSHOTS / "i386_pae_nopti.ptsnap.xz")
    assert image.geometry.name == "i386-pae"
    assert not image.isolation
    found = read_image(written(tmp_path, dumps.elf(image, registers=False)))
    assert {r.pa: r.kind for r in found.roots} == {r.pa: r.kind for r in image.roots}
    assert len(processes(found)) == 10
    assert [r.names for r in found.roots if r.kind == "boot"] == [("initial_page_table",)]
    assert found.problems == []
    assert audit(found, properties()).violated == []


def test_raw_memory_with_registers(tmp_path: Path) -> None:
    image = image_of("amd64_pti")
    path, registers = tmp_path / "mem.raw", tmp_path / "registers"
    dumps.raw(image, path)
    text = [f"RIP=0\nCR3={cpu['cr3']:016x} CR4={cpu['cr4']:08x}" for cpu in image.header["cpus"]]
    registers.write_text("\n".join(text), encoding="utf-8")
    assert processes(read_image(path, registers)) == processes(image)


def test_kexec_writes_no_control_registers(tmp_path: Path) -> None:
    image = image_of("amd64_pti")
    found = read_image(written(tmp_path, dumps.elf(image, registers=False)))
    assert processes(found) == processes(image)
    assert found.isolation


def test_proc_kcore_has_addresses_without_memory(tmp_path: Path) -> None:
    """The vmalloc area is there by its addresses, with -1 for the physical one; it is no memory."""
    image = image_of("amd64_pti")
    data = bytearray(dumps.elf(image, registers=False, holes=2))
    found = read_image(written(tmp_path, bytes(data)))
    assert processes(found) == processes(image)
    assert found.problems == []


def test_segments_that_overlap_hide_nothing(tmp_path: Path) -> None:
    """/proc/kcore has kernel text once more, in the middle of memory."""
    pages = b"".join(bytes([i]) * 4096 for i in range(12))
    segments = [(0, 0, 10 << 12), (3 << 12, 10 << 12, 2 << 12)]
    memory = FileMemory(written(tmp_path, pages), segments)
    assert [memory.read(i << 12, 1) for i in range(10)] == [bytes([i]) for i in range(10)]
    assert [frame for frames, _ in memory.scan() for frame in frames.tolist()] == list(range(10))


def test_holes_of_a_file_are_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, bytes(5000))
    with path.open("r+b") as file:
        file.seek(1 << 40)
        file.write(b"x" * 8192)
        size = file.tell()
    memory = FileMemory(path, [(0, 100, size - 100)])
    scanned = list(memory.scan())
    assert sum(len(frames) for frames, _ in scanned) < 1 << 12
    assert b"x" * 4096 in b"".join(pages.tobytes() for _, pages in scanned)


def test_a_dump_of_two_levels(tmp_path: Path) -> None:
    """i386 without PAE: two processes whose tables, side by side, have the kernel half in common; they
    are no kernel table with its user table."""
    kernel = {i: (i - 768) << 22 | 0x1E3 for i in range(768, 800)}  # lowmem, in pages of 4 MiB
    first, second, low, other = range(0x400, 0x404)
    tables = {first: {**kernel, 1: low << 12 | 0x67}, second: {**kernel, 1: other << 12 | 0x67}}
    tables |= {low: {5: 0x300 << 12 | 0x67}, other: {5: 0x301 << 12 | 0x65}}
    pages = [b"".join(struct.pack("<I", t.get(i, 0)) for i in range(1024)) for t in tables.values()]
    header = {"cpus": [{"cr3": first << 12, "cr4": 0x90}]}
    image = Image(header, GEOMETRIES["i386"], table_pages(tables, pages), [])
    found = read_image(written(tmp_path, dumps.elf(image, info=False)))
    assert found.geometry.name == "i386"
    assert processes(found) == {first << 12, second << 12}
    done = audit(found, properties())
    assert done.problems == []
    assert len(done.facts.places.va) == 32 + 2


def test_without_vmcoreinfo_the_registers_do(tmp_path: Path) -> None:
    image = image_of("amd64_pti")
    found = read_image(written(tmp_path, dumps.elf(image, info=False)))
    assert processes(found) == processes(image)
    with pytest.raises(BadSnapshot, match="no root"):
        read_image(written(tmp_path, dumps.elf(image, info=False, registers=False)))


# Damage.


def test_missing_tables_are_counted_and_named() -> None:
    image = image_of("amd64_pti")
    done = audit(
        Image(image.header, image.geometry, _without(image, every=40), image.roots), properties()
    )
    assert any("tables are not in the snapshot, first pfn:" in p for p in done.problems)


def _without(image: Image, every: int) -> dumps.TablePages:
    keep = [i for i in range(len(image.pages)) if i % every]
    return dumps.TablePages(image.pages.frames[keep], image.pages.content[keep])


def test_tables_that_point_to_themselves_are_named_not_followed() -> None:
    image = image_of("amd64_pti")
    content = image.pages.content.copy()
    root = next(r for r in image.roots if r.names == ("init_mm",))
    row = int((image.pages.frames == root.pa >> 12).argmax())
    content.view("<u8")[row, 256:] = root.pa | 0x63
    pages = dumps.TablePages(image.pages.frames, content)
    done = audit(Image(image.header, image.geometry, pages, image.roots), properties())
    assert any("lead to too many leaves" in p for p in done.problems)


def test_reserved_bits_are_counted() -> None:
    image = image_of("amd64_pti")
    content = image.pages.content.copy()
    words = content.view("<u8")
    root = next(r for r in image.roots if r.names == ("init_mm",))
    row = int((image.pages.frames == root.pa >> 12).argmax())
    words[row, 510] |= 1 << 7  # PS in a top-level entry
    pages = dumps.TablePages(image.pages.frames, content)
    done = audit(Image(image.header, image.geometry, pages, image.roots), properties())
    assert any("top-level entries have reserved bits set" in p for p in done.problems)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([], "not a JSON object"),
        ({"arch": "arm64", "levels": 4}, "known:"),
        ({"arch": "x86_64", "levels": 3}, "known:"),
        ({"arch": ["x86_64"], "levels": 4}, "known:"),
        ({"arch": "x86_64", "levels": 4}, "no roots"),
        ({"arch": "x86_64", "levels": 4, "roots": {}}, "roots is a dict"),
        ({"arch": "x86_64", "levels": 4, "notes": 1}, "notes is a int"),
        ({"arch": "x86_64", "levels": 4, "roots": [{"pa": -1, "kind": "kernel"}]}, "pa is"),
        ({"arch": "x86_64", "levels": 4, "roots": [{"pa": 4096, "kind": "x"}]}, "kind is"),
        ({"arch": "x86_64", "levels": 4, "roots": [{"pa": 4096, "kind": "user"}]}, "no kernel"),
        (
            {"arch": "x86_64", "levels": 4, "roots": [{"pa": 0, "kind": "kernel", "pair": 4096}]},
            "no pair",
        ),
    ],
)
def test_lying_headers(header: object, message: str) -> None:
    data = json.dumps(header).encode()
    with pytest.raises(BadSnapshot, match=message):
        decode_ptsnap(MAGIC + struct.pack("<II", len(data), 0) + data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MAGIC,
        MAGIC + b"\xff" * 8,
        MAGIC + struct.pack("<II", 1 << 31, 1 << 31),
        b"\x7fELF",
        b"\x7fELF\x02\x01" + bytes(58),
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 4, 183) + bytes(44),
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQ", 4, 62, 1, 0, 1 << 63)
        + struct.pack("<QIHHHHHH", 0, 0, 64, 56, 1, 0, 0, 0),
        b"KDUMP   " + bytes(8192),
        b"makedumpfile\0\0\0\0",
        b"\xfd7zXZ\x00" + bytes(100),
        lzma.compress(b"PTSNAP2\n"),
    ],
)
def test_what_is_no_snapshot(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadSnapshot):
        read_image(written(tmp_path, data))


@pytest.mark.parametrize("lie", [0, 1 << 55, (1 << 64) - 1])
def test_addresses_that_are_none_are_not_believed(lie: int, tmp_path: Path) -> None:
    image = image_of("amd64_pti")
    symbols = image.header["symbols"] | {"__entry_text_end": lie}
    values = image.header["values"] | {"vmalloc_base": lie}
    header = image.header | {"symbols": symbols, "values": values}
    path = written(tmp_path, encode_ptsnap(replace(image, header=header)))
    found = audit(read_image(path), properties())
    assert "vmalloc" in report(found, figures=True)
    (finding,) = (f for f in found.findings if f.prop.name == "only_entry_text_is_executable")
    assert "entry text is said to lie" in finding.reason


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, moved or cut off, most often in the header."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        at = chance.randrange(chance.choice([64, 4096, len(changed)]))
        changed[at % len(changed)] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
    if chance.random() < 0.1:
        del changed[chance.randrange(len(changed)) :]
    return bytes(changed)


def survives(data: bytes, path: Path) -> str:
    """What an audit of a file comes to: "refused", "audited" or "incomplete"; never anything else."""
    path.write_bytes(data)
    try:
        image = read_image(path)
        done = audit(image, properties())
        report(done, figures=True)
        audit_json([done])
    except BadSnapshot:
        return "refused"
    return "incomplete" if done.problems else "audited"


@pytest.mark.parametrize("make", [encode_ptsnap, dumps.elf, dumps.kdump])
def test_mutated_files(make: Callable[[Image], bytes], tmp_path: Path) -> None:
    chance = random.Random(1)
    data = make(image_of("amd64_nopti"))
    outcomes = {survives(mutated(data, chance), tmp_path / "f") for _ in range(25)}
    assert "refused" in outcomes
