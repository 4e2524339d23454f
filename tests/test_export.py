"""Exported claims, as other tools see them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import event

from mapproof.catalog import Catalog
from mapproof.cli import main
from mapproof.files import write
from mapproof.model.designs.kpt import kpt
from mapproof.model.language import Design, DesignError, Scope
from mapproof.model.language.bounded import slots_of
from mapproof.model.language.design import System
from mapproof.model.language.latches import Sequential
from mapproof.model.language.property import Property
from mapproof.proofs import second
from mapproof.proofs.export import cells, systems
from mapproof.proofs.finite import settle
from mapproof.proofs.netlist import STARTED, entry_name, netlist
from mapproof.proofs.pdr import Invariant, pdr
from mapproof.proofs.search import replayed, sliced_for
from mapproof.proofs.trace import Run

from .test_readings import run

ABC = shutil.which("berkeley-abc")
needs_abc = pytest.mark.skipif(ABC is None, reason="the package berkeley-abc is not installed")

SYSTEMS = [  # design, property, and whether its bad state can be reached
    ("kpt", "P1", False),
    ("kpt", "P2", False),
    ("kpt", "SAFE", False),
    ("kpt", "DEEP", True),
    ("kpt-buggy", "P1", True),
    ("kpt-buggy", "P2", False),
    ("kpt-bugpgd", "P2", True),
    ("kpt-bugpgd", "SAFE", True),
    ("vmalloc-pae-2019", "no_entry_into_a_freed_table", False),
    ("vmalloc-pae-2019", "no_stale_copy_on_reuse", False),
    ("vmalloc-pae-additions-only", "no_stale_copy_on_reuse", True),
    ("vmalloc-x86-64", "no_entry_into_a_freed_table", False),
    ("vmalloc-x86-64", "top_level_entries_never_change", False),
    ("kaiser-v1", "shadow_maps_only_allowed", True),
    ("kaiser-v2", "user_mode_runs_on_the_shadow", False),
]


def mapproof(*arguments: object) -> Result:
    """One command, in this process."""
    return CliRunner().invoke(main, list(map(str, arguments)))


def chosen(name: str, prop: str) -> tuple[Design[Any], Property[Any], Scope]:
    design = Catalog().target(name).design
    return design, design.property_named(prop), design.scope_at()


# --- AIGER ---------------------------------------------------------------------------------------


def abc(path: Path, commands: str) -> str:
    """What ABC says of an AIGER file."""
    assert ABC is not None
    done = subprocess.run(
        [ABC, "-c", f"read_aiger {path.name}; fold; {commands}"],
        cwd=path.parent,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout


@needs_abc
@pytest.mark.parametrize(("name", "prop", "reachable"), SYSTEMS)
def test_abc_gives_the_same_verdict(name: str, prop: str, reachable: bool, tmp_path: Path) -> None:
    design, claim, scope = chosen(name, prop)
    found = settle(design, claim, scope, 60, lambda _: "unsat")
    assert (found.trace is not None, found.invariant is None) == (reachable, reachable)
    (document,) = systems(design, [claim], scope, "aiger")
    path = tmp_path / "system.aig"
    path.write_bytes(document.content)
    assert ("Property proved" in abc(path, "pdr")) is not reachable
    assert ("was asserted in frame" in abc(path, "bmc3 -F 20")) is reachable


@dataclass
class Aiger:
    """An AIGER file, read back."""

    inputs: int
    latches: list[int]
    bad: list[int]
    gates: list[tuple[int, int]]
    symbols: dict[str, str]


def read_aiger(data: bytes) -> Aiger:
    """Read either format, strictly in the order that the format demands."""
    head, _, rest = data.partition(b"\n")
    kind, *numbers = head.decode().split()
    most, inputs, latches, outputs, gates, bad = map(int, numbers)
    assert (most, outputs) == (inputs + latches + gates, 0)

    def line() -> list[int]:
        nonlocal rest
        first, _, rest = rest.partition(b"\n")
        return [int(x) for x in first.split()]

    def number() -> int:
        nonlocal rest
        value = shift = 0
        while True:
            byte, rest = rest[0], rest[1:]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    text = kind == "aag"
    if text:
        assert [line() for _ in range(inputs)] == [[2 * i + 2] for i in range(inputs)]
    following = []
    for i in range(latches):
        *own, after = line()
        assert own == ([2 * (inputs + i) + 2] if text else [])
        following.append(after)
    bads = [line()[0] for _ in range(bad)]
    pairs = []
    for i in range(gates):
        lhs = 2 * (inputs + latches + i) + 2
        if text:
            first, a, b = line()
            assert first == lhs
        else:
            a = lhs - number()
            b = a - number()
        assert lhs > a >= b >= 0
        pairs.append((a, b))
    table, _, _ = rest.decode().partition("\nc\n")
    symbols = dict(entry.split(" ", 1) for entry in table.split("\n"))
    return Aiger(inputs, following, bads, pairs, symbols)


def test_both_aiger_formats_say_the_same() -> None:
    design, claim, scope = chosen("kpt", "SAFE")
    files = [
        read_aiger(document.content)
        for binary in (True, False)
        for document in systems(design, [claim], scope, "aiger", binary=binary)
    ]
    assert files[0] == files[1]
    assert len(files[0].symbols) == files[0].inputs + len(files[0].latches) + 1
    assert "sh[mm0,ffff888001001000].bit0" in files[0].symbols.values()
    assert files[0].symbols["b0"] == "SAFE"


# --- BTOR2 ---------------------------------------------------------------------------------------


@dataclass
class Btor2:
    """A BTOR2 file and the state that it is in.  Reads what the format's description says, no more
    of it than is written here."""

    text: str
    width: dict[int, int] = field(default_factory=dict)  # of nodes
    sorts: dict[int, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    lines: list[tuple[int, str, list[int]]] = field(default_factory=list)
    state: dict[int, int] = field(default_factory=dict)
    bad: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        last = 0
        for raw in self.text.splitlines():
            if raw.startswith(";"):
                continue
            number, op, *rest = raw.split()
            node = int(number)
            assert node > last
            last = node
            if op == "sort":
                assert rest[0] == "bitvec"
                self.sorts[node] = int(rest[1])
            elif op == "bad":
                assert abs(int(rest[0])) in self.width
                self.bad.append(int(rest[0]))
            else:
                self._node(node, op, rest)

    def _node(self, node: int, op: str, rest: list[str]) -> None:
        width = self.sorts[int(rest[0])]
        if op in ("input", "state"):
            self.names[rest[1]] = node
            arguments: list[int] = []
        else:
            arguments = [int(x) for x in rest[1:]]
            operands = arguments[:1] if op == "slice" else arguments
            assert all(abs(a) in self.width for a in operands)
            widths = [self.width[abs(a)] for a in operands]
            if op == "slice":
                assert 0 <= arguments[2] <= arguments[1] < widths[0]
                assert width == arguments[1] - arguments[2] + 1
            elif op == "concat":
                assert width == sum(widths)
            else:
                assert all(w == width for w in widths)
        if op in ("init", "next"):
            assert arguments[0] in self.names.values()
        else:
            self.width[node] = width
        if op == "init":
            self.state[arguments[0]] = self._values({})[arguments[1]]
        self.lines.append((node, op, arguments))

    def _values(self, inputs: Mapping[str, int]) -> dict[int, int]:
        given = {self.names[name]: value for name, value in inputs.items()}
        values: dict[int, int] = {}

        def of(a: int) -> int:
            return values[a] if a > 0 else values[-a] ^ ((1 << self.width[-a]) - 1)

        for node, op, a in self.lines:
            match op:
                case "zero":
                    values[node] = 0
                case "input":
                    values[node] = given.get(node, 0)
                case "state":
                    values[node] = self.state.get(node, 0)
                case "slice":
                    values[node] = of(a[0]) >> a[2] & ((1 << self.width[node]) - 1)
                case "and":
                    values[node] = of(a[0]) & of(a[1])
                case "concat":
                    values[node] = of(a[0]) << self.width[abs(a[1])] | of(a[1])
                case _:
                    assert op in ("init", "next")
        return values

    def step(self, inputs: Mapping[str, int]) -> bool:
        """One step; whether it was bad before it."""
        values = self._values(inputs)

        def of(a: int) -> int:
            return values[a] if a > 0 else values[-a] ^ ((1 << self.width[-a]) - 1)

        bad = any(of(b) & 1 for b in self.bad)
        self.state |= {a[0]: of(a[1]) for _, op, a in self.lines if op == "next"}
        return bad

    def value(self, name: str) -> int:
        return self.state[self.names[name]]


def words(found: Run, system: System) -> Iterator[dict[str, int]]:
    """The inputs that make a run: of the start, then of each event."""
    yield {f"%first.{entry_name(c, key)}": value for (c, key), value in found.boot.items()}
    names = [t.name for t in system.transitions]
    for done in found.events:
        step = {"%step": names.index(done.transition.name)}
        slots = slots_of(done.transition.parameters)
        for (sort, position), value in zip(slots, done.arguments, strict=True):
            step[f"%{sort.__name__.lower()}{position}"] = value
        yield step


def check_btor2(design: Design[Any], claim: Property[Any], scope: Scope) -> bool:
    """The circuit goes through the states that the concrete reading goes through, and is bad at the
    end of a counterexample; whether there is one."""
    system = sliced_for(design.system(), [claim])
    found = pdr(Sequential(system, scope), claim, 60)
    (document,) = systems(design, [claim], scope, "btor2")
    model = Btor2(document.content.decode())
    assert len(model.bad) == 1
    if isinstance(found, Invariant):
        assert not model.step({})
        return False
    trace = replayed(design, claim, found)
    kept = {latch.word.name for latch in netlist(design, claim, scope).latches}
    bads = []
    for inputs, state in zip(words(found, system), trace.states, strict=True):
        bads.append(model.step({k: v for k, v in inputs.items() if k in model.names}))
        assert model.value(STARTED)
        for component, key, place in trace.machine.layout.cells():
            entry = entry_name(component, key)
            if entry in kept:
                assert model.value(entry) == state[place]
    assert bads[-1] if claim.kind == "step" else model.step({})
    return True


def check_random(design: Design[Any], scope: Scope) -> None:
    for claim in design.properties:
        with suppress(DesignError):  # no machine, or no start, at the scope
            event(f"{claim.kind} {check_btor2(design, claim, scope)}")


def test_counterexamples_of_random_designs_replay_in_btor2() -> None:
    run(check_random, 200, False)


@pytest.mark.parametrize(("name", "prop", "reachable"), SYSTEMS)
def test_a_counterexample_replays_in_btor2(name: str, prop: str, reachable: bool) -> None:
    assert check_btor2(*chosen(name, prop)) is reachable


# --- SMT-LIB -------------------------------------------------------------------------------------


def test_cvc5_settles_the_exported_cells() -> None:
    answers = {d.name: second.solve_text(d.content.decode(), 10_000) for d in cells(kpt, [])}
    assert len(answers) == 11 * 4
    assert {a.answer for a in answers.values()} == {"unsat"}


def test_a_cell_that_is_not_met_is_satisfiable() -> None:
    claims = [p for p in Catalog().target("kpt").design.properties if p.name in ("P1", "P2")]
    bare = kpt.but(name="bare", lemmas=[], properties=claims)
    answers = {
        d.name: second.solve_text(d.content.decode(), 10_000).answer
        for d in cells(bare, bare.properties)
    }
    assert answers["user_free.P1"] != "unsat"
    assert answers["boot.P1"] == answers["kalloc.P2"] == "unsat"


# --- the command ---------------------------------------------------------------------------------


def test_a_folder_gets_a_file_for_each_property(tmp_path: Path) -> None:
    done = mapproof("export", "kpt", "--to", "aiger", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    files = [
        tmp_path / "out" / f"kpt.{p.name}.aig" for p in Catalog().target("kpt").design.properties
    ]
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    assert done.stdout.splitlines() == list(map(str, files))


def test_a_file_has_the_format_that_its_ending_says(tmp_path: Path) -> None:
    for ending, start in ((".aig", b"aig "), (".aag", b"aag "), (".btor2", b"; kpt :: P2")):
        path = tmp_path / f"system{ending}"
        kind = "btor2" if ending == ".btor2" else "aiger"
        assert mapproof("export", "kpt::P2", "--to", kind, "-o", path).exit_code == 0
        assert path.read_bytes().startswith(start)
        assert os.stat(path).st_mode & 0o444


def test_smt2_is_a_folder_of_cells_or_one_stream(tmp_path: Path) -> None:
    assert mapproof("export", "kpt", "--to", "smt2", "-o", tmp_path / "cells").exit_code == 0
    files = list((tmp_path / "cells").iterdir())
    assert mapproof("export", "kpt", "--to", "smt2", "-o", tmp_path / "all.smt2").exit_code == 0
    text = (tmp_path / "all.smt2").read_text()
    assert mapproof("export", "kpt", "--to", "smt2").stdout == text
    assert len(files) == text.count("(check-sat)") == text.count("(reset)") + 1


def test_the_scope_is_the_one_asked_for() -> None:
    said = mapproof("export", "kpt::P2", "--to", "btor2", "--scope", "mm=3").stdout
    assert said.startswith("; kpt :: P2 at frame=4,mm=3,")
    assert " state 1 pgk[mm2]\n" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("kpt", "--to", "aiger"), "name one, kpt::P1, or give -o FOLDER"),
        (("kpt", "--to", "btor2", "-o", "x.btor2"), "properties (P1, P2, "),
        (("kpt::P1", "--to", "aiger", "-o", "x.smt2"), "end the name of a file in .aig or .aag"),
        (("kpt::P1", "--to", "aiger", "-o", "no/such/x.aig"), "cannot write no/such/x.aig"),
        (("kpt::P1", "--to", "pdf"), "Invalid value for '--to'"),
        (("kpt::P1",), "Missing option '--to'"),
    ],
)
def test_what_cannot_be_exported_is_told(arguments: tuple[str, ...], said: str) -> None:
    done = mapproof("export", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_is_replaced_at_once_or_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.aig"
    write(path, b"old")

    def fails(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="full"):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
