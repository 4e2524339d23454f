"""A user's own file: checked as it is, from anywhere, and type-checked by mypy and pyright."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DESIGN = '''\
# pyright: strict
"""Freeing a page that is still mapped."""

from mapproof import FALSE, NONE, TRUE, Bool, Design, Map, Opt, Sort, State, Step
from mapproof import always, operation


class Va(Sort): ...


class Page(Sort): ...


class Memory(State):
    pte: Map[Va, Opt[Page]]
    free: Map[Page, Bool]


@operation
def boot(s: Memory) -> Step:
    """Every page is in use; anything may be mapped."""
    return Step(TRUE, [s.free.fill(lambda page: FALSE)])


@operation(kernel="zap_pte_range()")
def zap(s: Memory, va: Va) -> Step:
    """Free the page, then forget to clear the entry."""
    return Step(s.pte[va] != NONE, [s.free.set(s.pte[va].value, TRUE)])


@always
def mapped_pages_are_in_use(s: Memory, va: Va) -> Bool:
    """No entry maps a free page."""
    return s.pte[va].is_some.implies(~s.free[s.pte[va].value])


zap_v1 = Design(name="zap-v1", state=Memory, init=boot, operations=[zap])
'''
REPAIR = "[s.free.set(s.pte[va].value, TRUE)]", "[s.pte.set(va, NONE)]"

MISTAKES = {
    "wrong sort": ("s.free.set(s.pte[va].value, TRUE)", "s.free.set(va, TRUE)"),
    "misspelt operation": ("operations=[zap]", "operations=[zapp]"),
    "misspelt map": ("~s.free[s.pte", "~s.fre[s.pte"),
    "missing argument": ("zap_v1 = Design", "lost = zap(Memory())\nzap_v1 = Design"),
    "not a guard": ("Step(s.pte[va] != NONE", "Step(NONE"),
    "operation for property": ("operations=[zap])", "operations=[zap], properties=[zap])"),
}
CHECKERS = {
    "mypy": ("-m", "mypy", "--strict", "--python-executable", sys.executable),
    "pyright": ("-m", "pyright", "--pythonpath", sys.executable),
}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Python, away from the project."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        (sys.executable, *arguments),
        cwd=cwd,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_check(tmp_path: Path) -> None:
    (tmp_path / "zap.py").write_text(DESIGN)
    done = run("-m", "mapproof", "check", "zap.py", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "zap-v1 :: mapped_pages_are_in_use  VIOLATED in 1 step" in done.stdout
    assert "step 1  zap(va=va0)  [zap_pte_range()]" in done.stdout
    assert "pte[va0] = page0" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["zap.py"]


def test_check_the_repaired_design(tmp_path: Path) -> None:
    text = DESIGN.replace("zap-v1", "zap-v2").replace(*REPAIR)
    (tmp_path / "zap.py").write_text(text)
    done = run("-m", "mapproof", "check", "zap.py::zap-v2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^  proved +mapped_pages_are_in_use +for any size", done.stdout, re.MULTILINE)


def test_patch_of_a_built_in_design_gets_the_library_properties(tmp_path: Path) -> None:
    (tmp_path / "patch.py").write_text(
        "from mapproof.model.designs.kpt import kpt\n"
        "from mapproof.model.operations import kpt as op\n"
        "mine = kpt.replacing(op.enter_user, op.enter_user_between_halves, name='mine')\n"
    )
    done = run("-m", "mapproof", "check", "patch.py", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert re.findall(r"^  (\w+) +(\w+) ", done.stdout, re.MULTILINE)[:4] == [
        ("proved", "P1"),
        ("violated", "P2"),
        ("violated", "SAFE"),
        ("proved", "DEEP"),
    ]


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "zap.py").write_text(DESIGN)
    (tmp_path / "helper.py").write_text("raise SystemError('never imported')\n")
    done = run("-m", "mapproof", "check", ".", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("zap-v1\n")


@pytest.mark.parametrize("checker", CHECKERS)
def test_types(tmp_path: Path, checker: str) -> None:
    (tmp_path / "zap.py").write_text(DESIGN)
    done = run(*CHECKERS[checker], "zap.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_see_mistakes(tmp_path: Path, checker: str) -> None:
    """Every planted mistake is reported, at its line and nowhere else."""
    planted: set[tuple[str, int]] = set()
    for name, (old, new) in MISTAKES.items():
        assert old in DESIGN
        path = tmp_path / f"{name.replace(' ', '_')}.py"
        path.write_text(DESIGN.replace(old, new))
        planted.add((path.name, DESIGN[: DESIGN.index(old)].count("\n") + 1))
    done = run(*CHECKERS[checker], ".", cwd=tmp_path)
    found = re.findall(r"(\w+\.py):(\d+)\b.* error: ", done.stdout)
    assert {(name, int(line)) for name, line in found} == planted, done.stdout


CLASHES = """\
from __future__ import annotations

from mapproof import *


class Page(Sort): ...


class Array(Sort): ...


class Int(Enumeration):
    and_: Int
    größe: Int


class Memory(State):
    x: Map[Page, Bool]
    true: Map[Page, Bool]
    forall: Map[Array, Int]
    y: Var[Bool]


@operation
def boot(s: Memory) -> Step:
    no = lambda page: FALSE
    return Step(
        TRUE,
        [s.x.fill(no), s.true.fill(no), s.y.become(FALSE), s.forall.fill(lambda é: Int.größe)],
    )


@operation
def op(s: Memory, x: Page, y: Page) -> Step:
    return Step(~s.x[x] & s.y.now & s.true[y], [s.x.set(x, TRUE), s.true.set(y, TRUE)])


@always
def never(s: Memory, x: Page) -> Bool:
    return ~s.x[x]


@always
def ö(s: Memory, x: Page, y: Array) -> Bool:
    return ~s.y.now & ~s.true[x] & (s.forall[y] == Int.größe)


design = Design(
    name="clashes", state=Memory, init=boot, operations=[op], properties=[never, ö]
)
"""


def test_names_may_be_anything(tmp_path: Path) -> None:
    """Names of solvers' own things, names used twice and letters of any script are only names."""
    (tmp_path / "clashes.py").write_text(CLASHES, encoding="utf-8")
    done = run("-m", "mapproof", "check", "clashes.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "2 proved" in done.stdout
