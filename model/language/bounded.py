"""The bounded reading: terms over finite scopes as Boolean circuits.

A value of a sort with n elements is n literals of which exactly one is true ("one-hot"); a Bool is
one literal.  Starting from the initial state, which is mostly constant, a run unrolls into a circuit
over nothing but the choices made in each step, so most of it folds away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import circuit as c
from .circuit import Circuit
from .concrete import Event
from .design import System
from .layout import Layout
from .nodes import BOOL, Component, Node
from .operation import Parameter
from .scope import Scope
from .state import Update

Value = tuple[int, ...]  # one-hot literals; of a Bool: one literal
State = dict[Component, list[Value]]


class Encoder:
    """Evaluates terms of one system at one scope to circuit literals."""

    def __init__(self, system: System, scope: Scope) -> None:
        self.system = system
        self.scope = scope
        self.layout = Layout(system, scope)
        self.circuit = Circuit()

    def constant(self, sort: Any, index: int) -> Value:
        """A known value."""
        if sort is BOOL:
            return (c.TRUE if index else c.FALSE,)
        return tuple(c.TRUE if i == index else c.FALSE for i in range(self.scope[sort]))

    def choice(self, size: int) -> tuple[Value, list[int]]:
        """An arbitrary one of ``size`` values, and the input bits (lowest first) that choose it.

        Codes past the last value mean the last one, so that every assignment of the bits is valid.
        """
        bits = [self.circuit.input() for _ in range((size - 1).bit_length())]
        one_hot = []
        for i in range(size - 1):
            one_hot.append(self.circuit.all(b ^ 1 ^ (i >> k & 1) for k, b in enumerate(bits)))
        one_hot.append(self.circuit.all(x ^ 1 for x in one_hot))
        return tuple(one_hot), bits

    def value_choice(self, sort: Any) -> tuple[Value, list[int]]:
        """An arbitrary value of a sort."""
        if sort is BOOL:
            bit = self.circuit.input()
            return (bit,), [bit]
        return self.choice(self.scope[sort])

    def number(self, bits: list[int], sort: Any, true: Callable[[int], bool]) -> int:
        """The value that an assignment of the input bits chooses."""
        return _number(bits, self.scope[sort], true)

    # Terms.

    def literal(
        self, node: Node, env: Mapping[Node, Value], old: State, new: State | None = None
    ) -> int:
        """A Bool term."""
        return self.reader(old, new)(node, env)[0]

    def reader(
        self, old: State, new: State | None = None
    ) -> Callable[[Node, Mapping[Node, Value]], Value]:
        """A function that evaluates terms in given states and remembers what it has evaluated."""
        memo: dict[tuple[Node, tuple[Value, ...]], Value] = {}
        circuit = self.circuit

        def go(n: Node, env: Mapping[Node, Value]) -> Value:
            if n.op == "var":
                return env[n]
            key = (n, tuple([env[v] for v in n.variables]))
            found = memo.get(key)
            if found is None:
                found = memo[key] = evaluate(n, env)
            return found

        def evaluate(n: Node, env: Mapping[Node, Value]) -> Value:
            match n.op:
                case "bool":
                    return (c.TRUE if n.data else c.FALSE,)
                case "elem":
                    return self.constant(n.sort, n.data)
                case "read":
                    component, epoch = n.data
                    state = new if epoch else old
                    assert state is not None
                    return self.select(state[component], component, [go(a, env) for a in n.args])
                case "not":
                    return (go(n.args[0], env)[0] ^ 1,)
                case "and":
                    return (circuit.all(go(a, env)[0] for a in n.args),)
                case "or":
                    return (circuit.any(go(a, env)[0] for a in n.args),)
                case "eq":
                    a, b = (go(x, env) for x in n.args)
                    if len(a) == 1 and n.args[0].sort is BOOL:
                        return (circuit.equal(a[0], b[0]),)
                    return (circuit.any(circuit.and_(x, y) for x, y in zip(a, b, strict=True)),)
                case "ite":
                    (when,) = go(n.args[0], env)
                    if when in (c.TRUE, c.FALSE):
                        return go(n.args[1] if when == c.TRUE else n.args[2], env)
                    return self.mux(when, go(n.args[1], env), go(n.args[2], env))
                case "none":
                    return self.constant(n.sort, self.scope[n.sort.base])
                case "some":
                    return (*go(n.args[0], env), c.FALSE)
                case "is_some":
                    return (go(n.args[0], env)[-1] ^ 1,)
                case "value":  # of none: the first element, see nodes.value
                    first, *rest, absent = go(n.args[0], env)
                    return (circuit.or_(first, absent), *rest)
                case _:
                    sorts = [v.sort for v in n.data]
                    parts = (
                        go(
                            n.args[0],
                            {
                                **env,
                                **{
                                    v: self.constant(v.sort, i)
                                    for v, i in zip(n.data, key, strict=True)
                                },
                            },
                        )[0]
                        for key in self.scope.combinations(sorts)
                    )
                    return (circuit.all(parts) if n.op == "forall" else circuit.any(parts),)

        return go

    def mux(self, when: int, then: Value, otherwise: Value) -> Value:
        """``then`` where the literal is true."""
        if when == c.TRUE:
            return then
        if when == c.FALSE:
            return otherwise
        return tuple(self.circuit.ite(when, a, b) for a, b in zip(then, otherwise, strict=True))

    def select(self, entries: list[Value], component: Component, keys: list[Value]) -> Value:
        """The entry of a map at a symbolic key."""
        hits = []
        for key, entry in zip(self.scope.combinations(component.keys), entries, strict=True):
            hit = self.hit(component, keys, key)
            if hit == c.TRUE:
                return entry
            if hit != c.FALSE:
                hits.append((hit, entry))
        width = len(hits[0][1])
        circuit = self.circuit
        return tuple(
            circuit.any([circuit.and_(hit, entry[i]) for hit, entry in hits]) for i in range(width)
        )

    def hit(self, component: Component, keys: list[Value], key: tuple[int, ...]) -> int:
        """The symbolic keys are this key."""
        result = c.TRUE
        for sort, k, i in zip(component.keys, keys, key, strict=True):
            result = self.circuit.and_(result, k[i] if sort is not BOOL else k[0] ^ 1 ^ i)
            if result == c.FALSE:
                break
        return result

    # States.

    def arbitrary_state(self, bits: dict[int, list[int]], cells: set[int]) -> State:
        """A state whose given places are inputs (their bits are recorded) and whose others are 0."""
        state: State = {
            component: [self.constant(component.value, v) for v in table]
            for component, table in self.layout.table.items()
        }
        for component, _, place in self.layout.cells():
            entries = state.setdefault(component, [])
            if place in cells:
                value, bits[place] = self.value_choice(component.value)
            else:
                value = self.constant(component.value, 0)
            entries.append(value)
        return state

    def one_hot_state(self) -> tuple[State, dict[int, dict[int, int]]]:
        """A state with an input for each value of each place, and by place and value these gates."""
        state: State = {
            component: [self.constant(component.value, v) for v in table]
            for component, table in self.layout.table.items()
        }
        gates: dict[int, dict[int, int]] = {}
        for component, _, place in self.layout.cells():
            if component in self.layout.table:
                continue
            values = [1] if component.value is BOOL else range(self.scope[component.value])
            inputs = {v: self.circuit.input() for v in values}
            state.setdefault(component, []).append(tuple(inputs.values()))
            gates[place] = {v: literal >> 1 for v, literal in inputs.items()}
        return state, gates

    def written(
        self,
        state: State,
        updates: tuple[Update, ...],
        env: Mapping[Node, Value],
        when: int,
        base: State,
    ) -> State:
        """``base`` with the updates applied where the literal ``when`` is true; they read ``state``."""
        if when == c.FALSE:
            return base
        read = self.reader(state)
        after = dict(base)
        for update in updates:
            component = update.component
            if component not in self.layout.offset:
                continue
            entries = list(after[component])
            keys = [read(k, env) for k in update.at] if update.at is not None else None
            value = read(update.value, env) if keys is not None else None
            for place, key in enumerate(self.scope.combinations(component.keys)):
                if keys is not None and value is not None:
                    condition, new = self.hit(component, keys, key), value
                else:
                    constants = {
                        v: self.constant(v.sort, i)
                        for v, i in zip(update.variables, key, strict=True)
                    }
                    inner = {**env, **constants}
                    condition = read(update.when, inner)[0]
                    if condition == c.FALSE:
                        continue
                    new = read(update.value, inner)
                entries[place] = self.mux(self.circuit.and_(when, condition), new, entries[place])
            after[component] = entries
        return after


@dataclass
class Choices:
    """The input bits of one step: which transition, and its arguments by sort and position."""

    which: list[int]
    arguments: dict[tuple[Any, int], list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    """One step from a state: what was chosen, whether that is possible, and the state after it,
    which is the same state where it is not."""

    choices: Choices
    enabled: int
    after: State


def slots_of(parameters: tuple[Parameter, ...]) -> list[tuple[Any, int]]:
    """Where the arguments of a transition are chosen: transitions share choices of the same sort."""
    seen: dict[Any, int] = {}
    slots = []
    for p in parameters:
        seen[p.sort] = seen.get(p.sort, -1) + 1
        slots.append((p.sort, seen[p.sort]))
    return slots


class Stepper(Encoder):
    """The start of a system at a scope, and its steps."""

    def start(self) -> tuple[State, int, dict[int, list[int]]]:
        """The initial states: over input bits for the arbitrary places, which are returned by place;
        the literal says that the values are possible."""
        bits: dict[int, list[int]] = {}
        before = self.arbitrary_state(bits, set(self.layout.arbitrary))
        read, init = self.reader(before), self.system.init
        possible = self.circuit.all(read(n, {})[0] for n in (*self.system.axioms, init.when))
        return self.written(before, init.updates, {}, c.TRUE, before), possible, bits

    @cached_property
    def _slots(self) -> tuple[tuple[Any, int], ...]:
        return tuple(
            dict.fromkeys(s for t in self.system.transitions for s in slots_of(t.parameters))
        )

    def move(self, state: State) -> Move:
        """An arbitrary step from a state."""
        transitions = self.system.transitions
        selected, which = self.choice(len(transitions)) if transitions else ((), [])
        choices = Choices(which)
        values: dict[tuple[Any, int], Value] = {}
        for slot in self._slots:
            values[slot], choices.arguments[slot] = self.value_choice(slot[0])
        read = self.reader(state)
        after = state
        possible = []
        for chosen, t in zip(selected, transitions, strict=True):
            env = {
                p.variable: values[s]
                for p, s in zip(t.parameters, slots_of(t.parameters), strict=True)
            }
            enabled = self.circuit.and_(chosen, read(t.when, env)[0])
            possible.append(enabled)
            after = self.written(state, t.updates, env, enabled, after)
        return Move(choices, self.circuit.any(possible), after)

    def event(self, choices: Choices, true: Callable[[int], bool]) -> Event:
        """The event that an assignment of the inputs of a step describes."""
        transitions = self.system.transitions
        transition = transitions[_number(choices.which, len(transitions), true)]
        slots = slots_of(transition.parameters)
        return Event(
            transition, tuple(self.number(choices.arguments[s], s[0], true) for s in slots)
        )

    def start_values(
        self, bits: Mapping[int, list[int]], true: Callable[[int], bool]
    ) -> dict[int, int]:
        """The values of the arbitrary places before booting, by place."""
        return {
            place: self.number(bits[place], component.value, true)
            for component, _, place in self.layout.cells()
            if place in bits
        }


class Unrolling(Stepper):
    """All runs of a system at a scope, unrolled step by step."""

    def __init__(self, system: System, scope: Scope) -> None:
        super().__init__(system, scope)
        self.choices: list[Choices] = []
        self.enabled: list[int] = []  # literal: the step that was chosen is possible
        start, self.possible, self.initial_bits = self.start()
        self.states: list[State] = [start]

    def extend(self) -> None:
        """Unroll one more step."""
        move = self.move(self.states[-1])
        self.enabled.append(move.enabled)
        self.choices.append(move.choices)
        self.states.append(move.after)

    def violation(self, body: Node, two_states: bool) -> int:
        """The literal that says: at the last state (or in the last step) the closed term is false."""
        if two_states:
            return self.literal(body, {}, self.states[-2], self.states[-1]) ^ 1
        return self.literal(body, {}, self.states[-1]) ^ 1

    def events(self, true: Callable[[int], bool]) -> list[Event]:
        """The run that an assignment of the inputs describes."""
        return [self.event(choices, true) for choices in self.choices]

    def arbitrary(self, true: Callable[[int], bool]) -> dict[int, int]:
        """The values of the arbitrary places before booting, by place."""
        return self.start_values(self.initial_bits, true)


def _number(bits: list[int], size: int, true: Callable[[int], bool]) -> int:
    return min(sum(true(b) << i for i, b in enumerate(bits)), size - 1)
