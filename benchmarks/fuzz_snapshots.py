"""Does any file make an audit crash?  ``python -m benchmarks.fuzz_snapshots [FILES] [SEED]``.

Snapshots and dumps (5,000 unless said otherwise) with some bytes changed, or cut off, are audited.  A
file may be refused with a message, or audited; what it must not do is raise anything else, take long
or take much memory.  Half of the files have their tables changed and not their headers.  Printed are
the outcomes, the longest time of a CPU and the memory; at a crash, or where one takes longer than that,
the file is kept and the exit code is 1.
"""

from __future__ import annotations

import random
import resource
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from mapproof.snapshots.ptsnap import encode_ptsnap
from tests import dumps
from tests.snapshot_files import NAMES, image_of
from tests.test_readers import mutated, survives

FILES = 5000
SLOW = 20.0  # seconds of a CPU


def main(files: int = FILES, seed: int = 1) -> int:
    chance = random.Random(seed)
    subjects = [encode_ptsnap(image_of(name)) for name in NAMES]
    subjects += [dumps.elf(image_of(name)) for name in NAMES]
    subjects += [dumps.kdump(image_of(name)) for name in NAMES[:2]]
    outcomes: Counter[str] = Counter()
    longest = 0.0
    with TemporaryDirectory() as folder:
        for number in range(files):
            data = chance.choice(subjects)
            tables = data[len(data) // 2 :]
            if chance.random() < 0.5:
                data = data[: len(data) // 2] + mutated(tables, chance).ljust(len(tables), b"\0")
            else:
                data = mutated(data, chance)
            path = Path(folder) / "file"
            started = process_time()
            try:
                outcomes[survives(data, path)] += 1
            except Exception as error:
                kept = Path(f"crash-{seed}-{number}")
                kept.write_bytes(data)
                print(f"{kept}: {type(error).__name__}: {error}")
                return 1
            taken = process_time() - started
            if taken > max(longest, SLOW):
                Path(f"slow-{seed}").write_bytes(data)
            longest = max(longest, taken)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
    print(f"{files} files: {told}; longest {longest:.1f} s, {peak} MiB")
    return int(longest > SLOW)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
