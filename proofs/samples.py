"""Reached states as evidence: which conjunctions of literals never occur in them.

The states come from random walks, from the initial states that the design's scope gives and from others:
with any interpretation of the rigid maps that the assumptions allow.  A set of states is a number with
a bit for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, product
from random import Random

from pysat.solvers import Glucose4

from mapproof.model.language import nodes
from mapproof.model.language.bounded import Stepper
from mapproof.model.language.circuit import FALSE, TRUE, dimacs
from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.design import System
from mapproof.model.language.layout import Layout
from mapproof.model.language.nodes import Node
from mapproof.model.language.scope import Scope

STARTS = 2_000  # initial states that are sought, at most
GIVEN = 4  # one of so many has the given tables
WALKS, LENGTH = 3, 40  # from each
WORK = 60_000  # steps that are looked at on the way, at most
POOL = 10_000  # states that are kept
FIRST = 300  # of them, those that are looked at from the start


def uninterpreted(system: System) -> System:
    """The system without the interpretations that the design gives its rigid maps at finite scopes,
    and with arbitrary values for locals: what a proof for any size is about."""
    free = tuple(replace(c, given=None, local=False) for c in system.components)
    return replace(system, components=free)


class Samples:
    """Some reached states of an uninterpreted system; more of a pool of them are looked at when one
    is found to say something new."""

    def __init__(self, system: System, scope: Scope) -> None:
        self.machine = Machine(uninterpreted(system), scope)
        self._random = random = Random(0)
        seen: dict[State, None] = {}
        work = 0
        for start in _starts(self.machine, Layout(system, scope), random):
            work += sum(_walk(self.machine, start, seen, random) for _ in range(WALKS))
            if work > WORK:
                break
        self.pool = list(seen)[:: max(1, len(seen) // POOL)]
        self.states = self.pool[:: max(1, len(self.pool) // FIRST)]
        self._tables: dict[Node, _Table] = {}
        self._columns: dict[tuple[Node, bool], tuple[_Column, _Table]] = {}

    def add(self, state: State) -> None:
        """Look at one more reached state."""
        self.states.append(state)

    def follow(self, state: State) -> None:
        """Look at one more reached state, and have those that a walk from there leads to at hand."""
        self.add(state)
        seen = dict.fromkeys(self.pool)
        known = len(seen)
        _walk(self.machine, state, seen, self._random)
        self.pool += list(seen)[known:]

    def refuting(self, closed: Node) -> State | None:
        """A state of the pool in which a closed term is false."""
        return next((s for s in self.pool if not self.machine.evaluate(closed, s)), None)

    def occurrence(
        self, literals: Sequence[Node], loosely: bool = False
    ) -> tuple[State, dict[Node, int]] | None:
        """A state, and values of the variables, in which all literals are true; loosely: or might
        be, if the value of "none" were another."""
        found = self._occurrence([self._column(x, loosely) for x in literals])
        return found and (self.states[found[0]], found[1])

    def _occurrence(self, columns: Sequence[_Column]) -> tuple[int, dict[Node, int]] | None:
        variables = _early_deciding(columns)
        place = {v: i for i, v in enumerate(variables)}
        due: list[list[tuple[Mapping[tuple[int, ...], int], list[int]]]]
        due = [[] for _ in range(len(variables) + 1)]
        for column in columns:
            places = [place[v] for v in column.variables]
            due[max(places, default=-1) + 1].append((column.where, places))
        sizes = [range(self.machine.scope[v.sort]) for v in variables]
        values = [0] * len(variables)

        def search(depth: int, alive: int) -> int:
            for where, places in due[depth]:
                alive &= where[tuple([values[i] for i in places])]
                if not alive:
                    return 0
            if depth == len(values):
                return alive
            for value in sizes[depth]:
                values[depth] = value
                found = search(depth + 1, alive)
                if found:
                    return found
            return 0

        alive = search(0, (1 << len(self.states)) - 1)
        if not alive:
            return None
        return (alive & -alive).bit_length() - 1, dict(zip(variables, values, strict=True))

    def _column(self, literal: Node, loosely: bool) -> _Column:
        """Where a literal is true."""
        known = self._columns.get((literal, loosely))
        if known is None:
            plain, meant = _canonical(_loose(literal) if loosely else literal)
            table = self._tables.get(plain)
            if table is None:
                sizes = (range(self.machine.scope[v.sort]) for v in plain.variables)
                where = dict.fromkeys(product(*sizes), 0)
                table = _Table(self.machine.states_where(plain, plain.variables), where)
                self._tables[plain] = table
            column = _Column(tuple(meant[v] for v in plain.variables), table.where)
            known = self._columns[literal, loosely] = column, table
        column, table = known
        table.update(self.states)
        return column


class Evidence:
    """Which parts of a set of literals occur together in the samples, loosely; each occurrence that
    was found answers for many parts."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._literals: dict[Node, _Column] = {}
        self._together: list[set[Node]] = []
        self._never: list[frozenset[Node]] = []

    def occurs(self, literals: Sequence[Node]) -> bool:
        """Whether the literals occur together."""
        for x in literals:
            if x not in self._literals:
                self._literals[x] = self._samples._column(x, loosely=True)
        cube = frozenset(literals)
        if any(true >= cube for true in self._together):
            return True
        if any(never <= cube for never in self._never):
            return False
        found = self._samples._occurrence([self._literals[x] for x in literals])
        if found is None:
            self._never.append(cube)
            return False
        state, values = found
        self._together.append(
            {x for x, column in self._literals.items() if column.holds(state, values)}
        )
        return True


@dataclass
class _Table:
    """For each choice of values for the variables, the states where a term is true."""

    function: Callable[..., int]
    where: dict[tuple[int, ...], int]
    known: int = field(default=0)

    def update(self, states: Sequence[State]) -> None:
        if self.known < len(states):
            fresh = states[self.known :]
            for key in self.where:
                self.where[key] |= self.function(fresh, *key) << self.known
            self.known = len(states)


@dataclass(frozen=True)
class _Column:
    """A table under the names that a literal has for the variables."""

    variables: tuple[Node, ...]
    where: dict[tuple[int, ...], int]

    def holds(self, state: int, values: Mapping[Node, int]) -> bool:
        """Whether it is known to be true in a state, by its number, with these values."""
        if not all(v in values for v in self.variables):
            return False
        return bool(self.where[tuple(values[v] for v in self.variables)] >> state & 1)


def _early_deciding(columns: Sequence[_Column]) -> list[Node]:
    """The variables, in an order in which columns are decided early."""
    order: dict[Node, None] = {}
    left = [c.variables for c in columns]
    while left:
        best = min(left, key=lambda variables: sum(v not in order for v in variables))
        order |= dict.fromkeys(best)
        left = [variables for variables in left if not order.keys() >= set(variables)]
    return list(order)


def _canonical(literal: Node) -> tuple[Node, dict[Node, Node]]:
    """The literal with variables named by order of appearance, and whom each stands for."""
    order = enumerate(nodes.by_appearance([literal]))
    names = {v: nodes.var(v.sort, f"x{i}") for i, v in order}
    return nodes.substitute(literal, names), {new: old for old, new in names.items()}


def _loose(literal: Node) -> Node:
    """The literal, or there is no such value."""
    values = [n for n in nodes.nodes_of(literal) if n.op == "value" and n.free]
    return nodes.disj((literal, *(nodes.negate(nodes.is_some(n.args[0])) for n in values)))


def _walk(machine: Machine, start: State, seen: dict[State, None], random: Random) -> int:
    """Add the states of a random walk to those that were seen.  Every transition has the same
    chance, however many arguments it may have; of what it may do, new states are preferred.
    Returns how many steps were looked at."""
    state = start
    seen[state] = None
    work = 0
    for _ in range(LENGTH):
        following: dict[str, list[State]] = {}
        for event, after in machine.successors(state):
            following.setdefault(event.transition.name, []).append(after)
            work += 1
        if not following:
            break
        choices = random.choice(list(following.values()))
        state = random.choice([s for s in choices if s not in seen] or choices)
        seen[state] = None
    return work


def _starts(machine: Machine, given: Layout, random: Random) -> Iterator[State]:
    """Initial states, as a SAT solver completes random guesses."""
    stepper = Stepper(machine.system, machine.scope)
    _, possible, bits = stepper.start()
    if possible == FALSE:
        return
    wanted = [] if possible == TRUE else [dimacs(possible)]
    loaded: set[int] = set()
    sat = Glucose4()
    if wanted:
        sat.append_formula(stepper.circuit.clauses([possible], loaded))
    inputs = list(chain.from_iterable(bits.values()))
    bound = [b for b in inputs if b >> 1 in loaded]
    fixed = {
        place: given.table[c][given.position(c, key)]
        for c, key, place in machine.layout.cells()
        if c in given.table and place in bits
    }
    pinned = [
        dimacs(b ^ 1 ^ (value >> k & 1))
        for place, value in fixed.items()
        for k, b in enumerate(bits[place])
    ]
    for number in range(STARTS):
        assumed = [] if number % GIVEN else pinned
        guess = [dimacs(b ^ random.getrandbits(1)) for b in bound]
        random.shuffle(guess)
        if _possible(sat, [*wanted, *assumed], guess):
            true = {v for v in sat.get_model() or () if v > 0}
            true |= {b >> 1 for b in inputs if b >> 1 not in loaded and random.getrandbits(1)}
            values = stepper.start_values(bits, _chosen(true))
            state = machine.boot(values | (fixed if assumed else {}))
            if state is not None:
                yield state


def _possible(sat: Glucose4, must: list[int], guess: list[int]) -> bool:
    """Whether there is a solution; of a guess it keeps what it can, the first literals first.
    Without, solutions differ little: most of each follows from the first few choices."""
    while not sat.solve(assumptions=[*must, *guess]):
        conflict = set(sat.get_core() or ())
        last = next((x for x in reversed(guess) if x in conflict), None)
        if last is None:
            return False
        guess.remove(last)
    return True


def _chosen(gates: set[int]) -> Callable[[int], bool]:
    return lambda literal: literal >> 1 in gates
