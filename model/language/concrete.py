"""The concrete reading: terms as Python expressions over a flat state, with no solver.

A state is a ``bytes`` (or a tuple, in scopes over 255) with one place per map entry.  Terms
become Python source, specialised to the parameters, so that counting and random walks are quick;
replaying a counterexample uses the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

from .design import System
from .errors import DesignError
from .layout import Layout
from .nodes import BOOL, Component, Node, OptOf
from .operation import Transition
from .scope import Scope
from .state import Update

State = Sequence[int]
Code = int | str  # a known value, or Python source for it

MOST_INITIAL_STATES = 1 << 22


@dataclass(frozen=True)
class Event:
    """A transition with its arguments: what happened in one step."""

    transition: Transition
    arguments: tuple[int, ...]


class Machine:
    """A system at a finite scope, run concretely.

    Raises DesignError if the interpretation that the design gives breaks one of its assumptions.
    """

    def __init__(self, system: System, scope: Scope) -> None:
        self.system = system
        self.scope = scope
        self.layout = Layout(system, scope)
        # One byte per entry unless a sort is too large for that.
        largest = max((scope[c.value] for c in self.layout.offset), default=1)
        self.freeze: Callable[[Any], State] = bytes if largest <= 256 else tuple
        self._thaw: Callable[[Any], Any] = bytearray if largest <= 256 else list
        self._tables = {f"T{i}": t for i, t in enumerate(self.layout.table.values())}
        self._table_name = dict(zip(self.layout.table, self._tables, strict=True))
        self._steps: dict[Event, Callable[[State], State | None]] = {}
        self._terms: dict[Node, Callable[..., int]] = {}
        for axiom in system.axioms:
            if self._code(axiom, {}) == 0:
                raise DesignError(f"scope {scope} breaks the design's own assumption: {axiom!r}")

    # Terms to Python source.

    def _code(self, node: Node, env: Mapping[Node, Code], old: str = "s", new: str = "n") -> Code:
        def go(n: Node) -> Code:
            return self._code(n, env, old, new)

        match node.op:
            case "bool":
                return int(node.data)
            case "elem":
                return int(node.data)
            case "var":
                return env[node]
            case "read":
                component, epoch = node.data
                return self._read(component, [go(a) for a in node.args], new if epoch else old)
            case "not":
                a = go(node.args[0])
                return 1 - a if isinstance(a, int) else f"(not {a})"
            case "and":
                return self._junction((go(a) for a in node.args), "and", 0)
            case "or":
                return self._junction((go(a) for a in node.args), "or", 1)
            case "forall" | "exists":
                op, zero = ("and", 0) if node.op == "forall" else ("or", 1)
                return self._junction(
                    (
                        self._code(
                            node.args[0],
                            {**env, **dict(zip(node.data, values, strict=True))},
                            old,
                            new,
                        )
                        for values in self.scope.combinations(v.sort for v in node.data)
                    ),
                    op,
                    zero,
                )
            case "eq":
                a, b = map(go, node.args)
                if isinstance(a, int) and isinstance(b, int):
                    return int(a == b)
                return f"({a} == {b})"
            case "ite":
                c = go(node.args[0])
                if isinstance(c, int):
                    return go(node.args[1] if c else node.args[2])
                return f"({go(node.args[1])} if {c} else {go(node.args[2])})"
            case "none":
                return self.scope[node.sort.base]
            case "some":
                return go(node.args[0])
            case "is_some":
                a, size = go(node.args[0]), self.scope[node.args[0].sort.base]
                return int(a != size) if isinstance(a, int) else f"({a} != {size})"
            case "value":  # of none: the first element, see nodes.value
                a, size = go(node.args[0]), self.scope[node.sort]
                return a % size if isinstance(a, int) else f"({a} % {size})"
            case _:
                raise AssertionError(node.op)

    def _junction(self, parts: Iterator[Code], op: str, zero: int) -> Code:
        texts: dict[str, None] = {}
        for part in parts:
            if isinstance(part, int):
                if bool(part) == bool(zero):
                    return zero
            else:
                texts[part] = None
        if not texts:
            return 1 - zero
        return next(iter(texts)) if len(texts) == 1 else f"({f' {op} '.join(texts)})"

    def _read(self, c: Component, keys: list[Code], state: str) -> Code:
        place = self._place(c, keys)
        if c in self.layout.table:
            return (
                self.layout.table[c][place]
                if isinstance(place, int)
                else f"{self._table_name[c]}[{place}]"
            )
        offset = self.layout.offset[c]
        if isinstance(place, int):
            return f"{state}[{offset + place}]"
        return f"{state}[{offset} + {place}]"

    def _place(self, c: Component, keys: list[Code]) -> Code:
        if all(isinstance(k, int) for k in keys):
            return self.layout.position(c, tuple(int(k) for k in keys))
        text: Code = 0
        for sort, key in zip(c.keys, keys, strict=True):
            text = key if text == 0 else f"({text}) * {self.scope[sort]} + {key}"
        return text

    def _writes(self, update: Update, env: Mapping[Node, Code]) -> Iterator[str]:
        """Assignments to the vector ``t``, reading the old state ``s``."""
        c = update.component
        if c not in self.layout.offset:
            return
        offset = self.layout.offset[c]
        if update.at is not None:
            place = self._place(c, [self._code(k, env) for k in update.at])
            index = offset + place if isinstance(place, int) else f"{offset} + {place}"
            yield f"t[{index}] = {self._code(update.value, env)}"
            return
        for place, key in enumerate(self.scope.combinations(c.keys)):
            inner = {**env, **dict(zip(update.variables, key, strict=True))}
            when = self._code(update.when, inner)
            if when != 0:
                guard = "" if isinstance(when, int) else f"if {when}: "
                yield f"{guard}t[{offset + place}] = {self._code(update.value, inner)}"

    def _function(self, name: str, lines: list[str]) -> Callable[..., Any]:
        space: dict[str, Any] = {**self._tables, "freeze": self.freeze, "thaw": self._thaw}
        exec(compile("\n".join(lines), "<concrete reading>", "exec"), space)
        function: Callable[..., Any] = space[name]
        return function

    # Steps.

    def events(self) -> Iterator[Event]:
        """Every transition with every choice of arguments."""
        for t in self.system.transitions:
            for arguments in self.scope.combinations(p.sort for p in t.parameters):
                yield Event(t, arguments)

    def _env(self, event: Event) -> dict[Node, Code]:
        return {
            p.variable: v for p, v in zip(event.transition.parameters, event.arguments, strict=True)
        }

    def fire(self, state: State, event: Event) -> State | None:
        """The state after the event, or None where its guard does not hold."""
        step = self._steps.get(event)
        if step is None:
            env = self._env(event)
            lines = [
                "def fire(s):",
                f" if not {self._code(event.transition.when, env)}: return None",
                " t = thaw(s)",
            ]
            lines += [f" {w}" for u in event.transition.updates for w in self._writes(u, env)]
            step = self._steps[event] = self._function("fire", [*lines, " return freeze(t)"])
        return step(state)

    @cached_property
    def _successors(self) -> tuple[list[Event], Callable[[State], Iterator[tuple[int, State]]]]:
        events: list[Event] = []
        lines = ["def successors(s):"]
        for event in self.events():
            env = self._env(event)
            guard = self._code(event.transition.when, env)
            if guard == 0:
                continue
            lines += [f" if {guard}:", "  t = thaw(s)"]
            lines += [f"  {w}" for u in event.transition.updates for w in self._writes(u, env)]
            lines += [f"  yield {len(events)}, freeze(t)"]
            events.append(event)
        return events, self._function("successors", [*lines, " return", " yield"])

    def successors(self, state: State) -> Iterator[tuple[Event, State]]:
        """Every event that is possible in a state, with the state after it."""
        events, function = self._successors
        for index, after in function(state):
            yield events[index], after

    def successor_states(self, state: State) -> Iterator[State]:
        """The states one step away."""
        for _, after in self._successors[1](state):
            yield after

    # Initial states.

    def boot(self, arbitrary: Mapping[int, int]) -> State | None:
        """The initial state that comes of given values in the free cells, or None if excluded."""
        before = self._thaw([0] * self.layout.size)
        for place, value in arbitrary.items():
            before[place] = value
        for axiom in self.system.axioms:
            if not self.evaluate(axiom, before):
                return None
        return self.fire(self.freeze(before), Event(self.system.init, ()))

    @cached_property
    def _free(self) -> dict[int, int]:
        """How many values there are for each cell that an initial state may have anything in."""
        sizes = {place: self.scope[c.value] for c, _, place in self.layout.cells()}
        return {place: sizes[place] for place in self.layout.arbitrary}

    @property
    def candidates(self) -> int:
        """How many there are for an initial state; some may be excluded, or come to the same."""
        return prod(self._free.values())

    def initial_states(self) -> Iterator[State]:
        """Every initial state, once."""
        if self.candidates > MOST_INITIAL_STATES:
            raise DesignError(
                f"{self.candidates} candidates for an initial state at scope {self.scope}: use a "
                "smaller scope, or fix the rigid maps of the state with given(...)"
            )
        seen = set()
        for values in product(*map(range, self._free.values())):
            state = self.boot(dict(zip(self._free, values, strict=True)))
            if state is not None and state not in seen:
                seen.add(state)
                yield state

    # Terms.

    def evaluate(
        self,
        node: Node,
        state: State,
        new: State | None = None,
        env: Mapping[Node, int] | None = None,
    ) -> int:
        """The value of a term; ``env`` gives its free variables."""
        function = self._terms.get(node)
        variables = node.variables
        if function is None:
            names: dict[Node, Code] = {v: f"v{i}" for i, v in enumerate(variables)}
            arguments = ", ".join(["s", "n", *map(str, names.values())])
            source = self._code(node, names)
            function = self._terms[node] = self._function(
                "f", [f"def f({arguments}): return {source}"]
            )
        values = [env[v] for v in variables] if env else []
        return int(function(state, state if new is None else new, *values))

    def states_where(self, term: Node, variables: Sequence[Node]) -> Callable[..., int]:
        """A function of a list of states and of values of the variables: bit i of the result is the
        truth of a Bool term in state i."""
        names: dict[Node, Code] = {v: f"v{i}" for i, v in enumerate(variables)}
        lines = [
            f"def f({', '.join(['states', *map(str, names.values())])}):",
            f" bits = ['1' if {self._code(term, names)} else '0' for s in reversed(states)]",
            " return int(''.join(bits) or '0', 2)",
        ]
        return self._function("f", lines)

    def cell(self, state: State, c: Component, key: tuple[int, ...]) -> int:
        """One entry of a map."""
        place = self.layout.position(c, key)
        return (
            self.layout.table[c][place]
            if c in self.layout.table
            else state[self.layout.offset[c] + place]
        )

    def show_value(self, sort: Any, value: int) -> str:
        """A value as a reader sees it."""
        if sort is BOOL:
            return "yes" if value else "no"
        if isinstance(sort, OptOf):
            return "none" if value == self.scope[sort.base] else self.show_value(sort.base, value)
        if hasattr(sort, "values"):
            return str(sort.values[value])
        return str(sort.show(value))
