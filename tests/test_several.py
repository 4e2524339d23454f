"""Several designs side by side: what is said is the same, and it ends as one check does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mapproof.cli import main
from mapproof.proofs.cache import FILE

FOLDER = Path(__file__).parent / "designs"
COUNTING = str(FOLDER / "counting.py")
STAGES = str(FOLDER / "stages.py")
BROKEN = """
from mapproof import *
from mapproof import Design

class Broken(State):
    flag: Var[Bool]

@operation
def boot(s: Broken) -> Step:
    return Step(when=TRUE, then=[s.flag.become(TRUE)])

@always
def wrong(s: Broken) -> Bool:
    return 1

broken = Design(name="broken", state=Broken, init=boot, properties=[wrong])
"""


def run(processes: int, folder: Path, *arguments: str) -> Any:
    options = ["-j", str(processes), "--cache-dir", str(folder)]
    return CliRunner().invoke(main, ["check", *arguments, *options])


def timeless(text: str) -> str:
    return re.sub(r"\d+\.\d+ s", "# s", text)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("kpt-buggy", STAGES, "--show-lemmas"), id="designs"),
        pytest.param(("K-01", "V-01", "kpt::P1"), id="ledger"),
        pytest.param((STAGES, "--depth", "2", "--lemmas", "given"), id="one file"),
    ],
)
def test_the_same_is_said(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """By one process, by two, and by two that know what was found before."""
    one, *others = (run(n, tmp_path / str(n), *arguments) for n in (1, 2, 2))
    assert one.stdout.count("\n") > 10
    for other in others:
        assert other.exit_code == one.exit_code
        assert timeless(other.stdout) == timeless(one.stdout)
        assert other.stderr == one.stderr == ""


def test_json(tmp_path: Path) -> None:
    """With traces and CTIs."""

    def document(processes: int) -> Any:
        done = run(
            processes, tmp_path / str(processes), COUNTING, "K-01", "--json", "--lemmas", "given"
        )
        found = json.loads(done.stdout)
        for result in (*found["results"], *(c["result"] for c in found.get("claims", ()))):
            result["seconds"] = 0
        return found

    one = document(1)
    assert '"cti": {' in json.dumps(one)
    assert document(2) == one


def test_a_design_that_is_wrong_does_not_stop_the_others(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    one, two = (run(n, tmp_path, "kpt-buggy", str(file), "kpt::P1") for n in (1, 2))
    assert one.exit_code == two.exit_code == 2
    assert "wrong" in one.stderr
    assert two.stderr == one.stderr
    assert timeless(two.stdout) == timeless(one.stdout)
    assert "proved  P1" in re.sub(" +", "  ", one.stdout)


def test_certificates(tmp_path: Path) -> None:
    done = run(2, tmp_path, STAGES, "--certificates", str(tmp_path / "proofs"))
    files = list((tmp_path / "proofs").iterdir())
    assert len(files) == 9
    assert f"{len(files)} certificates" in done.stdout


def test_a_file_that_is_no_cache_is_said_once(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"something else " * 1000)
    first, second = (run(2, tmp_path, "kpt::P1", "kpt-buggy::P1") for _ in range(2))
    assert first.stderr.count("was corrupt") == 1
    assert second.stderr == ""


SLOW = """
import signal
from mapproof.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main(["check", "ledger", "--cache", "off", "-j", "3"])
"""


def test_interrupt_ends_all_processes() -> None:
    process = subprocess.Popen(
        (sys.executable, "-c", SLOW),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)  # all hold the pipes open: this waits for them
        assert (process.returncode, err.strip()) == (130, "mapproof: interrupted")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
