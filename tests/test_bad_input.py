"""Mistakes of users: one clear message, exit code 2, never a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mapproof.cli import main

DESIGN = '''\
"""A design file without mistakes."""

from mapproof import FALSE, NONE, TRUE, Bool, Design, Map, Opt, Sort, State, Step
from mapproof import always, operation, some


class Va(Sort):
    """A page of addresses."""


class Page(Sort):
    """A physical page."""


class Memory(State):
    pte: Map[Va, Opt[Page]]
    free: Map[Page, Bool]


@operation
def boot(s: Memory) -> Step:
    """Everything is free."""
    return Step(TRUE, [s.pte.fill(lambda va: NONE), s.free.fill(lambda p: TRUE)])


@operation
def map_page(s: Memory, va: Va, p: Page) -> Step:
    """Map a free page."""
    return Step(s.pte[va].is_none & s.free[p], [s.pte.set(va, some(p)), s.free.set(p, FALSE)])


@always
def mapped_is_not_free(s: Memory, va: Va) -> Bool:
    """A mapped page is not free."""
    return s.pte[va].is_some.implies(~s.free[s.pte[va].value])


mine = Design(name="mine", state=Memory, init=boot, operations=[map_page])
'''
GUARD = "s.pte[va].is_none & s.free[p]"
CLAIM = "s.pte[va].is_some.implies(~s.free[s.pte[va].value])"


def line_of(text: str, design: str = DESIGN) -> int:
    """The line of a design file that has the text first."""
    return design[: design.index(text)].count("\n") + 1


def complaint(*arguments: str | Path) -> str:
    """The only message of a command that has to fail."""
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("mapproof: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("mapproof: ").strip()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_is_right(here: Path) -> None:
    (here / "d.py").write_text(DESIGN)
    done = CliRunner().invoke(main, ["check", "d.py"])
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        # Files that do not import.
        ("Memory) -> Step:", "Memory -> Step:", "def boot", "syntax error: "),
        ("class Va", "1 / 0\n\nclass Va", "class Va", "ZeroDivisionError: division by zero"),
        ("class Va", "import nosuch\n\nclass Va", "class Va", r"No module named 'nosuch': install"),
        ("import always", "import allways", "import always", r"'allways'.*did you mean always\?"),
        ("Map[Va, Opt", "Mapp[Va, Opt", "Map[Va", r"'Mapp' is not defined; did you mean Map\?"),
        ('name="mine"', 'nam="mine"', "mine = Design", "unexpected keyword argument 'nam'"),
        ("[map_page]", "[map_page, len]", "mine = Design", "decorate it with @operation"),
        ("init=boot", "init=map_page", "mine = Design", "an @operation that takes only the state"),
        ("s: Memory, va: Va, p: Page", "s: Memory, va, p: Page", "", "annotate every parameter"),
        ("mine = Design(", "Design(", "", "there is no design in this file: write one"),
        # Operations and properties that cannot be read.
        (f"Step({GUARD}", f"Step(s.free[p] if {GUARD} else TRUE", GUARD, r"ite\(c, a, b\)"),
        (GUARD, "s.pte[va].is_none and s.free[p]", GUARD, "has no Python truth value: write & |"),
        ("s.free[p], [", "s.fre[p], [", GUARD, "no attribute 'fre'; did you mean free"),
        ("some(p))", "sme(p))", GUARD, "'sme' is not defined; did you mean some"),
        ("s.pte.set(va,", "s.pte.set(p,", GUARD, "a key of pte: p is a Page, but a Va is expected"),
        ("some(p))", "p)", GUARD, r"a Opt\[Page\] is expected, write some\(...\)"),
        ("set(p, FALSE)", "set(p, False)", GUARD, "write TRUE or FALSE"),
        (f"return Step({GUARD}", f"Step({GUARD}", "@operation\ndef map_page", "write return Step"),
        (f"return {CLAIM}", "return s.pte[va]", "@always\ndef", "returned Opt: return a Bool term"),
        (f"return {CLAIM}", "return quit(3)", CLAIM, "SystemExit: 3"),
        # Designs that cannot be checked.
        ("@always\n", "", "", "mine has no property to check"),
        (
            "    free: Map[Page, Bool]",
            "    free: Map[Page, Bool]\n    owner: Map[Page, Opt[Va]]",
            "",
            r"circle of sorts, (Va|Page) -> .*: break it by making (pte|owner) a relation",
        ),
        (
            "mine = Design(",
            "two = Design(name='mine', state=Memory, init=boot, operations=[])\nmine = Design(",
            "",
            "two designs are called mine: rename one",
        ),
    ],
)
def test_mistakes_in_a_design_file(here: Path, old: str, new: str, line: str, message: str) -> None:
    assert old in DESIGN
    (here / "d.py").write_text(DESIGN.replace(old, new))
    where = f"d.py:{line_of(line)}: " if line else "d.py"
    said = complaint("check", "d.py")
    assert said.startswith(where), said
    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (
            "v2 = mine.replacing(boot, map_page, name='v2')",
            "mine has no operation boot to replace; it has map_page",
        ),
        ("v2 = mine.replacing(map_page, len, name='v2')", "is not an operation or a procedure"),
        ("import sys\nsys.exit(3)", 'put what it runs under if __name__ == "__main__"'),
        (
            "@always\ndef other(s: Memory) -> Bool:\n    return TRUE\nother.name = 'mine_too'\n"
            "twice = mine.but(name='twice', properties=[other, other])",
            "two properties called mine_too",
        ),
    ],
)
def test_mistakes_at_the_end_of_a_design_file(here: Path, added: str, message: str) -> None:
    (here / "d.py").write_text(f"{DESIGN}\n{added}\n")
    assert message in complaint("check", "d.py")


def test_a_helper_file_is_named(here: Path) -> None:
    (here / "helper.py").write_text("def claim(s, va):\n    return s.nothing[va]\n")
    text = "from helper import claim\n" + DESIGN.replace(f"return {CLAIM}", "return claim(s, va)")
    (here / "d.py").write_text(text)
    assert complaint("check", "d.py").startswith("helper.py:2: ")


def test_a_mistake_at_import_of_a_helper_file(here: Path) -> None:
    (here / "broken.py").write_text("\n\nx = = 1\n")
    (here / "d.py").write_text("import broken\n" + DESIGN)
    assert complaint("check", "d.py").startswith("broken.py:3: syntax error: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (DESIGN.replace("free page", "fr\u00e9e page").encode("latin-1"), r"d\.py:28: not utf-8"),
        (b"# coding: nosuch\n", r"d\.py:1: .*nosuch.*save the file as UTF-8"),
        (b"x = 1\0\n", r"d\.py:1: syntax error: .*null bytes"),
        (b"", "there is no design in this file"),
        (b"(" * 10_000, r"d\.py:1: "),
    ],
)
def test_files_that_are_no_source(here: Path, content: bytes, message: str) -> None:
    (here / "d.py").write_bytes(content)
    assert re.match(message, complaint("check", "d.py").replace("d.py: there", "there"))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("kptt", "there is no design kptt ('mapproof list designs' lists all); did you mean kpt"),
        ("nothing-like-it", "there is no design nothing-like-it ('mapproof list designs' lists"),
        ("kpt::P9", "kpt has no property P9, it has P1, P2, SAFE, DEEP"),
        ("kpt::P1::x", "too many parts: write design::property"),
        ("kpt::", "an empty part"),
        ("", "an empty part"),
        ("nosuch.py", "nosuch.py: there is no such file"),
        ("nosuch/", "nosuch: there is no such file"),
        ("empty", "empty: no file in this folder has a design"),
        ("empty::x", "empty is a folder: write file.py::design"),
        ("d.py::mein", "d.py has no design mein, it has mine; did you mean mine?"),
        ("d.py::mapped_is_not_free", "write d.py::mine::mapped_is_not_free"),
        ("d.py::mine::mapped", "mine has no property mapped, it has mapped_is_not_free"),
        ("d.py::mine::a::b", "too many parts"),
    ],
)
def test_unknown_targets(here: Path, target: str, message: str) -> None:
    (here / "d.py").write_text(DESIGN)
    (here / "empty").mkdir()
    (here / "empty" / "other.py").write_text("raise SystemError('not a design, never imported')\n")
    assert message in complaint("check", target)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check",), "Missing argument"),
        (("check", "kpt", "--scope", "mn=2"), "--scope mn: no such sort, there are"),
        (("check", "kpt", "--scope", "mm"), "write sizes from 1 to 1024, such as mm=2,frame=3"),
        (("check", "kpt", "--scope", "mm=0"), "write sizes from 1 to 1024"),
        (("check", "kpt", "--scope", "mm=1000000"), "write sizes from 1 to 1024"),
        (("check", "kpt", "--scope", "mm=2.5"), "write sizes from 1 to 1024"),
        (("check", "kpt", "--scope", "mm=2,mm=3"), "mm is given twice"),
        (("check", "kpt", "--depth", "-1"), "--depth"),
        (("check", "kpt", "--timeout", "0"), "give seconds, more than 0"),
        (("check", "kpt", "--timeout", "nan"), "give seconds, more than 0"),
        (("check", "kpt", "--graph", "x.pdf"), "end the name in one of .svg, .png"),
        (("check", "kpt", "--graph", "nosuch/x.svg"), "there is no folder nosuch"),
        (("check", "kpt", "--frobnicate"), "No such option"),
        (("chek", "kpt"), "No such command"),
        (("list", "everything"), "designs"),
        (("explain", "prooved"), "nothing is called prooved"),
        (("explain", "kpt::kaloc"), "kpt has nothing called kaloc; did you mean kalloc?"),
        (("explore", "."), "no file in this folder has a design"),
        (("review", "kpt"), "Missing argument"),
    ],
)
def test_bad_usage(here: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in complaint(*arguments)


def test_a_folder_with_several_designs_is_no_side_of_a_review(here: Path) -> None:
    (here / "d.py").write_text(DESIGN)
    (here / "e.py").write_text(DESIGN)
    assert "has 2 designs: name one of them" in complaint("review", ".", "kpt")


def test_two_folders_with_helpers_of_one_name(here: Path) -> None:
    for name in ("one", "other"):
        (here / name).mkdir()
        (here / name / "common_parts.py").write_text("X = 1\n")
        (here / name / "d.py").write_text("import common_parts\n" + DESIGN)
    said = complaint("check", "one/d.py", "other/d.py")
    assert said.startswith("other/d.py:1: imports common_parts, but one/common_parts.py has that")


def test_a_file_that_cannot_be_written(here: Path) -> None:
    (here / "taken.dot").mkdir()
    done = CliRunner().invoke(main, ["check", "kpt-buggy::P1", "--graph", "taken.dot"])
    assert done.exit_code == 2
    assert "cannot write taken.dot" in done.stderr


def test_one_bad_design_does_not_hide_the_others(here: Path) -> None:
    (here / "d.py").write_text(DESIGN.replace(f"return {CLAIM}", "return s.nothing[va]"))
    done = CliRunner().invoke(main, ["check", "d.py", "kpt::P2"])
    assert done.exit_code == 2
    assert "proved  P2" in done.stdout
    assert done.stderr.startswith("mapproof: d.py:")


def test_what_a_design_file_prints_is_kept_out_of_the_results(here: Path) -> None:
    (here / "d.py").write_text("print('hello')\n" + DESIGN)
    command = (sys.executable, "-m", "mapproof", "check", "d.py", "--json")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("{")
    assert done.stderr == "hello\n"


def test_a_defect_of_mapproof_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError("oops")

    monkeypatch.setattr("mapproof.catalog.Catalog.targets", broken)
    assert complaint("check", "kpt").startswith("internal error: LookupError: oops (a defect of")
