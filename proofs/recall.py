"""From what was found last time to verdicts, with nothing believed that can be checked.

A finding may be of a disk that is broken, or forged: whatever it says that is not so makes the check
begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.unbounded import Scripts

from .findings import Finding, Rests
from .induction import Induction, Proof, Rechecker
from .lemma import Lemma
from .obligations import Obligation, obligations, to_solve
from .portable import Portable, boot_of, lemma_text, run_text
from .results import SAT, Results
from .search import Searched
from .trace import ReplayError, Trace
from .trees import Malformed
from .verdict import Result, Verdict


class Stale(Exception):
    """What was found does not show what it should."""


def recalled(
    found: Finding,
    wanted: Sequence[Property[Any]],
    scope: Scope,
    results: Results,
) -> list[Result]:
    """The results for some properties, as a finding has them.  Raises Stale where it has not."""
    started = monotonic()
    recall = Recall(results.design, scope, found)
    known: dict[str, Result] = {}
    claims = [p for p in wanted if p.kind != "sometimes" and p.name not in found.violated]
    jobs = [p for p in (results.design.properties if claims else wanted) if p.kind == "sometimes"]
    for prop in [p for p in wanted if p.name in found.violated] + jobs:
        trace, engine = recall.trace(prop)
        shown = Searched(trace, len(trace.events), trace.machine.scope)
        known[prop.name] = results.judged(prop, shown, Induction(), 0.0).but(solver=engine)
    proof = recall.proof(claims, results.rechecker)
    for prop in claims:
        known[prop.name] = results.proved(prop, proof, [])
        if known[prop.name].verdict is not Verdict.PROVED:
            raise Stale(known[prop.name].reason)
    seconds = (monotonic() - started) / len(wanted)
    return [known[p.name].but(seconds=seconds) for p in wanted]


class Recall:
    """What a finding shows of a design.  Each method raises Stale where it does not show it."""

    def __init__(self, design: Design[Any], scope: Scope, found: Finding) -> None:
        self.design = design
        self.scope = scope
        self.found = found
        self._portable = Portable(design)

    def trace(self, prop: Property[Any]) -> tuple[Trace, str]:
        """The run that violates a claim, or shows a ``sometimes``, and the engine that found it."""
        violated = {name: (run, SAT) for name, run in self.found.violated.items()}
        runs = self.found.shown if prop.kind == "sometimes" else violated
        try:
            if prop.name not in runs:
                raise Stale(f"there is no run for {prop.name}")
            run, engine = runs[prop.name]
            self._check(self._portable.scope(run.sizes))
            return self._portable.trace(prop, run, booted=False), engine
        except (Malformed, ReplayError, DesignError) as error:
            raise Stale(str(error)) from None

    def _check(self, scope: Scope) -> None:
        """The scope is the one that was asked for, or one of smaller machines of the design."""
        if scope == self.scope:
            return
        own = {s: n for s, n in scope.items() if isinstance(self.design.scope.get(s, 0), int)}
        if any(n > self.scope.get(s, 0) for s, n in own.items()):
            raise Stale("a run is on a machine that is larger than was asked for")
        if self.design.scope_at(own) != scope:
            raise Stale("a run is on no machine of the design")

    def proof(self, claims: Sequence[Property[Any]], rechecker: Rechecker) -> Induction:
        """The proof of claims; each cell goes to both solvers."""
        known = self._known()
        needed, proofs = list(claims), list[Proof]()
        scripts = Scripts()
        for prop in needed:  # grows
            for cell in to_solve(obligations(self.design, [prop])):
                proofs.append(self._proof(cell, known, scripts))
                rests_on = (known[name] for name in proofs[-1].hypotheses)
                needed += (p for p in dict.fromkeys(rests_on) if p not in needed)
        again = [rechecker.again(proof) for proof in proofs]
        for proof in proofs:
            rechecker.submit(proof)
        found = {}
        for proof, answer in zip(proofs, again, strict=True):
            outcome = answer.result()
            if outcome.answer != "unsat":
                raise Stale(f"{proof.cell.name} does not follow")
            found[proof.cell.name] = replace(proof, found_by=outcome.solver)
        return Induction(tuple(needed), found)

    def _known(self) -> dict[str, Property[Any]]:
        """The invariants that a cell may rest on, by name."""
        helpers = [*self.design.properties, *self.design.lemmas]
        known = {p.name: p for p in helpers if p.kind == "always"}
        taken = {p.name for p in helpers}
        for text in self.found.lemmas:
            try:
                lemma = self._portable.lemma(text)
            except Malformed as error:
                raise Stale(str(error)) from None
            if lemma.name in taken:
                raise Stale(f"there are two of the lemma {lemma.name}")
            taken.add(lemma.name)
            known[lemma.name] = lemma
        return known

    def _proof(
        self, cell: Obligation, known: Mapping[str, Property[Any]], scripts: Scripts
    ) -> Proof:
        rests = self.found.cells.get((cell.transition.name, cell.prop.name))
        if rests is None:
            raise Stale(f"there is nothing for {cell.name}")
        if not known.keys() >= {*rests.hypotheses} or (cell.initial and rests.hypotheses):
            raise Stale(f"{cell.name} rests on an invariant that there is not")
        system = self.design.system()
        if not {*rests.axioms} <= {*range(len(system.axioms))}:
            raise Stale(f"{cell.name} rests on an assumption that there is not")
        used = [known[name] for name in rests.hypotheses]
        text = cell.text(scripts, system, used, rests.axioms)
        return Proof(cell, rests.hypotheses, rests.axioms, rests.found_by, text)


def finding(
    wanted: Sequence[Property[Any]], results: Mapping[str, Result], proof: Induction
) -> Finding | None:
    """What is worth to be kept of a check; None unless it settled all that is wanted, each claim for
    any size or by a shortest run, and saw every job done where something is proved.

    results: also those of each ``sometimes``; proof: what proves the claims.
    """
    asked = [results[p.name] for p in wanted]
    claims = [r for r in asked if r.kind != "sometimes"]
    proved = [r for r in claims if r.verdict is Verdict.PROVED]
    violated = [r for r in claims if r.verdict is Verdict.VIOLATED and not r.reason]
    shown = [r for r in (results.values() if proved else asked) if r.kind == "sometimes"]
    if any(r.reason for r in shown):  # on a smaller machine only: longer patience may show more
        return None
    runs = [r.trace for r in (*violated, *shown) if r.trace is not None and _repeatable(r.trace)]
    settled = len(proved) + len(violated) == len(claims)
    if not settled or len(runs) < len(violated) + len(shown):
        return None
    names = dict.fromkeys(n for r in proved for n in (r.property, *proof.uses(r.property)))
    cells = [cell for name in names for cell in proof.cells_of(name)]
    lemmas = {p.name: p for c in cells if isinstance(p := c.cell.prop, Lemma)}
    return Finding(
        tuple(map(lemma_text, lemmas.values())),
        {
            (c.cell.transition.name, c.cell.prop.name): Rests(c.hypotheses, c.axioms, c.found_by)
            for c in cells
        },
        {r.property: run_text(r.trace) for r in violated if r.trace is not None},
        {r.property: (run_text(r.trace), r.solver) for r in shown if r.trace is not None},
    )


def _repeatable(trace: Trace) -> bool:
    """Booting what it starts in ends there: so it can be seen to be an initial state."""
    machine, start = trace.machine, trace.states[0]
    return machine.boot(boot_of(machine, start)) == start
