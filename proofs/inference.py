"""Lemma inference: invariants that make claims inductive, found at a finite scope.

A claim that one step breaks, from a state that nothing excludes yet, says itself what is missing: the
guard of the step and what the step leaves of the claim are literals that no reachable state has
together, or the claim is false.  A few of them that no reached state has together either are, negated
and for all elements, a lemma, which has to be proved in turn.  Where a lemma turns out to be too strong,
the run that shows it is one more reached state, and the lemma is taken back.  Whether the lemmas
hold for any size is left to the prover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from time import monotonic
from typing import Any

from pysat.solvers import Glucose4

from mapproof.model.language import nodes
from mapproof.model.language.bounded import Stepper
from mapproof.model.language.circuit import dimacs
from mapproof.model.language.concrete import Event, Machine, State
from mapproof.model.language.design import Design, System
from mapproof.model.language.latches import Sequential
from mapproof.model.language.nodes import Node, negate
from mapproof.model.language.operation import Transition
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.terms import Enumeration
from mapproof.model.language.unbounded import Scripts, after

from .implicants import Implicant
from .obligations import Obligation
from .pdr import _Sat
from .samples import Samples
from .walks import reached
from .worker import NOW, shared

ORDERS = 4  # ways in which literals of a counterexample are dropped
DEBUG = False


class Lemma(Property[Any]):
    """An inferred ``always``: a clause over all elements."""

    def __init__(self, clause: Node, name: str = "lemma") -> None:
        self.kind = "always"
        self.name = name
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


@dataclass(frozen=True)
class Broken:
    """A step that breaks a claim: from a state that no known invariant excludes."""

    claim: Property[Any]
    state: State
    event: Event


class FalseClaim(Exception):
    """A claim is violated by a reachable state."""


class Inference:
    def __init__(self, system: System, scope: Scope, claims: Sequence[Property[Any]], deadline: float) -> None:
        self.system = system
        self.claims = list(claims)
        self.deadline = deadline
        free = tuple(replace(c, given=None, local=False) for c in system.components)
        self.scope = scope
        self.stats: dict[str, float] = {}
        self.machine = Machine(replace(system, components=free), scope)
        self.sequential = Sequential(system, scope)
        self.sat = _Sat(self.sequential.circuit, deadline)
        self.starts = _Sat(self.sequential.circuit, deadline)
        sq = self.sequential
        self.read_now = sq.reader(sq.state)
        self.read_after = sq.reader(sq.state, sq.after)
        self.read_first = sq.reader(sq.first)
        self.samples = Samples(self.machine, [])
        pool = list(self._pool())
        self.stats["pool"] = len(pool)
        self.pool = pool[:: max(1, len(pool) // 1500)]
        self.samples.states = self.pool[:: max(1, len(self.pool) // 60)]
        self.lemmas: list[Lemma] = []
        self.passed: dict[Property[Any], frozenset[Property[Any]]] = {}
        self._goals: dict[tuple[Node, Transition], Node] = {}
        self._now: dict[Node, int] = {}
        self.sat.add([self.sat.lit(sq.facts)])
        self.sat.add([self.sat.lit(sq.enabled)])
        self.starts.add([self.starts.lit(sq.possible)])
        self.count = 0
        self._fresh = count()
        self._started: dict[Node, bool] = {}
        self._scripts = Scripts()

    def _pool(self) -> Iterator[State]:
        random = Random(0)
        for start in self._interpretations(random):
            yield start
            for _ in range(3):
                state = start
                for _ in range(40):
                    following = list(self.machine.successor_states(state))
                    if not following:
                        break
                    state = random.choice(following)
                    yield state

    def _interpretations(self, random: Random) -> Iterator[State]:
        """Initial states: with the given interpretation of rigid maps, and with others."""
        stepper = Stepper(self.machine.system, self.scope)
        first, possible, bits = stepper.start()
        sat = Glucose4()
        done: set[int] = set()
        if possible > 1:
            sat.append_formula(stepper.circuit.clauses([possible], done))
        given = {}
        table = self.sequential.layout.table
        for component, key, place in self.machine.layout.cells():
            if component in table and place in bits:
                value = table[component][self.machine.layout.position(component, key)]
                given[place] = value
        assumed = []
        for place, value in given.items():
            for k, b in enumerate(bits[place]):
                stepper.circuit  # inputs
                assumed.append(dimacs(b ^ 1 ^ (value >> k & 1)))
        inputs = [b for each in bits.values() for b in each]
        for i in range(40):
            sat.set_phases([dimacs(b ^ random.getrandbits(1)) for b in inputs])
            goal = [dimacs(possible)] if possible > 1 else []
            if not sat.solve(assumptions=goal + (assumed if i < 10 else [])):
                continue
            true = {v for v in sat.get_model() or () if v > 0}
            loose = {b >> 1 for b in inputs} - done
            true |= {g for g in loose if random.getrandbits(1)}
            values = stepper.start_values(bits, lambda x: x >> 1 in true)
            if i < 10:
                values |= given
            state = self.machine.boot(values)
            assert state is not None
            yield state

    # Questions.

    def now(self, claim: Property[Any]) -> int:
        return self.sat.lit(self.read_now(claim.closed(), {})[0])

    def broken(self, target: Property[Any], known: Sequence[Property[Any]]) -> Broken | None:
        """A step that breaks the target from a state where the known invariants hold."""
        bad = self.read_after(target.closed(1), {})[0] ^ 1
        assumed = {self.now(k): k for k in known}
        if self.sat.solve([*assumed, self.sat.lit(bad)]):
            true = self.sat.model()
            return Broken(target, self._state(true), self.sequential.event(self.sequential.step, true))
        core = self.sat.core()
        self.passed[target] = frozenset(k for lit, k in assumed.items() if lit in core)
        return None

    def _state(self, true: Any) -> State:
        sq = self.sequential
        values = [0] * self.machine.layout.size
        for component, key, place in self.machine.layout.cells():
            at = sq.layout.position(component, key)
            if component in sq.layout.table:
                values[place] = sq.layout.table[component][at]
            else:
                bits = sq.bits[sq.layout.offset[component] + at]
                values[place] = sq.number(bits, component.value, true)
        return self.machine.freeze(values)

    # The search.

    def run(self) -> list[Lemma]:
        while True:
            if monotonic() > self.deadline:
                raise TimeoutError
            known = [*(c for c in self.claims if c.kind == "always"), *self.lemmas]
            target = next((t for t in (*reversed(self.lemmas), *self.claims) if t not in self.passed), None)
            if target is None:
                return self.lemmas
            self.count += 1
            found = self.broken(target, known)
            if found is not None:
                self._exclude(found)

    def _exclude(self, found: Broken) -> None:
        cause = self._cause(found)
        literals = list(cause.literals)
        seen = self.samples.occurrence(literals)
        if seen is not None:
            state, values = seen
            event = Event(found.event.transition, tuple(values.get(p.variable, 0) for p in found.event.transition.parameters))
            new = self.machine.fire(state, event)
            assert new is not None
            self._learn(new)
            assert found.claim not in self.lemmas, "nothing learned"
            return
        lemma = self._lemma(literals)
        if lemma is None:
            return
        if DEBUG:
            print(f"for {found.claim.name} by {found.event.transition.name}: {lemma.clause!r}")
        if self.machine.evaluate(lemma.closed(), found.state):
            print("NOT EXCLUDED", lemma.clause)
            for x in literals: print("   ", x, [ (v,cause.values.get(v)) for v in x.variables], cause.holds(x))
            raise SystemExit
        self.lemmas.append(lemma)

    def _learn(self, state: State) -> None:
        """Take account of one more reached state."""
        self.samples.add(state)
        for claim in self.claims:
            if claim.kind == "always" and not self.machine.evaluate(claim.closed(), state):
                raise FalseClaim(claim.name)
        gone = {x for x in self.lemmas if self.samples_refute(x, state)}
        if DEBUG:
            for x in gone:
                print("  taken back:", repr(x.clause))
        self.lemmas = [x for x in self.lemmas if x not in gone]
        self.passed = {t: core for t, core in self.passed.items() if t not in gone and not core & gone}

    def samples_refute(self, lemma: Lemma, state: State) -> bool:
        return not self.machine.evaluate(lemma.closed(), state)

    def _cause(self, found: Broken) -> Implicant:
        """Literals that make the step possible and break the claim."""
        transition = found.event.transition
        key = found.claim.closed(1), transition
        if key not in self._goals:
            self._goals[key] = after(key[0], transition)
        values = {p.variable: v for p, v in zip(transition.parameters, found.event.arguments, strict=True)}
        cause = Implicant(self.machine, found.state, values)
        cause.require(transition.when)
        cause.require(negate(self._goals[key]))
        cause.instantiate()
        cause.describe()
        return cause

    def _lemma(self, literals: list[Node]) -> Lemma | None:
        literals = [self._plain(x) for x in literals]
        best = sorted(self._candidates(literals), key=_weight)
        if not all(map(self._starts, best)):
            good = [b for b in best if self._starts(b)]
            best = good or sorted(self._candidates(literals, strictly=True), key=_weight)
        for clause in best:
            lemma = Lemma(clause, f"lemma{self.count}")
            against = next((s for s in self.pool if self.samples_refute(lemma, s)), None)
            if against is not None:
                self.samples.add(against)
                return None
            known = [*(c for c in self.claims if c.kind == "always"), *self.lemmas, lemma]
            if len(best) > 1 and self.broken(lemma, known) is None:
                return lemma
        return Lemma(best[0], f"lemma{self.count}")

    def _candidates(self, literals: list[Node], strictly: bool = False) -> list[Node]:
        """Clauses that exclude the literals and that no reached state contradicts; strictly: of a
        machine of any size as it starts neither."""

        def possible(cube: list[Node]) -> bool:
            return self.samples.occurrence(cube, loosely=True) is not None or (
                strictly and not self._starts(_clause(cube))
            )

        found: dict[Node, None] = {}
        for cube in dict.fromkeys((tuple(self._widened(literals, possible)), tuple(literals))):
            for order in self._orders(list(cube)):
                kept = list(cube)
                for x in order:
                    less = [k for k in kept if k is not x]
                    if less and not possible(less):
                        kept = less
                kept = self._widened(_substituted(kept), possible)
                found[_clause(kept)] = None
        return list(found)

    def _starts(self, clause: Node) -> bool:
        """Whether a clause holds at the start, for any size."""
        if clause not in self._started:
            start = self.system.init
            lemma = Lemma(clause, "candidate")
            cell = Obligation("inference", start, lemma, after(lemma.closed(1), start), True)
            self.stats["starts"] = self.stats.get("starts", 0) + 1
            outcome = True
            if not cell.trivial:
                text = cell.text(self._scripts, self.system, ())
                outcome = shared().submit("z3", text, self.deadline, 40_000, NOW).result().answer == "unsat"
            self._started[clause] = outcome
        return self._started[clause]

    def hints(self) -> dict[str, frozenset[str]]:
        return {t.name: frozenset(k.name for k in core) | {t.name} for t, core in self.passed.items()}

    def _plain(self, literal: Node) -> Node:
        """An equality of two values of a one-to-one map as an equality of the keys."""
        atom = literal.args[0] if literal.op == "not" else literal
        if atom.op == "eq":
            a, b = atom.args
            if a.op == b.op == "read" and a.data == b.data:
                equal = nodes.conj(nodes.eq(x, y) for x, y in zip(a.args, b.args, strict=True))
                if equal.op in ("eq", "bool") and self.samples.occurrence([atom, negate(equal)]) is None:
                    return equal if literal is atom else negate(equal)
        return literal

    def _widened(self, literals: list[Node], possible: Callable[[list[Node]], bool]) -> list[Node]:
        """The literals with terms replaced by variables wherever no reached state objects."""
        if possible(literals):
            return literals
        tried: set[Node] = set()
        while True:
            terms = {n for x in literals for n in nodes.nodes_of(x) if _is_element(n)} - tried
            if not terms:
                return literals
            term = min(terms, key=lambda n: (-_size(n), repr(n)))
            tried.add(term)
            fresh = nodes.var(term.sort, f"t{next(self._fresh)}")
            wider = [_replaced(x, term, fresh) for x in literals]
            if not possible(wider):
                literals = wider

    def _orders(self, literals: list[Node]) -> Iterator[list[Node]]:
        """Orders in which to try to do without literals."""
        heavy = sorted(literals, key=lambda x: -_size(x))
        ways = [
            heavy,
            sorted(literals, key=lambda x: (-len(x.free), -_size(x))),
            list(reversed(literals)),
            literals,
        ]
        for way in ways:
            yield sorted(way, key=lambda x: (not _quantified(x), not _isolated(x, literals)))


def _clause(literals: Sequence[Node]) -> Node:
    """No elements make all literals true; with variables named after their sorts."""
    count: dict[Any, int] = {}
    names: dict[Node, Node] = {}

    def visit(n: Node) -> None:
        if n.op == "var" and n not in names and not isinstance(n.data, tuple):
            number = count.get(n.sort, 0)
            count[n.sort] = number + 1
            names[n] = nodes.var(n.sort, f"{n.sort.__name__.lower()}{number or ''}")
        for arg in n.args:
            visit(arg)

    for x in literals:
        visit(x)
    return nodes.substitute(nodes.disj(map(negate, literals)), names)


def _size(node: Node) -> int:
    return sum(1 for _ in nodes.nodes_of(node))


def _weight(clause: Node) -> tuple[int, int, str]:
    return len(clause.args) if clause.op == "or" else 1, _size(clause), repr(clause)


def _quantified(literal: Node) -> bool:
    atom = literal.args[0] if literal.op == "not" else literal
    return atom.op in nodes.QUANTIFIERS


def _is_element(node: Node) -> bool:
    """A term that leads to an element, and depends on others."""
    if node.op not in ("read", "value") or not node.free or any(isinstance(v.data, tuple) for v in node.free):
        return False
    sort = node.sort
    return sort is not nodes.BOOL and not isinstance(sort, nodes.OptOf) and not issubclass(sort, Enumeration)


def _replaced(node: Node, old: Node, new: Node) -> Node:
    if node == old:
        return new
    if not node.args:
        return node
    return nodes.rebuild(node, tuple(_replaced(a, old, new) for a in node.args))


def _substituted(literals: list[Node]) -> list[Node]:
    """Without variables that are known to equal a term."""
    while True:
        for x in literals:
            if x.op == "eq":
                for v, t in (x.args, x.args[::-1]):
                    if v.op == "var" and v not in t.free:
                        literals = [nodes.substitute(y, {v: t}) for y in literals if y is not x]
                        literals = [y for y in literals if y.op != "bool"]
                        break
                else:
                    continue
                break
        else:
            return literals


def _isolated(literal: Node, literals: Sequence[Node]) -> bool:
    """Nothing else is said of what it is about."""
    return not any(x.free & literal.free for x in literals if x is not literal)
