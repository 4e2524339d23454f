"""The whole ledger without a cache, and with what that has left: ``python -m benchmarks.ledger``.

Time on the clock is what is claimed, on two idle cores; CPU time hardly depends on what else goes on.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

CLAIMED = {"cold": 360.0, "warm": 15.0}


def cpu_seconds() -> float:
    """Of all processes that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check(folder: Path, processes: int) -> tuple[float, float]:
    """One run, which has to meet every expectation: time on the clock, CPU time."""
    command = [sys.executable, "-m", "mapproof", "check", "ledger", "-j", str(processes)]
    before, started = cpu_seconds(), time.monotonic()
    done = subprocess.run(
        [*command, "--cache-dir", str(folder)], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout}\n{done.stderr}\nexit {done.returncode}, expected 0")
    return time.monotonic() - started, cpu_seconds() - before


def main() -> int:
    """Print a row for each: seconds, claimed seconds, CPU seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-j", dest="processes", type=int, default=2, metavar="N")
    asked = parser.parse_args()
    slow = 0
    print(f"{'':6} {'s':>7} {'claim':>7} {'CPU s':>7}")
    with TemporaryDirectory() as folder:
        for name, claim in CLAIMED.items():
            clock, cpu = check(Path(folder), asked.processes)
            slow += clock > claim
            print(f"{name:6} {clock:7.1f} {claim:7.1f} {cpu:7.1f}", flush=True)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
