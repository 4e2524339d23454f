"""Certificates of proofs at a scope and of runs: they verify, and cannot be bent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import event

from mapproof.cli import main
from mapproof.model.designs.kpt import kpt, kpt_buggy
from mapproof.model.language import Design, DesignError, Scope, nodes
from mapproof.model.language.latches import Sequential
from mapproof.model.language.operation import Transition
from mapproof.proofs.atoms import Atoms
from mapproof.proofs.certificate import Cell, Certificate, NotACertificate, Rejected, digest
from mapproof.proofs.certificate_reader import read_certificate
from mapproof.proofs.certified_at_scope import AtScope, Scoped, Shown
from mapproof.proofs.check import Options, check
from mapproof.proofs.finite import scripts
from mapproof.proofs.pdr import Invariant
from mapproof.proofs.verdict import Verdict
from mapproof.proofs.verify import Checked, Standing, Verifier
from mapproof.properties.kpt import DEEP, P1

from .test_certificate import SCHEMA, bent
from .test_readings import run

BARE = kpt.but(name="kpt-bare", lemmas=[], properties=[P1, DEEP])
SETTLED = (Standing.PROVED, Standing.PROVED_AT_SCOPE)


@cache
def certificates() -> Mapping[str, Scoped]:
    """What is known of kpt without its lemmas: P1 at a scope, and a run to DEEP."""
    results = check(BARE, Options(lemmas="given", certify=True))
    made = {r.property: r.certificate for r in results}
    assert [r.verdict for r in results] == [Verdict.PROVED_AT_SCOPE, Verdict.PROVED]
    return {name: c for name, c in made.items() if isinstance(c, Scoped)}


def invariant() -> AtScope:
    found = certificates()["P1"]
    assert isinstance(found, AtScope)
    return found


def shown() -> Shown:
    found = certificates()["DEEP"]
    assert isinstance(found, Shown)
    return found


def verified(made: Certificate | bytes, about: Design[Any] | None = BARE) -> Checked:
    content = made if isinstance(made, bytes) else made.text().encode()
    return Verifier(timeout=5).verify(content, lambda _: about)


# As they were written.


def test_a_proof_at_a_scope() -> None:
    jsonschema.validate(json.loads(invariant().text()), SCHEMA)
    checked = verified(invariant())
    assert (checked.standing, checked.reason) == (Standing.PROVED_AT_SCOPE, "")
    assert (checked.bound, checked.cells) == (True, 3)
    assert [by.split()[0] for by in checked.checked_by] == ["cvc5"]


def test_a_run() -> None:
    jsonschema.validate(json.loads(shown().text()), SCHEMA)
    checked = verified(shown())
    assert (checked.standing, checked.reason) == (Standing.PROVED, "")
    assert (checked.bound, checked.cells) == (True, 0)
    assert checked.checked_by == ("concrete replay",)


def test_they_are_the_same_in_every_run() -> None:
    again = [r.certificate for r in check(BARE, Options(lemmas="given", certify=True))]
    assert [c.text() for c in again if c] == [c.text() for c in certificates().values()]


def check_certificates(design: Design[Any], scope: Scope) -> None:
    """Whatever is certified of a random design verifies, and is read back as it was."""
    try:
        results = check(design, Options(certify=True, scope=scope, timeout=2))
    except DesignError:
        return
    for result in results:
        made = result.certificate
        if made is not None:
            event(made.proof)
            assert read_certificate(made.text().encode()).text() == made.text()
            checked = verified(made, design)
            assert (checked.standing in SETTLED, checked.reason) == (True, "")
            assert (checked.standing is Standing.PROVED_AT_SCOPE) == (
                result.verdict is Verdict.PROVED_AT_SCOPE
            )


def test_certificates_of_random_designs() -> None:
    run(check_certificates, 40, stratified=True)


@pytest.mark.slow
def test_certificates_of_many_random_designs() -> None:
    run(check_certificates, 1000, stratified=True)


# Forgeries.

Edit = Callable[[Random, Any], Any]


def on_transition(random: Random, c: Scoped, change: Callable[[Transition], Transition]) -> Scoped:
    chosen = random.choice([c.system.init, *c.system.transitions])
    start, *rest = [change(t) if t is chosen else t for t in (c.system.init, *c.system.transitions)]
    return replace(c, system=replace(c.system, init=start, transitions=tuple(rest)))


def guard_bent(random: Random, c: Scoped) -> Scoped:
    return on_transition(random, c, lambda t: replace(t, when=bent(random, t.when)))


def transition_impossible(random: Random, c: Scoped) -> Scoped:
    return on_transition(random, c, lambda t: replace(t, when=nodes.FALSE_NODE))


def write_dropped(random: Random, c: Scoped) -> Scoped:
    return on_transition(random, c, lambda t: replace(t, updates=t.updates[1:]))


def claim_bent(random: Random, c: Scoped) -> Scoped:
    return replace(c, claim=replace(c.claim, tree=bent(random, c.claim.tree)))


def claim_made_true(random: Random, c: Scoped) -> Scoped:
    return replace(c, claim=replace(c.claim, tree=nodes.TRUE_NODE))


def renamed(random: Random, c: Scoped) -> Scoped:
    return replace(c, claim=replace(c.claim, name=random.choice(["P2", "SAFE", "Q"])))


def assumed_false(random: Random, c: Scoped) -> Scoped:
    system = replace(c.system, axioms=(*c.system.axioms, nodes.FALSE_NODE))
    return replace(c, system=system, assumptions=(*c.assumptions, "fact"))


def size_changed(random: Random, c: Scoped) -> Scoped:
    name = random.choice(list(c.sizes))
    return replace(c, sizes={**c.sizes, name: random.choice([0, 1, c.sizes[name] + 1])})


def table_changed(random: Random, c: Scoped) -> Scoped:
    name = random.choice(list(c.tables))
    values = list(c.tables[name])
    values[random.randrange(len(values))] = random.randrange(-1, 4)
    return replace(c, tables={**c.tables, name: tuple(values)})


def table_dropped(random: Random, c: Scoped) -> Scoped:
    name = random.choice(list(c.tables))
    return replace(c, tables={n: v for n, v in c.tables.items() if n != name})


def clause_weakened(random: Random, c: AtScope) -> AtScope:
    i, more = random.randrange(len(c.clauses)), random.choice(random.choice(c.clauses))
    clauses = [(*k, more) if n == i else k for n, k in enumerate(c.clauses)]
    return replace(c, clauses=tuple(clauses))


def clause_strengthened(random: Random, c: AtScope) -> AtScope:
    i = random.randrange(len(c.clauses))
    clauses = [k[1:] if n == i else k for n, k in enumerate(c.clauses)]
    return replace(c, clauses=tuple(clauses))


def clause_dropped(random: Random, c: AtScope) -> AtScope:
    i = random.randrange(len(c.clauses))
    return replace(c, clauses=c.clauses[:i] + c.clauses[i + 1 :])


def clause_added(random: Random, c: AtScope) -> AtScope:
    return replace(c, clauses=(*c.clauses, random.choice([(), ("own[0] == FREE",), ("nothing",)])))


def script_changed(random: Random, c: AtScope) -> AtScope:
    def change(script: str) -> str:
        lines = script.splitlines(keepends=True)
        i = random.randrange(len(lines))
        line = random.choice(["", lines[i].replace("not", ""), lines[i] + "(assert false)\n"])
        return "".join([*lines[:i], line, *lines[i + 1 :]])

    chosen = random.choice(c.stored)
    changed = replace(chosen, script=change(chosen.script))
    return replace(c, stored=tuple(changed if s is chosen else s for s in c.stored))


def script_dropped(random: Random, c: AtScope) -> AtScope:
    gone = random.choice(c.stored)
    return replace(c, stored=tuple(s for s in c.stored if s is not gone))


def scripts_swapped(random: Random, c: AtScope) -> AtScope:
    a, b, *rest = random.sample(c.stored, len(c.stored))
    return replace(c, stored=(replace(a, script=b.script), replace(b, script=a.script), *rest))


def step_dropped(random: Random, c: Shown) -> Shown:
    i = random.randrange(len(c.steps))
    return replace(c, steps=c.steps[:i] + c.steps[i + 1 :])


def steps_swapped(random: Random, c: Shown) -> Shown:
    steps = list(c.steps)
    i, j = random.randrange(len(steps)), random.randrange(len(steps))
    steps[i], steps[j] = steps[j], steps[i]
    return replace(c, steps=tuple(steps))


def step_added(random: Random, c: Shown) -> Shown:
    return replace(
        c, steps=(*c.steps, random.choice([*c.steps, ("nothing", {}), ("kpt.boot", {})]))
    )


def argument_changed(random: Random, c: Shown) -> Shown:
    i = random.randrange(len(c.steps))
    name, arguments = c.steps[i]
    which = random.choice(list(arguments) or ["m"])
    changed = (name, {**arguments, which: random.choice([-1, 0, 1, 2, 1000])})
    return replace(c, steps=(*c.steps[:i], changed, *c.steps[i + 1 :]))


def start_changed(random: Random, c: Shown) -> Shown:
    if not c.before:
        return c
    i = random.randrange(len(c.before))
    entry = c.before[i]
    changed = random.choice([[], [entry, entry], [replace(entry, value=entry.value + 1)]])
    return replace(c, before=(*c.before[:i], *changed, *c.before[i + 1 :]))


EDITS: tuple[Edit, ...] = (
    guard_bent,
    transition_impossible,
    write_dropped,
    claim_bent,
    claim_made_true,
    renamed,
    assumed_false,
    size_changed,
    table_changed,
    table_dropped,
)
ON_INVARIANTS: tuple[Edit, ...] = (
    clause_weakened,
    clause_strengthened,
    clause_dropped,
    clause_added,
    script_changed,
    script_dropped,
    scripts_swapped,
)
ON_RUNS: tuple[Edit, ...] = (
    step_dropped,
    steps_swapped,
    step_added,
    argument_changed,
    start_changed,
)


def regenerated(c: Scoped) -> Scoped:
    """With the scripts that a careful forger would write."""
    if not isinstance(c, AtScope):
        return c
    try:
        sequential = Sequential(c.machine, c.scope)
        atoms = Atoms(sequential)
        literal = {atoms.text([x]): x for n in range(1, len(atoms.list)) for x in (n, -n)}
        clauses = tuple(tuple(literal[x] for x in clause if x in literal) for clause in c.clauses)
        written = scripts(sequential, c.claim, Invariant(atoms, clauses, 0))
        stored = tuple(Cell(name, script, "z3 5") for name, script in written)
    except (DesignError, IndexError, KeyError):
        return c
    return replace(c, stored=stored)


def as_stated(c: Scoped) -> tuple[Any, ...]:
    """What is claimed of which system at which scope."""
    return c.claim, c.system_data(), dict(c.sizes), dict(c.tables)


def forged(random: Random, c: Scoped, edits: tuple[Edit, ...]) -> Scoped:
    made = c
    for _ in range(random.choice([1, 1, 2, 3])):
        made = random.choice(edits)(random, made)
    return regenerated(made) if random.random() < 0.7 else made


@pytest.mark.parametrize(
    ("name", "edits", "count"),
    [("P1", EDITS + ON_INVARIANTS, 250), ("DEEP", EDITS + ON_RUNS, 250)],
)
def test_random_edits_are_rejected(name: str, edits: tuple[Edit, ...], count: int) -> None:
    """None is accepted unless it shows the same claim of the same system at the same scope."""
    random, original = Random(name), certificates()[name]
    outcomes = dict.fromkeys(Standing, 0)
    for _ in range(count):
        edited = forged(random, original, edits)
        if edited.text() != original.text():
            checked = verified(edited)
            outcomes[checked.standing] += 1
            if checked.standing in SETTLED:
                assert as_stated(edited) == as_stated(original)
    assert sum(outcomes.values()) > 0.9 * count
    assert outcomes[Standing.REJECTED] > 0.6 * count


def test_a_clause_that_is_wrong_is_found_by_the_solver() -> None:
    """Everything fits, but for the invariant: it is not one."""
    fewer = regenerated(replace(invariant(), clauses=()))
    checked = verified(fewer)
    assert checked.standing is Standing.REJECTED
    assert "cvc5 1" in checked.reason
    assert "has a model of it" in checked.reason


def test_no_edit_makes_a_false_claim_accepted() -> None:
    """P1 does not hold in kpt-buggy, whatever a certificate of it says."""
    random, buggy = Random(6), kpt_buggy.but(name="kpt-buggy", properties=[P1])
    false = replace(invariant(), design="kpt-buggy", system=buggy.system())
    assert regenerated(false).difference(buggy) == ""
    for number in range(60):
        edited = forged(random, false, ON_INVARIANTS) if number else false
        assert verified(regenerated(edited), buggy).standing is Standing.REJECTED


def test_a_change_of_a_byte() -> None:
    random = Random(7)
    for made in certificates().values():
        text = made.text().encode()
        for _ in range(100):
            content = bytearray(text)
            content[random.randrange(len(content))] = random.randrange(256)
            try:
                read = read_certificate(bytes(content))
            except (NotACertificate, Rejected):
                continue
            assert read.text() == made.text()  # white space


def test_a_claim_of_a_kind_that_is_not_shown_so() -> None:
    """A run shows no ``always``, and an invariant no ``sometimes``."""
    for made, kind in ((shown(), "always"), (invariant(), "sometimes")):
        document = json.loads(made.text())
        document["claim"]["kind"] = kind
        document["sha256"] = digest(document)
        checked = verified(json.dumps(document).encode())
        assert checked.standing is Standing.UNREADABLE


def test_a_scope_that_nobody_can_build() -> None:
    huge = {name: 1000 for name in invariant().sizes}
    for made in certificates().values():
        assert verified(replace(made, sizes=huge), None).standing is Standing.UNREADABLE


# The command line.


def test_command_line(tmp_path: Path) -> None:
    target = tmp_path / "bare.py"
    target.write_text(
        "from mapproof.model.designs.kpt import kpt\n"
        "from mapproof.properties.kpt import DEEP, P1\n"
        "bare = kpt.but(name='bare', lemmas=[], properties=[P1, DEEP])\n"
    )
    folder = tmp_path / "proofs"

    def done(*arguments: str) -> str:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return "".join(result.output.split())  # lines are folded where the path says

    for name in ("P1", "DEEP"):
        one = f"{target}::bare::{name}"
        done("check", one, "--lemmas", "given", "--certificates", str(folder))
    files = [str(folder / f"bare.{name}.proof.json") for name in ("P1", "DEEP")]
    said = done("verify", "--design", str(target), *files)
    for words in (
        "P1.proof.json: proved-at-scope in every state of every run of the design bare, at ",
        "DEEP.proof.json: proved in a state of a run of the design bare, at ",
        "at frame=4,kernelpage=3,mm=2,userpage=2, after 11 steps",
    ):
        assert words.replace(" ", "") in said
    both = json.loads(done("verify", "--json", *files))["certificates"]
    assert [(c["verdict"], c["proof"], c["bound"]) for c in both] == [
        ("proved-at-scope", "atscope", False),
        ("proved", "run", False),
    ]
