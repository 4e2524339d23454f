"""Results: what the engines found of a property, in the words of :mod:`.verdict`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mapproof.model.language import solver
from mapproof.model.language.design import Design
from mapproof.model.language.property import Property

from .induction import Induction, Rechecker, other_solver
from .lemma import Lemma
from .pdr import Invariant
from .search import Searched
from .trace import REPLAY, Trace
from .verdict import Result, Verdict

if TYPE_CHECKING:
    from .certificate import Certificate

SAT = "glucose"


class Results:
    """Says what was found of the properties of one design.

    certify: results of proofs have their certificates.
    """

    def __init__(
        self,
        design: Design[Any],
        rechecker: Rechecker,
        progress: Callable[[str], None],
        *,
        certify: bool,
    ) -> None:
        self.design = design
        self.rechecker = rechecker
        self.progress = progress
        self.certify = certify

    def base(self, prop: Property[Any], verdict: Verdict, **fields: Any) -> Result:
        assumptions = tuple(a.name for a in self.design.assumptions)
        return Result(
            self.design.name, prop.name, prop.kind, verdict, assumptions=assumptions, **fields
        )

    def proved(self, prop: Property[Any], proof: Induction, idle: Sequence[Result]) -> Result:
        """Proved, unless the second solver doubts a cell or the design was not seen to do its job."""
        uses = proof.uses(prop.name)
        cells = [c for name in (prop.name, *uses) for c in proof.cells_of(name)]
        for cell in cells:
            self.progress(f"{cell.cell.name} (second solver)")
            answer = self.rechecker.answer(cell)
            if answer.answer != "unsat":
                other, name = other_solver(cell.found_by), cell.cell.name
                doubt = f"{other} gave up on {name} ({answer.reason})"
                if answer.answer == "sat":
                    doubt = f"{other} answers sat to {name}"
                reason = f"{doubt}, which {cell.found_by} proved"
                return self.base(prop, Verdict.UNKNOWN, reason=reason)
        if idle:
            names = ", ".join(r.property for r in idle)
            reason = f"inductive, but the design was not seen to do its job: {names}"
            return self.base(prop, Verdict.UNKNOWN, lemmas=uses, reason=reason)
        finders = sorted({c.found_by for c in cells}) or [solver.version()]
        others = sorted({self.rechecker.answer(c).solver for c in cells})
        return self.base(
            prop,
            Verdict.PROVED,
            lemmas=uses,
            solver=", ".join(finders),
            checked_by=tuple(others),
            certificate=self.certificate(prop, proof),
            inferred=tuple(p for p in proof.proved if isinstance(p, Lemma) and p.name in uses),
            seconds=proof.seconds,
        )

    def certificate(
        self, prop: Property[Any], shown_by: Induction | Invariant | Trace
    ) -> Certificate | None:
        """The certificate of what shows a property, if it is asked for."""
        if not self.certify:
            return None
        from .certified_any_size import certificate
        from .certified_at_scope import certificate_at_scope, certificate_of_run

        if isinstance(shown_by, Trace):
            return certificate_of_run(shown_by, prop)
        if isinstance(shown_by, Invariant):
            return certificate_at_scope(self.design, prop, shown_by, solver.version())
        return certificate(self.design, prop.name, shown_by)

    def judged(
        self, prop: Property[Any], found: Searched, proof: Induction, seconds: float
    ) -> Result:
        """What a bounded search establishes about one property."""
        witness = prop.kind == "sometimes"
        if found.trace is not None:
            verdict = Verdict.PROVED if witness else Verdict.VIOLATED
            result = self.bounded(prop, verdict, found, "", seconds)
            kept = self.certificate(prop, found.trace) if witness else None
            return result.but(
                trace=found.trace, replayed=True, checked_by=(REPLAY,), certificate=kept
            )
        why = found.reason
        if witness:
            why = why or f"not reached within {found.depth} steps"
            return self.bounded(prop, Verdict.UNKNOWN, found, why, seconds)
        unproved = f"not proved: {proof.failures[prop.name].explanation}"
        verdict = Verdict.UNKNOWN if why else Verdict.HOLDS_TO_DEPTH
        return self.bounded(
            prop, verdict, found, f"{why}; {unproved}" if why else unproved, seconds
        )

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
