"""The cache of answers: shared by processes, sound after a kill, never believed when broken."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from click.testing import CliRunner

from mapproof.cli import main
from mapproof.model.language.solver import Outcome
from mapproof.proofs.cache import FILE, Cache, CachedPool, Mismatch, Mode, default_folder, key_of

YES = Outcome("unsat", ("%goal", "invariant.p"), "", "z3 5")


def test_what_is_put_is_there(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "new" / "folder")
    assert kept.get("k") is None
    kept.put("k", YES)
    kept.put("u", Outcome("unknown", (), "time limit"))
    kept.close()
    again = Cache(tmp_path / "new" / "folder")
    assert again.get("k") == YES
    assert again.get("u") is None
    assert again.complaint == ""


def test_a_key_has_all_that_an_answer_depends_on() -> None:
    keys = {key_of(s, t, e) for s in ("z3", "cvc5") for t in ("a", "b") for e in (0, 1)}
    assert len(keys) == 8


def test_the_folder_follows_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/mapproof")
    monkeypatch.setenv("HOME", "/me")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert default_folder() == Path("/me/.cache/mapproof")


def test_read_only(tmp_path: Path) -> None:
    assert Cache(tmp_path / "none", read_only=True).complaint == ""
    assert not (tmp_path / "none").exists()
    writer = Cache(tmp_path)
    writer.put("k", YES)
    reader = Cache(tmp_path, read_only=True)
    reader.put("l", YES)
    assert reader.get("k") == YES
    assert reader.get("l") is writer.get("l") is None


WRITER = """
import sys
from pathlib import Path
from mapproof.model.language.solver import Outcome
from mapproof.proofs.cache import Cache
kept, name = Cache(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
for n in range(int(sys.argv[3])):
    kept.put(f"{name}{n}", Outcome("unsat", (name,), "", "z3 5"))
    assert kept.get(f"{name}{n}") is not None
assert not kept.complaint, kept.complaint
"""


def writer(folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_several_processes(tmp_path: Path) -> None:
    processes = [writer(tmp_path, name, 200) for name in "abcd"]
    assert [p.communicate() and p.returncode for p in processes] == [0] * 4
    kept = Cache(tmp_path)
    assert all(kept.get(f"{name}{n}") for name in "abcd" for n in range(200))


def test_killed_in_the_middle(tmp_path: Path) -> None:
    for round_ in range(3):
        process = writer(tmp_path, f"r{round_}-", 1_000_000)
        assert process.stdout is not None
        process.stdout.readline()
        sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = Cache(tmp_path)
        assert kept.get(f"r{round_}-0") == Outcome("unsat", (f"r{round_}-",), "", "z3 5")
        kept.put("k", YES)
        assert kept.complaint == ""
        kept.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)


def filled(folder: Path) -> Path:
    kept = Cache(folder)
    for n in range(300):
        kept.put(f"k{n}", YES)
    kept.close()
    return folder / FILE


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_cache(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / FILE).write_bytes(b"something else " * 1000)
    kept = Cache(tmp_path, read_only=read_only)
    assert kept.get("k") is None
    assert "corrupt" in kept.complaint
    assert "\n" not in kept.complaint
    if not read_only:
        assert (tmp_path / f"{FILE}.corrupt").exists()
        kept.put("k", YES)
        assert kept.get("k") == YES


def test_broken_pages(tmp_path: Path) -> None:
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    kept = Cache(tmp_path)
    assert {kept.get(f"k{n}") for n in range(300)} == {None}
    assert "corrupt" in kept.complaint


def test_truncated(tmp_path: Path) -> None:
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:10_000])
    kept = Cache(tmp_path)
    assert {kept.get(f"k{n}") for n in range(300)} <= {None, YES}


@pytest.mark.parametrize(
    "change", ["answer = 'sat'", "core = '[]'", "solver = 'cvc5'", "key = 'x' || key"]
)
def test_a_changed_entry_is_not_believed(tmp_path: Path, change: str) -> None:
    with sqlite3.connect(filled(tmp_path)) as db:
        db.execute(f"update answers set {change}")
    db.close()
    kept = Cache(tmp_path)
    assert kept.get("k1") is None
    assert kept.get("xk1") is None


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = Cache(tmp_path / "file" / "folder")
    kept.put("k", YES)
    assert kept.get("k") is None
    assert kept.complaint.startswith("going on without the cache")


class Fixed:
    """A pool that answers at once."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome, self.asked = outcome, 0

    def submit(self, *_: Any) -> Future[Outcome]:
        self.asked += 1
        future: Future[Outcome] = Future()
        future.set_result(self.outcome)
        return future


def asked(pool: Any, kept: Cache, mode: Mode) -> Outcome:
    return CachedPool(pool, kept, mode).submit("z3", "; a::b::c\n(check-sat)", 0.0).result()


def test_modes(tmp_path: Path) -> None:
    pool, kept = Fixed(YES), Cache(tmp_path)
    assert asked(pool, kept, Mode.ON) == asked(pool, kept, Mode.ON) == YES
    assert pool.asked == 1
    assert asked(pool, kept, Mode.VERIFY) == YES
    assert pool.asked == 2
    with pytest.raises(Mismatch, match=r"wrong about a::b::c: it says unsat, z3 6 answers sat"):
        asked(Fixed(Outcome("sat", (), "", "z3 6")), kept, Mode.VERIFY)
    gave_up = Outcome("unknown", (), "time limit")
    assert asked(Fixed(gave_up), kept, Mode.VERIFY) == gave_up


# The command line.


def run(folder: Path, mode: str, code: int = 0, target: str = "kpt::P2") -> tuple[Any, str]:
    arguments = ["check", target, "--json", "--cache", mode, "--cache-dir", str(folder)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    document = json.loads(done.stdout)
    for result in document["results"]:
        result["seconds"] = 0
    return document, done.stderr


def test_the_same_verdicts_with_and_without(tmp_path: Path) -> None:
    cold, said = run(tmp_path, "on", target="kpt")
    assert said == ""
    assert cold == run(tmp_path, "on", target="kpt")[0] == run(tmp_path, "off", target="kpt")[0]
    assert cold == run(tmp_path, "verify", target="kpt")[0]


def test_a_wrong_entry_is_found_by_verify(tmp_path: Path) -> None:
    run(tmp_path, "on")
    with sqlite3.connect(tmp_path / FILE) as db:
        keys = [key for (key,) in db.execute("select key from answers")]
    db.close()
    kept = Cache(tmp_path)
    for key in keys:
        kept.put(key, Outcome("sat", (), "", "z3 5"))
    kept.close()
    document, said = run(tmp_path, "verify", 2)
    assert document["results"] == []
    assert "the cache is wrong about kpt::" in said
    assert str(tmp_path / FILE) in said


def test_a_corrupt_cache_is_said_once(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"something else " * 1000)
    document, said = run(tmp_path, "on")
    assert document["results"][0]["verdict"] == "proved"
    assert said.count("was corrupt") == 1
    assert run(tmp_path, "on")[1] == ""
