"""Boot a kernel in QEMU and take a snapshot of its page tables:

    python -m benchmarks.boot vmlinuz snapshot.ptsnap.xz --append "pti=on nokaslr" [--cpu Haswell]

Needs qemu-system-x86_64 and a static busybox (Debian: qemu-system-x86, busybox-static); no KVM, no root.
Of interest beside "pti=on": "nopti", "nokaslr" or not, --cpu Nehalem (no PCIDs), --cpu max (5-level
paging).  A kernel of another width needs a busybox of that width.  The guest is an initramfs with
busybox and some processes that sleep; when it says so on its console, it is stopped, its memory dumped,
and what the dump has of page tables written as a snapshot.
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mapproof.snapshots.ptsnap import write_ptsnap
from mapproof.snapshots.readers import read_image
from mapproof.snapshots.walk import Walk

READY = "page tables are ready"
INIT = f"""#!/bin/busybox sh
/bin/busybox mkdir /dev /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for i in 1 2 3 4 5 6; do /bin/busybox sleep 100000 & done
/bin/busybox sleep 1
echo {READY} > /dev/console
/bin/busybox sleep 100000
"""


def initramfs(busybox: Path) -> bytes:
    """An archive with busybox and /init, in the "newc" format of cpio."""
    files = [("bin", 0o040755, b""), ("bin/busybox", 0o100755, busybox.read_bytes())]
    files += [("init", 0o100755, INIT.encode()), ("TRAILER!!!", 0, b"")]
    archive = b""
    for number, (name, mode, content) in enumerate(files):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        archive += b"070701" + b"".join(b"%08x" % f for f in fields) + path
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return gzip.compress(archive)


class Monitor:
    """The machine protocol of QEMU."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._received()
        next(self._lines)
        self("qmp_capabilities")

    def _received(self) -> Iterator[dict[str, Any]]:
        for line in self._socket.makefile():
            yield json.loads(line)

    def __call__(self, command: str, **arguments: Any) -> Any:
        message = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        for answer in self._lines:
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]
        raise RuntimeError(f"{command}: QEMU is gone")


def dump(options: argparse.Namespace, folder: Path) -> Path:
    """Boot, wait until the guest is ready, dump its memory."""
    console, monitor, memory = (folder / name for name in ("console", "monitor", "dump.elf"))
    initrd = folder / "initrd"
    initrd.write_bytes(initramfs(options.busybox))
    append = f"console=ttyS0 panic=-1 no_timer_check {options.append}"
    command = [options.qemu, "-accel", "tcg", "-cpu", options.cpu, "-m", options.memory]
    command += ["-smp", "2", "-nodefaults", "-no-reboot", "-display", "none", "-append", append]
    command += ["-kernel", str(options.kernel), "-initrd", str(initrd)]
    command += ["-serial", f"file:{console}", "-qmp", f"unix:{monitor},server=on,wait=off"]
    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + options.limit
        while not (console.exists() and READY in console.read_text("utf-8", "replace")):
            if qemu.poll() is not None or time.monotonic() > ends:
                said = console.read_text("utf-8", "replace")[-500:] if console.exists() else ""
                raise SystemExit(f"the guest did not get ready; it said last: {said}")
            time.sleep(0.2)
        ask = Monitor(monitor)
        ask("stop")
        ask("dump-guest-memory", paging=False, protocol=f"file:{memory}")
        ask("quit")
        qemu.wait(20)
    finally:
        if qemu.poll() is None:
            qemu.terminate()
            qemu.wait(20)
    return memory


def main() -> int:
    parser = argparse.ArgumentParser(description="Boot a kernel and take a snapshot.")
    parser.add_argument("kernel", type=Path)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("--append", default="", help="kernel command line")
    parser.add_argument("--cpu", default="Haswell")
    parser.add_argument("--memory", default="192M")
    parser.add_argument("--busybox", type=Path, default=Path("/bin/busybox"))
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds until it is ready")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        image = read_image(dump(options, Path(folder)))
        image.header["name"] = options.snapshot.name.partition(".")[0]
        image.header["cmdline"] = options.append
        write_ptsnap(image, options.snapshot)
    walk = Walk(image)
    print(f"{options.snapshot}: {len(walk.spaces)} address spaces, {len(image.pages)} table pages")
    return 3 if walk.problems else 0


if __name__ == "__main__":
    sys.exit(main())
