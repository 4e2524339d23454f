"""Unbounded induction: which properties are inductive together, for machines of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import Any, Protocol

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
FIRST_EFFORT = 40_000
SECOND_EFFORT = 20_000  # of cvc5, which mostly ends long before, whatever its answer
LAST_EFFORT = 20_000_000
INFERRED_EFFORT = 2_000_000  # the same where lemmas are inferred: another lemma may be easier
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
    failures: for each property that fell out, the cell that failed; seconds: time for each claim.
    """

    proved: tuple[Property[Any], ...] = ()
    proofs: dict[str, Proof] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    seconds: float = 0.0

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

    def and_also(self, other: Induction) -> Induction:
        """Both: what either proves of one system is an invariant of it, together with the rest."""
        proved = dict.fromkeys((*self.proved, *other.proved))
        failures = {**self.failures, **other.failures}
        names = {p.name for p in proved}
        return Induction(
            tuple(proved),
            {**self.proofs, **other.proofs},
            {n: f for n, f in failures.items() if n not in names},
        )


class Lemmas(Protocol):
    """Where lemmas come from that nobody has written down."""

    @property
    def lemmas(self) -> Sequence[Property[Any]]:
        """Those that are thought to help; another list after each of the calls below."""
        ...

    def enough(self, cell: Obligation) -> Sequence[Property[Any]]:
        """Invariants that are likely to meet a cell; none if nothing is known."""
        ...

    def mend(self, cell: Obligation) -> bool:
        """Look for what a cell lacks; False if nothing was found."""
        ...

    def give_up(self, name: str) -> None:
        """Do without a property that could not be proved."""
        ...


def induction(
    design: Design[Any],
    claims: Sequence[Property[Any]],
    lemmas: Sequence[Property[Any]],
    prover: Prover,
    progress: Callable[[str], None] = lambda _: None,
    found: Callable[[Proof], None] = lambda _: None,
    inferred: Lemmas | None = None,
    last: int = LAST_EFFORT,
) -> Induction:
    """Which claims are inductive together with lemmas, and with one another.

    Starts by assuming all candidates.  A claim is proved cell by cell; a candidate that turns up in
    an unsat core has to be proved as well; one with a cell that is not met is dropped, and what
    rested on it is proved again without.  ``inferred`` is asked for more lemmas where some are
    missing, ``last`` is the effort of the last attempt at a cell otherwise.  ``progress`` is told each
    cell, ``found`` each proof.
    """
    result = Induction()
    dropped: set[str] = set()
    cells: dict[str, Sequence[Obligation]] = {}

    def candidates() -> dict[str, Property[Any]]:
        more = inferred.lemmas if inferred else ()
        known = {p.name: p for p in (*claims, *lemmas, *more) if p.name not in dropped}
        for name, p in known.items():
            if name not in cells:
                cells[name] = to_solve(obligations(design, [p]))
        return known

    standing = candidates()
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
                outcome = prover.prove(todo, hypotheses, 0 if inferred else last)
                if isinstance(outcome, Failure) and inferred:
                    few = [p for p in inferred.enough(todo) if p in hypotheses]
                    outcome = prover.prove(todo, few, INFERRED_EFFORT) if few else outcome
                if isinstance(outcome, Failure) and inferred:
                    if inferred.mend(todo):
                        standing = candidates()
                        break
                    outcome = prover.prove(todo, hypotheses, INFERRED_EFFORT)
                if isinstance(outcome, Failure):
                    name = todo.prop.name
                    result.failures[name] = outcome
                    dropped.add(name)
                    if inferred:
                        inferred.give_up(name)
                    standing = candidates()
                    break
                result.proofs[todo.name] = outcome
                found(outcome)
    kept = {c.name for c in needed}
    result.proofs = {n: p for n, p in result.proofs.items() if n in kept}
    result.proved = tuple(standing.values())
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
        self._likely: Callable[[Obligation], frozenset[str]] = lambda _: frozenset()
        self._begun: dict[tuple[str, frozenset[str]], _First] = {}
        self._asked: dict[tuple[str, str, int], Future[Outcome]] = {}

    def given(self, likely: Callable[[Obligation], frozenset[str]]) -> Prover:
        """The same, with names of invariants from which a cell is likely to follow, if any."""
        self._likely = likely
        return self

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """What was begun for the prover is given up at the end."""
        try:
            yield
        finally:
            self._pool.drop(self._asked.values())

    def ahead(self, cells: Iterable[Obligation], hypotheses: Sequence[Property[Any]]) -> None:
        """Begin with the first attempt at some cells, which are likely to be next; with the second,
        where the first has failed already."""
        for cell in cells:
            _, begun = self._begin(cell, hypotheses)
            if begun.done() and begun.result().answer != "unsat":
                self._ask("cvc5", self._text(cell, hypotheses), SECOND_EFFORT, SOON)

    def prove(
        self, cell: Obligation, hypotheses: Sequence[Property[Any]], last: int = 0
    ) -> Proof | Failure:
        """The proof of a cell from hypotheses, or why there is none.

        ``last`` is the effort of a last attempt; without, what is not proved soon is not proved.
        """
        few, begun = self._begin(cell, hypotheses)
        outcome = begun.result()
        if outcome.answer == "unsat":
            return self._proof(cell, few, outcome)
        if outcome.answer == "sat" and len(few) == len(hypotheses):
            return Failure(cell, "sat")
        attempts = [("cvc5", hypotheses, SECOND_EFFORT), ("z3", hypotheses, last)]
        near = cell.near(hypotheses)
        if few != near:
            attempts = [("cvc5", few, SECOND_EFFORT), ("z3", near, FIRST_EFFORT), *attempts]
        for name, some, effort in attempts:
            if effort:
                outcome = self._ask(name, self._text(cell, some), effort, NOW).result()
                if outcome.answer == "unsat":
                    return self._proof(cell, some, outcome)
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
        begun = cell.name, frozenset(h.name for h in hypotheses)
        if begun not in self._begun:
            likely = self._likely(cell)
            few = [h for h in hypotheses if h.name in likely] or cell.near(hypotheses)
            self._begun[begun] = few, self._ask("z3", self._text(cell, few), FIRST_EFFORT, SOON)
        return self._begun[begun]

    def _ask(self, solver: str, text: str, effort: int, rank: int) -> Future[Outcome]:
        question = solver, text, effort
        if question not in self._asked:
            self._asked[question] = self._pool.submit(solver, text, self.deadline, effort, rank)
        return self._asked[question]


class Rechecker:
    """Asks of each proof the solver that did not find it, while the prover goes on.

    timeout: seconds for each answer.
    """

    def __init__(self, timeout: float, pool: Solvers | None = None) -> None:
        self._timeout = timeout
        self._pool = pool or shared()
        self._answers: dict[str, Future[Outcome]] = {}
        self._again: list[Future[Outcome]] = []

    def submit(self, proof: Proof) -> None:
        """Begin to re-check a proof."""
        if proof.text not in self._answers:
            other = "cvc5" if proof.found_by.startswith("z3") else "z3"
            deadline = monotonic() + self._timeout
            self._answers[proof.text] = self._pool.submit(other, proof.text, deadline)

    def again(self, proof: Proof) -> Future[Outcome]:
        """Have a proof found again by who found it."""
        finder = "z3" if proof.found_by.startswith("z3") else "cvc5"
        deadline = monotonic() + self._timeout
        self._again.append(self._pool.submit(finder, proof.text, deadline))
        return self._again[-1]

    def answer(self, proof: Proof) -> Outcome:
        """What the other solver says of the same claim."""
        return self._answers[proof.text].result()

    def ask(self, text: str) -> str:
        """What z3 answers to a script; there is a time limit for each."""
        outcome = self._pool.submit("z3", text, monotonic() + self._timeout).result()
        return outcome.answer if outcome.answer != "unknown" else f"unknown ({outcome.reason})"

    def close(self) -> None:
        """Drop what has not been re-checked."""
        self._pool.drop([*self._answers.values(), *self._again])


def other_solver(found_by: str) -> str:
    """Name and version of the solver that re-checks what a solver found."""
    return second.version() if found_by.startswith("z3") else solver.version()
