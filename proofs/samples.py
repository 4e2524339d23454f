"""Reached states as evidence: which conjunctions of literals never occur in them.

The states come from random walks, from the initial states that the design's scope gives and from others:
with any interpretation of the rigid maps that the assumptions allow.  A set of states is a number with
a bit for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import prod
from random import Random

from pysat.solvers import Glucose4

from mapproof.model.language import nodes
from mapproof.model.language.bounded import Encoder, Stepper
from mapproof.model.language.circuit import FALSE, TRUE, Simulation, dimacs
from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.design import System
from mapproof.model.language.layout import Layout
from mapproof.model.language.nodes import Node
from mapproof.model.language.scope import Scope

STARTS = 200  # initial states that are sought, at most
GIVEN = 4  # one of so many has the given tables
WALKS, LENGTH = 5, 40  # from each
WORK = 150_000  # steps that are looked at on the way, at most
POOL = 8_000  # states that are looked at from the start
ANY = -1  # in place of a value
MOST_AHEAD = 30  # choices of values that are left open when a literal is first looked at


def uninterpreted(system: System) -> System:
    """The system without the interpretations that the design gives its rigid maps at finite scopes,
    and with arbitrary values for locals: what a proof for any size is about."""
    free = tuple(replace(c, given=None, local=False) for c in system.components)
    return replace(system, components=free)


class Samples:
    """Some reached states of an uninterpreted system, all of which are looked at together."""

    def __init__(self, system: System, scope: Scope) -> None:
        self.machine = Machine(uninterpreted(system), scope)
        self._random = random = Random(0)
        seen: dict[State, None] = {}
        work = 0
        for start in _starts(self.machine, Layout(system, scope), random):
            work += sum(_walk(self.machine, start, seen, random) for _ in range(WALKS))
            if work > WORK:
                break
        self.states: list[State] = []
        self._encoder = encoder = Encoder(self.machine.system, scope)
        self._state, self._inputs = encoder.one_hot_state()
        self._read = encoder.reader(self._state)
        self._batches: list[tuple[int, Simulation]] = []
        self._tables: dict[Node, _Table] = {}
        self._columns: dict[tuple[Node, bool], _Column] = {}
        pool = list(seen)
        self._look_at(pool[:: max(1, len(pool) // POOL)])

    def _look_at(self, states: Sequence[State]) -> None:
        """Take states among the samples."""
        inputs = dict.fromkeys(chain.from_iterable(i.values() for i in self._inputs.values()), 0)
        for place, literals in self._inputs.items():
            for number, state in enumerate(states):
                gate = literals.get(state[place])
                if gate is not None:
                    inputs[gate] |= 1 << number
        simulation = Simulation(self._encoder.circuit, len(states), inputs)
        self._batches.append((len(self.states), simulation))
        self.states += states

    def follow(self, state: State) -> None:
        """Look at one more reached state, and at those that a walk from there leads to."""
        seen: dict[State, None] = {}
        _walk(self.machine, state, seen, self._random)
        self._look_at(list(seen))

    def occurrence(
        self, literals: Sequence[Node], loosely: bool = False
    ) -> tuple[State, dict[Node, int]] | None:
        """A state, and values of the variables, in which all literals are true; loosely: or might
        be, if the value of "none" were another."""
        found = self._occurrence([self._column(x, loosely) for x in literals])
        return found and (self.states[found[0]], found[1])

    def refutes(self, clause: Node) -> bool:
        """Whether a clause, meant of all elements, is false in a state."""
        literals = clause.args if clause.op == "or" else (clause,)
        return self.occurrence([nodes.negate(x) for x in literals]) is not None

    def _occurrence(self, columns: Sequence[_Column]) -> tuple[int, dict[Node, int]] | None:
        variables = _early_deciding(columns, self.machine.scope)
        place = {v: i for i, v in enumerate(variables)}
        due: list[list[tuple[_Table, list[int]]]]
        due = [[] for _ in range(len(variables) + 1)]
        for column in columns:
            column.where.refresh()
            places = [place[v] for v in column.variables]
            if not places:
                due[0].append((column.where, places))
            for known in sorted(places):
                left = prod(self.machine.scope[variables[i].sort] for i in places if i > known)
                if left <= MOST_AHEAD:
                    due[known + 1].append((column.where, places))
        sizes = [range(self.machine.scope[v.sort]) for v in variables]
        values = [ANY] * len(variables)

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
            values[depth] = ANY
            return 0

        alive = search(0, (1 << len(self.states)) - 1)
        if not alive:
            return None
        return (alive & -alive).bit_length() - 1, dict(zip(variables, values, strict=True))

    def _column(self, literal: Node, loosely: bool) -> _Column:
        """Where a literal is true."""
        column = self._columns.get((literal, loosely))
        if column is None:
            plain, meant = _canonical(_loose(literal) if loosely else literal)
            table = self._tables.get(plain)
            if table is None:
                sizes = [self.machine.scope[v.sort] for v in plain.variables]
                table = self._tables[plain] = _Table(self._gate(plain), sizes, self._batches)
            column = _Column(tuple(meant[v] for v in plain.variables), table)
            self._columns[literal, loosely] = column
        return column

    def _gate(self, literal: Node) -> Callable[[tuple[int, ...]], int]:
        """The gate of a literal for values of its variables."""
        variables, constant = literal.variables, self._encoder.constant

        def gate(key: tuple[int, ...]) -> int:
            env = {v: constant(v.sort, i) for v, i in zip(variables, key, strict=True)}
            return self._read(literal, env)[0]

        return gate


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


class _Table(dict[tuple[int, ...], int]):
    """For each choice of values for the variables, the samples where a term is true, by their numbers.

    ANY in place of a value: the samples where it is for some value.  Entries are made as they are
    asked for; ``refresh`` has to be called where there may be more samples than before.
    """

    def __init__(
        self,
        gate: Callable[[tuple[int, ...]], int],
        sizes: Sequence[int],
        batches: Sequence[tuple[int, Simulation]],
    ) -> None:
        super().__init__()
        self._gate = gate
        self._sizes = sizes
        self._batches = batches
        self._gates: dict[tuple[int, ...], int] = {}
        self._before: dict[tuple[int, ...], tuple[int, int]] = {}
        self._looked_at = len(batches)

    def refresh(self) -> None:
        """Take new samples into account."""
        if self._looked_at < len(self._batches):
            for key, true in self.items():
                if ANY not in key:
                    self._before[key] = self._looked_at, true
            self.clear()
            self._looked_at = len(self._batches)

    def __missing__(self, key: tuple[int, ...]) -> int:
        true = 0
        if ANY in key:
            i = key.index(ANY)
            for value in range(self._sizes[i]):
                true |= self[(*key[:i], value, *key[i + 1 :])]
        else:
            if key not in self._gates:
                self._gates[key] = self._gate(key)
            looked_at, true = self._before.get(key, (0, 0))
            for first, simulation in self._batches[looked_at:]:
                true |= simulation.of(self._gates[key]) << first
        self[key] = true
        return true


@dataclass(frozen=True)
class _Column:
    """A table under the names that a literal has for the variables."""

    variables: tuple[Node, ...]
    where: _Table

    def holds(self, state: int, values: Mapping[Node, int]) -> bool:
        """Whether it is known to be true in a state, by its number, with these values."""
        if not all(v in values for v in self.variables):
            return False
        return bool(self.where[tuple([values[v] for v in self.variables])] >> state & 1)


def _early_deciding(columns: Sequence[_Column], scope: Scope) -> list[Node]:
    """The variables, in an order in which columns are decided early."""
    order: dict[Node, None] = {}
    left = [c.variables for c in columns]

    def choices(variables: Iterable[Node]) -> int:
        return prod(int(scope[v.sort]) for v in variables if v not in order)

    while left:
        order |= dict.fromkeys(min(left, key=choices))
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
    """Whether there is a solution; of a guess it keeps what it can.  Without, solutions differ
    little: most of each follows from the first few choices."""
    sat.set_phases(guess)
    while not sat.solve(assumptions=[*must, *guess]):
        conflict = set(sat.get_core() or ())
        wrong = [x for x in guess if x in conflict]
        if not wrong:
            return False
        gone = set(wrong[1:] or wrong)
        guess = [x for x in guess if x not in gone]
    return True


def _chosen(gates: set[int]) -> Callable[[int], bool]:
    return lambda literal: literal >> 1 in gates
