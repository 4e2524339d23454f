"""What a composition costs beside its parts: ``python -m benchmarks.compositions [DESIGN...]``.

Each figure is the user CPU time of a whole ``mapproof check DESIGN --cache off``, its solvers included,
the median of some runs; the runs of a composition and of its parts take turns.  Exit code 1 if one costs
more than three times the sum of its parts.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence

from mapproof.catalog import Catalog

RUNS = 3
MOST = 3.0
COMPOSITIONS = (
    "isolation-vmalloc-pae",
    "ldt-pae",
    "cacheability-purge",
    "pcid-global",
    "hotplug-isolation",
)


def cpu_seconds(design: str, more: Sequence[str]) -> float:
    """One run, which has to prove everything."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [sys.executable, "-m", "mapproof", "check", design, "--cache", "off", *more]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"mapproof check {design}: exit {done.returncode}, expected 0")
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> int:
    """Print a row for each composition: its time, those of its parts, the ratio to their sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--lemmas", choices=("given", "infer"))
    parser.add_argument("designs", nargs="*", default=COMPOSITIONS)
    asked = parser.parse_args()
    more = ["--lemmas", asked.lemmas] if asked.lemmas else []
    catalog, dear = Catalog(), 0
    print(f"{'composition':24} {'CPU s':>6} {'ratio':>6}  parts")
    for name in asked.designs:
        parts = [part.name for part in catalog.design_named(name).made_of]
        if not parts:
            raise SystemExit(f"{name} is no composition")
        rounds = [[cpu_seconds(d, more) for d in (name, *parts)] for _ in range(asked.runs)]
        whole, *alone = map(statistics.median, zip(*rounds, strict=True))
        ratio = whole / sum(alone)
        dear += ratio > MOST
        shown = ", ".join(f"{p} {t:.1f}" for p, t in zip(parts, alone, strict=True))
        print(f"{name:24} {whole:6.1f} {ratio:6.2f}  {shown}", flush=True)
    return 1 if dear else 0


if __name__ == "__main__":
    sys.exit(main())
