"""Lemmas, runs and results as plain data and back: for other processes of a run, and for later runs.

All are about one design, which whoever reads them has: so they name its sorts, its transitions and its
maps.  Runs are replayed when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.concrete import Event, Machine, State
from mapproof.model.language.design import Design, index_sorts
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope

from .cti import Cti
from .lemma import Lemma
from .samples import uninterpreted
from .trace import ReplayError, Trace, replay, rerun
from .trees import Malformed, Reader, sort_text, tree_text
from .verdict import Result

LemmaText = tuple[str, str, tuple[tuple[str, str], ...]]  # name, clause, its variables and sorts


@dataclass(frozen=True)
class RunText:
    """A run: sizes by sort, the initial state entry by entry, and the steps with their arguments."""

    sizes: Mapping[str, int]
    start: tuple[int, ...]
    events: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def data(self) -> list[Any]:
        """As JSON."""
        return [self.sizes, list(self.start), self.events]


def lemma_text(lemma: Lemma) -> LemmaText:
    """A lemma as plain data."""
    variables = tuple((str(v.data), sort_text(v.sort)) for v in lemma.clause.variables)
    return lemma.name, tree_text(lemma.clause), variables


def run_text(trace: Trace) -> RunText:
    """A run as plain data."""
    scope = trace.machine.scope
    sizes = {sort.__name__: scope[sort] for sort in scope}
    events = tuple((event.transition.name, event.arguments) for event in trace.events)
    return RunText(sizes, tuple(trace.states[0]), events)


@dataclass(frozen=True)
class ResultText:
    """A result: what of it is plain data, its run, its lemmas, and its CTI: the initial state, the step,
    and whether rigid maps are as the design gives them."""

    plain: Result
    run: RunText | None
    lemmas: tuple[LemmaText, ...]
    cti: tuple[State, RunText, bool] | None


def result_text(result: Result) -> ResultText:
    """A result as plain data, without its certificate."""
    run = None if result.trace is None else run_text(result.trace)
    cti, step = None, result.cti
    if step is not None:
        given = step.trace.machine.system is step.trace.design.system()
        cti = step.start, run_text(step.trace), given
    lemmas = tuple(map(lemma_text, result.inferred))
    plain = result.but(trace=None, cti=None, inferred=(), certificate=None)
    return ResultText(plain, run, lemmas, cti)


def boot_of(machine: Machine, start: State) -> dict[int, int]:
    """What booting is given to end in an initial state, where it keeps what it is given."""
    return {place: start[place] for place in machine.layout.arbitrary}


class Portable:
    """Reads lemmas and runs of one design."""

    def __init__(self, design: Design[Any]) -> None:
        self.design = design
        self._transitions = {t.name: t for t in design.system().transitions}
        self._machines: dict[tuple[Scope, bool], Machine] = {}

    def result(self, text: ResultText) -> Result:
        """The result of a text.  Raises Malformed and ReplayError."""
        prop = self.design.property_named(text.plain.property)
        trace = None if text.run is None else self.trace(prop, text.run, booted=True)
        cti = None
        if text.cti is not None:
            start, step, given = text.cti
            cti = Cti(start, self.trace(prop, step, booted=True, given=given))
        return text.plain.but(trace=trace, cti=cti, inferred=tuple(map(self.lemma, text.lemmas)))

    def lemma(self, text: LemmaText) -> Lemma:
        """The lemma of a text.  Raises Malformed."""
        name, clause, variables = text
        named = [nodes.var(self._reader.sort(sort), variable) for variable, sort in variables]
        tree = self._reader.tree(clause, named)
        if tree.sort is not nodes.BOOL:
            raise Malformed(f"the lemma {name} is no claim")
        return Lemma(tree, name)

    def trace(
        self, prop: Property[Any], run: RunText, *, booted: bool, given: bool = True
    ) -> Trace:
        """The run, replayed; ``booted`` says that its start is known to be one, and is confirmed to be
        an initial state otherwise; ``given``, that rigid maps are as the design gives them.

        Raises Malformed and ReplayError.
        """
        machine = self._machine(prop, run.sizes, given)
        if len(run.start) != machine.layout.size:
            raise Malformed("the start of a run has more or fewer entries than a state")
        limits = (machine.scope[c.value] for c, _, _ in machine.layout.cells())
        if not all(0 <= value < limit for value, limit in zip(run.start, limits, strict=True)):
            raise Malformed("the start of a run has a value that there is not")
        start = machine.freeze(run.start)
        events = [self._event(machine, *event) for event in run.events]
        if booted:
            return rerun(self.design, prop, machine, start, events)
        trace = replay(self.design, prop, machine, boot_of(machine, start), events)
        if trace.states[0] != start:
            raise ReplayError(f"{self.design.name}: the start of the run is no initial state")
        return trace

    def scope(self, sizes: Mapping[str, int]) -> Scope:
        """The scope of some sizes.  Raises Malformed."""
        sorts = self._reader.sorts
        if not sizes.keys() <= sorts.keys():
            raise Malformed("a run has sizes of sorts that there are not")
        try:
            return Scope({sorts[name]: size for name, size in sizes.items()})
        except DesignError as error:
            raise Malformed(str(error)) from None

    def _machine(self, prop: Property[Any], sizes: Mapping[str, int], given: bool) -> Machine:
        scope, system = self.scope(sizes), self.design.system()
        claimed = (*(p.sort for p in prop.parameters), *nodes.variable_sorts(prop.body()))
        if not {*system.sorts, *index_sorts(claimed)} <= scope.keys():
            raise Malformed("a run lacks the size of a sort")
        try:
            if (scope, given) not in self._machines:
                system = system if given else uninterpreted(system)
                self._machines[scope, given] = Machine(system, scope)
        except DesignError as error:
            raise Malformed(str(error)) from None
        return self._machines[scope, given]

    def _event(self, machine: Machine, step: str, arguments: tuple[int, ...]) -> Event:
        transition = self._transitions.get(step)
        if transition is None:
            raise Malformed(f"there is no step {step}")
        limits = [machine.scope[p.sort] for p in transition.parameters]
        if len(arguments) != len(limits):
            raise Malformed(f"{step} with {len(arguments)} arguments")
        if not all(0 <= value < limit for value, limit in zip(arguments, limits, strict=True)):
            raise Malformed(f"{step} with an argument that there is not")
        return Event(transition, arguments)

    @cached_property
    def _reader(self) -> Reader:
        components = self.design.system().components
        sorts: list[Any] = [sort for c in components for sort in (*c.keys, c.value)]
        bases = (sort.base if isinstance(sort, nodes.OptOf) else sort for sort in sorts)
        named = {base.__name__: base for base in (*bases, *self.design.sorts)}
        named.pop(nodes.BOOL.__name__, None)
        return Reader(named, components)
