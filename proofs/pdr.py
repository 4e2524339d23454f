"""Property-directed reachability at a finite scope: an inductive invariant, or a run to a violation.

IC3 with three changes.  Its literals are "this entry has that value" and "has not", so that one
clause can say what bits need many for.  A predecessor is generalised by walking the circuit back from
what is to be justified.  And a clause that was learned is proposed for all elements like those it
names: all at once, dropping what a counterexample refutes until the rest holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from time import monotonic
from typing import Any

from pysat.solvers import Minisat22

from mapproof.model.language import circuit as c
from mapproof.model.language.concrete import Event
from mapproof.model.language.errors import DesignError
from mapproof.model.language.latches import Sequential
from mapproof.model.language.property import Property

from .atoms import Atoms, Cube
from .orbits import Orbits
from .sat import GateSolver
from .trace import Cell, Run

ENGINE = "minisat"
ROUNDS = 12  # counterexamples to the images of one clause before they are given up


@dataclass(frozen=True)
class Invariant:
    """Clauses over atoms that are inductive together and exclude the bad states."""

    atoms: Atoms
    clauses: tuple[Cube, ...]
    frames: int

    def over(self, atoms: Atoms) -> Invariant:
        """The same clauses, over the atoms of a system that has the same maps and more."""
        number = {x: atoms.number[self.atoms.key(x)] for k in self.clauses for x in map(abs, k)}
        moved = (
            tuple(sorted(number[abs(x)] * (1 if x > 0 else -1) for x in k)) for k in self.clauses
        )
        return Invariant(atoms, tuple(sorted(moved)), self.frames)

    def lines(self) -> list[str]:
        """The clauses as a reader sees them."""
        return [self.atoms.text(clause) for clause in self.clauses]


def pdr(
    sequential: Sequential,
    prop: Property[Any],
    timeout: float,
    progress: Callable[[int, int], None] = lambda _frame, _clauses: None,
) -> Invariant | Run:
    """Prove that the property is never violated (a ``sometimes``: never shown), or find a run to it,
    not always a shortest one.

    ``progress`` is told the frame and the number of clauses.  Raises TimeoutError, and DesignError if
    the design cannot start at the scope.
    """
    return _Pdr(sequential, prop, monotonic() + timeout, progress).result()


@dataclass(frozen=True)
class _Duty:
    """A cube to be excluded: every state in it comes to a violation by these events."""

    cube: Cube
    event: Event | None
    then: _Duty | None


class _Pdr:
    def __init__(
        self,
        sequential: Sequential,
        prop: Property[Any],
        deadline: float,
        progress: Callable[[int, int], None],
    ) -> None:
        self.sequential = sequential
        self.bad = sequential.bad(prop)
        self.two_states = prop.kind == "step"
        self.progress = progress
        self.circuit = sequential.circuit
        self.atoms = Atoms(sequential)
        self.orbits = Orbits(self.atoms)

        def passed() -> bool:
            return monotonic() > deadline

        self.sat = GateSolver(self.circuit, passed, Minisat22)
        self.starts = GateSolver(self.circuit, passed, Minisat22)
        self.starts.add([self.starts.lit(sequential.possible)])
        self.sat.add([self.sat.lit(sequential.facts)])
        self.enabled = self.sat.lit(sequential.enabled)
        self.first = self._first()
        self.acts = [self.first]
        self.frames: list[dict[Cube, None]] = [{}]
        self.gone: dict[Cube, int] = {}  # variables: the next state is in the cube
        self.families: list[tuple[Cube, ...]] = []  # a clause with its images, learned together

    def _first(self) -> int:
        """The literal under which the present state is an initial one."""
        sat = self.sat
        act = sat.fresh()
        sat.add([-act, sat.lit(self.sequential.possible)])
        for atom in self.atoms.list[1:]:
            assert atom is not None
            a, b = sat.lit(atom.now), sat.lit(atom.first)
            sat.add([-act, -a, b])
            sat.add([-act, a, -b])
        return act

    # The main loop.

    def result(self) -> Invariant | Run:
        if not self.starts.solve([]):
            raise DesignError(f"the design has no initial state at scope {self.sequential.scope}")
        while True:
            level = len(self.acts) - 1
            found = self._bad_cube(level)
            if found is not None:
                run = self._exclude(found, level)
                if run is not None:
                    return run
                continue
            self.acts.append(self.sat.fresh())
            self.frames.append({})
            self.progress(level + 1, sum(map(len, self.frames)))
            done = self._push()
            if done is not None:
                return done

    def _bad_cube(self, level: int) -> _Duty | None:
        bad = self.sat.lit(self.bad)
        if not self.sat.solve([*self.acts[level:], bad]):
            return None
        true = self.sat.model()
        event = self.sequential.event(self.sequential.step, true) if self.two_states else None
        return _Duty(self._justified([self.bad], true), event, None)

    def _exclude(self, duty: _Duty, level: int) -> Run | None:
        """Exclude a cube up to a level, or the run that shows that this is not possible."""
        queue: list[tuple[int, int, _Duty]] = []
        count = 0
        start = self._starting(duty.cube)
        if start is not None:
            return self._run(start, duty)
        heappush(queue, (level, count, duty))
        while queue:
            at, _, duty = heappop(queue)
            if self._excluded(duty.cube, at):
                if at < level:
                    count += 1
                    heappush(queue, (at + 1, count, duty))
                continue
            core = self._relative(duty.cube, at - 1)
            if core is None:
                true = self.sat.model()
                event = self.sequential.event(self.sequential.step, true)
                goal = [self.atoms.after(x) for x in duty.cube]
                cube = self._justified([*goal, self.sequential.enabled], true)
                before = _Duty(cube, event, duty)
                start = self._starting(cube)
                if start is not None:
                    return self._run(start, before)
                assert at > 1
                count += 2
                heappush(queue, (at - 1, count - 1, before))
                heappush(queue, (at, count, duty))
                continue
            reached = self._learn(duty.cube, core, at, level)
            if reached < level:
                count += 1
                heappush(queue, (reached + 1, count, duty))
        return None

    def _run(self, start: dict[Cell, int], duty: _Duty | None) -> Run:
        events = []
        while duty is not None:
            if duty.event is not None:
                events.append(duty.event)
            duty = duty.then
        return Run(self.sequential.scope, start, events)

    # Questions.

    def _starting(self, cube: Cube) -> dict[Cell, int] | None:
        """Values with which the design starts in the cube, if it can."""
        firsts = [self.atoms.first(x) for x in cube]
        if c.FALSE in firsts:
            return None
        if not self.starts.solve([self.starts.lit(f) for f in firsts]):
            return None
        sequential = self.sequential
        values = sequential.start_values(sequential.first_bits, self.starts.model())
        cells = {place: (component, key) for component, key, place in sequential.layout.cells()}
        return {cells[place]: value for place, value in values.items()}

    def _excluded(self, cube: Cube, level: int) -> bool:
        here = set(cube)
        return any(here.issuperset(other) for frame in self.frames[level:] for other in frame)

    def _relative(self, cube: Cube, level: int) -> set[int] | None:
        """None if a step can lead into the cube from outside it, within a frame; else the literals
        of the cube that are needed to see that it cannot."""
        sat = self.sat
        after = {sat.lit(self.atoms.after(x)): x for x in cube}
        act = sat.fresh()
        sat.add([-act, *(-sat.lit(self.atoms.now(x)) for x in cube)])
        possible = sat.solve([*self.acts[level:], act, self.enabled, *after])
        if possible:
            sat.add([-act])  # the model stays readable
            return None
        core = {after[x] for x in sat.core() if x in after}
        sat.add([-act])
        return core

    # Clauses.

    def _learn(self, cube: Cube, core: set[int], at: int, level: int) -> int:
        """Generalise a cube that was excluded, push it as far as it goes, and its images with it."""
        small = self._without_start(cube, core)
        for literal in small:
            if literal not in small or len(small) == 1:
                continue
            less = tuple(x for x in small if x != literal)
            if self._starting(less) is not None:
                continue
            needed = self._relative(less, at - 1)
            if needed is not None:
                small = self._without_start(less, needed)
        while at < level and self._relative(small, at) is not None:
            at += 1
        fresh = dict.fromkeys(self.orbits.images(small))
        images = [i for i in fresh if not self._known(i, at)]
        alike = self._inductive(images, at - 1)
        for clause in (small, *alike):
            self._keep(clause, at)
        if len(alike) == len(images):
            self.families.append((small, *alike))
        return at

    def _known(self, image: Cube, at: int) -> bool:
        if any(image in frame for frame in self.frames[at:]):
            return True
        return self._starting(image) is not None

    def _without_start(self, cube: Cube, core: set[int]) -> Cube:
        """The part of a cube in the core, and as much more as keeps it clear of the start."""
        small = tuple(x for x in cube if x in core)
        if small and self._starting(small) is None:
            return small
        for x in cube:
            if x not in core and self.atoms.first(x) == c.FALSE:
                return tuple(sorted((*small, x)))
        for x in cube:
            if x not in small:
                small = tuple(sorted((*small, x)))
                if self._starting(small) is None:
                    break
        return small

    def _keep(self, cube: Cube, level: int) -> None:
        for frame in self.frames[1 : level + 1]:
            frame.pop(cube, None)
        self.frames[level][cube] = None
        sat = self.sat
        sat.add([-self.acts[level], *(-sat.lit(self.atoms.now(x)) for x in cube)])

    def _entered(self, cube: Cube) -> int:
        """A variable that may be true only if the next state is in the cube."""
        found = self.gone.get(cube)
        if found is None:
            found = self.gone[cube] = self.sat.fresh()
            for x in cube:
                self.sat.add([-found, self.sat.lit(self.atoms.after(x))])
        return found

    def _inductive(self, cubes: list[Cube], level: int) -> list[Cube]:
        """Those of the cubes that no step enters from outside all of them, within a frame."""
        sat = self.sat
        for _ in range(ROUNDS):
            if not cubes:
                break
            act = sat.fresh()
            for cube in cubes:
                sat.add([-act, *(-sat.lit(self.atoms.now(x)) for x in cube)])
            sat.add([-act, *map(self._entered, cubes)])
            if not sat.solve([*self.acts[level:], act, self.enabled]):
                sat.add([-act])
                return cubes
            cubes = self._not_entered(cubes)
            sat.add([-act])
        return []

    def _not_entered(self, cubes: Iterable[Cube]) -> list[Cube]:
        true = self.sat.model()
        return [k for k in cubes if not all(true(self.atoms.after(x)) for x in k)]

    def _push(self) -> Invariant | None:
        """Move clauses on to the frames where they hold, too; the invariant, once a frame is like
        the next."""
        sat = self.sat
        for level in range(1, len(self.acts) - 1):
            frame = self.frames[level]
            rest = dict(frame)
            for family in self.families:
                here = [cube for cube in family if cube in rest]
                if here:
                    for cube in here:
                        del rest[cube]
                    self._push_all(here, level)
            while rest:  # clauses of no family, one by one as counterexamples tell them apart
                act = sat.fresh()
                sat.add([-act, *map(self._entered, rest)])
                if not sat.solve([*self.acts[level:], act, self.enabled]):
                    sat.add([-act])
                    break
                rest = dict.fromkeys(self._not_entered(rest))
                sat.add([-act])
            for cube in rest:
                self._keep(cube, level + 1)
            if not self.frames[level]:
                cubes = [k for frame in self.frames[level + 1 :] for k in frame]
                clauses = sorted({tuple(sorted(-x for x in k)) for k in cubes})
                return Invariant(self.atoms, tuple(clauses), level)
        return None

    def _push_all(self, cubes: list[Cube], level: int) -> None:
        """Move a family on if a step into one of them cannot be; families mostly go together."""
        sat = self.sat
        act = sat.fresh()
        sat.add([-act, *map(self._entered, cubes)])
        if not sat.solve([*self.acts[level:], act, self.enabled]):
            for cube in cubes:
                self._keep(cube, level + 1)
        sat.add([-act])

    # Generalising a state.

    @cached_property
    def _weight(self) -> list[int]:
        """About how many atoms a gate depends on."""
        weight = [0] * len(self.circuit.fanin)
        leaf = self.atoms.leaf
        for gate, fanin in enumerate(self.circuit.fanin):
            if gate in leaf:
                weight[gate] = 1
            elif fanin:
                weight[gate] = min(weight[fanin[0] >> 1] + weight[fanin[1] >> 1], 1 << 30)
        return weight

    def _justified(self, goals: Iterable[int], true: Callable[[int], bool]) -> Cube:
        """Literals of the state that make the goals true with the inputs as they are."""
        cube: set[int] = set()
        weight, leaf, fanins = self._weight, self.atoms.leaf, self.circuit.fanin
        seen: set[int] = set()
        stack = [g >> 1 for g in goals]
        while stack:
            gate = stack.pop()
            if gate in seen:
                continue
            seen.add(gate)
            atom = leaf.get(gate)
            if atom is not None:
                cube.add(atom if true(2 * gate) else -atom)
                continue
            fanin = fanins[gate]
            if fanin is None:
                continue
            a, b = fanin
            if true(2 * gate):
                stack += (a >> 1, b >> 1)
                continue
            options = [x >> 1 for x in (a, b) if not true(x)]
            stack.append(
                next((g for g in options if g in seen), min(options, key=weight.__getitem__))
            )
        return tuple(sorted(cube))
