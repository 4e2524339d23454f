"""The model of a memory access beside an emulated processor: ``python benchmarks/mmu.py [COUNT]``.

For each paging mode: COUNT random accesses (100,000 unless said), how many differ and why, accesses a
second (drawing tables and comparing included); then every planted mistake, and after how many
accesses the last of them was caught.  Exit code 1 if a difference has no explanation or a mistake is
not caught.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.mmu_mistakes import Fate, Record, mistakes
from tests.mmu_oracle import EXPLAINED, MODES, Mode, Oracle, observations, show

MISTAKES_WITHIN = 20_000  # accesses


def compare(mode: Mode, count: int) -> int:
    """The number of differences that nothing explains."""
    oracle, seen = Oracle(mode), Counter[str]()
    clock, processor = time.monotonic(), time.process_time()
    for observation in observations(oracle, count, seed=0):
        seen["faults"] += observation.emulator.error_code is not None
        if not observation.agrees:
            seen[observation.explained.what if observation.explained else "unexplained"] += 1
            if not observation.explained:
                print(show(oracle, observation))
    clock, processor = time.monotonic() - clock, time.process_time() - processor
    print(
        f"{mode.name:8} {count:7} accesses, {seen['faults']:6} faults, "
        f"{seen['unexplained']} unexplained differences, "
        f"{count / clock:5.0f} a second ({count / processor:5.0f} of processor time)"
    )
    for number, explained in enumerate(EXPLAINED, start=1):
        if seen[explained.what]:
            print(f"         {seen[explained.what]:7} differ by explanation {number}")
    return seen["unexplained"]


def plant(mode: Mode) -> int:
    """The number of planted mistakes that are not caught."""
    oracle = Oracle(mode)
    clock = time.monotonic()
    record = Record(oracle, observations(oracle, MISTAKES_WITHIN, seed=3))
    per_access = (time.monotonic() - clock) / MISTAKES_WITHIN
    seen, latest = Counter[Fate](), 0
    for mistake in mistakes(record.outputs.values()):
        fate, access = record.fate(mistake)
        seen[fate] += 1
        latest = max(latest, access)
        if fate is Fate.MISSED:
            print(f"not caught: {mistake}")
    fates = ", ".join(f"{seen[fate]} {fate.value}" for fate in Fate)
    print(
        f"{mode.name:8} {sum(seen.values())} mistakes: {fates}; "
        f"the last one caught after {latest} accesses ({latest * per_access:.1f} s)"
    )
    return seen[Fate.MISSED]


def main() -> int:
    """Print the figures; 0 if all is well."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    bad = sum(compare(mode, count) for mode in MODES.values())
    for number, explained in enumerate(EXPLAINED, start=1):
        print(f"{number}. {explained.what} (Intel SDM vol. 3A, section {explained.manual})")
    bad += sum(plant(mode) for name, mode in MODES.items() if name != "5-level")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
