"""Fetch a Debian kernel to boot: ``python -m benchmarks.kernels amd64|i386 FOLDER``.

apt downloads the newest kernel image of that architecture and a static busybox, with lists of its own,
so that nothing is installed and nothing of this machine changes; FOLDER/ARCH gets vmlinuz and busybox.
The kernel of i386 is the one with PAE.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

KERNELS = {"amd64": "linux-image-amd64", "i386": "linux-image-686-pae"}


def fetch(arch: str, folder: Path) -> Path:
    """The folder with the kernel and busybox."""
    place = (folder / arch).resolve()
    for name in ("state/lists/partial", "cache/archives/partial", "unpacked"):
        (place / name).mkdir(parents=True, exist_ok=True)
    (place / "state/status").touch()
    options = {
        "Dir::State": place / "state",
        "Dir::State::status": place / "state/status",
        "Dir::Cache": place / "cache",
        "APT::Architecture": arch,
        "APT::Architectures": arch,
    }
    own = [f"-o{key}={value}" for key, value in options.items()]

    def run(*command: str) -> str:
        done = subprocess.run(command, check=True, cwd=place, stdout=subprocess.PIPE, text=True)
        return done.stdout

    # A list that is not to be had for this architecture is no reason to stop.
    subprocess.run(["apt-get", *own, "-qq", "update"], check=False, cwd=place)
    depends = run("apt-cache", *own, "depends", KERNELS[arch])
    kernel = next(line.split()[-1] for line in depends.splitlines() if "Depends:" in line)
    run("apt-get", *own, "-qq", "download", kernel, "busybox-static")
    for package in place.glob("*.deb"):
        run("dpkg", "-x", str(package), "unpacked")
    shutil.copyfile(next((place / "unpacked/boot").glob("vmlinuz-*")), place / "vmlinuz")
    shutil.copyfile(place / "unpacked/bin/busybox", place / "busybox")
    for name in ("state", "cache", "unpacked"):
        shutil.rmtree(place / name)
    return place


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in KERNELS:
        sys.stderr.write(f"usage: python -m benchmarks.kernels {'|'.join(KERNELS)} FOLDER\n")
        return 2
    place = fetch(sys.argv[1], Path(sys.argv[2]))
    print(f"{place / 'vmlinuz'} and {place / 'busybox'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
