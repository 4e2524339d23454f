"""Operations (one atomic step) and procedures (several, with other steps in between)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints, overload

from . import nodes
from .errors import DesignError
from .nodes import Component, Node
from .state import State, Update, old_and_new
from .terms import Bool, Enumeration, Term, enumeration, sort_of, wrap

S_contra = TypeVar("S_contra", bound=State, contravariant=True)
S = TypeVar("S", bound=State)
P = ParamSpec("P")


@dataclass(frozen=True)
class Step:
    """One atomic step: possible only when ``when`` holds, and then all writes happen at once.

    Every read, in ``when`` and in the writes, is of the old state.  Where two writes meet in one
    entry, the later one in the sequence wins.
    """

    when: Bool
    then: Sequence[Update] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.when, Bool):
            raise DesignError(f"Step(when=...) is a {type(self.when).__name__}: give it a Bool")
        updates = tuple(self.then) if isinstance(self.then, (list, tuple)) else (self.then,)
        for update in updates:
            if not isinstance(update, Update):
                raise DesignError(
                    f"Step(then=[...]) has a {type(update).__name__} in it: give it writes such as "
                    "s.pte.set(va, f)"
                )
            if update.component.rigid:
                raise DesignError(f"{update.component.name} is a Fun: no operation may change it")
        object.__setattr__(self, "then", updates)


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation or a property, quantified over its sort."""

    name: str
    sort: Any

    @property
    def variable(self) -> Node:
        return nodes.var(self.sort, self.name)


def signature_of(
    function: Callable[..., object], states: int = 1
) -> tuple[type[State], tuple[Parameter, ...]]:
    """The state class and the parameters that a user's function is annotated with."""
    name = function.__qualname__
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise DesignError(f"{name}: {error}; declare sorts and states at module level") from None
    names = list(inspect.signature(function).parameters)
    if len(names) < states or any(n not in hints for n in names):
        first = "two are states" if states == 2 else "one is the state"
        raise DesignError(f"{name}: annotate every parameter; the first {first}")
    state = hints[names[0]]
    if not (isinstance(state, type) and issubclass(state, State)):
        raise DesignError(f"{name}: the first parameter must be annotated with a subclass of State")
    where = f"{name}, parameter"
    return state, tuple(Parameter(n, sort_of(hints[n], f"{where} {n}")) for n in names[states:])


class Operation(Generic[S_contra, P]):
    """A kernel function, or a step of the hardware, as one atomic step.

    Call it with a state and terms to get its :class:`Step`.
    """

    def __init__(
        self, function: Callable[Concatenate[S_contra, P], Step], kernel: str, name: str = ""
    ) -> None:
        self.function = function
        self.name = name or function.__name__
        self.kernel = kernel
        self.doc = inspect.getdoc(function) or ""
        self.state, self.parameters = signature_of(function)

    def __call__(self, state: S_contra, *args: P.args, **kwargs: P.kwargs) -> Step:
        step = self.function(state, *args, **kwargs)
        if not isinstance(step, Step):
            raise DesignError(
                f"the operation {self.name} returned {type(step).__name__}: write "
                "return Step(when=..., then=[...])"
            )
        return step

    def saying(self, doc: str) -> Operation[S_contra, P]:
        """The same operation with another description."""
        other = copy(self)
        other.doc = doc
        return other

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


@overload
def operation(function: Callable[Concatenate[S, P], Step], /) -> Operation[S, P]: ...
@overload
def operation(
    *, kernel: str, name: str = ""
) -> Callable[[Callable[Concatenate[S, P], Step]], Operation[S, P]]: ...
def operation(function: Any = None, *, kernel: str = "", name: str = "") -> Any:
    """Make an operation of a function ``(state, parameters) -> Step``.

    ``kernel`` says which kernel function, or which section of a manual, it models.  ``name`` is how
    traces call it, where two versions of one kernel function need Python names of their own.
    """
    if function is not None:
        return Operation(function, kernel)
    return lambda f: Operation(f, kernel, name)


class ProcedureStep(Generic[S_contra, P]):
    """One atomic step of a procedure."""

    def __init__(
        self, procedure: Procedure, op: Operation[S_contra, P], at: str, to: str | None
    ) -> None:
        self.procedure = procedure
        self.operation = op
        self.name = op.name
        self.at = at
        self.to = to


class Procedure:
    """A kernel function that others can interleave with: named atomic steps run by one actor.

    Every step takes the state and the actor (a Cpu, a Thread ...); a step that begins the
    procedure may take more parameters, its arguments.  Locals are ordinary state maps keyed by the
    actor.  Where the actor stands is kept in the state as ``<name>.at``.  Steps follow each other in
    the order of their declaration; ``at`` and ``to`` (names of steps, or DONE) make loops and
    branches.  An actor runs one procedure at a time.
    """

    IDLE = "IDLE"
    DONE = "DONE"

    def __init__(self, name: str, *, kernel: str = "", doc: str = "") -> None:
        self.name = name
        self.kernel = kernel
        self.doc = doc
        self._steps: list[ProcedureStep[Any, ...]] = []
        self._position: Component | None = None

    @overload
    def step(self, function: Callable[Concatenate[S, P], Step], /) -> ProcedureStep[S, P]: ...
    @overload
    def step(
        self, *, at: str | None = None, to: str | None = None
    ) -> Callable[[Callable[Concatenate[S, P], Step]], ProcedureStep[S, P]]: ...
    def step(self, function: Any = None, *, at: str | None = None, to: str | None = None) -> Any:
        """Add a step: possible at position ``at``, leaving the actor at ``to``."""

        def add(f: Callable[..., Step]) -> ProcedureStep[Any, ...]:
            if self._position is not None:
                raise DesignError(
                    f"the procedure {self.name} is in use: add {f.__name__} before that"
                )
            if any(s.name == f.__name__ for s in self._steps):
                raise DesignError(f"the procedure {self.name} has two steps called {f.__name__}")
            start = at or (f.__name__ if self._steps else self.IDLE)
            made = ProcedureStep(self, Operation(f, self.kernel), start, to)
            self._steps.append(made)
            return made

        return add(function) if function is not None else add

    @property
    def steps(self) -> tuple[ProcedureStep[Any, ...], ...]:
        return tuple(self._steps)

    @property
    def actor(self) -> Any:
        """The sort of the actor."""
        if not self._steps or not self._steps[0].operation.parameters:
            raise DesignError(f"the procedure {self.name} needs a step that takes its actor")
        return self._steps[0].operation.parameters[0].sort

    @property
    def position(self) -> Component:
        """The state component that says where each actor stands."""
        if self._position is None:
            labels = dict.fromkeys((self.IDLE, *(s.at for s in self._steps)))
            at: type[Enumeration] = enumeration(f"{self.name}_at", tuple(labels))
            self._position = Component(f"{self.name}.at", (self.actor,), at)
        return self._position

    def at(self, s: State, actor: Term, step: ProcedureStep[Any, ...] | None) -> Bool:
        """The actor is about to take ``step``; of None: it is not in this procedure."""
        label = self.IDLE if step is None else step.at
        return Bool(nodes.eq(nodes.read(self.position, (actor.node,), s.epoch), self._label(label)))

    def idle(self, s: State, actor: Term) -> Bool:
        """The actor is not in this procedure."""
        return self.at(s, actor, None)

    def _label(self, label: str) -> Node:
        sort = self.position.value
        if label not in sort.values:
            raise DesignError(
                f"the procedure {self.name} has no position {label}; it has {', '.join(sort.values)}"
            )
        return nodes.elem(sort, sort.values.index(label))

    def target(self, step: ProcedureStep[Any, ...]) -> str:
        """The position that a step leads to."""
        if step.to is not None:
            return self.IDLE if step.to == self.DONE else step.to
        later = self._steps[self._steps.index(step) + 1 :]
        return later[0].at if later else self.IDLE

    def transitions(self, others: Sequence[Procedure]) -> Iterator[Transition]:
        """Each step as a transition; beginning one needs the actor idle in the other procedures."""
        where = self.position
        for step in self._steps:
            op = step.operation
            if not op.parameters or op.parameters[0].sort is not self.actor:
                raise DesignError(
                    f"{self.name}.{step.name}: the actor must be a {self.actor.__name__}, as in the "
                    "first step"
                )
            actor = op.parameters[0]
            base = transition_of(op, f"{self.name}.{step.name}")
            guard = [
                nodes.eq(nodes.read(where, (actor.variable,), 0), self._label(step.at)),
                base.when,
            ]
            if step.at == self.IDLE:
                guard += (
                    nodes.eq(nodes.read(p.position, (actor.variable,), 0), p._label(self.IDLE))
                    for p in others
                    if p is not self and p.actor is self.actor
                )
            key = nodes.var(actor.sort, f"{where.name}#0")
            move = Update(
                where,
                (key,),
                nodes.eq(key, actor.variable),
                self._label(self.target(step)),
                (actor.variable,),
            )
            yield Transition(
                base.name, base.kernel, base.parameters, nodes.conj(guard), (*base.updates, move)
            )

    def __repr__(self) -> str:
        return f"<procedure {self.name}>"


@dataclass(frozen=True)
class Transition:
    """An operation, or one step of a procedure, elaborated: guard and writes over its parameters."""

    name: str
    kernel: str
    parameters: tuple[Parameter, ...]
    when: Node
    updates: tuple[Update, ...]


def transition_of(op: Operation[Any, ...], name: str | None = None) -> Transition:
    """Read an operation off its function, once, on symbolic parameters."""
    old, _ = old_and_new(op.state)
    step = op(old, *(wrap(p.variable) for p in op.parameters))
    return Transition(name or op.name, op.kernel, op.parameters, step.when.node, tuple(step.then))
