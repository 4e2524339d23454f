"""The figures that mapproof claims of itself, measured here: ``python benchmarks/figures.py``.

Each row is a whole command, start of the interpreter included, the median of some runs.  A baseline
row (``mapproof --version``) gives the machine's own speed: compare ratios, not seconds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 5
ROWS = [
    ("--version", 0, None),
    ("check kaiser-v1", 1, 1.5),
    ("check kaiser-v2", 0, 3.0),
    ("check vmalloc-pae-2019", 0, 3.0),
    ("check vmalloc-x86-64", 0, 3.0),
    ("check kpt", 0, 1.0),
    ("check kpt-buggy", 1, 1.0),
    ("check kpt-bugpgd", 1, 1.0),
    ("check kpt --lemmas infer", 0, 3.0),
    ("check vmalloc-pae-2019 --lemmas infer", 0, 10.0),
    ("check vmalloc-x86-64 --lemmas infer", 0, 10.0),
    ("check kaiser-v2 --lemmas infer", 0, 10.0),
    ("explore kpt --scope mm=2,userpage=2,kernelpage=3,frame=4", 0, None),
    ("explore kpt --scope mm=2,userpage=3,kernelpage=4,frame=6", 0, None),
]


def seconds(command: str, code: int) -> float:
    """One run, which must end with the exit code."""
    uncached = ["--cache", "off"] if command.startswith("check") else []
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "mapproof", *command.split(), *uncached],
        check=False,
        capture_output=True,
    )
    if done.returncode != code:
        raise SystemExit(f"mapproof {command}: exit {done.returncode}, expected {code}")
    return time.monotonic() - started


def main() -> None:
    """Print a row for each command: median, slowest, claimed, ratio to the baseline."""
    base = 0.0
    print(f"{'command':58} {'median':>7} {'worst':>7} {'claim':>6} {'ratio':>6}")
    for command, code, claim in ROWS:
        times = [seconds(command, code) for _ in range(RUNS)]
        middle = statistics.median(times)
        base = base or middle
        shown = f"{claim:.1f}" if claim else ""
        print(f"{command:58} {middle:7.2f} {max(times):7.2f} {shown:>6} {middle / base:6.1f}")


if __name__ == "__main__":
    main()
