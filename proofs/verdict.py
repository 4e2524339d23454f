"""What may be said of a claim, and the value that says it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

from .lemma import Lemma
from .trace import Trace

if TYPE_CHECKING:
    from .certificate import Certificate
    from .cti import Cti


class Verdict(StrEnum):
    """The words of the command line; each is said only on the condition beside it."""

    PROVED = "proved"
    """Every obligation is unsat for any size, a second solver agrees, the design does its job."""
    PROVED_AT_SCOPE = "proved-at-scope"
    """As above for the named finite scope."""
    HOLDS_TO_DEPTH = "holds-to-depth"
    """No counterexample of at most so many steps at the named scope."""
    VIOLATED = "violated"
    """A run from the initial state was replayed concretely and ends in a violation."""
    VACUOUS = "vacuous"
    """What the design should sometimes do can never happen."""
    UNKNOWN = "unknown"
    """A limit was reached; the reason is given."""


@dataclass(frozen=True)
class Result:
    """What was established about one property of one design.

    depth: length of the trace, or the depth that was searched; None where it has no meaning.
    lemmas: names of the invariants that the proof uses besides the property itself.
    inferred: those of them that nobody has written down.
    checked_by: solvers (with version) that confirmed the verdict besides the one that found it.
    cti: of a claim that is neither proved nor violated, a step that no known invariant rules out.
    certificate: the proof, where it was asked for; certificate_file: where it was written.
    reason: why nothing more could be said; also the operation at which an induction fails.
    """

    design: str
    property: str
    kind: str
    verdict: Verdict
    scope: dict[str, int] | None = None
    depth: int | None = None
    trace: Trace | None = None
    replayed: bool = False
    cti: Cti | None = None
    lemmas: tuple[str, ...] = ()
    inferred: tuple[Lemma, ...] = ()
    assumptions: tuple[str, ...] = ()
    checked_by: tuple[str, ...] = ()
    solver: str = ""
    reason: str = ""
    seconds: float = 0.0
    certificate: Certificate | None = None
    certificate_file: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> NoReturn:
        raise TypeError("a result is not a truth value: compare result.verdict with a Verdict")

    def shown(self) -> Trace | None:
        """What there is to look at: the trace, or else the step of the CTI."""
        return self.trace if self.trace is not None or self.cti is None else self.cti.trace

    def but(self, **changes: Any) -> Result:
        """The same result with other fields."""
        return replace(self, **changes)
