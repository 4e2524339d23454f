"""Candidates for a promise: clauses that hold after every return that was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, islice, product
from random import Random
from time import monotonic

from mapproof.model.language import nodes
from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.nodes import Component, Node, negate
from mapproof.model.language.operation import Procedure

from .inference import scope_for
from .returned import Returned
from .returned_literals import undefined
from .samples import Samples

MOST_ROWS = 48  # choices of elements for the variables
MOST_SAMPLES = 700  # of random walks on a larger machine
MOST_STATES = 6_000  # from the design's initial states, nearest first
MOST_LITERALS = 44  # in clauses of three
EXPLORING = 2.0  # seconds
WALK, WALKING = 16, 1.5  # steps to a return, and seconds for all walks
OWN = 0.8  # the share of the subject's steps in them


class _Table:
    """Reached states, each with choices of elements for the variables, as bits of one number."""

    def __init__(
        self,
        machines: Sequence[tuple[Machine, list[State]]],
        variables: Iterable[Node],
        meaning: Callable[[Node], Node],
    ) -> None:
        self._machines, self._meaning = machines, meaning
        self._variables = list(dict.fromkeys(variables))
        self.every = self.where(nodes.TRUE_NODE)
        self._masks: dict[Node, int] = {}

    def mask(self, clause: Node) -> int:
        """Where a literal or one of several is true."""
        if clause not in self._masks:
            if clause.op == "not":
                self._masks[clause] = self.every & ~self.mask(clause.args[0])
            elif clause.op == "or":
                return self.mask(clause.args[0]) | self.mask(nodes.disj(clause.args[1:]))
            else:
                self._masks[clause] = self.where(self._meaning(clause))
        return self._masks[clause]

    def where(self, term: Node) -> int:
        """Where a term of the state is true."""
        bits, width = 0, 0
        for machine, states in self._machines:
            truth = machine.states_where(term, self._variables)
            sizes = [range(machine.scope[v.sort]) for v in self._variables]
            for values in islice(product(*sizes), MOST_ROWS):
                bits |= truth(states, *values) << width
                width += len(states)
        return bits


class Rows:
    """What is seen of clauses in reached states: after returns, and before calls."""

    def __init__(self, view: Returned, literals: Sequence[Node]) -> None:
        design = view.design
        samples = Samples(view.system, scope_for(design))
        some = _some(samples, view)
        near = Machine(view.system, design.scope_at())
        machines = [(samples.machine, some), (near, _nearest(near))]
        variables = [v for x in literals for v in x.variables]
        after = _Table(machines, variables, view.of)
        called_with = [p.variable for p in view.first.parameters]
        self._before = _Table(machines, [*called_with, *variables], view.of_any)
        self._possible = self._before.where(view.first.when)
        if isinstance(view.subject, Procedure):
            actor = nodes.var(view.subject.actor, "actor")
            self._during = _Table(machines, [actor, *variables], view.of_current)
            self._running = self._during.where(view.running)
        self._view = view
        self.mask, self.every = after.mask, after.every
        self.returns = after.mask(_read(view.flag))

    def brought_about(self, clause: Node) -> bool:
        """It was false when a call was possible, or between its steps; or it is about what only the
        function knows."""
        about = {n for n in nodes.nodes_of(clause) if n in self._view.meaning}
        if about - self._view.arguments or self._possible & ~self._before.mask(clause):
            return True
        procedure = isinstance(self._view.subject, Procedure)
        return procedure and bool(self._running & ~self._during.mask(clause))


def _some(samples: Samples, view: Returned) -> list[State]:
    """Returns, and other states, of each as many as shall be looked at."""
    flag = samples.machine.states_where(_read(view.flag), [])(samples.states)
    kinds: tuple[list[State], list[State]] = ([], [])
    for i, state in enumerate(samples.states):
        kinds[flag >> i & 1].append(state)
    returns = dict.fromkeys((*kinds[True], *_led_to_returns(samples, view)))
    return [
        s
        for kind in (kinds[False], [*returns])
        for s in kind[:: -(-len(kind) // MOST_SAMPLES) or 1]
    ]


def _led_to_returns(samples: Samples, view: Returned) -> Iterator[State]:
    """Returns after walks from all over the samples that take the subject's steps where they can."""
    random, started = Random(0), monotonic()
    machine, steps = samples.machine, {t.name for t in view.steps}
    returned = machine.states_where(_read(view.flag), [])
    for start in random.sample(samples.states, len(samples.states)):
        state = start
        for _ in range(WALK):
            if monotonic() - started > WALKING:
                return
            own: dict[str, list[State]] = {}
            others: dict[str, list[State]] = {}
            for event, after in machine.successors(state):
                name = event.transition.name
                (own if name in steps else others).setdefault(name, []).append(after)
            follow = own if own and (not others or random.random() < OWN) else others
            if not follow:
                break
            state = random.choice(random.choice([*follow.values()]))
            if returned([state]):
                yield state
                break


def _read(component: Component) -> Node:
    return nodes.read(component, (), 0)


def _nearest(machine: Machine) -> list[State]:
    seen = dict.fromkeys(islice(machine.initial_states(), 64))
    queue, started = list(seen), monotonic()
    for state in queue:  # grows
        if len(seen) > MOST_STATES or monotonic() - started > EXPLORING:
            break
        for after in machine.successor_states(state):
            if after not in seen:
                seen[after] = None
                queue.append(after)
    return list(seen)


def candidates(rows: Rows, literals: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """The clauses of at most three literals that hold after every return that was seen, no part of which
    does: those that do not hold always, and of those that do which compare two places of one map."""
    returns, found = rows.returns, list[frozenset[Node]]()
    clauses: list[Node] = []
    invariants: list[Node] = []
    some = [x for x in literals if rows.mask(x) & returns]
    unless = {x: undefined(x) for x in some}
    settled = rows.every
    for length in (1, 2, 3):
        pool = some if length < 3 else some[:MOST_LITERALS]
        for parts in combinations(pool, length):
            clause = frozenset(parts)
            whole = 0
            for x in parts:
                whole |= rows.mask(x)
            if returns & ~whole and not any(unless[x] for x in parts):
                continue
            said = nodes.disj((*parts, *(u for x in parts for u in unless[x])))
            if said.op == "bool" or returns & ~rows.mask(said):
                continue
            if any(negate(x) in clause for x in parts) or any(f <= clause for f in found):
                continue
            found.append(clause)
            if rows.mask(said) & rows.every != rows.every:
                if length == 1:
                    settled &= rows.mask(said)
                elif not rows.brought_about(said):
                    continue
                elif not _compares(said) and not settled & ~rows.mask(said):
                    continue  # it follows from shorter facts and invariants
                clauses.append(said)
            elif any(converses(said)):
                invariants.append(said)
    return clauses, invariants


def literals_in(clause: Node) -> tuple[Node, ...]:
    """The literals of a clause."""
    return clause.args if clause.op == "or" else (clause,)


def converses(clause: Node) -> Iterator[Node]:
    """Of "where a, b has what c has": where a, c has what b has, if both are of one map."""
    parts = literals_in(clause)
    for x, y in combinations(parts, 2):
        if (x.op == "not") == (y.op == "not"):
            continue
        one, two = (p.args[0] if p.op == "not" else p for p in (x, y))
        if one.op == two.op == "read" and one.data == two.data:
            yield nodes.disj(negate(p) if p in (x, y) else p for p in parts)


def _compares(clause: Node) -> bool:
    """It says of two places of one map what the one has where the other has it, and under which
    condition; a condition on the same entries makes it a detail."""
    groups = [n.data[0].name.rpartition(".") for n in nodes.nodes_of(clause) if n.op == "read"]
    fields = {field for group, dot, field in groups if dot}
    return any(converses(clause)) and (len(fields) < 2)
