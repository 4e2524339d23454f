"""Checking a design: prove what can be proved for any size, search for what cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from mapproof.model.language import solver
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.unbounded import check_stratified

from .induction import Failure, Induction, Prover, induction, other_solver
from .sampling import refuted
from .search import Searched, scope_of, search
from .verdict import Result, Verdict

REPLAY = "concrete replay"
SAT = "glucose"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How hard to try.

    depth: most steps of a bounded search (of a ``sometimes``: twice as many); scope: sizes by sort
    class, over those of the design; timeout: seconds for the proof as a whole, and for each search;
    only: names of the properties to report, all if empty.
    """

    depth: int = 10
    scope: Mapping[Any, int] = field(default_factory=dict)
    timeout: float = 60.0
    only: Sequence[str] = ()


def check(
    design: Design[Any], options: Options = Options(), progress: Progress = lambda _: None
) -> list[Result]:
    """A result for every property of the design (or those of ``options.only``), in their order.

    Raises DesignError if the design is wrong, or has no property to check.
    """
    wanted = [design.property_named(n) for n in options.only] or list(design.properties)
    if not wanted:
        raise DesignError(f"{design.name} has no property to check: give Design(properties=[...]) one")
    system = design.system()
    check_stratified(system)
    run = _Run(design, system, options, progress)
    proof, doubts, seconds = run.proof()
    open_claims = [p for p in wanted if p.kind != "sometimes" and p not in proof.proved]
    results = run.searched(open_claims, [p for p in design.properties if p.kind == "sometimes"], proof)
    idle = [r for r in results.values() if r.kind == "sometimes" and r.verdict is not Verdict.PROVED]
    for prop in wanted:
        if prop.name not in results:
            results[prop.name] = run.proved(prop, proof, doubts, idle).but(seconds=seconds)
    return [results[p.name] for p in wanted]


@dataclass(frozen=True)
class _Run:
    """One check of one design."""

    design: Design[Any]
    system: System
    options: Options
    progress: Progress

    def proof(self) -> tuple[Induction, dict[str, str], float]:
        """What is inductive, the cells that the second solver doubts, and seconds per property."""
        started = monotonic()
        prover = Prover(self.system, started + self.options.timeout)
        claims = [p for p in self.design.properties if p.kind in ("always", "step")]
        false = refuted(self.system, self.scope, [*claims, *self.design.lemmas])
        proof = induction(
            self.design,
            self.system,
            [p for p in claims if p.name not in false],
            [p for p in self.design.lemmas if p.name not in false],
            prover,
            self.progress,
        )
        for name, steps in false.items():
            proof.failures[name] = Failure(None, "sat", f"it is false on a walk of {steps} steps", steps)
        doubts = {}
        for name, cell in proof.proofs.items():
            self.progress(f"{name} (second solver)")
            answer = prover.recheck(cell).answer
            if answer != "unsat":
                other = other_solver(cell.found_by)
                doubts[name] = f"{other} answers {answer} to {name}, which {cell.found_by} proved"
        return proof, doubts, (monotonic() - started) / max(1, len(claims))

    @property
    def scope(self) -> Scope:
        return scope_of(self.design, self.system, self.options.scope)

    def base(self, prop: Property[Any], verdict: Verdict, **fields: Any) -> Result:
        assumptions = tuple(a.name for a in self.design.assumptions)
        return Result(self.design.name, prop.name, prop.kind, verdict, assumptions=assumptions, **fields)

    def proved(
        self, prop: Property[Any], proof: Induction, doubts: dict[str, str], idle: list[Result]
    ) -> Result:
        """Proved, unless the second solver doubts a cell or the design was not seen to do its job."""
        uses = proof.uses(prop.name)
        cells = [c for name in (prop.name, *uses) for c in proof.cells_of(name)]
        for cell in cells:
            if cell.cell.name in doubts:
                return self.base(prop, Verdict.UNKNOWN, reason=doubts[cell.cell.name])
        if idle:
            names = ", ".join(r.property for r in idle)
            reason = f"inductive, but the design was not seen to do its job: {names}"
            return self.base(prop, Verdict.UNKNOWN, lemmas=uses, reason=reason)
        finders = sorted({c.found_by for c in cells}) or [solver.version()]
        others = sorted({other_solver(c.found_by) for c in cells})
        return self.base(
            prop,
            Verdict.PROVED,
            lemmas=uses,
            solver=", ".join(finders),
            checked_by=tuple(others),
        )

    def searched(
        self, claims: Sequence[Property[Any]], jobs: Sequence[Property[Any]], proof: Induction
    ) -> dict[str, Result]:
        """Claims that are not inductive: violated, or they hold to the depth that was searched.  And
        each ``sometimes``: proved by a run that shows it, on a small machine where one will do."""
        depth, full = self.options.depth, self.scope
        results: dict[str, Result] = {}
        # A job that needs every element busy takes fewer steps on a small machine.
        for size in () if self.options.scope else (1, 2):
            todo = dict.fromkeys((j for j in jobs if j.name not in results), 2 * depth)
            try:
                small = self.search(todo, _at_most(full, size), proof)
            except DesignError:  # the design's interpretation has no machine so small
                continue
            results |= {n: r for n, r in small.items() if r.verdict is Verdict.PROVED}
        todo = dict.fromkeys((j for j in jobs if j.name not in results), 2 * depth)
        for claim in claims:  # a walk that refutes a claim says how deep to look
            todo[claim] = max(depth, proof.failures[claim.name].steps)
        return results | self.search(todo, full, proof)

    def search(
        self, todo: Mapping[Property[Any], int], scope: Scope, proof: Induction
    ) -> dict[str, Result]:
        """The bounded search for some properties, each to its depth, as results."""
        if not todo:
            return {}
        started = monotonic()
        names = ", ".join(p.name for p in todo)
        tell = self.progress
        found = search(
            self.design,
            todo,
            scope,
            self.options.timeout,
            lambda k: tell(f"{self.design.name}, runs of {k} steps: {names}"),
        )
        seconds = (monotonic() - started) / len(todo)
        return {p.name: self.judged(p, found[p.name], proof, seconds) for p in todo}

    def judged(
        self, prop: Property[Any], found: Searched, proof: Induction, seconds: float
    ) -> Result:
        """What a bounded search establishes about one property."""
        witness = prop.kind == "sometimes"
        if found.trace is not None:
            verdict = Verdict.PROVED if witness else Verdict.VIOLATED
            result = self.bounded(prop, verdict, found, "", seconds)
            return result.but(trace=found.trace, replayed=True, checked_by=(REPLAY,))
        why = found.reason
        if witness:
            why = why or f"not reached within {found.depth} steps"
            return self.bounded(prop, Verdict.UNKNOWN, found, why, seconds)
        unproved = f"not proved: {proof.failures[prop.name].explanation}"
        verdict = Verdict.UNKNOWN if why else Verdict.HOLDS_TO_DEPTH
        return self.bounded(prop, verdict, found, f"{why}; {unproved}" if why else unproved, seconds)

    def bounded(
        self, prop: Property[Any], verdict: Verdict, found: Searched, reason: str, seconds: float
    ) -> Result:
        return self.base(
            prop,
            verdict,
            scope=found.scope.names(),
            depth=found.depth,
            reason=reason,
            solver=SAT,
            seconds=seconds,
        )


def _at_most(scope: Scope, n: int) -> Scope:
    return scope.with_sizes({sort: min(n, size) for sort, size in scope.items()})
