"""A kernel booted in QEMU, its memory dumped and audited: needs QEMU, a static busybox and a kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mapproof.snapshots.audit import audit
from mapproof.snapshots.readers import read_image

from .snapshot_files import properties

KERNELS = Path(os.environ.get("MAPPROOF_KERNELS", "/nowhere"))  # see benchmarks/kernels.py

# Architecture, kernel command line, CPU, what is on the machine, and what is known to be wrong with it.
TAIL = {"free_pages_are_in_the_direct_map_only"}  # behind the kernel image
CLONED = {"only_entry_text_is_executable"}  # by the large page
PAE_FINDINGS = CLONED | {
    "global_pages_are_in_the_user_tables",
    "user_tables_have_init_mms_kernel_entries",
    "user_tables_have_no_writable_code",
    "user_tables_have_the_kernels_leaf",
}
BOOTS = [
    ("amd64", "pti=on", "Haswell", "x86-64", TAIL | CLONED),
    ("amd64", "nopti", "Haswell", "x86-64", TAIL),
    ("amd64", "pti=on nokaslr secretmem.enable=1", "Haswell", "x86-64", TAIL | CLONED),
    ("amd64", "pti=on", "max", "x86-64-la57", TAIL | CLONED),
    ("i386", "pti=on", "Haswell", "i386-pae", PAE_FINDINGS),
    ("i386", "nopti", "Haswell", "i386-pae", set()),
]


@pytest.mark.slow
@pytest.mark.skipif(
    not KERNELS.is_dir() or shutil.which("qemu-system-x86_64") is None,
    reason="MAPPROOF_KERNELS names no folder of kernels, or there is no QEMU",
)
@pytest.mark.parametrize(("arch", "append", "cpu", "geometry", "wrong"), BOOTS)
def test_a_booted_kernel(
    arch: str, append: str, cpu: str, geometry: str, wrong: set[str], tmp_path: Path
) -> None:
    snapshot, kernel = tmp_path / "booted.ptsnap.xz", str(KERNELS / arch / "vmlinuz")
    command = [sys.executable, "-m", "benchmarks.boot", kernel, str(snapshot), "--append", append]
    command += ["--cpu", cpu, "--memory", "256M"]
    subprocess.run(command, check=True, timeout=300, cwd=Path(__file__).parents[1])
    done = audit(read_image(snapshot), properties())
    assert done.image.geometry.name == geometry
    assert done.image.isolation == ("nopti" not in append)
    assert done.problems == []
    assert len(done.facts.walk.spaces) >= 9  # init, its children, init_mm
    assert {f.prop.name for f in done.violated} == wrong
    if arch == "amd64":  # the other kernel has no BTF
        assert any(space.title == "init:1" for space in done.facts.walk.spaces)
    (secret,) = (f for f in done.findings if f.prop.name.startswith("secret_pages"))
    assert secret.found.checked == (8 if "secretmem" in append else 0)
