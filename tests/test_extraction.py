"""What a dump's own records say: symbols, where regions are, TSS pages, frames that are free."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from mapproof.model.machine.geometry import GEOMETRIES
from mapproof.snapshots.audit import audit
from mapproof.snapshots.btf import offsets_in
from mapproof.snapshots.elf import read_elf
from mapproof.snapshots.image import Image, table_pages
from mapproof.snapshots.kallsyms import kernel_symbols
from mapproof.snapshots.kernel import Kernel
from mapproof.snapshots.readers import read_image

from . import dumps
from .snapshot_files import properties
from .test_readers import survives

TEXT, VMEMMAP = 0xFFFF_FFFF_8000_0000, 0xFFFF_EA00_0000_0000
VMALLOC = 0xFFFF_C900_4000_0000
SIZE = 4 << 20
ROOT, IMAGE_PUD, PAGES_PUD, PAGES_PMD = 0x10_0000, 0x3000, 0x4000, 0x5000
SECTION, PERCPU, CMDLINE, BASES, INFO, NAMES = 0x6000, 0x7000, 0x8000, 0x9000, 0xA000, 0xB000
PROCESS = 0x10_4000  # another table, of a task
DESCRIPTORS = 0x20_0000  # of frames; two megabytes
FREE = {0x300: 3, 0x340: 0}  # by their first frame: the orders of free blocks
SYMBOLS = {
    "_text": TEXT + 0x10000,
    "_etext": TEXT + 0x12000,
    "_stext": TEXT + 0x10000,
    "__start_rodata": TEXT + 0x13000,
    "__end_rodata": TEXT + 0x14000,
    "vmalloc_base": TEXT + BASES,
    "cpu_tss_rw": 0x80,
    "__per_cpu_offset": TEXT + PERCPU,
    "nr_cpu_ids": TEXT + PERCPU + 0x100,
    "saved_command_line": TEXT + CMDLINE,
    "init_task": TEXT + 0x1_8000,
    "secretmem_aops": TEXT + 0x1_9300,
    "__start_BTF": TEXT + 0x1_A000,
    "__stop_BTF": TEXT + 0x1_B000,
    "a" * 200: TEXT + 0x15000,  # its length takes two bytes
}


def memory(*, absolute_percpu: bool) -> bytes:
    """Four megabytes of a kernel with page tables for its image and its frame descriptors."""
    content = bytearray(SIZE)

    def put(at: int, form: str, *values: int) -> None:
        struct.pack_into("<" + form, content, at, *values)

    put(ROOT + 511 * 8, "Q", IMAGE_PUD | 0x63)
    put(ROOT + 500 * 8, "Q", IMAGE_PUD | 0x63)  # so that there are enough to be alike
    put(IMAGE_PUD + 510 * 8, "Q", 0xE3)  # a page of 1 GiB
    put(ROOT + (VMEMMAP >> 39 & 511) * 8, "Q", PAGES_PUD | 0x63)
    put(PAGES_PUD, "Q", PAGES_PMD | 0x63)
    put(PAGES_PMD, "Q", DESCRIPTORS | 0x8000_0000_0000_01E3)
    put(SECTION, "2Q", TEXT + SECTION + 8, VMEMMAP | 3)
    put(PERCPU, "2Q", TEXT + 0x16000, TEXT + 0x17000)
    put(PERCPU + 0x100, "I", 2)
    put(CMDLINE, "Q", TEXT + CMDLINE + 16)
    content[CMDLINE + 16 : CMDLINE + 32] = b"quiet pti=on\0\0\0\0"
    put(BASES, "Q", VMALLOC)
    for frame, order in FREE.items():
        put(DESCRIPTORS + frame * 64 + 48, "i", -129)
        put(DESCRIPTORS + frame * 64 + 40, "Q", order)
    for task, following, mm, pid, comm in (
        (0x1_8000, 0x1_8100, 0, 0, b"swapper"),
        (0x1_8100, 0x1_8200, 0x1_9000, 7, b"sh\x1b"),
        (0x1_8200, 0x1_8000, 0x1_9100, 8, b"nowhere"),
    ):
        put(task, "4Q16s", TEXT + following, 0, TEXT + mm if mm else 0, pid, comm)  # type: ignore[arg-type]
    put(0x1_9000 + 24, "Q", TEXT + PROCESS)
    put(0x1_9100 + 24, "Q", TEXT + SIZE)
    content[PROCESS : PROCESS + 4096] = content[ROOT : ROOT + 4096]
    put(DESCRIPTORS + 0x123 * 64 + 24, "Q", TEXT + 0x1_9200)
    put(0x1_9200 + 8, "Q", TEXT + 0x1_9300)
    put(DESCRIPTORS + 0x124 * 64 + 24, "Q", TEXT + 0x1_9201)  # anonymous
    described = btf()
    content[0x1_A000 : 0x1_A000 + len(described)] = described
    names = b""
    for place, (name, address) in enumerate(SYMBOLS.items()):
        coded = ("T" + name).encode()
        size = len(coded)
        names += bytes([size & 0x7F | 0x80, size >> 7] if size > 0x7F else [size]) + coded
        if absolute_percpu:
            offset = address if address < TEXT else TEXT - 1 - address
        else:
            offset = address - TEXT & 0xFFFF_FFFF
        put(INFO + 16 + place * 4, "I", offset & 0xFFFF_FFFF)
    put(INFO, "QI", TEXT, len(SYMBOLS))
    content[NAMES : NAMES + len(names)] = names
    tokens = b"".join(bytes([c or 1, 0]) for c in range(256))  # each of one character
    content[0xC000 : 0xC000 + len(tokens)] = tokens
    for c in range(256):
        put(0xD000 + 2 * c, "H", 2 * c)
    return bytes(content)


VMCOREINFO = f"""\
OSRELEASE=6.1.0
SYMBOL(swapper_pg_dir)={TEXT + ROOT:x}
SYMBOL(_stext)={TEXT + 0x10000:x}
SYMBOL(mem_section)={TEXT + SECTION:x}
OFFSET(mem_section.section_mem_map)=0
SIZE(page)=64
OFFSET(page._mapcount)=48
OFFSET(page.private)=40
OFFSET(page.mapping)=24
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
NUMBER(phys_base)=0
SYMBOL(kallsyms_names)={TEXT + NAMES:x}
SYMBOL(kallsyms_num_syms)={TEXT + INFO + 8:x}
SYMBOL(kallsyms_relative_base)={TEXT + INFO:x}
SYMBOL(kallsyms_offsets)={TEXT + INFO + 16:x}
SYMBOL(kallsyms_token_table)={TEXT + 0xC000:x}
SYMBOL(kallsyms_token_index)={TEXT + 0xD000:x}
"""


def btf() -> bytes:
    """Four structures; mm_struct has its members in another one without a name, as the kernel's does."""
    strings = bytearray(b"\0")

    def name(text: str) -> int:
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text) - 1 if text else 0

    def structure(title: str, **members: tuple[int, int]) -> bytes:
        head = struct.pack("<3I", name(title), 4 << 24 | len(members), 0)
        for member, (kind, offset) in members.items():
            head += struct.pack("<3I", name(member.strip("_")), kind, offset * 8)
        return head

    integer = struct.pack("<4I", name("long"), 1 << 24, 8, 64)
    types = integer + structure("", pgd=(1, 8)) + structure("mm_struct", _=(2, 16))
    types += structure("task_struct", tasks=(1, 0), mm=(1, 16), pid=(1, 24), comm=(1, 32))
    types += structure("address_space", a_ops=(1, 8))
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return head + types + bytes(strings)


def dump(path: Path, *, info: str = VMCOREINFO, absolute_percpu: bool = True) -> Path:
    content = memory(absolute_percpu=absolute_percpu)
    pages = [content[at : at + 4096] for at in range(0, SIZE, 4096)]
    header = {"cpus": [], "vmcoreinfo": info}
    image = Image(header, GEOMETRIES["x86-64"], table_pages(range(len(pages)), pages), [])
    path.write_bytes(dumps.elf(image))
    return path


@pytest.mark.parametrize("absolute_percpu", [True, False])
def test_symbols_of_the_kernels_own_table(tmp_path: Path, absolute_percpu: bool) -> None:
    """Before Linux 6.15 symbols of per-CPU data had small addresses, and a coding of their own."""
    kernel = Kernel(read_elf(dump(tmp_path / "dump", absolute_percpu=absolute_percpu)))
    known = {n: va for n, va in SYMBOLS.items() if absolute_percpu or va >= TEXT}
    assert kernel_symbols(kernel, known) == known


def test_records_of_a_dump(tmp_path: Path) -> None:
    header = read_image(dump(tmp_path / "dump")).header
    assert header["cmdline"] == "quiet pti=on"
    assert header["values"] == {"vmemmap_base": VMEMMAP, "vmalloc_base": VMALLOC}
    assert [cpu["tss_va"] for cpu in header["percpu"]] == [TEXT + 0x16080, TEXT + 0x17080]
    assert [cpu["tss_pfn"] for cpu in header["percpu"]] == [0x16, 0x17]
    assert header["frames"] == [[0x300, 8, "F"], [0x340, 1, "F"]]
    assert header["text_pa"]["__start_rodata"] == 0x13000
    assert header["secret_pfns"] == [0x123]


def test_tables_have_the_names_of_their_tasks(tmp_path: Path) -> None:
    roots = read_image(dump(tmp_path / "dump")).roots
    assert {(r.pa, r.names) for r in roots} == {(ROOT, ("init_mm",)), (PROCESS, ("sh?:7",))}


@pytest.mark.parametrize("at", range(0, 300, 4))
def test_damaged_btf_names_nothing_wrong(at: int) -> None:
    known = {"task_struct.mm": 16, "mm_struct.pgd": 24}
    assert offsets_in(btf(), known) == known
    damaged = bytearray(btf())
    damaged[at : at + 4] = b"\xff" * 4
    assert set(offsets_in(bytes(damaged), known)) <= set(known)
    assert offsets_in(btf()[:at], known).items() <= known.items()


def test_they_make_properties_applicable(tmp_path: Path) -> None:
    found = {f.prop.name: f for f in audit(read_image(dump(tmp_path / "d")), properties()).findings}
    free = found["free_pages_are_in_the_direct_map_only"]
    assert (free.found.violated, free.found.checked) == (9, 9)  # the page of 1 GiB has them all
    text = found["text_has_no_writable_alias"]
    assert (text.found.violated, text.found.checked) == (3, 3)


LIES = [
    ("SIZE(page)=64", "SIZE(page)=0"),
    ("SIZE(page)=64", "SIZE(page)=5000"),
    ("OFFSET(page.private)=40", "OFFSET(page.private)=-1"),
    ("OFFSET(page._mapcount)=48", f"OFFSET(page._mapcount)={1 << 70}"),
    (f"SYMBOL(kallsyms_num_syms)={TEXT + INFO + 8:x}", f"SYMBOL(kallsyms_num_syms)={TEXT:x}"),
    (f"SYMBOL(kallsyms_names)={TEXT + NAMES:x}", f"SYMBOL(kallsyms_names)={TEXT + SIZE - 5:x}"),
    (f"SYMBOL(kallsyms_names)={TEXT + NAMES:x}", "SYMBOL(kallsyms_names)=-1"),
    (f"SYMBOL(kallsyms_token_index)={TEXT + 0xD000:x}", f"SYMBOL(kallsyms_token_index)={TEXT:x}"),
    (f"SYMBOL(mem_section)={TEXT + SECTION:x}", f"SYMBOL(mem_section)={1 << 80:x}"),
    (f"SYMBOL(_stext)={TEXT + 0x10000:x}", f"SYMBOL(_stext)={TEXT + 1:x}"),
]


@pytest.mark.parametrize(("true", "lie"), LIES)
def test_lies_about_them_say_nothing(true: str, lie: str, tmp_path: Path) -> None:
    assert true in VMCOREINFO
    image = read_image(dump(tmp_path / "dump", info=VMCOREINFO.replace(true, lie)))
    missing = "frames" if "page" in lie or "mem_section" in lie else "symbols"
    assert missing not in image.header


def test_damage_to_them_is_survived(tmp_path: Path) -> None:
    chance, data = random.Random(1), dump(tmp_path / "dump").read_bytes()
    start = len(data) - SIZE
    outcomes = set()
    for _ in range(25):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 8, 64])):
            at = chance.choice([chance.randrange(0x1_B000), 0x10_0000 + chance.randrange(0x5000)])
            damaged[start + at] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        outcomes.add(survives(bytes(damaged), tmp_path / "damaged"))
    assert "audited" in outcomes
