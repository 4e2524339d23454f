"""What ``mapproof promise`` makes of every operation and procedure: ``python -m benchmarks.promises``.

A row for each: seconds of processor time (solvers included), facts, facts that hold at any time, what is
denied, candidates left open.  Names of designs limit it to these; without one it is all that prove their
properties (an hour).  The texts go to the folder that ``--texts`` names.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mapproof.catalog import Catalog
from mapproof.model.language import DesignError
from mapproof.promise_text import promise_text
from mapproof.proofs.ledger import defects
from mapproof.proofs.promise import promise

SLOW = 10.0


def merged(catalog: Catalog) -> list[str]:
    """The designs that no defect of the ledger is shown by."""
    broken = {d.buggy for d in defects().values()}
    return [name for name in catalog.designs if name not in broken]


def processor_time() -> float:
    """Of this process and of those that it has started."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if os.getpid() in (int(stat.parent.name), int(fields[1])):
            total += sum(int(x) for x in fields[11:15])
    return total / ticks


def main() -> None:
    """Print the rows, then how many there were of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("designs", nargs="*")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--timeout", type=float, default=20.0)
    chosen = parser.parse_args()
    catalog = Catalog()
    rows = slow = silent = unsettled = failed = 0
    for name in chosen.designs or merged(catalog):
        design = catalog.design_named(name)
        subjects = [x.name for x in design.operations] + [x.name for x in design.procedures]
        for subject in subjects:
            started = processor_time()
            rows += 1
            try:
                found = promise(design, subject, chosen.timeout)
            except DesignError as error:
                failed += 1
                print(f"{name}::{subject}  {error}", flush=True)
                continue
            spent = processor_time() - started
            print(
                f"{spent:6.1f} {len(found.facts):2} {len(found.invariants):2} {len(found.denied):2} "
                f"{found.unsettled:2}  {name}::{subject}",
                flush=True,
            )
            slow += spent > SLOW
            silent += not found.facts
            unsettled += found.unsettled > 0
            if chosen.texts:
                chosen.texts.mkdir(exist_ok=True)
                (chosen.texts / f"{name}.{subject}.txt").write_text(promise_text(found) + "\n")
    print(
        f"{rows} operations and procedures: {failed} never return, {silent} with no fact, "
        f"{unsettled} with candidates left open, {slow} slower than {SLOW:.0f} s"
    )


if __name__ == "__main__":
    main()
