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

KERNEL = os.environ.get("MAPPROOF_KERNEL", "")  # a vmlinuz


@pytest.mark.slow
@pytest.mark.skipif(
    not KERNEL or shutil.which("qemu-system-x86_64") is None,
    reason="MAPPROOF_KERNEL names no kernel, or there is no QEMU",
)
@pytest.mark.parametrize("append", ["pti=on", "nopti", "pti=on nokaslr"])
def test_a_booted_kernel(append: str, tmp_path: Path) -> None:
    snapshot = tmp_path / "booted.ptsnap.xz"
    command = [sys.executable, "-m", "benchmarks.boot", KERNEL, str(snapshot), "--append", append]
    subprocess.run(command, check=True, timeout=300, cwd=Path(__file__).parents[1])
    done = audit(read_image(snapshot), properties())
    assert done.problems == []
    assert done.violated == []
    assert done.image.isolation == ("nopti" not in append)
