"""Re-checking certificates with solvers that did not find them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Any

from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.solver import Outcome

from .certificate import SOLVERS, Cell, Certificate, NotACertificate, Rejected
from .certificate_reader import read_certificate
from .certified_at_scope import AtScope
from .trace import REPLAY
from .trees import tree_text
from .worker import Pool, shared

Progress = Callable[[str], None]


class Standing(StrEnum):
    """What a check of a certificate establishes."""

    PROVED = "proved"
    """The claim holds in the system of the file, for any size: every cell is there and was solved
    again.  Of a ``sometimes``: the run of the file was replayed and shows it."""
    PROVED_AT_SCOPE = "proved-at-scope"
    """The claim holds in the system of the file at the scope of the file: as above."""
    REJECTED = "rejected"
    """The claim is not established: the file was changed, or a cell does not hold."""
    UNREADABLE = "unreadable"
    """It is not a certificate."""
    UNKNOWN = "unknown"
    """A solver reached a limit."""


@dataclass(frozen=True)
class Checked:
    """The outcome.

    bound: the certificate's system and claim are those of a design that was given; cells: how many
    were solved; trivial: how many were seen to need no solver.
    """

    standing: Standing
    reason: str = ""
    certificate: Certificate | None = None
    bound: bool = False
    checked_by: tuple[str, ...] = ()
    cells: int = 0
    trivial: int = 0
    seconds: float = 0.0


class Verifier:
    """Checks certificates, one after the other; a script that several have in common is solved once.

    solvers: who solves every cell; of none, each is solved by the one that did not find it.
    timeout: seconds for each certificate.
    """

    def __init__(
        self,
        solvers: Sequence[str] = (),
        timeout: float = 60.0,
        progress: Progress = lambda _: None,
        pool: Pool | None = None,
    ) -> None:
        self.solvers = tuple(solvers)
        self.timeout = timeout
        self.progress = progress
        self._pool = pool or shared()
        self._known: dict[tuple[str, str], Outcome] = {}

    def verify(
        self,
        content: bytes,
        design_for: Callable[[str], Design[Any] | None] = lambda _: None,
    ) -> Checked:
        """Check the content of a file; ``design_for`` finds the design of a name, if there is one
        that the certificate has to be about."""
        started = monotonic()
        try:
            certificate = read_certificate(content)
        except NotACertificate as error:
            return Checked(Standing.UNREADABLE, str(error), seconds=monotonic() - started)
        except Rejected as error:
            return Checked(Standing.REJECTED, str(error), seconds=monotonic() - started)
        return self._checked(certificate, design_for(certificate.design), started)

    def _checked(
        self, certificate: Certificate, design: Design[Any] | None, started: float
    ) -> Checked:
        bound = design is not None

        def checked(standing: Standing, reason: str = "", **more: Any) -> Checked:
            seconds = monotonic() - started
            return Checked(standing, reason, certificate, bound, seconds=seconds, **more)

        try:
            if design is not None:
                bind(certificate, design)
            cells = certificate.cells()
        except Rejected as error:
            return checked(Standing.REJECTED, str(error))
        used: dict[str, None] = {}
        for cell, solver, outcome in self._solved(cells, started + self.timeout):
            who, name = outcome.solver or solver, cell.name
            if outcome.answer == "sat":
                return checked(Standing.REJECTED, f"{name} does not hold: {who} has a model of it")
            if outcome.answer == "unknown":
                return checked(Standing.UNKNOWN, f"{who} gave up on {name} ({outcome.reason})")
            used[who] = None
        at_scope = isinstance(certificate, AtScope)
        return checked(
            Standing.PROVED_AT_SCOPE if at_scope else Standing.PROVED,
            checked_by=tuple(sorted(used)) or (REPLAY,),
            cells=len(cells),
            trivial=certificate.trivial,
        )

    def _solved(self, cells: Sequence[Cell], deadline: float) -> list[tuple[Cell, str, Outcome]]:
        """Each cell with each of its solvers and what that one says, up to the first doubt."""
        asked = [(c, s) for c in cells for s in self.solvers or (_other(c.found_by),)]
        todo = dict.fromkeys((s, c.script) for c, s in asked if (s, c.script) not in self._known)
        futures = {(s, t): self._pool.submit(s, t, deadline) for s, t in todo}
        found = []
        for cell, solver in asked:
            key = (solver, cell.script)
            self.progress(f"{cell.name} ({solver})")
            outcome = self._known[key] if key in self._known else futures[key].result()
            found.append((cell, solver, outcome))
            if outcome.answer == "unknown":
                self._pool.drop(futures.values())
                break
            self._known[key] = outcome
        return found


def bind(certificate: Certificate, design: Design[Any]) -> None:
    """Check that the certificate is about a property of the design.  Raises Rejected."""
    where = certificate.difference(design)
    if where:
        raise Rejected(f"its system is not that of the design {design.name}: {where} differs")
    claim = certificate.claim
    try:
        prop = design.property_named(claim.name)
    except DesignError:
        raise Rejected(f"{design.name} has no property {claim.name}") from None
    if (prop.kind, tree_text(prop.closed())) != (claim.kind, tree_text(claim.tree)):
        raise Rejected(f"its claim {claim.name} is not the property of that name of {design.name}")


def _other(found_by: str) -> str:
    """The solver that did not find something."""
    return next(s for s in SOLVERS if s != found_by.partition(" ")[0])
