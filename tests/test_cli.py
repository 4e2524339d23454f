"""The command line: what it prints, its exit codes, what it loads, how it stops."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from click import unstyle
from click.testing import CliRunner, Result

from mapproof import Options, Verdict, __version__
from mapproof.cli import main
from mapproof.commands.session import exit_code
from mapproof.proofs.verdict import Result as Checked

GOLDEN = Path(__file__).parent / "golden"
REGENERATE = "MAPPROOF_REGENERATE"
THREE = str(Path(__file__).parent / "designs" / "three.py")
COUNTING = str(Path(__file__).parent / "designs" / "counting.py")


def mapproof(*arguments: str, color: bool = False) -> Result:
    """One command, in this process."""
    return CliRunner().invoke(main, arguments, color=color)


def spawned(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """One command, in a process of its own."""
    command = (sys.executable, "-m", "mapproof", *arguments)
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, **options
    )


# Golden runs.


def masked(text: str) -> str:
    """The text without what differs from run to run and from machine to machine."""
    text = re.sub(r"\d+\.\d+ s\b", "# s", text)
    return re.sub(r"\b(cvc5|z3) \d[\d.]*", r"\1 #", text)


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("check-kpt", ("check", "kpt"), 0),
        ("check-kpt-buggy", ("check", "kpt-buggy"), 1),
        ("check-kpt-bugpgd", ("check", "kpt-bugpgd"), 1),
        ("check-one-property", ("check", "kpt-bugpgd::P2", "kpt::P1"), 1),
        ("check-lemmas", ("check", "kpt", "--lemmas", "infer", "--show-lemmas"), 0),
        ("check-not-proved", ("check", COUNTING, "--lemmas", "given"), 0),
        ("review-kpt", ("review", "kpt-buggy", "kpt"), 0),
        ("list", ("list",), 0),
        ("explain-property", ("explain", "P1"), 0),
        ("explain-operation", ("explain", "kalloc"), 0),
        ("explain-design", ("explain", "--all", "kpt"), 0),
        ("explain-system", ("explain", "pti-pae"), 0),
        ("explain-verdict", ("explain", "holds-to-depth"), 0),
        ("explore-kpt", ("explore", "kpt", "--scope", "mm=1,frame=3"), 0),
        ("help", ("--help",), 0),
        ("help-check", ("check", "--help"), 0),
        ("matrix", ("matrix", THREE, "--proofs"), 1),
        ("help-matrix", ("matrix", "--help"), 0),
        ("help-promise", ("promise", "--help"), 0),
    ],
)
def test_golden(name: str, arguments: tuple[str, ...], code: int) -> None:
    done = mapproof(*arguments)
    assert done.exit_code == code, done.output
    path, said = GOLDEN / f"{name}.txt", masked(done.stdout)
    if os.environ.get(REGENERATE):
        path.write_text(said, encoding="utf-8")
    assert said == path.read_text(encoding="utf-8"), (
        f"'mapproof {' '.join(arguments)}' prints something else than {path.name}; if that is "
        f"right, run {REGENERATE}=1 pytest tests/test_cli.py and review the difference"
    )


@pytest.mark.parametrize("design", ["kpt", "kpt-buggy", "kaiser-v1"])
def test_at_most_80_columns_and_colour_changes_no_letter(design: str) -> None:
    plain, coloured = mapproof("check", design), mapproof("check", design, color=True)
    assert max(map(len, plain.stdout.splitlines())) <= 80
    assert "\x1b" not in plain.stdout
    assert "\x1b" in coloured.stdout
    assert masked(unstyle(coloured.stdout)) == masked(plain.stdout)


def test_steps_can_be_found_by_grep() -> None:
    lines = mapproof("check", "kpt-buggy::P1").stdout.splitlines()
    assert [line.split()[:2] for line in lines if re.match(r" *step \d+ ", line)] == [
        ["step", "1"],
        ["step", "2"],
    ]


# Exit codes.


def checked(verdict: Verdict) -> Checked:
    return Checked("d", "p", "always", verdict)


@pytest.mark.parametrize(
    ("verdicts", "lenient", "strict"),
    [
        ((Verdict.PROVED, Verdict.PROVED_AT_SCOPE), 0, 0),
        ((Verdict.PROVED, Verdict.HOLDS_TO_DEPTH), 0, 3),
        ((Verdict.UNKNOWN, Verdict.PROVED), 3, 3),
        ((Verdict.UNKNOWN, Verdict.VIOLATED), 1, 1),
        ((Verdict.VACUOUS, Verdict.HOLDS_TO_DEPTH), 1, 1),
    ],
)
def test_the_worst_verdict_decides(
    verdicts: tuple[Verdict, ...], lenient: int, strict: int
) -> None:
    results = [checked(verdict) for verdict in verdicts]
    assert exit_code(results, require_proof=False) == lenient
    assert exit_code(results, require_proof=True) == strict


def test_review_has_the_exit_code_of_after() -> None:
    assert mapproof("review", "kpt-buggy", "kpt").exit_code == 0
    broken = mapproof("review", "kpt", "kpt-buggy")
    assert broken.exit_code == 1
    assert re.search(r"^ +P1 +proved +violated +broken$", broken.stdout, re.MULTILINE)


def test_verdict_lines_say_no_more_than_was_established() -> None:
    from mapproof.text import verdicts

    claims: dict[str, Checked] = {
        "shallow": replace(checked(Verdict.HOLDS_TO_DEPTH), depth=4, scope={"mm": 2}, reason="why"),
        "late": replace(checked(Verdict.UNKNOWN), reason="time limit"),
        "idle": replace(checked(Verdict.VACUOUS), reason="never: job"),
    }
    lines = [
        unstyle(line) for line in verdicts([replace(r, property=n) for n, r in claims.items()])
    ]
    assert lines == [
        "  holds-to-depth 4  shallow  not proved",
        "      no counterexample of at most 4 steps at mm=2; why",
        "  unknown           late",
        "      time limit",
        "  vacuous           idle",
        "      never: job",
    ]


# What it loads.


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["--version"], {"z3", "cvc5", "pysat", "networkx", "rich", "mapproof.proofs"}),
        (["list"], {"z3", "cvc5", "pysat", "networkx", "rich"}),
        (["explain", "P1"], {"z3", "cvc5", "networkx", "rich"}),
        (["explore", "kpt"], {"z3", "cvc5", "networkx", "rich"}),
        (["check", "kpt-bugpgd::P2"], {"rich", "graphlay", "mapproof.pictures"}),
    ],
)
def test_commands_load_only_what_they_need(arguments: list[str], forbidden: set[str]) -> None:
    program = (
        "import sys\n"
        "from mapproof.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        f"    print(sorted({forbidden!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    command = (sys.executable, "-c", program, *arguments)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1:] == ["[]"], done.stderr


def test_version() -> None:
    assert spawned("--version").stdout == f"mapproof {__version__}\n"


# Targets and options.


def test_defaults_are_those_of_the_engine() -> None:
    defaults = {p.name: p.default for p in main.commands["check"].params}
    assert (defaults["depth"], defaults["timeout"]) == (Options().depth, Options().timeout)


def test_whose_lemmas_are_used(tmp_path: Path) -> None:
    bare = tmp_path / "bare.py"
    bare.write_text(
        "from mapproof.model.designs.kpt import kpt\nbare = kpt.but(name='bare', lemmas=[])\n"
    )
    assert " inferred; --show-lemmas" in mapproof("check", str(bare)).stdout
    assert "inferred" not in mapproof("check", "kpt").stdout
    assert "proved-at-scope" in mapproof("check", str(bare), "--lemmas", "given").stdout
    said = mapproof("check", "kpt", "--lemmas", "infer").stdout
    assert "mapped_once" not in said  # a lemma of the design
    assert "1 lemma was inferred; --show-lemmas" in said


def test_targets_are_merged() -> None:
    done = mapproof("check", "kpt::P2", "kpt::P1", "kpt::P2")
    assert re.findall(r"^  proved +(\w+)", done.stdout, re.MULTILINE) == ["P2", "P1"]


def test_scope_is_used() -> None:
    done = mapproof("explore", "kpt", "--scope", "mm=1,userpage=2,kernelpage=2,frame=3")
    assert "100 reachable states, depth 6" in done.stdout


@pytest.mark.parametrize(
    ("scope", "states"),
    [((1, 2, 2, 3), 100), ((1, 2, 2, 4), 296), ((1, 3, 4, 6), 3776), ((1, 2, 4, 6), 1664)],
)
def test_explore_counts_exactly(scope: tuple[int, ...], states: int) -> None:
    sizes = ",".join(map("{}={}".format, ("mm", "userpage", "kernelpage", "frame"), scope))
    assert f" {states} reachable states" in mapproof("explore", "kpt", "--scope", sizes).stdout


def test_explore_says_when_it_stopped() -> None:
    done = mapproof("explore", "kpt", "--limit", "50")
    assert done.exit_code == 3
    assert "at least 50 reachable states" in done.stdout


def test_doctor() -> None:
    done = mapproof("doctor")
    assert "self-test passed" in done.stdout
    assert done.exit_code == (3 if "missing" in done.stdout else 0)


# Pictures.


def test_graph_of_a_counterexample(tmp_path: Path) -> None:
    path = tmp_path / "kpt.graphml"
    done = mapproof("check", "kpt-buggy::P1", "--graph", str(path))
    assert done.stdout.endswith(f"picture of kpt-buggy :: P1: {path}\n")
    graph: Any = nx.read_graphml(path, force_multigraph=True)
    assert graph.graph["title"] == "kpt-buggy :: P1  VIOLATED"
    assert [
        (graph.nodes[a]["label"].split("\n")[0], data["label"], graph.nodes[b]["label"])
        for a, b, data in graph.edges(data=True)
        if data.get("mark") == "violates"
    ] == [("mm0", "sh[ffff888001001000]", "pfn:0x1001\nown: SECRET")]


def test_graph_of_tables(tmp_path: Path) -> None:
    path = tmp_path / "kaiser.graphml"
    mapproof("check", "kaiser-v1::shadow_maps_only_allowed", "--graph", str(path))
    graph: Any = nx.read_graphml(path, force_multigraph=True)
    names = {node: data["label"].split("\n")[0] for node, data in graph.nodes(data=True)}
    entries = {
        (names[a], names[b], data["label"].partition(" ")[0], data.get("mark"))
        for a, b, data in graph.edges(data=True)
    }
    ranks = {names[node]: data["rank"] for node, data in graph.nodes(data=True)}
    assert ("PGD of mm0", "kernel direct map table", "[273]", None) in entries
    assert ("shadow PGD of mm0", "shadow direct map table", "[273]", "violates") in entries
    assert ("mm0", "shadow PGD of mm0", "shadow_pgd", None) in entries
    assert ranks["mm0"] < ranks["shadow PGD of mm0"] < ranks["shadow direct map table"]
    assert graph.graph["caption"].startswith("Step ")


def test_graph_without_a_counterexample_shows_the_job(tmp_path: Path) -> None:
    path = tmp_path / "kpt.dot"
    done = mapproof("check", "kpt", "--graph", str(path))
    assert done.exit_code == 0
    assert f"picture of kpt :: DEEP: {path}" in done.stdout
    assert "kpt :: DEEP  REACHED" in path.read_text()


def test_markdown_of_a_review(tmp_path: Path) -> None:
    path = tmp_path / "review.md"
    assert mapproof("review", "kpt-buggy", "kpt", "--markdown", str(path)).exit_code == 0
    page = path.read_text(encoding="utf-8")
    assert "| `P1` | violated | proved | fixed |" in page
    assert page.count("```") == 6
    assert "\x1b" not in page


# How it ends.


@pytest.fixture
def counting() -> Iterator[subprocess.Popen[str]]:
    """A run that would take minutes."""
    # A shell makes its background jobs ignore the signal.
    program = (
        "import signal, sys\n"
        "from mapproof.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "main(['explore', 'kpt', '--scope', 'mm=4,userpage=4,kernelpage=6,frame=8'])\n"
    )
    process = subprocess.Popen(
        (sys.executable, "-c", program), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()


def test_interrupt(counting: subprocess.Popen[str]) -> None:
    assert counting.stderr is not None
    assert counting.stderr.readline() == "ready\n"
    time.sleep(1)
    counting.send_signal(signal.SIGINT)
    out, err = counting.communicate(timeout=20)
    assert (counting.returncode, out) == (130, "")
    assert err.strip() == "mapproof: interrupted"


PIGEONS = """
from itertools import combinations
import signal

from mapproof.model.language.solver import Z3
from mapproof.running import interruptible, leave

signal.signal(signal.SIGINT, signal.default_int_handler)
holes, pigeons = range(11), range(12)
lines = [f"(declare-const x{p}_{h} Bool)" for p in pigeons for h in holes]
lines += [f"(assert (or {' '.join(f'x{p}_{h}' for h in holes)}))" for p in pigeons]
lines += [
    f"(assert (not (and x{p}_{h} x{q}_{h})))" for p, q in combinations(pigeons, 2) for h in holes
]
print("ready", flush=True)
try:
    interruptible(lambda: Z3().solve("\\n".join(lines), 100_000))
except KeyboardInterrupt:
    leave(130)
"""


def test_the_solver_does_not_keep_the_interrupt_to_itself() -> None:
    process = subprocess.Popen((sys.executable, "-c", PIGEONS), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=20) == 130
    finally:
        process.kill()
        process.communicate()


def test_closed_pipe_is_silent() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = (sys.executable, "-m", "mapproof", "list")
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            command, check=False, stdout=pipe, stderr=subprocess.PIPE, timeout=60, text=True
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_progress_only_on_a_terminal() -> None:
    assert spawned("check", "kpt-buggy").stderr == ""
