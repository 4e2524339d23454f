"""Lemma inference: invariants that make claims inductive, found at a finite scope.

Two sources.  Short clauses over the design's own atoms that hold in every state that walks have
reached, and that are inductive together (Houdini).  And clauses made for a counterexample to induction:
the elements that the step touches stand in a relation there that never occurs in a reached state; the
fewest atoms that show it, negated and generalised to all elements, are a lemma, which has to be proved
in turn; one that cannot be is taken back.  Whether the lemmas hold for any size is left to the prover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from time import monotonic
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.bounded import Unrolling
from mapproof.model.language.concrete import Event, Machine, State
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.nodes import Node, negate
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

from .sat import CircuitSolver
from .vocabulary import atoms_of, instances, terms_of, variable
from .walks import reached

MOST_VARIABLES = 4
MOST_BASE_VARIABLES = 3
MOST_BASE = 1500
MOST_ATTEMPTS = 400
SAMPLES = 600


class Lemma(Property[Any]):
    """An inferred ``always``: a clause over all elements."""

    def __init__(self, clause: Node) -> None:
        self.kind = "always"
        self.name = "lemma"
        self.doc = self.module = ""
        self.parameters = ()
        self._bodies = {}
        self._closed = {}
        self.clause = clause

    def body(self, epoch: int = 0) -> Node:
        return self.closed(epoch)

    def closed(self, epoch: int = 0) -> Node:
        if epoch not in self._closed:
            at = nodes.rewrite_reads(self.clause, lambda k, _, keys: nodes.read(k, keys, epoch))
            variables = self.clause.variables
            names = tuple(str(v.data) for v in variables)
            self._closed[epoch] = nodes.quantify("forall", variables, names, at)
        return self._closed[epoch]


class _Step(Unrolling):
    """One step from an arbitrary state."""

    def __init__(self, system: System, scope: Scope) -> None:
        super().__init__(system, scope)
        self.bits: dict[int, list[int]] = {}
        cells = {place for _, _, place in self.layout.cells()}
        self.states = [self.arbitrary_state(self.bits, cells)]
        self.extend()
        self.old = self.reader(self.states[0])
        self.new = self.reader(self.states[0], self.states[1])

    def before(self, term: Node) -> int:
        return self.old(term, {})[0]

    def after(self, claim: Property[Any]) -> int:
        return self.new(claim.closed(0 if claim.kind == "step" else 1), {})[0]

    def start(self, true: Callable[[int], bool]) -> list[int]:
        values = [0] * self.layout.size
        for component, _, place in self.layout.cells():
            values[place] = self.number(self.bits[place], component.value, true)
        return values


@dataclass
class _Prefix:
    """The atoms over some variables, and which valuations of them occur in reached states."""

    atoms: list[Node]
    value_of: Callable[[State, tuple[int, ...]], int]
    seen: set[int]


class Inference:
    """The search for lemmas that prove one claim at a scope.

    ``known`` are invariants that are proved already.  Raises DesignError if the design has no machine,
    or too many initial states, at the scope.
    """

    def __init__(
        self,
        design: Design[Any],
        claim: Property[Any],
        known: Sequence[Property[Any]],
        scope: Scope,
        deadline: float,
    ) -> None:
        self.claim = claim
        self.scope = scope
        self.deadline = deadline
        self.system = design.system().sliced(claim.closed())
        parts = set(self.system.components)
        self.machine = Machine(self.system, scope)
        self.step = _Step(self.system, scope)
        self.solver = CircuitSolver(self.step.circuit)
        self.solver.require(self.step.enabled[0])
        known = [p for p in known if p.kind == "always" and nodes.components_of(p.closed()) <= parts]
        for fact in (*self.system.axioms, *(p.closed() for p in known)):
            self.solver.require(self.step.before(fact))
        if claim.kind == "always":
            self.solver.require(self.step.before(claim.closed()))
        self.atoms = atoms_of(self.system, [claim.closed(), *(p.closed() for p in known)])
        self.terms = terms_of(self.atoms)
        self.pool = reached(self.machine)
        self.samples = self.pool[:: max(1, len(self.pool) // SAMPLES)]
        self.prefixes: dict[tuple[Any, ...], _Prefix] = {}
        self.base: list[Lemma] = []
        self.lemmas: list[Lemma] = []

    # Short clauses that are inductive together.

    def _settle_base(self) -> None:
        """Find the short clauses that are inductive together, assuming the claim."""
        found: dict[Node, None] = {}
        for sorts in dict.fromkeys(self._sorts_of(a) for a in self.atoms):
            if len(sorts) <= MOST_BASE_VARIABLES:
                found |= dict.fromkeys(self._short_clauses(self.prefix(sorts)))
        lightest = sorted(found, key=lambda clause: (_weight(clause), repr(clause)))
        candidates = [Lemma(clause) for clause in lightest[:MOST_BASE]]
        candidates = [c for c in candidates if self._refuting(c) is None]
        step, circuit = self.step, self.step.circuit
        befores = {c: step.before(c.closed()) for c in candidates}
        afters = {c: step.after(c) for c in candidates}
        while candidates:
            bad = circuit.all([afters[c] for c in candidates]) ^ 1
            question = circuit.all([*(befores[c] for c in candidates), bad])
            if not self.solver.holds(question, self.deadline):
                break
            true = self.solver.model()
            state = self.machine.freeze(step.start(true))
            after = self.machine.fire(state, step.events(true)[0])
            assert after is not None
            candidates = [c for c in candidates if self.machine.evaluate(c.closed(), after)]
        self.base = candidates

    def _sorts_of(self, atom: Node) -> tuple[Any, ...]:
        return tuple(sorted((v.sort for v in atom.free), key=lambda s: str(s.__name__)))

    def _short_clauses(self, prefix: _Prefix) -> Iterator[Node]:
        seen = sorted(prefix.seen)
        everything = (1 << len(seen)) - 1
        columns = []  # for each literal: in which valuations it is false
        for i, atom in enumerate(prefix.atoms):
            true = sum(1 << n for n, v in enumerate(seen) if v >> i & 1)
            columns += [(atom, everything ^ true), (negate(atom), true)]
        units = {literal for literal, false in columns if not false}
        yield from units
        loose = [(literal, false) for literal, false in columns if false and false != everything]
        for (a, x), (b, y) in combinations(loose, 2):
            if not x & y and negate(a) != b:
                yield nodes.disj((a, b))

    # Clauses for counterexamples to induction.

    def run(self) -> list[Lemma]:
        """Lemmas that are inductive at the scope together with the claim; none if none were found.

        Raises TimeoutError at the deadline.
        """
        self._settle_base()
        banned: set[Node] = set()
        for _ in range(MOST_ATTEMPTS):
            found = self._next()
            if found is None:
                return [*self.lemmas, *self.base]
            target, state, event = found
            lemma = self._lemma(state, event, target, banned)
            if lemma is not None:
                self.lemmas.append(lemma)
            elif isinstance(target, Lemma):
                banned.add(target.clause)
                self.lemmas.remove(target)
            else:
                break
        return []

    def _next(self) -> tuple[Property[Any], State, Event] | None:
        """The claim or a lemma that one step breaks, with the state and the step."""
        step, circuit = self.step, self.step.circuit
        assumed = circuit.all(step.before(p.closed()) for p in (*self.base, *self.lemmas))
        for target in (self.claim, *self.lemmas):
            if self.solver.holds(circuit.and_(assumed, step.after(target) ^ 1), self.deadline):
                true = self.solver.model()
                return target, self.machine.freeze(step.start(true)), step.events(true)[0]
        return None

    def _lemma(
        self, state: State, event: Event, target: Property[Any], banned: set[Node]
    ) -> Lemma | None:
        after = self.machine.fire(state, event)
        assert after is not None
        elements: dict[tuple[Any, int], None] = {}
        for p, v in zip(event.transition.parameters, event.arguments, strict=True):
            elements[p.sort, v] = None
        for sort, v in self._witness(target, state, after):
            elements[sort, v] = None
        direct = list(elements)
        for term in self.terms:
            for choice in _choices(direct, [v.sort for v in term.variables]):
                env = dict(zip(term.variables, choice, strict=True))
                elements[term.sort, self.machine.evaluate(term, state, None, env)] = None
        pool = [e for e in elements if hasattr(e[0], "show")]
        size = 1
        while size <= MOST_VARIABLES:
            if monotonic() > self.deadline:
                raise TimeoutError("time limit")
            found = [
                clause
                for subset in combinations(pool, size)
                if (clause := self._clause(state, subset)) is not None and clause[1] not in banned
            ]
            if not found:
                size += 1
                continue
            lemma = Lemma(min(found, key=lambda c: (c[0], repr(c[1])))[1])
            refuting = self._refuting(lemma)
            if refuting is None:
                return lemma
            self._learn(refuting)
        return None

    def _refuting(self, lemma: Lemma) -> State | None:
        """A reached state in which a lemma is false."""
        term = lemma.closed()
        holds = self.machine.compiled([term], ())
        return next((state for state in self.pool if not holds(state)), None)

    def _learn(self, state: State) -> None:
        """Take account of one more reached state."""
        self.samples.append(state)
        for sorts, prefix in self.prefixes.items():
            prefix.seen.update(
                prefix.value_of(state, values) for values in self.scope.combinations(sorts)
            )

    def _witness(self, target: Property[Any], old: State, new: State) -> Iterator[tuple[Any, int]]:
        closed = target.closed(0 if target.kind == "step" else 1)
        body, bound = (closed.args[0], closed.data) if closed.op == "forall" else (closed, ())
        for values in self.scope.combinations(v.sort for v in bound):
            env = dict(zip(bound, values, strict=True))
            if not self.machine.evaluate(body, old, new, env):
                yield from ((v.sort, value) for v, value in env.items())
                return

    def _clause(self, state: State, subset: Sequence[tuple[Any, int]]) -> tuple[int, Node] | None:
        ordered = sorted(subset, key=lambda e: str(e[0].__name__))
        prefix = self.prefix(tuple(e[0] for e in ordered))
        here = prefix.value_of(state, tuple(e[1] for e in ordered))
        if not prefix.atoms or here in prefix.seen:
            return None
        weights = [_weight(a) for a in prefix.atoms]
        chosen = _hitting_set([v ^ here for v in prefix.seen], weights)
        if chosen is None:
            return None
        literals = [
            negate(a) if here >> i & 1 else a for i, a in enumerate(prefix.atoms) if i in chosen
        ]
        return sum(weights[i] for i in chosen), nodes.disj(literals)

    def prefix(self, sorts: tuple[Any, ...]) -> _Prefix:
        """The atoms over variables of these sorts (in order of their names)."""
        if sorts not in self.prefixes:
            atoms = instances(self.atoms, sorts)
            count: dict[Any, int] = {}
            variables = []
            for s in sorts:
                variables.append(variable(s, count.get(s, 0)))
                count[s] = count.get(s, 0) + 1
            function = self.machine.compiled(atoms, variables)

            def value_of(state: State, values: tuple[int, ...]) -> int:
                return int(function(state, *values))

            seen = {
                value_of(state, values)
                for values in self.scope.combinations(sorts)
                for state in self.samples
            }
            self.prefixes[sorts] = _Prefix(atoms, value_of, seen)
        return self.prefixes[sorts]


def _choices(elements: list[tuple[Any, int]], sorts: list[Any]) -> Iterator[tuple[int, ...]]:
    if not sorts:
        yield ()
        return
    for sort, value in elements:
        if sort is sorts[0]:
            for rest in _choices(elements, sorts[1:]):
                yield (value, *rest)


def _weight(atom: Node) -> int:
    return 4 + sum(1 for _ in nodes.nodes_of(atom))


def _hitting_set(masks: list[int], weights: list[int]) -> set[int] | None:
    """A light set of positions that meets every mask: greedy, then without what it can spare."""
    left = masks
    chosen: list[int] = []
    while left:
        gain = [0] * len(weights)
        for mask in left:
            while mask:
                low = mask & -mask
                gain[low.bit_length() - 1] += 1
                mask ^= low
        best = max(range(len(weights)), key=lambda i: gain[i] / weights[i])
        if not gain[best]:
            return None
        chosen.append(best)
        left = [m for m in left if not m >> best & 1]
    for i in list(chosen):
        rest = sum(1 << j for j in chosen if j != i)
        if all(m & rest for m in masks):
            chosen.remove(i)
    return set(chosen)


def infer(
    design: Design[Any],
    claim: Property[Any],
    known: Sequence[Property[Any]],
    sizes: Mapping[Any, int],
    deadline: float,
) -> list[Lemma]:
    """Lemmas that may prove a claim: inductive with it at a scope with room for two of each sort.

    None were found, or not in time, if the list is empty.
    """
    own = {s: n for s, n in design.scope_at(sizes).items() if isinstance(design.scope.get(s, 0), int)}
    try:
        scope = design.scope_at({sort: max(2, n) for sort, n in own.items()} | dict(sizes))
        return Inference(design, claim, known, scope, deadline).run()
    except (DesignError, TimeoutError):
        return []
