"""Counterexamples to induction, as small as they are found within a few seconds.

A claim that no lemmas prove is broken by a step from some state that nothing known excludes.  The
smallest such step says what a proof lacks.  It is no bug: nothing says that the state can be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from mapproof.model.language.bounded import Value
from mapproof.model.language.circuit import FALSE, TRUE
from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.latches import Sequential
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

from .inference import scope_for
from .samples import uninterpreted
from .sat import CircuitSolver
from .trace import Change, Trace, differences, find_witness

if TYPE_CHECKING:
    from .induction import Induction
    from .verdict import Result

Claim = Property[Any]


@dataclass(frozen=True)
class Cti:
    """One step, after which a claim fails, from a state in which every known invariant holds.

    start: the initial state that is most like the state before the step.
    """

    start: State
    trace: Trace

    @property
    def before(self) -> list[Change]:
        """The entries in which the state before the step differs from the initial one."""
        return differences(self.trace.machine, self.start, self.trace.states[0])


def with_ctis(
    design: Design[Any],
    results: Mapping[str, Result],
    proofs: Sequence[Induction],
    seconds: float,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Result]:
    """The results of claims that are neither proved nor violated, with CTIs.

    What is proved counts as known, and so do all other properties that were not refuted.
    """
    deadline = monotonic() + seconds
    proved = [p for proof in proofs for p in _proved(design, proof)]
    claims = {p.name: p for p in design.properties if p.kind != "sometimes" and p not in proved}
    left = [n for n, r in results.items() if n in claims and r.trace is None]
    wrong = {n for proof in proofs for n, failure in proof.failures.items() if failure.steps}
    wrong |= {n for n, r in results.items() if r.trace is not None}
    known = [*proved, *(p for n, p in claims.items() if n not in wrong)]
    known = [p for p in known if p.kind == "always"]
    found: dict[str, Result] = {}
    for number, name in enumerate(left):
        progress(f"{design.name}: a step that breaks {name}")
        share = (deadline - monotonic()) / (len(left) - number)
        found[name] = results[name].but(cti=smallest(design, claims[name], known, share))
    return found


def _proved(design: Design[Any], proof: Induction) -> list[Claim]:
    """The properties that are proved, and the lemmas of their proofs."""
    properties = [p for p in proof.proved if p in design.properties]
    used = {name for p in properties for name in (p.name, *proof.uses(p.name))}
    return [p for p in proof.proved if p.name in used]


def smallest(
    design: Design[Any], claim: Claim, known: Sequence[Claim], seconds: float
) -> Cti | None:
    """A step that breaks the claim although the known invariants hold before it, on as small a
    machine as there is one on; None if none is found in time.

    Rigid maps are as the design gives them, if the claim can be broken so.
    """
    question = _Question(design, claim, known, monotonic() + seconds)
    scope = scope_for(design)
    system = design.system()
    try:
        found = question.at(system, scope) or question.at(uninterpreted(system), scope)
    except TimeoutError:
        return None
    return None if found is None else question.shrunk(found).cti(design)


@dataclass(frozen=True)
class _Question:
    design: Design[Any]
    claim: Claim
    known: Sequence[Claim]
    deadline: float

    def at(self, system: System, sizes: Mapping[type, int]) -> _Search | None:
        """The search at a scope, if there is such a step.  Raises TimeoutError."""
        try:
            scope = self.design.scope_at(sizes)
            return _Search(system, scope, self.claim, self.known, self.deadline).found()
        except DesignError:  # no machine at that scope
            return None

    def shrunk(self, found: _Search) -> _Search:
        """With fewer elements, then with fewer entries that differ from an initial state."""
        own = [s for s in found.scope if isinstance(self.design.scope.get(s, 0), int)]
        sizes = {sort: found.scope[sort] for sort in own}
        todo = own
        try:
            while todo:
                sort, *todo = todo
                smaller = sizes | {sort: sizes[sort] - 1}
                less = self.at(found.system, smaller)
                if less is not None:
                    sizes, found, todo = smaller, less, own
        except TimeoutError:
            pass
        found.shrink()
        return found


class _Search:
    """The search at one scope."""

    def __init__(
        self, system: System, scope: Scope, claim: Claim, known: Sequence[Claim], deadline: float
    ) -> None:
        self.system, self.scope = system, scope
        self._claim, self._deadline = claim, deadline
        self._machine = Machine(system, scope)
        self._sequential = s = Sequential(system, scope)
        self._solver = CircuitSolver(s.circuit)
        read, after = s.reader(s.state), s.reader(s.state, s.after)
        for fact in (s.facts, s.enabled, s.possible, *(read(k.closed(), {})[0] for k in known)):
            self._solver.require(fact)
        self._solver.require(after(claim.closed(1), {})[0] ^ 1)
        self._model: Callable[[int], bool] = bool

    def found(self) -> _Search | None:
        """This, if there is such a step."""
        if not self._solver.holds(TRUE, self._deadline):
            return None
        self._model = self._solver.model()
        return self

    def shrink(self) -> None:
        """Make the entries that differ from the initial state as few as possible."""
        more_than = self._more_than(self._differing())
        try:
            while (now := self._differing()) and self._solver.holds(
                more_than[now - 1] ^ 1, self._deadline
            ):
                self._model = self._solver.model()
        except TimeoutError:
            pass

    def _more_than(self, most: int) -> list[int]:
        """For each number below ``most``: that more entries differ."""
        circuit = self._sequential.circuit
        more = [FALSE] * most
        for place in self._sequential.places:
            differs = self._same(place.now, place.first) ^ 1
            below = [TRUE, *more]
            more = [circuit.or_(more[i], circuit.and_(below[i], differs)) for i in range(most)]
        return more

    def _same(self, a: Value, b: Value) -> int:
        circuit = self._sequential.circuit
        return circuit.all(circuit.equal(x, y) for x, y in zip(a, b, strict=True))

    def _differing(self) -> int:
        return sum(a != b for a, b in zip(self._start(), self._before(), strict=True))

    # The model as values.

    def _before(self) -> State:
        s = self._sequential
        return self._machine.freeze(
            [s.number(list(p.bits), p.component.value, self._model) for p in s.places]
        )

    def _start(self) -> State:
        s = self._sequential
        start = self._machine.boot(s.start_values(s.first_bits, self._model))
        assert start is not None
        return start

    def cti(self, design: Design[Any]) -> Cti | None:
        """The step, run concretely; None if it begins in an initial state, which is no CTI."""
        machine, before, start = self._machine, self._before(), self._start()
        event = self._sequential.event(self._sequential.step, self._model)
        after = machine.fire(before, event)
        if after is None or before == start:
            return None
        states = (before, after)
        witness = find_witness(machine, self._claim, states)
        if witness is None:
            return None
        return Cti(start, Trace(design, machine, (event,), states, witness))
