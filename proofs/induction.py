"""Unbounded induction: which properties are inductive together, for machines of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from mapproof.model.language.design import Design, System
from mapproof.model.language.property import Property
from mapproof.model.language.solver import Outcome, solve_text

from .obligations import Obligation, obligations


@dataclass(frozen=True)
class Failure:
    """Why a property is not part of the proof: the cell that could not be met, and how."""

    obligation: Obligation
    answer: str
    reason: str


@dataclass(frozen=True)
class Induction:
    """The outcome.

    proved: properties and lemmas that are inductive together.
    uses: for each of them, the other invariants that its cells need, transitively.
    cells: the text of every cell that a solver was asked, as it was proved.
    failures: for each property that fell out, the first cell that failed.
    """

    proved: tuple[Property[Any], ...]
    uses: dict[str, tuple[str, ...]]
    cells: dict[str, str]
    failures: dict[str, Failure]


def induction(
    design: Design[Any],
    system: System,
    candidates: Sequence[Property[Any]],
    deadline: float,
    progress: Callable[[str], None] = lambda _: None,
) -> Induction:
    """The largest subset of the candidates (``always`` and ``step``) that is inductive together.

    Starts from all of them and drops those with a cell that is not met, until none is left to drop;
    a cell is solved again only when a dropped property was in its unsat core.
    """
    standing = list(candidates)
    grid = {p.name: [o for o in obligations(design, system, [p]) if not o.trivial] for p in standing}
    cores: dict[str, frozenset[str]] = {}
    failures: dict[str, Failure] = {}
    while True:
        hypotheses = [p for p in standing if p.kind == "always"]
        names = {h.name for h in hypotheses}
        dropped: list[Property[Any]] = []
        for prop in standing:
            for cell in grid[prop.name]:
                if cell.name in cores and cores[cell.name] <= names:
                    continue
                progress(cell.name)
                outcome = _solve(cell.text(system, hypotheses), deadline)
                if outcome.answer != "unsat":
                    failures[prop.name] = Failure(cell, outcome.answer, outcome.reason)
                    dropped.append(prop)
                    break
                cores[cell.name] = _invariants(outcome.core)
        if not dropped:
            break
        standing = [p for p in standing if p not in dropped]
    by_name = {p.name: p for p in standing}
    cells = {
        cell.name: cell.text(system, [by_name[n] for n in sorted(cores[cell.name])])
        for prop in standing
        for cell in grid[prop.name]
    }
    return Induction(tuple(standing), {p.name: _uses(p.name, grid, cores) for p in standing}, cells, failures)


def _solve(text: str, deadline: float) -> Outcome:
    left = deadline - monotonic()
    return solve_text(text, int(1000 * left)) if left > 0 else Outcome("unknown", (), "time limit")


def _invariants(core: Sequence[str]) -> frozenset[str]:
    return frozenset(n.removeprefix("invariant.") for n in core if n.startswith("invariant."))


def _uses(name: str, grid: dict[str, list[Obligation]], cores: dict[str, frozenset[str]]) -> tuple[str, ...]:
    """The invariants that a proof rests on, besides the property itself."""
    found: set[str] = set()
    todo = [name]
    while todo:
        for cell in grid[todo.pop()]:
            fresh = cores[cell.name] - found
            found |= fresh
            todo += fresh
    return tuple(sorted(found - {name}))
