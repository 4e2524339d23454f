"""Which properties of one system survive the operations of another: a cell for each pair of parts.

A cell (row, column) is about the design restricted to the machine and two of its parts, and asks for
the claims of the row's part.  Most cells need no check of their own, because of two facts about
restrictions of one design (see ``restricted``: same state, same start, some of the transitions):

- What is proved of a design is proved of every restriction of it.  A proof by induction has a cell for
  the start and one for each transition; those of the restriction are among them, word for word, with
  the same hypotheses, which are proved in the same way.  So the proof of the restriction is a part of
  the proof of the design, and a certificate of the design is one of it.
- What a run of a design violates is violated in every restriction that has the steps of the run, and a
  shortest run of the design is a shortest one there, for every run of the restriction is one of the
  design.  Likewise what a part does alone (``sometimes``), it does in any company.

Neither goes the other way: a claim that is broken in the whole may hold in every pair.  So each claim
is asked of its part alone, then of all parts at once: a proof settles its row, a run settles the columns
that have its steps.  What is left is asked pair by pair, of both parts of a pair in one check.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from mapproof.model.language.concrete import Event, Machine
from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.parts import MACHINE, restricted
from mapproof.model.language.property import Property

from .check import Options
from .questions import Question, Questions
from .trace import ReplayError, Trace, rerun
from .verdict import Result, Verdict
from .worker import Solvers, shared

Progress = Callable[[str], None]
USUAL = Options()
ALONE, WHOLE = 2, 4  # times the patience that a pair gets: what is found there saves work on pairs
Claim = tuple[str, Property[Any]]  # a row, and one of its claims


class Standing(StrEnum):
    """What became of a cell."""

    PROVED = "proved"
    BROKEN = "broken"
    """A claim of the row is violated, which the row's part alone does not violate."""
    OWN_DEFECT = "own-defect"
    """The row's part alone violates a claim; what the column adds breaks no other."""
    OPEN = "open"
    """A claim is neither proved nor violated."""


@dataclass(frozen=True)
class Cell:
    """What was established of the claims of a part, in the company of another part.

    results: for each claim, of the design restricted to the two; shown_in: by claim, the design whose
    check says so, one with more parts if the proof is a part of its proof; own: claims that the row's
    part violates alone.
    """

    row: str
    column: str
    results: tuple[Result, ...]
    shown_in: Mapping[str, str]
    own: frozenset[str]

    @property
    def broken(self) -> list[Result]:
        """The violations that are the column's doing."""
        violated = (r for r in self.results if r.verdict is Verdict.VIOLATED)
        return [r for r in violated if r.property not in self.own]

    @property
    def open(self) -> list[Result]:
        """What is neither proved nor violated."""
        settled = (Verdict.PROVED, Verdict.VIOLATED)
        return [r for r in self.results if r.verdict not in settled]

    @property
    def standing(self) -> Standing:
        """The first that is so of: broken, open, own defect, proved."""
        if self.broken:
            return Standing.BROKEN
        if self.open:
            return Standing.OPEN
        return Standing.OWN_DEFECT if self.own else Standing.PROVED


@dataclass(frozen=True)
class Matrix:
    """The cells of a design, as far as they are settled.

    Rows are the parts that claim something, and the machine if it does.
    """

    design: Design[Any]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]

    def of(self, standing: Standing) -> list[Cell]:
        """The cells that stand so, row by row."""
        return [cell for cell in self.cells.values() if cell.standing is standing]

    @property
    def complete(self) -> bool:
        """No cell is missing."""
        return len(self.cells) == len(self.rows) * len(self.columns)


class Pairs:
    """The matrix of a design, or of some of its parts, while it is being settled.

    Raises DesignError if the design has no parts, or none of a name, or no part claims anything.
    """

    def __init__(
        self,
        design: Design[Any],
        names: Sequence[str] = (),
        options: Options = USUAL,
        progress: Progress = lambda _: None,
        solvers: Callable[[], Solvers] = shared,
        processes: int = 1,
    ) -> None:
        if not design.parts:
            raise DesignError(f"{design.name} composes no parts: give Design(parts=[...]) some")
        chosen = {design.part_named(name).name for name in names}
        self.design = design
        self.columns = tuple(p.name for p in design.parts if not names or p.name in chosen)
        self._questions = partial(Questions, design, options, solvers, processes, progress)
        claims = {MACHINE: design.own_properties}
        claims |= {name: list(design.part_named(name).claims) for name in self.columns}
        self._jobs = {
            row: [p for p in every if p.kind == "sometimes"] for row, every in claims.items()
        }
        self._claims = {
            row: some
            for row, every in claims.items()
            if (some := [p for p in every if p.kind != "sometimes"])
        }
        if not self._claims:
            raise DesignError(f"no part of {design.name} claims that anything always holds")
        self._owners: dict[str, set[str]] = {}  # of a transition: the parts that have it
        for part in design.parts:
            for step in part.steps:
                self._owners.setdefault(step, set()).add(part.name)
        self._found: dict[tuple[str, str], dict[str, tuple[Result, str]]] = {
            (row, column): {} for row in self._claims for column in self.columns
        }
        self._own: dict[str, set[str]] = {row: set() for row in self._claims}
        self._idle: dict[str, list[Result]] = {}
        self._unsettled: dict[Claim, tuple[Result, str]] = {}  # by the row's part alone

    def matrix(self) -> Matrix:
        """What is settled so far."""
        cells: dict[tuple[str, str], Cell] = {}
        for (row, column), found in self._found.items():
            names = [p.name for p in self._told(row)]
            if all(name in found for name in names):
                results = tuple(found[name][0] for name in names)
                shown_in = {name: found[name][1] for name in names}
                cells[row, column] = Cell(row, column, results, shown_in, frozenset(self._own[row]))
        return Matrix(self.design, tuple(self._claims), self.columns, cells)

    def settle(self) -> None:
        """Settle every cell; :meth:`matrix` can be asked meanwhile."""
        with closing(self._questions()) as questions:
            self._settle(questions)

    def _settle(self, questions: Questions) -> None:
        left = self._settle_alone(questions)
        todo = self._settle_among(questions, {frozenset(self.columns): left})
        pairs: dict[frozenset[str], list[Claim]] = {}
        for (row, prop), column in todo:
            pairs.setdefault(self._company(row, [column]), []).append((row, prop))
        self._settle_among(questions, pairs)
        for (row, prop), (result, where) in self._unsettled.items():
            if row != MACHINE and prop.name not in self._found[row, row]:
                self._record(row, prop, [row], result, where)

    def _settle_alone(self, questions: Questions) -> list[Claim]:
        """Settle what each row's part violates alone, and whether it does its job; what is left are
        the claims that others may break.

        What is to be seen of the machine may take any parts, of a part nothing but the machine.
        """
        asked = [
            Question(
                self._company(row, []),
                _names(claims),
                _names(self._told_jobs(row)),
                patience=ALONE,
            )
            for row, claims in self._claims.items()
        ]
        seen: dict[str, Result] = {}
        if MACHINE in self._claims and self._jobs[MACHINE]:
            jobs = _names(self._jobs[MACHINE])
            every = frozenset(part.name for part in self.design.parts)
            (seen,) = questions.answers([Question(every, (), jobs, patience=WHOLE)])
        left: list[Claim] = []
        for row, found in zip(self._claims, questions.answers(asked), strict=True):
            where = self._restricted(self._company(row, [])).name
            jobs_seen = [(found | seen)[job.name] for job in self._jobs[row]]
            self._idle[row] = [job for job in jobs_seen if job.verdict is not Verdict.PROVED]
            for job in self._told_jobs(row):
                self._record(row, job, self.columns, found[job.name], where)
            for claim in self._claims[row]:
                result = found[claim.name]
                if result.verdict is Verdict.VIOLATED:
                    self._own[row].add(claim.name)
                    self._record(row, claim, self.columns, result, where)
                    continue
                if result.verdict is not Verdict.PROVED:
                    self._unsettled[row, claim] = result, where
                elif row != MACHINE:
                    self._record(row, claim, [row], result, where)
                left.append((row, claim))
        return left

    def _settle_among(
        self, questions: Questions, todo: Mapping[frozenset[str], Sequence[Claim]]
    ) -> list[tuple[Claim, str]]:
        """Ask claims of the machine with some parts; those that are still to be asked, with the
        columns."""
        patience = 1 if len(todo) > 1 else WHOLE
        asked: dict[Question, list[Claim]] = {}
        for parts, claims in todo.items():
            last: dict[bool, list[Claim]] = {True: [], False: []}
            for claim in claims:  # of a last question, more is asked, unless it was in vain before
                others = len(parts - {claim[0]})
                if others:
                    last[others == 1 and claim not in self._unsettled].append(claim)
            for thorough, some in last.items():
                if some:
                    names = _names(prop for _, prop in some)
                    asked[Question(parts, names, (), thorough, patience)] = some
        left: list[tuple[Claim, str]] = []
        for question, found in zip(asked, questions.answers([*asked]), strict=True):
            where = self._restricted(question.parts).name
            for row, prop in asked[question]:
                columns = [c for c in self.columns if c in question.parts and c != row]
                more = self._settled(row, prop, columns, found[prop.name], where)
                left += [((row, prop), column) for column in more]
        return left

    def _settled(
        self, row: str, prop: Property[Any], columns: list[str], result: Result, where: str
    ) -> list[str]:
        """Record what a result says of a claim in some columns; those of which it says nothing."""
        if result.verdict is Verdict.PROVED:
            alone = [row] if row != MACHINE and (row, prop) in self._unsettled else []
            self._record(row, prop, [*columns, *alone], result, where)
            return []
        if len(columns) == 1:
            self._record(row, prop, columns, result, where)
            return []
        if result.trace is None:
            return columns
        steps = (event.transition.name for event in result.trace.events)
        wanted = [owners for name in steps if row not in (owners := self._owners.get(name, {row}))]
        guilty = [c for c in columns if all(c in owners for owners in wanted)]
        self._record(row, prop, guilty, result, where)
        return [c for c in columns if c not in guilty]

    # What a check is about, and what is kept of it.

    def _record(
        self, row: str, prop: Property[Any], columns: Iterable[str], result: Result, where: str
    ) -> None:
        """Keep a result as that of the cells in some columns; a run is replayed in each of them."""
        for column in columns:
            pair = self._restricted(self._company(row, [column]))
            said = result.but(design=pair.name)
            if said.trace is not None:
                said = said.but(trace=_run_in(pair, prop, said.trace))
            if said.verdict is Verdict.PROVED and self._idle[row] and prop.kind != "sometimes":
                names = ", ".join(idle.property for idle in self._idle[row])
                reason = f"inductive, but {row} alone was not seen to do its job: {names}"
                said = said.but(verdict=Verdict.UNKNOWN, reason=reason)
            self._found[row, column][prop.name] = said, where

    def _told(self, row: str) -> list[Property[Any]]:
        """The claims of a row, in the order of the design."""
        return [*self._claims[row], *self._told_jobs(row)]

    def _told_jobs(self, row: str) -> list[Property[Any]]:
        """What a part is to be seen doing; the machine's jobs are in no cell."""
        return [] if row == MACHINE else self._jobs[row]

    def _company(self, row: str, columns: Iterable[str]) -> frozenset[str]:
        """The parts that a check of a row's claims in some columns is about."""
        return frozenset((row, *columns)) - {MACHINE}

    def _restricted(self, parts: Collection[str]) -> Design[Any]:
        """The design with some parts: itself, with all, so that its proofs are seen to be its own."""
        every = len(parts) == len(self.design.parts)
        return self.design if every else restricted(self.design, parts)


def _names(claims: Iterable[Property[Any]]) -> tuple[str, ...]:
    return tuple(claim.name for claim in claims)


def _run_in(design: Design[Any], prop: Property[Any], trace: Trace) -> Trace:
    """A run of one restriction of a design as a run of another that has its steps, replayed.

    Raises ReplayError if it is none, or does not show what it showed.
    """
    transitions = {t.name: t for t in design.system().transitions}
    machine = Machine(design.system(), trace.machine.scope)
    if missing := [n for e in trace.events if (n := e.transition.name) not in transitions]:
        raise ReplayError(f"{design.name} has no step {', '.join(missing)}")
    events = [Event(transitions[e.transition.name], e.arguments) for e in trace.events]
    return rerun(design, prop, machine, trace.states[0], events)
