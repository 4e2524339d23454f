"""Boot a kernel in QEMU and take a snapshot of its page tables:

    python -m benchmarks.kernels amd64 kernels     # once: fetch and unpack, install nothing
    python -m benchmarks.boot kernels/amd64/vmlinuz snapshot.ptsnap.xz --append "pti=on nokaslr"

Needs qemu-system-x86_64 (Debian: qemu-system-x86); no KVM, no root.  A static busybox of the kernel's
width is taken from beside the kernel, where benchmarks.kernels puts it, else from /bin.  Of interest
beside "pti=on": "nopti", "nokaslr" or not, --cpu Nehalem (no PCIDs), --cpu max (5-level paging),
"secretmem.enable=1" (64-bit kernels: a process uses secret memory).

The guest is an initramfs with busybox and some processes that sleep; when it says so on its console, it
is stopped, its memory dumped, and what the dump has of page tables written as a snapshot.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import socket
import struct
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
SECRET = "secret page"
INIT = f"""#!/bin/busybox sh
/bin/busybox mkdir /dev /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for i in 1 2 3 4 5 6; do /bin/busybox sleep 100000 & done
/bin/secret &
/bin/busybox sleep 1
area=$(/bin/busybox sed -n 's/-.*secretmem.*//p' /proc/$!/maps)
if [ "$area" ]; then
  /bin/busybox dd if=/proc/$!/pagemap bs=8 skip=$((0x$area / 4096)) count=8 2>/dev/null |
    /bin/busybox od -An -v -tx8 -w8 | /bin/busybox sed 's/^/{SECRET}/' > /dev/console
fi
echo {READY} > /dev/console
/bin/busybox sleep 100000
"""


def secret_program() -> bytes:
    """A program for x86-64 that keeps eight pages of secret memory, if the kernel lets it."""
    code = b"".join(
        bytes.fromhex(step)
        for step in (
            "b8bf010000 31ff 0f05",  # memfd_secret(0)
            "4189c0 89c7 b84d000000 be00800000 0f05",  # ftruncate(fd, 0x8000)
            "31ff be00800000 ba03000000 41ba01000000 4531c9 b809000000 0f05",  # mmap(RW, SHARED)
            "b908000000",  # eight pages
            "c60001 480500100000 ffc9 75f3",  # touch one, go on to the next
            "b822000000 0f05 ebf7",  # pause(), for ever
        )
    )
    base, size = 0x400000, 64 + 56
    entry = base + size
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack(
        "<IIQQQQQQ", 1, 5, 0, base, base, size + len(code), size + len(code), 4096
    )
    return header + segment + code


def initramfs(busybox: Path) -> bytes:
    """An archive with busybox, /init and the program, in the "newc" format of cpio."""
    files = [("bin", 0o040755, b""), ("bin/busybox", 0o100755, busybox.read_bytes())]
    files += [("bin/secret", 0o100755, secret_program())]
    files += [("init", 0o100755, INIT.encode()), ("TRAILER!!!", 0, b"")]
    archive = b""
    for number, (name, mode, content) in enumerate(files):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        archive += b"070701" + b"".join(b"%08x" % f for f in fields) + path
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return gzip.compress(archive)


def secret_frames(said: str) -> list[int]:
    """Frames of secret memory, as the guest reports its page map."""
    words = [int(word, 16) for word in re.findall(rf"{SECRET} ([0-9a-f]{{16}})", said)]
    return sorted(word & (1 << 55) - 1 for word in words if word >> 63)


def _busybox(kernel: Path) -> Path:
    """The one that was unpacked with the kernel, else this machine's."""
    beside = kernel.parent / "busybox"
    return beside if beside.exists() else Path("/bin/busybox")


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


def dump(options: argparse.Namespace, folder: Path) -> tuple[Path, str]:
    """Boot, wait until the guest is ready, dump its memory; the dump, and what the guest said."""
    console, monitor, memory = (folder / name for name in ("console", "monitor", "dump.elf"))
    initrd = folder / "initrd"
    initrd.write_bytes(initramfs(options.busybox or _busybox(options.kernel)))
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
    return memory, console.read_text("utf-8", "replace")


def main() -> int:
    parser = argparse.ArgumentParser(description="Boot a kernel and take a snapshot.")
    parser.add_argument("kernel", type=Path)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("--append", default="", help="kernel command line")
    parser.add_argument("--cpu", default="Haswell")
    parser.add_argument("--memory", default="192M")
    parser.add_argument("--busybox", type=Path, help="static, of the kernel's width")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds until it is ready")
    parser.add_argument("--keep", type=Path, metavar="F", help="keep the dump")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        memory, said = dump(options, Path(folder))
        image = read_image(memory)
        if options.keep:
            shutil.copyfile(memory, options.keep)
    image.header["name"] = options.snapshot.name.partition(".")[0]
    image.header.setdefault("cmdline", options.append)
    secret = secret_frames(said)
    if secret:
        if image.header.get("secret_pfns", secret) != secret:
            raise SystemExit("the guest and the dump do not agree about secret memory")
        image.header["secret_pfns"] = secret
    write_ptsnap(image, options.snapshot)
    walk = Walk(image)
    print(f"{options.snapshot}: {len(walk.spaces)} address spaces, {len(image.pages)} table pages")
    return 3 if walk.problems else 0


if __name__ == "__main__":
    sys.exit(main())
