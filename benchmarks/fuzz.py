"""Do the readings of a design contradict each other?  ``python -m benchmarks.fuzz [DESIGNS] [SEED]``.

Small random designs (2,000 unless said otherwise) go through the oracle of the tests, which looks at
every state, and through each engine: the bounded search, the prover for a finite scope, and the proof
for any size with its second solver and its certificate.  Printed are the pairs of verdicts with their
counts, the contradictions and the time.  At a contradiction it stops, prints the seed and the design,
reduced, and exits with 1.
"""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from mapproof.proofs.cache import Cache, CachedPool, Mode
from mapproof.proofs.systems import system_data
from mapproof.proofs.worker import shared
from tests.agreement import Contradiction, Tally, compare_many

DESIGNS = 2000


def report(tally: Tally, contradictions: int, seconds: float) -> None:
    """Print what was compared."""
    print(f"{'claim':10} {'oracle':14} {'engine':16} {'its verdict':20} {'pairs':>7}")
    for (kind, truth, engine, verdict), number in sorted(tally.pairs.items()):
        print(f"{kind:10} {truth:14} {engine:16} {verdict:20} {number:7,}")
    print(
        f"\n{tally.designs:,} designs, {tally.claims:,} claims, {tally.pairs.total():,} pairs of "
        f"verdicts, {contradictions} contradictions, {seconds:.0f} s"
    )


def explain(found: Contradiction) -> None:
    """Print a contradiction, the design in the form that certificates have."""
    design = found.design
    claims = [*design.properties, *design.lemmas]
    names = [a.name for a in design.assumptions]
    data = system_data(design.system(), names, [c.closed() for c in claims])
    print(json.dumps(data, indent=1))
    for claim in claims:
        print(f"{claim.kind} {claim.name}: {claim.closed()!r}")
    print(f"\nCONTRADICTION: seed {found.seed}, scope {found.scope}")
    print(f"{type(found.error).__name__}: {found.error}")


def main(designs: int = DESIGNS, seed: int = 0) -> int:
    """Compare the designs of as many seeds from ``seed`` on as it takes; the exit code."""
    tally, started = Tally(), monotonic()
    with TemporaryDirectory() as folder:
        kept = Cache(Path(folder))
        try:
            solvers = CachedPool(shared(), kept, Mode.ON)
            for last in compare_many(count(seed), solvers, tally):
                if tally.designs == designs:
                    break
                if sys.stderr.isatty():
                    print(f"\rseed {last}, {tally.designs} designs", end="", file=sys.stderr)
        except Contradiction as found:
            report(tally, 1, monotonic() - started)
            explain(found)
            return 1
        finally:
            kept.close()
    report(tally, 0, monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
