"""Certificates: what is written is read back, verifies, and cannot be bent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, event, given, settings

import mapproof
from mapproof.catalog import Catalog
from mapproof.cli import main
from mapproof.model.language import Design, Scope, nodes
from mapproof.model.language.nodes import BOOL, TRUE_NODE, Node
from mapproof.model.language.operation import Transition
from mapproof.model.language.unbounded import Scripts
from mapproof.proofs import worker
from mapproof.proofs.certificate import (
    Certificate,
    NotACertificate,
    Rejected,
    Statement,
    Stored,
    digest,
    read_certificate,
)
from mapproof.proofs.check import Options, check
from mapproof.proofs.obligations import grid
from mapproof.proofs.systems import Systems, system_data
from mapproof.proofs.trees import Malformed, Reader, tree_text
from mapproof.proofs.verify import Checked, Standing, Verifier

from .random_designs import designs_with_scopes

SCHEMA: dict[str, Any] = json.loads(
    (Path(mapproof.__file__).parent / "proof.schema.json").read_text(encoding="utf-8")
)
PROVABLE = ("kaiser-v2", "kpt", "kpt-bugpgd", "vmalloc-pae-2019", "vmalloc-x86-64")


@cache
def design(name: str) -> Design[Any]:
    return Catalog().design_named(name)


@cache
def proofs(name: str) -> dict[str, Certificate]:
    """The certificates of a built-in design, by property."""
    results = check(design(name), Options(certify=True))
    return {r.property: r.certificate for r in results if r.certificate is not None}


def verified(content: str | bytes, about: Design[Any] | None = None, **more: Any) -> Checked:
    data = content if isinstance(content, bytes) else content.encode()
    return Verifier(**more).verify(data, lambda _: about)


# Round trips.


@settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(designs_with_scopes(10_000))
def test_random_systems_and_claims_are_read_back(drawn: tuple[Design[Any], Scope]) -> None:
    subject, _ = drawn
    claims = [p for p in subject.properties if p.kind in ("always", "step")]
    names = [a.name for a in subject.assumptions]
    data = system_data(subject.system(), names, [p.closed() for p in claims])
    known = Systems(json.loads(json.dumps(data)))
    event(f"claims {len(claims)}")
    read = [
        Statement(p.name, p.kind, known.claim(p.name, tree_text(p.closed()), (0, 1)))
        for p in claims
    ]
    assert system_data(known.system, known.assumptions, [s.tree for s in read]) == data
    theirs = grid(subject.name, subject.system(), claims)
    ours = grid(subject.name, known.system, read)
    for a, b in zip(theirs, ours, strict=True):
        assert a.trivial == b.trivial
        if not a.trivial:
            old = a.text(Scripts(), subject.system(), [p for p in claims if p.kind == "always"])
            new = b.text(Scripts(), known.system, [s for s in read if s.kind == "always"])
            assert old == new


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(",
        ")",
        "true false",
        "()",
        "(and true)",
        "(and true false)",  # is written false
        "(not (not (read big)))",
        "(not)",
        "(not (read big) (read big))",
        "(implies true true)",
        "(read nothing)",
        "(read big $x)",
        "(new big)",
        "$x",
        "?x.1",
        "(forall ((?x.1 Nowhere)) (read at ?x.1))",
        "(forall ((?x.1 A)) (read big))",
        "(forall ((?x.0 A)) (read at ?x.0))",
        "(forall ((?x.1 A)) (exists ((?x.1 A)) (read at ?x.1)))",
        "(forall (?x.1) (read at ?x.1))",
        "(eq (read big) (none A))",
        "(some (read big))",
        "(value (read big))",
        "(ite (read big) true (read big))",
        "(" * 5000 + ")" * 5000,
        "(not " * 5000 + "(read big)" + ")" * 5000,
    ],
)
def test_text_of_no_term(text: str) -> None:
    sort = type("A", (mapproof.Sort,), {"__slots__": ()})
    maps = [nodes.Component("big", (), BOOL), nodes.Component("at", (sort,), BOOL)]
    with pytest.raises(Malformed):
        Reader({"A": sort}, maps).tree(text)


# Certificates that are as they were written.


@pytest.mark.parametrize("name", ["kpt", "vmalloc-x86-64"])
def test_certificates_verify(name: str) -> None:
    assert proofs(name)
    for proof in proofs(name).values():
        jsonschema.validate(json.loads(proof.text()), SCHEMA)
        checked = verified(proof.text(), design(name))
        assert (checked.standing, checked.reason) == (Standing.PROVED, "")
        assert checked.bound
        assert checked.cells
        assert checked.checked_by


@pytest.mark.slow
@pytest.mark.parametrize("name", PROVABLE)
@pytest.mark.parametrize("solvers", [(), ("cvc5",)])
def test_all_certificates_verify(name: str, solvers: tuple[str, ...]) -> None:
    verifier = Verifier(solvers)
    for proof in proofs(name).values():
        checked = verifier.verify(proof.text().encode(), lambda _: design(name))
        assert (checked.standing, checked.reason) == (Standing.PROVED, "")


def test_the_same_file_in_every_run() -> None:
    again = check(design("kpt"), Options(certify=True, only=["P2"]))[0].certificate
    assert again is not None
    assert again.text() == proofs("kpt")["P2"].text()


def test_the_solver_that_found_a_cell_is_not_asked() -> None:
    proof = proofs("kpt")["P2"]
    assert {s.found_by.split()[0] for s in proof.stored} == {"z3"}
    assert [n.split()[0] for n in verified(proof.text()).checked_by] == ["cvc5"]
    assert [n.split()[0] for n in verified(proof.text(), solvers=["z3"]).checked_by] == ["z3"]
    assert len(verified(proof.text(), solvers=["z3", "cvc5"]).checked_by) == 2


# Forgeries.

Edit = Callable[[Random, Certificate], Certificate]


def bent(random: Random, tree: Node) -> Node:
    """The tree with one of its formulas negated, or made true."""
    places = [n for n in nodes.nodes_of(tree) if n.sort == BOOL]
    place = random.choice(sorted(places, key=repr))
    new = random.choice([nodes.negate(place), TRUE_NODE])

    def go(node: Node) -> Node:
        return new if node is place else nodes.rebuild(node, tuple(map(go, node.args)))

    return go(tree)


def lemma_weakened(random: Random, c: Certificate) -> Certificate:
    return on_lemma(random, c, lambda _: TRUE_NODE)


def lemma_bent(random: Random, c: Certificate) -> Certificate:
    return on_lemma(random, c, lambda tree: bent(random, tree))


def lemma_false(random: Random, c: Certificate) -> Certificate:
    return on_lemma(random, c, lambda _: nodes.FALSE_NODE)


def on_lemma(random: Random, c: Certificate, change: Callable[[Node], Node]) -> Certificate:
    i = random.randrange(len(c.lemmas))
    lemmas = [replace(s, tree=change(s.tree)) if n == i else s for n, s in enumerate(c.lemmas)]
    return replace(c, lemmas=tuple(lemmas))


def lemma_dropped(random: Random, c: Certificate) -> Certificate:
    gone = random.choice(c.lemmas)
    return replace(c, lemmas=tuple(s for s in c.lemmas if s is not gone))


def claim_bent(random: Random, c: Certificate) -> Certificate:
    return replace(c, claim=replace(c.claim, tree=bent(random, c.claim.tree)))


def claim_swapped(random: Random, c: Certificate) -> Certificate:
    tree = random.choice(c.lemmas).tree
    return replace(c, claim=replace(c.claim, tree=tree))


def claim_of_another_kind(random: Random, c: Certificate) -> Certificate:
    return replace(c, claim=replace(c.claim, kind="step"))


def on_transition(
    random: Random, c: Certificate, change: Callable[[Transition], Transition]
) -> Certificate:
    number = random.randrange(len(c.system.transitions) + 1)
    if number == len(c.system.transitions):
        return replace(c, system=replace(c.system, init=change(c.system.init)))
    changed = [change(t) if n == number else t for n, t in enumerate(c.system.transitions)]
    return replace(c, system=replace(c.system, transitions=tuple(changed)))


def guard_bent(random: Random, c: Certificate) -> Certificate:
    return on_transition(random, c, lambda t: replace(t, when=bent(random, t.when)))


def guard_strengthened(random: Random, c: Certificate) -> Certificate:
    return on_transition(random, c, lambda t: replace(t, when=nodes.FALSE_NODE))


def write_dropped(random: Random, c: Certificate) -> Certificate:
    return on_transition(random, c, lambda t: replace(t, updates=t.updates[1:]))


def write_bent(random: Random, c: Certificate) -> Certificate:
    def change(t: Transition) -> Transition:
        if not t.updates:
            return t
        first, *rest = t.updates
        return replace(t, updates=(replace(first, when=bent(random, first.when)), *rest))

    return on_transition(random, c, change)


def transition_dropped(random: Random, c: Certificate) -> Certificate:
    gone = random.choice(c.system.transitions)
    kept = tuple(t for t in c.system.transitions if t is not gone)
    return replace(c, system=replace(c.system, transitions=kept))


def assumed_false(random: Random, c: Certificate) -> Certificate:
    system = replace(c.system, axioms=(*c.system.axioms, nodes.FALSE_NODE))
    return replace(c, system=system, assumptions=(*c.assumptions, "fact"))


def hypothesis_dropped(random: Random, c: Certificate) -> Certificate:
    return on_stored(random, c, lambda s: replace(s, hypotheses=s.hypotheses[1:]))


def hypothesis_added(random: Random, c: Certificate) -> Certificate:
    name = random.choice((c.claim, *c.lemmas)).name
    return on_stored(
        random, c, lambda s: replace(s, hypotheses=tuple(dict.fromkeys((*s.hypotheses, name))))
    )


def assumption_dropped(random: Random, c: Certificate) -> Certificate:
    return on_stored(random, c, lambda s: replace(s, assumptions=s.assumptions[1:]))


def assumption_added(random: Random, c: Certificate) -> Certificate:
    name = random.choice(("fact", *c.assumptions))
    return on_stored(
        random, c, lambda s: replace(s, assumptions=tuple(dict.fromkeys((*s.assumptions, name))))
    )


def text_changed(random: Random, c: Certificate) -> Certificate:
    def change(s: Stored) -> Stored:
        lines = s.script.splitlines(keepends=True)
        i = random.randrange(len(lines))
        changed = random.choice(["", lines[i].replace("not", "and"), lines[i].replace("1", "2")])
        return replace(s, script="".join([*lines[:i], changed, *lines[i + 1 :]]))

    return on_stored(random, c, change)


def falsehood_asserted(random: Random, c: Certificate) -> Certificate:
    return on_stored(
        random, c, lambda s: replace(s, script=s.script.replace("(check", "(assert false)(check"))
    )


def on_stored(random: Random, c: Certificate, change: Callable[[Stored], Stored]) -> Certificate:
    i = random.randrange(len(c.stored))
    return replace(c, stored=tuple(change(s) if n == i else s for n, s in enumerate(c.stored)))


def obligation_dropped(random: Random, c: Certificate) -> Certificate:
    gone = random.choice(c.stored)
    return replace(c, stored=tuple(s for s in c.stored if s is not gone))


def obligation_twice(random: Random, c: Certificate) -> Certificate:
    return replace(c, stored=(*c.stored, random.choice(c.stored)))


def obligations_swapped(random: Random, c: Certificate) -> Certificate:
    a, b = random.sample(c.stored, 2)
    swap = {a.script: b.script, b.script: a.script}
    stored = tuple(replace(s, script=swap.get(s.script, s.script)) for s in c.stored)
    return replace(c, stored=stored)


ON_PROOF: tuple[Edit, ...] = (
    lemma_weakened,
    lemma_bent,
    lemma_false,
    lemma_dropped,
    claim_bent,
    claim_swapped,
    claim_of_another_kind,
    guard_bent,
    guard_strengthened,
    write_dropped,
    write_bent,
    transition_dropped,
    assumed_false,
)
ON_SCRIPTS: tuple[Edit, ...] = (
    hypothesis_dropped,
    hypothesis_added,
    assumption_dropped,
    assumption_added,
    text_changed,
    falsehood_asserted,
    obligation_dropped,
    obligation_twice,
    obligations_swapped,
)


def regenerated(c: Certificate) -> Certificate:
    """With the scripts that a careful forger would write: those that must be there."""
    invariants = [s for s in (c.claim, *c.lemmas) if s.kind == "always"]
    old = {(s.transition, s.claim): s for s in c.stored}
    stored = []
    for cell in c.grid[0]:
        known = old.get((cell.transition.name, cell.prop.name))
        wanted = [s for s in invariants if known is None or s.name in known.hypotheses]
        used = [] if cell.initial else wanted
        script = cell.text(Scripts(), c.system, used, range(len(c.system.axioms)))
        names = tuple(s.name for s in used)
        found_by = known.found_by if known else "z3 5"
        where = cell.transition.name, cell.prop.name
        stored.append(Stored(*where, names, c.assumptions, found_by, script))
    return replace(c, stored=tuple(stored))


def as_stated(c: Certificate) -> tuple[Any, ...]:
    """What is claimed of which system."""
    system = c._system()
    return c.claim, [system[k] for k in ("components", "assumptions", "start", "transitions")]


def forged(random: Random, c: Certificate) -> Certificate:
    """One to three edits; some in a way that everything in the file still fits."""
    made = c
    for _ in range(random.choice([1, 1, 2, 3])):
        made = random.choice(ON_PROOF)(random, made) if made.lemmas else made
    if random.random() < 0.7:
        made = regenerated(made)
        if random.random() < 0.3:
            made = random.choice(ON_SCRIPTS)(random, made)
    return made


def tried(c: Certificate, about: Design[Any]) -> Checked:
    return verified(c.text(), about, timeout=0.25)


def test_random_edits_of_a_proof_are_rejected() -> None:
    """None of 160 is accepted unless it proves the same claim of the same system."""
    outcomes = dict.fromkeys(Standing, 0)
    random = Random(1)
    subjects = [("kpt", c) for n, c in proofs("kpt").items() if c.lemmas]
    for number in range(160):
        name, proof = subjects[number % len(subjects)]
        edited = forged(random, proof) if number % 3 else random.choice(ON_SCRIPTS)(random, proof)
        if edited.text() == proof.text():
            continue
        checked = tried(edited, design(name))
        outcomes[checked.standing] += 1
        if checked.standing is Standing.PROVED:
            assert as_stated(edited) == as_stated(proof)
    assert outcomes[Standing.REJECTED] > 100
    assert sum(outcomes.values()) > 140


def test_no_edit_makes_a_false_claim_accepted() -> None:
    """P1 does not hold in kpt-buggy, whatever a certificate of it says."""
    proof, buggy = proofs("kpt")["P1"], design("kpt-buggy")
    false = regenerated(replace(proof, design="kpt-buggy", system=buggy.system()))
    assert read_certificate(false.text().encode()).difference(buggy) == ""
    random = Random(2)
    for _ in range(80):
        edited = forged(random, false) if random.random() < 0.8 else false
        if random.random() < 0.5:
            edited = random.choice(ON_SCRIPTS)(random, edited)
        assert tried(edited, buggy).standing is not Standing.PROVED


@pytest.mark.slow
def test_more_edits() -> None:
    random = Random(3)
    for name in ("kpt", "vmalloc-x86-64", "vmalloc-pae-2019"):
        for proof in proofs(name).values():
            for _ in range(60):
                edited = forged(random, proof)
                if tried(edited, design(name)).standing is Standing.PROVED:
                    assert as_stated(edited) == as_stated(proof)


def test_a_system_of_another_design_is_noticed() -> None:
    proof = proofs("kpt")["P2"]
    assert verified(proof.text(), design("kpt")).standing is Standing.PROVED
    for other in ("kpt-buggy", "kpt-bugpgd", "vmalloc-x86-64"):
        checked = verified(proof.text(), design(other))
        assert checked.standing is Standing.REJECTED
        assert "its system is not that of the design" in checked.reason


def test_a_hash_that_does_not_fit() -> None:
    text = proofs("kpt")["P2"].text()
    with pytest.raises(Rejected, match="changed after it was written"):
        read_certificate(text.replace('"kpt"', '"kpu"', 1).encode())


# Files that are no certificates.


def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(proofs("kpt")["P2"].text())
    return made


def sealed(changes: dict[str, Any], **more: Any) -> bytes:
    made = document() | changes | more
    return json.dumps(made | {"sha256": digest(made)}).encode()


UNREADABLE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "not UTF-8": lambda: b'{"format": "\xff"}',
    "a list": lambda: b"[]",
    "truncated": lambda: proofs("kpt")["P2"].text().encode()[:-40],
    "nested": lambda: b"[" * 100_000,
    "nested objects": lambda: b'{"a":' * 100_000,
    "not a number": lambda: b'{"format": NaN}',
    "a huge number": lambda: b'{"format": ' + b"9" * 10_000 + b"}",
    "duplicate": lambda: b'{"format": "mapproof certificate", "format": "mapproof certificate"}',
    "another format": lambda: sealed({"format": "other"}),
    "a later version": lambda: sealed({"version": 2}),
    "version true": lambda: sealed({"version": True}),
    "unknown member": lambda: sealed({"more": 1}),
    "no lemmas": lambda: sealed({"lemmas": None}),
    "lemma of no object": lambda: sealed({"lemmas": [1]}),
    "empty claim": lambda: sealed({"claim": {}}),
    "design with a line break": lambda: sealed({"design": "kpt\n(assert false)"}),
    "assumed kind": lambda: sealed({"claim": document()["claim"] | {"kind": "sometimes"}}),
    "claim called two words": lambda: sealed({"claim": document()["claim"] | {"name": "P 2"}}),
    "deep tree": lambda: sealed(
        {"claim": document()["claim"] | {"tree": "(not " * 9000 + "true" + ")" * 9000}}
    ),
    "two lemmas of one name": lambda: sealed({"lemmas": [document()["claim"]]}),
    "system without start": lambda: sealed(
        {"system": {k: v for k, v in document()["system"].items() if k != "start"}}
    ),
    "map called two words": lambda: sealed(
        {
            "system": document()["system"]
            | {"components": [{"name": "a b", "keys": [], "value": "Bool", "changes": True}]}
        }
    ),
    "found by nobody": lambda: sealed(
        {"obligations": [o | {"found_by": "me"} for o in document()["obligations"]]}
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_no_certificate(what: str) -> None:
    content = UNREADABLE[what]()
    with pytest.raises(NotACertificate) as caught:
        read_certificate(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_random_bytes() -> None:
    random, text = Random(4), proofs("kpt")["P2"].text().encode()
    for _ in range(300):
        content = bytearray(text)
        for _ in range(random.choice([1, 1, 5])):
            content[random.randrange(len(content))] = random.randrange(256)
        if bytes(content) != text:
            with pytest.raises((NotACertificate, Rejected)):
                read_certificate(bytes(content))


# The command line.


def run(*arguments: str, code: int) -> str:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    return done.output


def test_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "proofs"
    printed = json.loads(
        run("check", "kpt::P2", "kpt-buggy::P1", "--json", "--certificates", str(folder), code=1)
    )
    path = folder / "kpt.P2.proof.json"
    assert [r["certificate"] for r in printed["results"]] == [str(path), None]
    assert [p.name for p in folder.iterdir()] == [path.name]

    said = run("verify", str(path), code=0)
    assert f"{path}:proved" in "".join(said.split())
    assert "of the design kpt, for any size" in said
    assert "cvc5" in said

    run("verify", str(path), "--design", "kpt", "--solver", "z3", code=0)
    said = run("verify", str(path), "--design", "kpt-buggy", code=1)
    assert "rejected" in said
    (checked,) = json.loads(run("verify", "--json", str(path), code=0))["certificates"]
    assert (checked["verdict"], checked["bound"], checked["reason"]) == ("proved", True, None)

    text = path.read_text().replace("ENTRY", "USER")
    path.write_text(text)
    assert "changed after it was written" in run("verify", str(path), code=1)
    path.write_text(text[:1000])
    assert "it is not JSON" in run("verify", str(path), code=2)
    assert "No such file" in run("verify", str(tmp_path / "none.json"), code=2)


def test_a_system_without_a_design_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.proof.json"
    path.write_text(regenerated(replace(proofs("kpt")["P2"], design="mine")).text())
    said = run("verify", str(path), code=0)
    assert "the transition system in the file" in said
    assert "give --design TARGET" in said


def test_a_solver_that_gives_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kpt.proof.json"
    path.write_text(proofs("kpt")["P2"].text())
    monkeypatch.setattr(worker.Worker, "solve", lambda *_: worker.OUT_OF_TIME)
    said = run("verify", str(path), code=3)
    assert "cvc5 gave up on kpt::" in said
    assert "(time limit)" in said
