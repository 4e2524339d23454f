"""Checking a design: prove what can be proved for any size, search for what cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import monotonic
from typing import Any, Literal

from mapproof.model.language import solver
from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.unbounded import check_stratified

from .composed import Hints, hints_of_parts
from .cti import with_ctis
from .findings import Findings, question
from .finite import settle
from .induction import (
    LAST_EFFORT,
    Failure,
    Induction,
    Prover,
    Rechecker,
    induction,
)
from .inference import Inference
from .lemma import Lemma
from .pdr import ENGINE
from .recall import Stale, finding, recalled
from .results import SAT, Results
from .search import Searched, search
from .trace import Trace
from .verdict import Result, Verdict
from .walks import Walks
from .worker import Solvers

PATIENCE = 5.0  # seconds to look at a scope for what was seen at a smaller one
CTI_SECONDS = 10.0  # for all claims that are left
FIRST_DEPTH = 4  # what is not violated so soon goes to the finite-scope prover, then deeper

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How hard to try.

    depth: most steps of a bounded search (of a ``sometimes``: twice as many); scope: sizes by sort
    class, over those of the design; timeout: seconds for the proof as a whole, and for each search;
    lemmas: "given" means those of the design alone, "infer" none of them; otherwise what those of the
    design leave open is tried with inferred ones.  only: names of the properties to report, all if
    empty; certify: results of proofs have their certificates; thorough: what is left open goes to the
    prover for the scope as well; ctis: of what is not settled, a step that a proof does not get past is
    looked for; solvers: who is asked, the workers of this process if None; findings: what earlier
    checks found, if anything.
    """

    depth: int = 10
    scope: Mapping[Any, int] = field(default_factory=dict)
    timeout: float = 60.0
    lemmas: Literal["", "given", "infer"] = ""
    only: Sequence[str] = ()
    certify: bool = False
    thorough: bool = True
    ctis: bool = True
    solvers: Solvers | None = None
    findings: Findings | None = None


def check(
    design: Design[Any], options: Options = Options(), progress: Progress = lambda _: None
) -> list[Result]:
    """A result for every property of the design (or those of ``options.only``), in their order.

    Raises DesignError if the design is wrong, or has no property to check.
    """
    wanted = [design.property_named(n) for n in options.only] or list(design.properties)
    if not wanted:
        raise DesignError(
            f"{design.name} has no property to check: give Design(properties=[...]) one"
        )
    check_stratified(design.system())
    if options.lemmas == "infer":  # whatever the author wrote down is not even looked at
        same = design.system()
        design = design.but(name=design.name, lemmas=(), made_of=_unaided(design.made_of))
        design = design.running(same, name=design.name)
    key = _question(design, wanted, options)
    kept = options.findings if key else None
    if kept is not None and (known := kept.get(key)) is not None:
        with suppress(Stale), closing(Rechecker(options.timeout, options.solvers)) as rechecker:
            says = Results(design, rechecker, progress, certify=options.certify)
            return recalled(known, wanted, design.scope_at(options.scope), says)
    with closing(Rechecker(options.timeout, options.solvers)) as rechecker:
        results, proof = _Run(design, options, progress, rechecker).checked(wanted)
    if kept is not None and (found := finding(wanted, results, proof)) is not None:
        kept.put(key, found, proof)
    return [results[p.name] for p in wanted]


def _question(design: Design[Any], wanted: Sequence[Property[Any]], options: Options) -> str:
    """The name of what is found of the properties; empty where nothing is kept."""
    if options.findings is None:
        return ""
    try:
        scope = design.scope_at(options.scope)
        return question(design, wanted, scope, [options.depth, options.lemmas])
    except DesignError:  # no machine at the scope
        return ""


def unless_idle(result: Result, idle: Sequence[Result]) -> Result:
    """A proof at a scope counts only if the design was seen to do its job."""
    if result.verdict is not Verdict.PROVED_AT_SCOPE or not idle:
        return result
    names = ", ".join(r.property for r in idle)
    reason = f"it holds at the scope, but the design was not seen to do its job: {names}"
    reason = f"{reason}; {result.reason}"
    return result.but(verdict=Verdict.UNKNOWN, reason=reason, certificate=None)


def _unaided(designs: Sequence[Design[Any]]) -> list[Design[Any]]:
    return [d.but(name=d.name, lemmas=(), made_of=_unaided(d.made_of)) for d in designs]


class _Run:
    """One check of one design."""

    def __init__(
        self, design: Design[Any], options: Options, progress: Progress, rechecker: Rechecker
    ) -> None:
        self.design = design
        self.options = options
        self.progress = progress
        self.rechecker = rechecker
        self.results = Results(design, rechecker, progress, certify=options.certify)
        self.scope = design.scope_at(options.scope)
        self.inferred = Induction()
        self.hints = Hints()

    @cached_property
    def walks(self) -> Walks | None:
        """Random walks at the scope."""
        return _walks(self.design, self.scope)

    def checked(self, wanted: Sequence[Property[Any]]) -> tuple[dict[str, Result], Induction]:
        """Results by property, also of each ``sometimes``; and what proves the claims."""
        jobs = [p for p in self.design.properties if p.kind == "sometimes"]
        claims = [p for p in wanted if p.kind != "sometimes"]
        proof = self.proof(claims)
        results = self.searched([p for p in claims if p not in proof.proved], jobs, proof)
        idle = [
            r for r in results.values() if r.kind == "sometimes" and r.verdict is not Verdict.PROVED
        ]
        for prop in claims:
            if prop.name in results:
                results[prop.name] = unless_idle(results[prop.name], idle)
            else:
                found = proof if prop in proof.proved else self.inferred
                results[prop.name] = self.results.proved(prop, found, idle)
        if self.options.ctis:
            seconds = min(self.options.timeout, CTI_SECONDS)
            both = proof, self.inferred
            results |= with_ctis(self.design, results, both, seconds, self.progress)
        return results, proof.and_also(self.inferred)

    def proof(self, claims: Sequence[Property[Any]]) -> Induction:
        """What is inductive with the lemmas of the design; each proof is on its way to the second
        solver."""
        if claims and self.options.lemmas != "given":
            half = self.options.timeout / 2
            self.hints = hints_of_parts(self.design, self.prover_of, half, self.progress)
        helpers = self.helpers(claims)
        false = self.walks.refuted([*claims, *helpers]) if self.walks else {}
        standing = [p for p in claims if p.name not in false]
        if self.options.lemmas == "infer" and not self.design.made_of:
            waiting = Failure(None, "unknown", "no lemma of the design was read")
            proof = Induction(failures={p.name: waiting for p in standing})
        else:
            started = monotonic()
            helpers = [p for p in helpers if p.name not in false]
            found = self.rechecker.submit
            # Where nobody has written lemmas, what is not proved soon wants some.
            written = any(not isinstance(p, Lemma) for p in self.design.lemmas)
            written = written and not self.design.made_of
            last = LAST_EFFORT if written or self.options.lemmas == "given" else 0
            proof = induction(
                self.design, standing, helpers, self.prover, self.progress, found, last=last
            )
            proof.seconds = (monotonic() - started) / max(1, len(claims))
        for name, steps in false.items():
            why = f"it is false on a walk of {steps} steps"
            proof.failures[name] = Failure(None, "sat", why, steps)
        return proof

    def helpers(self, claims: Sequence[Property[Any]]) -> list[Property[Any]]:
        """Further invariants that may help to prove the claims."""
        others = [p for p in self.design.properties if p.kind == "always" and p not in claims]
        return [*others, *self.design.lemmas, *self.hints.lemmas]

    @property
    def prover(self) -> Prover:
        return self.prover_of(self.design).given(self.hints.likely)

    def prover_of(self, design: Design[Any]) -> Prover:
        return Prover(design.system(), self.options.timeout, self.options.solvers)

    def infer(
        self, claims: Sequence[Property[Any]], results: Mapping[str, Result], proof: Induction
    ) -> None:
        """Look for lemmas that prove what a short search has left open; ``inferred`` is what they
        prove, and what is still not inductive fails where it failed last."""
        if not claims or self.options.lemmas == "given":
            return
        started = monotonic()
        false = {r.property for r in results.values() if r.trace} | {
            name for name, failure in proof.failures.items() if failure.steps
        }
        helpers = [p for p in self.helpers(claims) if p.name not in false]
        self.inferred = self.inference(claims, helpers)
        self.inferred.seconds = (monotonic() - started) / len(claims)
        for claim in claims:
            if claim not in self.inferred.proved:
                failure = Failure(None, "unknown", "no lemmas were found that make it inductive")
                proof.failures[claim.name] = self.inferred.failures.get(claim.name, failure)

    def inference(
        self, claims: Sequence[Property[Any]], helpers: Sequence[Property[Any]]
    ) -> Induction:
        """What is proved with lemmas that are looked for in the whole design."""
        design, tell = self.design, self.progress
        try:
            inference = Inference(
                design,
                [*claims, *helpers],
                self.options.timeout / 2,
                lambda n: tell(f"{design.name}: {n} lemmas so far"),
            )
        except DesignError:  # no machine at such a scope
            return Induction()
        inference.settle()
        standing = [p for p in claims if p in inference.claims]
        helping = [p for p in helpers if p in inference.claims]
        submit = self.rechecker.submit
        return induction(design, standing, helping, self.prover, tell, submit, inference)

    def searched(
        self, claims: Sequence[Property[Any]], jobs: Sequence[Property[Any]], proof: Induction
    ) -> dict[str, Result]:
        """Claims that are not inductive: violated, or they hold to the depth that was searched.  And
        each ``sometimes``: proved by a run that shows it.  A short search comes first, then the prover
        for the scope, then, for what it does not settle in time, the search to the full depth."""
        depth = self.options.depth
        results: dict[str, Result] = {}
        todo: dict[Property[Any], int] = {}
        for job in jobs:
            trace = self.witness(job)
            if trace is None:
                todo[job] = 2 * depth
            else:
                shown = Searched(trace, len(trace.events), trace.machine.scope)
                results[job.name] = self.results.judged(job, shown, proof, 0.0)
        for claim in claims:  # a walk that refutes a claim says how deep to look
            todo[claim] = max(depth, proof.failures[claim.name].steps)
        results |= self.search({p: min(todo[p], FIRST_DEPTH) for p in todo}, proof)
        at_scope: dict[Property[Any], Result | None] = {}
        if self.design.made_of and self.options.thorough:
            # What does not follow from what proves the parts is likely to be false.
            for claim in claims:
                if results[claim.name].trace is None:
                    at_scope[claim] = found = self.settled(claim, results[claim.name], proof)
                    if found is not None and found.trace is not None:
                        results[claim.name] = found
        # No lemma proves what a walk has refuted.
        false = {name for name, failure in proof.failures.items() if failure.steps}
        open_ = [c for c in claims if results[c.name].trace is None and c.name not in false]
        self.infer(open_, results, proof)
        left: dict[Property[Any], int] = {}
        for prop, most in todo.items():
            if prop in self.inferred.proved:
                del results[prop.name]
                continue
            before = results[prop.name]
            if before.trace is None:
                settled = None
                if prop in at_scope:
                    settled = at_scope[prop]
                elif self.options.thorough or prop.kind == "sometimes":
                    settled = self.settled(prop, before, proof)
                if settled is None:
                    settled = self.elsewhere(prop, proof)
                if settled is not None:
                    results[prop.name] = settled
                elif before.verdict is Verdict.HOLDS_TO_DEPTH or before.kind == "sometimes":
                    left[prop] = most
        results |= self.search(left, proof)
        for job in jobs:
            if results[job.name].verdict is Verdict.UNKNOWN and self.impossible(job):
                why = "it can never happen: its negation is inductive"
                results[job.name] = results[job.name].but(verdict=Verdict.VACUOUS, reason=why)
        return results

    def settled(
        self, prop: Property[Any], before: Result, proof: Induction, timeout: float | None = None
    ) -> Result | None:
        """What a finite-scope prover makes of what a short search left open, if anything; in
        the time of the options where none is given."""
        started = monotonic()

        def told(frame: int, clauses: int) -> None:
            where = f"{self.design.name}::{prop.name} at {self.scope}"
            self.progress(f"{where}: frame {frame}, {clauses} clauses")

        timeout = self.options.timeout if timeout is None else timeout
        if prop in self.seen_elsewhere:
            timeout = min(timeout, PATIENCE)
        try:
            found = settle(self.design, prop, self.scope, timeout, self.rechecker.ask, told)
        except DesignError:  # no machine or no start at the scope: nothing can be said of it
            return None
        if found.trace is not None:
            return self.deeper(prop, found.trace, proof, started)
        if found.invariant is None:
            return None
        seconds = before.seconds + monotonic() - started
        if prop.kind == "sometimes":
            reason = f"it cannot happen at {self.scope}, at whatever depth"
            return before.but(reason=reason, depth=None, seconds=seconds)
        return self.results.base(
            prop,
            Verdict.PROVED_AT_SCOPE,
            scope=self.scope.names(),
            reason=f"not for any size: {proof.failures[prop.name].explanation}",
            solver=ENGINE,
            checked_by=(solver.version(),),
            certificate=self.results.certificate(prop, found.invariant),
            seconds=seconds,
        )

    def deeper(self, prop: Property[Any], trace: Trace, proof: Induction, started: float) -> Result:
        """A run that is longer than was searched; of a violation, a shortest one if time allows."""
        depth, note = len(trace.events), ""
        found = Searched(trace, depth, self.scope)
        if prop.kind != "sometimes":
            shortest = search(self.design, {prop: depth}, self.scope, self.options.timeout)
            found = shortest[prop.name]
            if found.trace is None:
                found = Searched(trace, depth, self.scope)
                note = "there may be a shorter run: the search for it reached the time limit"
        result = self.results.judged(prop, found, proof, monotonic() - started)
        return result.but(reason=note, solver=ENGINE if found.trace is trace else SAT)

    def impossible(self, job: Property[Any]) -> bool:
        """Both solvers prove that a ``sometimes`` never holds."""
        helpers = [*(p for p in self.design.properties if p.kind == "always"), *self.design.lemmas]
        found = self.rechecker.submit
        proof = induction(self.design, [job.never()], helpers, self.prover, self.progress, found)
        cells = proof.proofs.values()
        agreed = all(self.rechecker.answer(cell).answer == "unsat" for cell in cells)
        return agreed and any(p.name == job.never().name for p in proof.proved)

    def witness(self, job: Property[Any]) -> Trace | None:
        """A run that shows a ``sometimes``, if one is soon found without a solver.

        A job that keeps every element busy takes fewer steps on a smaller machine.
        """
        trace = self.walks.shown(job) if self.walks else None
        if trace is None and not self.options.scope and self.smaller:
            trace = self.smaller.shown(job)
        return trace

    @cached_property
    def smaller(self) -> Walks | None:
        """The same on a machine with one element less of each sort."""
        sizes = self.design.scope
        own = [s for s in self.scope if isinstance(sizes.get(s, 0), int)]
        less = {sort: max(1, self.scope[sort] - 1) for sort in own}
        return _walks(self.design, self.design.scope_at(less))

    @cached_property
    def seen_elsewhere(self) -> dict[Property[Any], Trace]:
        """Runs that show a ``sometimes`` at the design's own scope, where a larger one is asked for."""
        own = self.design.scope_at()
        if own == self.scope or any(self.scope[sort] < size for sort, size in own.items()):
            return {}
        run = _Run(self.design, replace(self.options, scope={}), self.progress, self.rechecker)
        jobs = (p for p in self.design.properties if p.kind == "sometimes")
        return {job: trace for job in jobs if (trace := run.witness(job)) is not None}

    def elsewhere(self, job: Property[Any], proof: Induction) -> Result | None:
        """What a smaller machine shows of a ``sometimes``, if anything."""
        trace = self.seen_elsewhere.get(job)
        if trace is None:
            return None
        found = Searched(trace, len(trace.events), trace.machine.scope)
        note = f"on a smaller machine, {found.scope}; at {self.scope} the search took too long"
        return self.results.judged(job, found, proof, 0.0).but(reason=note)

    def search(self, todo: Mapping[Property[Any], int], proof: Induction) -> dict[str, Result]:
        """The bounded search for some properties, each to its depth, as results."""
        if not todo:
            return {}
        started = monotonic()
        names = ", ".join(p.name for p in todo)
        tell = self.progress
        found = search(
            self.design,
            todo,
            self.scope,
            self.options.timeout,
            lambda k: tell(f"{self.design.name}, runs of {k} steps: {names}"),
        )
        seconds = (monotonic() - started) / len(todo)
        return {p.name: self.results.judged(p, found[p.name], proof, seconds) for p in todo}


def _walks(design: Design[Any], scope: Scope) -> Walks | None:
    try:
        return Walks(design, scope)
    except DesignError:  # no machine so small, or too many initial states: the solvers do without
        return None
