"""Unbounded induction: which properties are inductive together, for machines of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import Any

from mapproof.model.language import solver
from mapproof.model.language.design import Design, System
from mapproof.model.language.property import Property
from mapproof.model.language.solver import Outcome
from mapproof.model.language.unbounded import Scripts

from . import second
from .obligations import Obligation, axiom_label, label, obligations, to_solve
from .worker import NOW, SOON, Solvers, shared

# z3's first attempts are bounded by its own count of work, so that results do not depend on the
# speed of the machine: most cells need a tenth of this, and those that need more are cvc5's.
FIRST_EFFORT = 100_000
LAST_EFFORT = 20_000_000
AHEAD = 16  # cells whose scripts are written while one is solved


@dataclass(frozen=True)
class Proof:
    """One cell that is met: by which solver, from which invariants (in this order) and which of the
    system's assumptions (by number), in which text."""

    cell: Obligation
    hypotheses: tuple[str, ...]
    axioms: tuple[int, ...]
    found_by: str
    text: str

    @cached_property
    def invariants(self) -> frozenset[str]:
        """The names of the invariants."""
        return frozenset(self.hypotheses)


@dataclass(frozen=True)
class Failure:
    """Why a property is not part of the proof: the cell that could not be met, or the number of
    steps of a walk that refutes it."""

    cell: Obligation | None
    answer: str
    reason: str = ""
    steps: int = 0

    @property
    def explanation(self) -> str:
        """One sentence for the user."""
        if self.cell is None:
            return self.reason
        where = self.cell.transition.name
        if self.answer == "unknown":
            return f"the solvers gave up on {self.cell.name} ({self.reason})"
        return f"{where} may break it from a state that no known invariant excludes"


@dataclass
class Induction:
    """The outcome.

    proved: the claims that hold, and the lemmas that were not refuted; proofs: the cells of the claims
    and of every lemma that they rest on, by name (cells that need no solver are left out);
    failures: for each property that fell out, the cell that failed.
    """

    proved: tuple[Property[Any], ...] = ()
    proofs: dict[str, Proof] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def cells_of(self, name: str) -> list[Proof]:
        """The cells of one property."""
        return [p for p in self.proofs.values() if p.cell.prop.name == name]

    def uses(self, name: str) -> tuple[str, ...]:
        """The invariants that the proof of a property rests on, besides itself."""
        found: set[str] = set()
        todo = [name]
        while todo:
            fresh = {i for p in self.cells_of(todo.pop()) for i in p.invariants} - found
            found |= fresh
            todo += fresh
        return tuple(sorted(found - {name}))


def induction(
    design: Design[Any],
    claims: Sequence[Property[Any]],
    lemmas: Sequence[Property[Any]],
    prover: Prover,
    progress: Callable[[str], None] = lambda _: None,
    found: Callable[[Proof], None] = lambda _: None,
) -> Induction:
    """Which claims are inductive together with lemmas, and with one another.

    Starts by assuming all candidates.  A claim is proved cell by cell; a candidate that turns up in
    an unsat core has to be proved as well; one with a cell that is not met is dropped, and what
    rested on it is proved again without.  ``progress`` is told each cell, ``found`` each proof.
    """
    result = Induction()
    standing = {p.name: p for p in (*claims, *lemmas)}
    grid = {name: obligations(design, [p]) for name, p in standing.items()}
    cells = {name: to_solve(row) for name, row in grid.items()}
    with prover.at_work():
        while True:
            left = [p for p in claims if p.name in standing]
            needed = _needed(left, standing, cells, result.proofs)
            unmet = [c for c in needed if not _met(result.proofs.get(c.name), standing)]
            if not unmet:
                break
            hypotheses = [p for p in standing.values() if p.kind == "always"]
            for i, todo in enumerate(unmet):
                progress(todo.name)
                prover.ahead(unmet[i : i + AHEAD], hypotheses)
                outcome = prover.prove(todo, hypotheses)
                if isinstance(outcome, Failure):
                    result.failures[todo.prop.name] = outcome
                    del standing[todo.prop.name]
                    break
                result.proofs[todo.name] = outcome
                found(outcome)
    kept = {c.name for c in needed}
    result.proofs = {n: p for n, p in result.proofs.items() if n in kept}
    result.proved = tuple(p for p in (*claims, *lemmas) if p.name in standing)
    return result


def _met(proof: Proof | None, standing: Mapping[str, Property[Any]]) -> bool:
    return proof is not None and proof.invariants <= standing.keys()


def _needed(
    claims: Sequence[Property[Any]],
    standing: Mapping[str, Property[Any]],
    cells: Mapping[str, Sequence[Obligation]],
    proofs: Mapping[str, Proof],
) -> list[Obligation]:
    """The cells of the claims and of every invariant that a proof so far rests on."""
    found: list[Obligation] = []
    names = [p.name for p in claims]
    for name in names:  # grows
        for cell in cells[name]:
            found.append(cell)
            proof = proofs.get(cell.name)
            if proof is not None and _met(proof, standing):
                names += (i for i in sorted(proof.invariants) if i not in names)
    return found


_First = tuple[list[Property[Any]], Future[Outcome]]  # hypotheses of a first attempt, its answer


class Prover:
    """Settles cells: z3 with few hypotheses, cvc5 with all, z3 with all and what time is left."""

    def __init__(self, system: System, timeout: float, pool: Solvers | None = None) -> None:
        self.system = system
        self.deadline = monotonic() + timeout
        self._scripts = Scripts()
        self._pool = pool or shared()
        self._begun: dict[tuple[str, int], _First] = {}
        self._asked: dict[str, Future[Outcome]] = {}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """What was begun for the prover is given up at the end."""
        try:
            yield
        finally:
            self._pool.drop(self._asked.values())

    def ahead(self, cells: Iterable[Obligation], hypotheses: Sequence[Property[Any]]) -> None:
        """Begin with the first attempt at some cells, which are likely to be next."""
        for cell in cells:
            self._begin(cell, hypotheses)

    def prove(self, cell: Obligation, hypotheses: Sequence[Property[Any]]) -> Proof | Failure:
        """The proof of a cell from hypotheses, or why there is none."""
        near, answer = self._begin(cell, hypotheses)
        outcome = answer.result()
        if outcome.answer == "unsat":
            return self._proof(cell, near, outcome)
        if outcome.answer == "sat" and len(near) == len(hypotheses):
            return Failure(cell, "sat")
        text = self._text(cell, hypotheses)
        outcome = self._solve("cvc5", text)
        if outcome.answer == "unsat":
            return self._proof(cell, hypotheses, outcome)
        outcome = self._solve("z3", text, LAST_EFFORT)
        if outcome.answer == "unsat":
            return self._proof(cell, hypotheses, outcome)
        return Failure(cell, outcome.answer, outcome.reason)

    def _proof(
        self, cell: Obligation, hypotheses: Iterable[Property[Any]], outcome: Outcome
    ) -> Proof:
        core = set(outcome.core)
        used = [h for h in hypotheses if label(h) in core]
        axioms = tuple(i for i in range(len(self.system.axioms)) if axiom_label(i) in core)
        text = cell.text(self._scripts, self.system, used, axioms)
        return Proof(cell, tuple(h.name for h in used), axioms, outcome.solver, text)

    def _text(self, cell: Obligation, hypotheses: Iterable[Property[Any]]) -> str:
        return cell.text(self._scripts, self.system, hypotheses)

    def _begin(self, cell: Obligation, hypotheses: Sequence[Property[Any]]) -> _First:
        begun = (cell.name, len(hypotheses))
        if begun not in self._begun:
            near = cell.near(hypotheses)
            text = self._text(cell, near)
            if text not in self._asked:
                submit = self._pool.submit
                self._asked[text] = submit("z3", text, self.deadline, FIRST_EFFORT, SOON)
            self._begun[begun] = near, self._asked[text]
        return self._begun[begun]

    def _solve(self, name: str, text: str, effort: int = 0) -> Outcome:
        return self._pool.submit(name, text, self.deadline, effort, NOW).result()


class Rechecker:
    """Asks of each proof the solver that did not find it, while the prover goes on."""

    def __init__(self, timeout: float, pool: Solvers | None = None) -> None:
        self._timeout = timeout
        self._deadline = monotonic() + timeout
        self._pool = pool or shared()
        self._answers: dict[str, Future[Outcome]] = {}

    def submit(self, proof: Proof) -> None:
        """Begin to re-check a proof."""
        if proof.text not in self._answers:
            other = "cvc5" if proof.found_by.startswith("z3") else "z3"
            self._answers[proof.text] = self._pool.submit(other, proof.text, self._deadline)

    def answer(self, proof: Proof) -> Outcome:
        """What the other solver says of the same claim."""
        return self._answers[proof.text].result()

    def ask(self, text: str) -> str:
        """What z3 answers to a script; there is a time limit for each."""
        outcome = self._pool.submit("z3", text, monotonic() + self._timeout).result()
        return outcome.answer if outcome.answer != "unknown" else f"unknown ({outcome.reason})"

    def close(self) -> None:
        """Drop what has not been re-checked."""
        self._pool.drop(self._answers.values())


def other_solver(found_by: str) -> str:
    """Name and version of the solver that re-checks what a solver found."""
    return second.version() if found_by.startswith("z3") else solver.version()
