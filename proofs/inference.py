"""Lemma inference: invariants that make claims inductive.

A step that breaks a claim, from a state that nothing excludes yet, says itself what is missing: the
guard of the step and what the step leaves of the claim are literals that no reachable state has
together, or the claim is false.  As few of them as no reached state has together either, about terms
as general, are, negated and for all elements, a lemma; it has to be proved in turn.  A lemma that turns
out to be too strong is taken back; the run that shows it is one more reached state.

Such steps are found at a finite scope.  Whether the lemmas hold for any size is for the prover to
say; where it fails, the scope is asked once more, with every interpretation of the rigid maps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.concrete import Event, Machine, State
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.latches import Sequential
from mapproof.model.language.layout import Layout
from mapproof.model.language.nodes import Node, negate
from mapproof.model.language.operation import Transition
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.unbounded import after

from .deadline import Deadline
from .generalise import Generaliser, NothingToSay
from .implicants import Implicant
from .lemma import Lemma
from .obligations import Obligation
from .samples import Samples, uninterpreted
from .sat import GateSolver
from .search import sliced_for

Claim = Property[Any]
MOST_LEMMAS = 400
MOST_GIVEN_UP = 12  # that hold at the scope but are not proved: more of them will not be either
MOST_CONFLICTS = 4_000  # of the SAT solver, over a cell that could not be met for any size
MOST_CELLS = 400  # map entries of the machine that samples are taken from
MOST_GROWTH = 6  # steps by which a scope gets roomier


@dataclass(frozen=True)
class Broken:
    """A step that breaks a claim, from a state that no known invariant excludes: a counterexample
    to induction.  Nothing says that the state can be reached."""

    claim: Claim
    machine: Machine
    state: State
    event: Event


class Inference:
    """The search for lemmas that make some claims inductive together.

    ``claims`` are those that stand, ``lemmas`` what was found for them; ``progress`` is told their
    number.  Raises DesignError if the design has no machine, or cannot start, at the scope.
    """

    def __init__(
        self,
        design: Design[Any],
        claims: Sequence[Claim],
        timeout: float,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        scope = scope_for(design)
        self.progress = progress
        self.claims = list(claims)
        self.lemmas: list[Lemma] = []
        self.deadline = Deadline(timeout)
        system = sliced_for(design.system(), claims)
        machine = Machine(uninterpreted(system), scope)
        self.samples = Samples(system, roomier_than(scope, design))
        if not self.samples.states:
            raise DesignError(f"the design has no initial state at scope {scope}")
        self._machine = machine
        self._steps = Steps(system, machine, self.deadline)
        self._generaliser = Generaliser(design.name, system, self.samples, self.deadline)
        self._settled: dict[Claim, frozenset[Claim]] = {}
        self._given_up = 0
        self._no_more = False
        self._goals: dict[tuple[Node, Transition], Node] = {}
        taken = {p.name for p in (*design.properties, *design.lemmas, *claims)}
        self._names = (n for i in count(1) if (n := f"lemma_{i}") not in taken)

    @property
    def invariants(self) -> list[Claim]:
        """What is assumed of the state before a step."""
        return [*(c for c in self.claims if c.kind == "always"), *self.lemmas]

    def settle(self) -> None:
        """Find lemmas until every claim and every lemma is inductive at the scope.

        Claims that turn out to be false, those for which no lemma can be found, and those that are
        not settled at the deadline, fall out, with the lemmas that are not settled.
        """
        try:
            while (target := next(self._open(), None)) is not None:
                found = self._steps.broken(target, self.invariants)
                if isinstance(found, Broken):
                    self._exclude(found)
                else:
                    self._settled[target] = found
        except TimeoutError:
            while gone := set(self._open()):
                self._drop(gone)

    def _open(self) -> Iterator[Claim]:
        """What is not known to be inductive: the latest lemma first, since it may be wrong."""
        return (t for t in (*reversed(self.lemmas), *self.claims) if t not in self._settled)

    def mend(self, cell: Obligation) -> bool:
        """Look again for what a cell needs that could not be met, whatever the interpretation of
        rigid maps; False if there is nothing to be found."""
        mended = False
        for steps in self._wider:
            while self._lacks(cell, steps):
                mended = True
                self.settle()
            if mended:
                break
        return mended

    def enough(self, cell: Obligation) -> list[Claim]:
        """Invariants from which a cell follows at the scope, if no step breaks it there."""
        target = self._named(cell.prop.name)
        if target is None or cell.transition.name not in self._any.transitions:
            return []
        try:
            found = self._any.broken(target, self.invariants, cell.transition, MOST_CONFLICTS)
        except TimeoutError:
            return []
        return [] if isinstance(found, Broken) else [p for p in self.invariants if p in found]

    def _named(self, name: str) -> Claim | None:
        return next((t for t in (*self.claims, *self.lemmas) if t.name == name), None)

    def _lacks(self, cell: Obligation, steps: Steps) -> bool:
        """Whether there was a step that breaks a cell, from a state that nothing excluded till now."""
        target = self._named(cell.prop.name)
        if target is None or cell.transition.name not in steps.transitions:
            return False
        try:
            found = steps.broken(target, self.invariants, cell.transition, MOST_CONFLICTS)
            if isinstance(found, Broken):
                self._exclude(found)
                return True
        except TimeoutError:
            pass
        return False

    @property
    def _wider(self) -> Iterator[Steps]:
        """Steps of the system with every interpretation of rigid maps, then on a roomier machine."""
        yield self._any
        yield self._roomier

    @cached_property
    def _any(self) -> Steps:
        return Steps(self._machine.system, self._machine, self.deadline)

    @cached_property
    def _roomier(self) -> Steps:
        machine = self.samples.machine
        return Steps(machine.system, machine, self.deadline)

    def give_up(self, name: str) -> None:
        """Do without a claim, or without a lemma, that cannot be proved for any size."""
        self._drop({t for t in (*self.claims, *self.lemmas) if t.name == name})
        self._given_up += 1
        if self._given_up > MOST_GIVEN_UP:
            self._no_more = True
        self.settle()

    def _drop(self, gone: set[Claim]) -> None:
        """Do without claims and lemmas; what rests on them is open again."""
        for lemma in self.lemmas:
            if lemma in gone:
                self._generaliser.ban(lemma)
        self.claims = [c for c in self.claims if c not in gone]
        self.lemmas = [x for x in self.lemmas if x not in gone]
        self._settled = {
            t: core for t, core in self._settled.items() if t not in gone and not core & gone
        }

    # One step that has to be excluded.

    def _exclude(self, found: Broken) -> None:
        """Add a lemma that excludes the state, or learn that it is too much to ask."""
        if len(self.lemmas) > MOST_LEMMAS or self._no_more or self.deadline.passed:
            raise TimeoutError("no end of lemmas")
        cause = self._cause(found)
        literals = list(cause.literals)
        seen = self.samples.occurrence(literals)
        if seen is not None:
            self._reach(found, *seen)
            return
        try:
            clause = self._generaliser.clause(cause.needed, cause.described)
        except NothingToSay:
            self._drop({found.claim})
            return
        lemma = Lemma(clause, next(self._names))
        if any(lemma.clause == x.clause for x in self.lemmas):
            self._drop({found.claim})
        else:
            self.lemmas.append(lemma)
            self.progress(len(self.lemmas))

    def _reach(self, found: Broken, state: State, values: dict[Node, int]) -> None:
        """A reached state has what makes the step break the claim: the claim is false."""
        parameters = found.event.transition.parameters
        arguments = tuple(values.get(p.variable, 0) for p in parameters)
        machine = self.samples.machine
        after = machine.fire(state, Event(found.event.transition, arguments))
        gone = {found.claim}  # whatever the run shows: nothing can be said that excludes the step
        if after is not None:
            self.samples.follow(after)
            for t in self.claims:
                old = state if t.kind == "step" else after
                if not machine.evaluate(t.closed(), old, after):
                    gone.add(t)
            gone |= {x for x in self.lemmas if self.samples.refutes(x.clause)}
        self._drop(gone)

    def _cause(self, found: Broken) -> Implicant:
        """Literals that make the step possible and break the claim."""
        transition = found.event.transition
        key = found.claim.closed(1), transition
        if key not in self._goals:
            self._goals[key] = after(key[0], transition)
        parameters = (p.variable for p in transition.parameters)
        values = dict(zip(parameters, found.event.arguments, strict=True))
        cause = Implicant(found.machine, found.state, values)
        cause.require(transition.when)
        cause.require(negate(self._goals[key]))
        if found.claim.kind == "always":
            cause.recall(found.claim.closed())
        cause.instantiate()
        cause.describe()
        return cause


class Steps:
    """One step from an arbitrary state at a finite scope, as a question to a SAT solver.

    The machine is of the system without interpretations: states have a place for every map.
    """

    def __init__(self, system: System, machine: Machine, deadline: Deadline) -> None:
        self._machine = machine
        self.transitions = [t.name for t in system.transitions]
        self._sequential = sequential = Sequential(system, machine.scope)
        self._sat = GateSolver(sequential.circuit, lambda: deadline.passed)
        self._now = sequential.reader(sequential.state)
        self._after = sequential.reader(sequential.state, sequential.after)
        for fact in (sequential.facts, sequential.enabled):
            self._sat.add([self._sat.lit(fact)])

    def broken(
        self,
        target: Claim,
        known: Sequence[Claim],
        transition: Transition | None = None,
        conflicts: int = 0,
    ) -> Broken | frozenset[Claim]:
        """A step (of one transition) that breaks the target from a state in which known invariants
        hold; or those of them that exclude every such step."""
        sat, sequential = self._sat, self._sequential
        assumed = {sat.lit(self._now(k.closed(), {})[0]): k for k in known}
        bad = self._after(target.closed(1), {})[0] ^ 1
        chosen = [] if transition is None else self._chosen(transition)
        if not sat.solve([*assumed, sat.lit(bad), *chosen], conflicts):
            core = sat.core()
            return frozenset(k for literal, k in assumed.items() if literal in core)
        true = sat.model()
        return Broken(
            target, self._machine, self._state(true), sequential.event(sequential.step, true)
        )

    def _chosen(self, transition: Transition) -> list[int]:
        """Assumptions that make it this transition that is chosen."""
        number = self.transitions.index(transition.name)
        bits = self._sequential.step.which
        return [self._sat.lit(b ^ 1 ^ (number >> k & 1)) for k, b in enumerate(bits)]

    def _state(self, true: Callable[[int], bool]) -> State:
        sequential, layout = self._sequential, self._sequential.layout
        values = []
        for component, key, _ in self._machine.layout.cells():
            at = layout.position(component, key)
            if component in layout.table:
                values.append(layout.table[component][at])
            else:
                bits = sequential.bits[layout.offset[component] + at]
                values.append(sequential.number(bits, component.value, true))
        return self._machine.freeze(values)


def roomier_than(scope: Scope, design: Design[Any]) -> Scope:
    """A scope with more elements: of what is handed out so many that it is not used up soon."""
    system = design.system()
    sizes = {s: scope[s] for s in scope if isinstance(design.scope.get(s, 0), int)}
    for sort, size in list(sizes.items()):
        more = sizes | {sort: size + (3 if _handed_out(sort, system) else 1)}
        try:
            room = design.scope_at(more)
            if Layout(system, room).size <= MOST_CELLS:
                sizes = more
        except DesignError:  # no machine of that size
            pass
    follows = design.scope_at(sizes)  # of other sorts never fewer than before
    least = {s: scope[s] for s in scope if s not in sizes and scope[s] > follows[s]}
    return design.scope_at(sizes | least)


def _handed_out(sort: Any, system: System) -> bool:
    """Maps lead to its elements, and from them to nothing but flags that may change."""
    of_it = [c for c in system.components if sort in c.keys]
    return all(nodes.is_finite(c.value) and not c.rigid for c in of_it)


def scope_for(design: Design[Any]) -> Scope:
    """A scope with at least two elements of every sort, and of every kind that the design's
    interpretations of rigid maps make of it, as far as that is possible; and one more than is needed
    of a sort whose size follows from others."""
    system = design.system()
    whole = design.scope_at()
    sizes = {s: max(2, whole[s]) for s in whole if isinstance(design.scope.get(s, 0), int)}

    def lonely(sizes: Mapping[Any, int]) -> int:
        """How many kinds have one element only; without end if there is no such machine."""
        try:
            layout = Layout(system, design.scope_at(sizes))
        except DesignError:
            return 1 << 30
        kinds: dict[Any, list[tuple[int, ...]]] = {
            sort: [()] * layout.scope[sort] for sort in sizes
        }
        for c, table in layout.table.items():
            if len(c.keys) == 1 and c.keys[0] in kinds and nodes.is_finite(c.value):
                kinds[c.keys[0]] = [(*k, v) for k, v in zip(kinds[c.keys[0]], table, strict=True)]
        return sum(n == 1 for found in kinds.values() for n in Counter(found).values())

    for _ in range(MOST_GROWTH):
        wider = [sizes | {s: n + k} for k in (1, 2) for s, n in sizes.items()]
        best = min(wider, key=lonely, default=sizes)
        if lonely(best) >= lonely(sizes):
            break
        sizes = best
    for sort in whole:
        if sort not in sizes:
            more = sizes | {sort: design.scope_at(sizes)[sort] + 1}
            if lonely(more) < 1 << 30:
                sizes = more
    return design.scope_at(sizes)
