"""Certificates of proofs for any size: lemmas, and a script for each cell of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mapproof.model.language.design import Design
from mapproof.model.language.property import Claim
from mapproof.model.language.unbounded import Scripts

from .certificate import (
    Cell,
    Certificate,
    Head,
    Rejected,
    Statement,
    common,
    read_solver,
    read_statement,
)
from .induction import Induction
from .obligations import Obligation, grid, to_solve
from .systems import Data, fields, named, texts
from .trees import Malformed


@dataclass(frozen=True)
class Stored:
    """An obligation as it stands in the file."""

    transition: str
    claim: str
    hypotheses: tuple[str, ...]
    assumptions: tuple[str, ...]
    found_by: str
    script: str


@dataclass(frozen=True, kw_only=True)
class AnySize(Certificate):
    """A proof that the claim holds in every run of the system, for any size."""

    invariants: tuple[Statement, ...]
    stored: tuple[Stored, ...]

    proof = "any size"
    kinds = ("always", "step")

    def established(self, whose: str) -> str:
        when = "at every step" if self.claim.kind == "step" else "in every state"
        return f"{when} of every run of {whose}, for any size"

    @property
    def lemmas(self) -> tuple[Statement, ...]:
        return self.invariants

    @property
    def trivial(self) -> int:
        return self.grid[1]

    @cached_property
    def grid(self) -> tuple[list[Obligation], int]:
        """The cells that a solver has to meet, and the number of the trivial ones."""
        rows = [grid(self.design, self.system, [s]) for s in (self.claim, *self.lemmas)]
        needed = [cell for row in rows for cell in to_solve(row)]
        return needed, sum(map(len, rows)) - len(needed)

    def cells(self) -> list[Cell]:
        stored: dict[tuple[str, str], Stored] = {}
        for entry in self.stored:
            if stored.setdefault((entry.transition, entry.claim), entry) is not entry:
                raise Rejected(f"two obligations for {entry.transition}::{entry.claim}")
        invariants = {s.name: s for s in (self.claim, *self.lemmas) if s.kind == "always"}
        scripts, found = Scripts(), list[Cell]()
        for cell in self.grid[0]:
            given = stored.pop((cell.transition.name, cell.prop.name), None)
            if given is None:
                raise Rejected(f"there is no obligation for {cell.name}")
            if not set(given.hypotheses) <= invariants.keys():
                raise Rejected(f"{cell.name} rests on an invariant that is not in the certificate")
            if cell.initial and given.hypotheses:
                raise Rejected(f"{cell.name} assumes an invariant before the start")
            if not set(given.assumptions) <= set(self.assumptions):
                raise Rejected(f"{cell.name} rests on an assumption that is not in the certificate")
            hypotheses = [invariants[n] for n in given.hypotheses]
            axioms = map(self.assumptions.index, given.assumptions)
            script = cell.text(scripts, self.system, hypotheses, axioms)
            if script != given.script:
                raise Rejected(f"the script of {cell.name} is not that of the stored system")
            found.append(Cell(cell.name, script, given.found_by))
        for transition, claim in stored:
            raise Rejected(f"the obligation {transition}::{claim} is no cell of this proof")
        return found

    def evidence(self) -> Data:
        return {
            "lemmas": [lemma.data() for lemma in self.lemmas],
            "obligations": [
                {
                    "transition": s.transition,
                    "claim": s.claim,
                    "hypotheses": list(s.hypotheses),
                    "assumptions": list(s.assumptions),
                    "found_by": s.found_by,
                    "script": s.script,
                }
                for s in self.stored
            ],
        }

    @classmethod
    def read(cls, head: Head, evidence: Data) -> AnySize:
        """The certificate of a file.  Raises Malformed and Rejected."""
        lemmas, obligations = fields(evidence, "the proof", lemmas=list, obligations=list)
        invariants = tuple(
            read_statement(head.known, lemma, "the lemma", ["always"]) for lemma in lemmas
        )
        _check_names([head.fields["claim"], *invariants])
        stored = tuple(map(_stored, obligations))
        return cls(**head.fields, invariants=invariants, stored=stored)


def certificate(design: Design[Any], name: str, proof: Induction) -> AnySize:
    """The certificate of one proved claim."""
    named_proofs = [p for n in (name, *proof.uses(name)) for p in proof.cells_of(n)]
    claims: dict[str, Claim] = {p.cell.prop.name: p.cell.prop for p in named_proofs}
    claim, *lemmas = (Statement(p.name, p.kind, p.closed()) for p in claims.values())
    assumptions = [a.name for a in design.assumptions]
    stored = (
        Stored(
            p.cell.transition.name,
            p.cell.prop.name,
            p.hypotheses,
            tuple(assumptions[i] for i in p.axioms),
            p.found_by,
            p.text,
        )
        for p in named_proofs
    )
    return AnySize(**common(design, claim), invariants=tuple(lemmas), stored=tuple(stored))


def _check_names(statements: Sequence[Statement]) -> None:
    names = [s.name for s in statements]
    for name in names:
        if names.count(name) > 1:
            raise Malformed(f"two statements are called {name}")


def _stored(data: Any) -> Stored:
    transition, claim, hypotheses, assumptions, found_by, script = fields(
        data,
        "an obligation",
        transition=str,
        claim=str,
        hypotheses=list,
        assumptions=list,
        found_by=str,
        script=str,
    )
    named(transition, "an obligation")
    named(claim, "an obligation")
    rests_on = _once_each(hypotheses, "hypotheses"), _once_each(assumptions, "assumptions")
    return Stored(transition, claim, *rests_on, read_solver(found_by), script)


def _once_each(names: list[Any], what: str) -> tuple[str, ...]:
    found = tuple(texts(names, what))
    if len(set(found)) != len(found):
        raise Malformed(f"the {what} of an obligation have one name twice")
    return found
