"""Certificates of what was settled at one finite scope: an inductive invariant, or a run.

Sizes are kept by the names of sorts, values of entries by their numbers: 0 and 1 of a Bool, the index
of an element or of an enumeration's value, and for "none" the number of elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from time import monotonic
from typing import Any

from mapproof.model.language.bounded import Unrolling
from mapproof.model.language.concrete import Event, Machine
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.latches import Sequential
from mapproof.model.language.layout import Layout
from mapproof.model.language.nodes import Component
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.terms import Enumeration

from .atoms import Atoms
from .certificate import Cell, Certificate, Head, Rejected, Statement, common, read_solver
from .finite import plain, scripts
from .pdr import Invariant
from .sat import CircuitSolver
from .systems import Data, fields, named, sorts_of, texts
from .trace import Trace
from .trees import Malformed

LARGEST = 1024  # elements of a sort
MOST_ENTRIES = 1_000_000  # of all maps: more is no machine that anybody has proved anything of

Tables = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Scoped(Certificate):
    """A certificate about one scope.

    sizes: elements by sort; tables: the maps whose interpretation the design gives, entry by entry,
    the last key running fastest.
    """

    sizes: Mapping[str, int]
    tables: Tables

    @cached_property
    def scope(self) -> Scope:
        """The scope, of the sorts of the system."""
        return Scope({s: self.sizes[s.__name__] for s in _sorts(self.system, self.claim)})

    @cached_property
    def machine(self) -> System:
        """The system with the interpretations of its maps, in the form that certificates keep."""
        components = tuple(
            replace(c, given=_looked_up(c, self.tables[c.name])) if c.name in self.tables else c
            for c in self.system.components
        )
        return replace(plain(self.system), components=components)

    @property
    def where(self) -> str:
        """The scope in words."""
        return f"at {self.scope}" if self.sizes else "which is finite"

    def difference(self, design: Design[Any]) -> str:
        found = super().difference(design)
        if found:
            return found
        sizes = {s: self.sizes[s.__name__] for s in design.sorts if s.__name__ in self.sizes}
        theirs = tables_of(design, design.scope_at(sizes))
        for name in {*theirs, *self.tables}:
            if theirs.get(name) != self.tables.get(name):
                return f"the interpretation of {name}"
        return ""

    def evidence(self) -> Data:
        return {
            "scope": dict(self.sizes),
            "given": {name: list(values) for name, values in self.tables.items()},
        }


def tables_of(design: Design[Any], scope: Scope) -> Tables:
    """What the design says of its rigid maps at a scope."""
    return {c.name: values for c, values in Layout(design.system(), scope).table.items()}


def _looked_up(component: Component, values: Sequence[int]) -> Any:
    def look(scope: Scope, *key: int) -> int:
        place = 0
        for sort, index in zip(component.keys, key, strict=True):
            place = place * scope[sort] + index
        return values[place]

    return look


def _sorts(system: System, claim: Statement) -> list[Any]:
    """The sorts that have a size."""
    return [s for s in sorts_of(system, [claim.tree]) if not issubclass(s, Enumeration)]


# Invariants.


@dataclass(frozen=True, kw_only=True)
class AtScope(Scoped):
    """A proof that the claim holds in every run at the scope: clauses that are inductive together.

    A clause is a list of literals such as ``sh[0, 2] != none``.
    """

    clauses: tuple[tuple[str, ...], ...]
    stored: tuple[Cell, ...]

    proof = "at scope"
    kinds = ("always", "step")

    def established(self, whose: str) -> str:
        when = "at every step" if self.claim.kind == "step" else "in every state"
        return f"{when} of every run of {whose}, {self.where}"

    def cells(self) -> list[Cell]:
        try:
            wanted = list(self._scripts())
        except DesignError as error:  # such as an interpretation that is none
            raise Rejected(str(error)) from None
        if [(c.name, c.script) for c in self.stored] != wanted:
            raise Rejected("the scripts are not those of the stored system and invariant")
        return list(self.stored)

    def _scripts(self) -> Iterator[tuple[str, str]]:
        sequential = Sequential(self.machine, self.scope)
        atoms = Atoms(sequential)
        literal = {atoms.text([x]): x for n in range(1, len(atoms.list)) for x in (n, -n)}
        if len(literal) != 2 * (len(atoms.list) - 1):
            raise Rejected("two values of an entry are called the same")
        try:
            cubes = tuple(tuple(literal[text] for text in clause) for clause in self.clauses)
        except KeyError as error:
            raise Rejected(f"the invariant speaks of {str(error)[:80]}, which is nothing") from None
        yield from scripts(sequential, self.claim, Invariant(atoms, cubes, 0))

    def evidence(self) -> Data:
        return {
            **super().evidence(),
            "invariant": [list(clause) for clause in self.clauses],
            "obligations": [
                {"name": c.name, "found_by": c.found_by, "script": c.script} for c in self.stored
            ],
        }

    @classmethod
    def read(cls, head: Head, evidence: Data) -> AtScope:
        """The certificate of a file.  Raises Malformed."""
        scope, given, invariant, obligations = fields(
            evidence, "the proof", scope=dict, given=dict, invariant=list, obligations=list
        )
        scoped = _scoped(head, scope, given)
        clauses = []
        for clause in invariant:
            if type(clause) is not list:
                raise Malformed("a clause of the invariant is no list")
            clauses.append(tuple(texts(clause, "the invariant")))
        stored = []
        for data in obligations:
            name, found_by, script = fields(
                data, "an obligation", name=str, found_by=str, script=str
            )
            stored.append(Cell(name, script, read_solver(found_by)))
        return cls(**scoped, clauses=tuple(clauses), stored=tuple(stored))


def certificate_at_scope(
    design: Design[Any], prop: Property[Any], invariant: Invariant, solver: str
) -> AtScope:
    """The certificate of a claim that was settled at a scope, and confirmed by a solver."""
    sequential = invariant.atoms.sequential
    texts = tuple(tuple(invariant.atoms.text([x]) for x in clause) for clause in invariant.clauses)
    return AtScope(
        **_about(design, prop, sequential.scope),
        clauses=texts,
        stored=tuple(
            Cell(name, script, solver) for name, script in scripts(sequential, prop, invariant)
        ),
    )


# Runs.


@dataclass(frozen=True)
class Entry:
    """The value of one entry of a map."""

    map: str
    key: tuple[int, ...]
    value: int


@dataclass(frozen=True, kw_only=True)
class Shown(Scoped):
    """A run at whose end a ``sometimes`` holds.

    before: the entries that are arbitrary before the start; steps: transitions with arguments.
    """

    before: tuple[Entry, ...]
    steps: tuple[tuple[str, Mapping[str, int]], ...]

    proof = "run"
    kinds = ("sometimes",)

    def established(self, whose: str) -> str:
        count = len(self.steps)
        after = f"after {count} step{'' if count == 1 else 's'}" if count else "in an initial state"
        return f"in a state of a run of {whose}, {self.where}, {after}"

    def cells(self) -> list[Cell]:
        """There is nothing to solve: the run is replayed.  Raises Rejected if it is none."""
        try:
            machine = Machine(self.machine, self.scope)
        except DesignError as error:
            raise Rejected(str(error)) from None
        state = machine.boot(dict(self._places(machine)))
        if state is None:
            raise Rejected("the run does not begin in an initial state")
        for number, event in enumerate(self._events(machine), 1):
            after = machine.fire(state, event)
            if after is None:
                raise Rejected(
                    f"step {number} of the run, {event.transition.name}, is not possible"
                )
            state = after
        if not machine.evaluate(self.claim.tree, state):
            raise Rejected(f"{self.claim.name} does not hold at the end of the run")
        return []

    def _places(self, machine: Machine) -> Iterator[tuple[int, int]]:
        cells = {(c.name, key): (c, place) for c, key, place in machine.layout.cells()}
        free, seen = set(machine.layout.arbitrary), set()
        for entry in self.before:
            component, place = cells.get((entry.map, entry.key), (None, -1))
            if component is None or place not in free or place in seen:
                raise Rejected(f"the start sets {entry.map}{list(entry.key)}, which it cannot")
            if not 0 <= entry.value < self.scope[component.value]:
                raise Rejected(
                    f"{entry.map}{list(entry.key)} starts with a value that it cannot have"
                )
            seen.add(place)
            yield place, entry.value
        if free - seen:
            raise Rejected("the start does not say with what every entry begins")

    def _events(self, machine: Machine) -> Iterator[Event]:
        transitions = {t.name: t for t in machine.system.transitions}
        for name, arguments in self.steps:
            transition = transitions.get(name)
            if transition is None:
                raise Rejected(f"a step of the run, {name}, is no transition")
            if arguments.keys() != {p.name for p in transition.parameters}:
                raise Rejected(f"a step of the run, {name}, does not have its arguments")
            for p in transition.parameters:
                if not 0 <= arguments[p.name] < self.scope[p.sort]:
                    raise Rejected(f"a step of the run, {name}, has an argument out of range")
            yield Event(transition, tuple(arguments[p.name] for p in transition.parameters))

    def evidence(self) -> Data:
        return {
            **super().evidence(),
            "before": [{"map": e.map, "key": list(e.key), "value": e.value} for e in self.before],
            "steps": [{"transition": name, "arguments": dict(a)} for name, a in self.steps],
        }

    @classmethod
    def read(cls, head: Head, evidence: Data) -> Shown:
        """The certificate of a file.  Raises Malformed."""
        scope, given, before, steps = fields(
            evidence, "the run", scope=dict, given=dict, before=list, steps=list
        )
        entries, taken = [], []
        for data in before:
            name, key, value = fields(data, "an entry", map=str, key=list, value=int)
            entries.append(Entry(named(name, "an entry"), _numbers(key, "an entry"), value))
        for data in steps:
            name, arguments = fields(data, "a step", transition=str, arguments=dict)
            _numbers(arguments.values(), "a step")
            taken.append((named(name, "a step"), arguments))
        scoped = _scoped(head, scope, given)
        return cls(**scoped, before=tuple(entries), steps=tuple(taken))


def certificate_of_run(trace: Trace, prop: Property[Any]) -> Shown:
    """The certificate of a run that shows a ``sometimes``."""
    return Shown(
        **_about(trace.design, prop, trace.machine.scope),
        before=tuple(_before(trace.machine, trace.states[0])),
        steps=tuple(
            (
                e.transition.name,
                {p.name: v for p, v in zip(e.transition.parameters, e.arguments, strict=True)},
            )
            for e in trace.events
        ),
    )


def _before(machine: Machine, start: Sequence[int]) -> Iterator[Entry]:
    """Values of the arbitrary entries with which the design boots into an initial state."""
    unrolling = Unrolling(plain(machine.system), machine.scope)
    circuit, facts = unrolling.circuit, [unrolling.possible]
    for component, _, place in machine.layout.cells():
        entry = unrolling.states[0][component][place - machine.layout.offset[component]]
        value = unrolling.constant(component.value, start[place])
        facts += (circuit.equal(a, b) for a, b in zip(entry, value, strict=True))
    solving = CircuitSolver(circuit)
    if not solving.holds(circuit.all(facts), monotonic() + 60):
        raise DesignError("the run does not begin in an initial state")
    values = unrolling.arbitrary(solving.model())
    for component, key, place in machine.layout.cells():
        if place in values:
            yield Entry(component.name, key, values[place])


# What both have in common.


def _about(design: Design[Any], prop: Property[Any], scope: Scope) -> Data:
    claim = Statement(prop.name, prop.kind, prop.closed())
    sorts = _sorts(design.system(), claim)
    return {
        **common(design, claim),
        "sizes": {s.__name__: scope[s] for s in sorts},
        "tables": tables_of(design, scope),
    }


def _scoped(head: Head, scope: Data, given: Data) -> Data:
    """The fields of a certificate about a scope, which is one of the system."""
    system: System = head.fields["system"]
    claim: Statement = head.fields["claim"]
    _numbers(scope.values(), "the scope")
    sorts = _sorts(system, claim)
    if scope.keys() != {s.__name__ for s in sorts}:
        raise Malformed("the scope does not have a size for each sort")
    if not all(1 <= size <= LARGEST for size in scope.values()):
        raise Malformed("the scope has a size that is too small or too large")
    sizes = Scope({s: scope[s.__name__] for s in sorts})
    entries = {c.name: prod(sizes[k] for k in c.keys) for c in system.components}
    if sum(entries.values()) > MOST_ENTRIES:
        raise Malformed("the scope is too large")
    rigid = {c.name for c in system.components if c.rigid}
    tables = {}
    for name, values in given.items():
        if name not in rigid or type(values) is not list or len(values) != entries[name]:
            raise Malformed(f"{name[:60]} is given, but not as a map that does not change")
        tables[name] = _numbers(values, name)
    return {**head.fields, "sizes": scope, "tables": tables}


def _numbers(values: Any, where: str) -> tuple[int, ...]:
    found = tuple(values)
    if not all(type(v) is int for v in found):
        raise Malformed(f"{where} has something else than numbers in it")
    return found
