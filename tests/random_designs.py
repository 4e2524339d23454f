"""A Hypothesis strategy for small random designs, written with the public language alone.

Every parameter and every bound variable is called ``x`` or ``y``, and so is a map now and then: a
name that is captured anywhere changes what a design means.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import prod
from operator import attrgetter
from random import Random
from typing import Any, Final, get_args, get_origin

from hypothesis import assume
from hypothesis import strategies as st

from mapproof.model import language as lang
from mapproof.model.language import Bool, Design, Enumeration, Procedure, Scope, Sort

Env = tuple[tuple[Any, ...], tuple[Any, ...]]  # the states (one or two), the variables in sight
Make = Callable[[Env], Any]  # chosen once, it builds its term anew wherever it is called

# Parametrised with sorts that no type checker knows.
Opt: Final[Any] = lang.Opt
Tuple: Final[Any] = tuple

JUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "and": Bool.__and__,
    "or": Bool.__or__,
    "implies": Bool.implies,
    "iff": operator.eq,
}


def base_of(sort: Any) -> Any:
    """``X`` of ``Opt[X]``; any other sort itself."""
    return get_args(sort)[0] if get_origin(sort) is lang.Opt else sort


def named(function: Callable[..., Any], name: str, annotations: dict[str, Any]) -> Any:
    """``function(*args)`` as a user would have written it: ``def name(s: State, x: A)``."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(p, kind) for p in annotations])
    vars(function)["__signature__"] = signature
    function.__name__ = function.__qualname__ = name
    function.__annotations__ = annotations
    return function


def constant(value: Any) -> Make:
    return lambda _: value


def variable(index: int) -> Make:
    return lambda env: env[1][index]


def built(function: Callable[..., Any], *makes: Make) -> Make:
    """The function of the terms."""
    return lambda env: function(*(make(env) for make in makes))


def over(make: Make, env: Env, count: int) -> Callable[..., Any]:
    """A term of ``count`` more variables, as a function; they always have the same names."""

    def one(x: Any) -> Any:
        return make((env[0], (*env[1], x)))

    def two(x: Any, y: Any) -> Any:
        return make((env[0], (*env[1], x, y)))

    return one if count == 1 else two


@dataclass(frozen=True)
class Part:
    """One map of the state, as it is declared; the name may have the prefix of a group."""

    name: str
    kind: Any  # Map, Fun or Var
    keys: tuple[Any, ...]
    value: Any
    given: bool

    @property
    def annotation(self) -> Any:
        if not self.keys:
            return self.kind[self.value]
        return self.kind[self.keys[0] if len(self.keys) == 1 else Tuple[self.keys], self.value]

    def of(self, state: Any) -> Any:
        """The map itself."""
        return attrgetter(self.name)(state)

    def interpret(self, scope: Scope, *key: int) -> Any:
        """What ``given`` says of a rigid map: something that depends on every key."""
        total = sum((i + 1) * k for i, k in enumerate(key))
        if self.value is Bool:
            return total % 2 == 0
        size = scope[base_of(self.value)]
        index = total % (size + (self.value is not base_of(self.value)))
        return None if index == size else index


class Writer:
    """Writes random terms over the maps, procedures and variables in sight."""

    def __init__(
        self,
        random: Random,
        sorts: Sequence[Any],
        parts: Sequence[Part],
        procedures: Sequence[Procedure] = (),
        variables: Sequence[Any] = (),
        states: int = 1,
    ) -> None:
        self.random, self.sorts, self.parts, self.states = random, sorts, parts, states
        self.procedures, self.variables = procedures, tuple(variables)
        self.pool: dict[Any, list[Make]] = {}  # simple terms by sort
        for sort in (s for s in sorts if issubclass(s, Enumeration)):
            self._add(sort, *(constant(getattr(sort, name)) for name in sort.values))
        for i, sort in enumerate(self.variables):
            self._add(sort, variable(i), variable(i))
        for part in (*parts, *parts):
            if all(self.pool.get(k) for k in part.keys):
                self._add(part.value, self._read(part))
        for sort in [s for s in self.pool if s is not base_of(s)]:
            self._add(base_of(sort), built(attrgetter("value"), self.pick(self.pool[sort])))

    def pick(self, options: Iterable[Any]) -> Any:
        return self.random.choice(list(options))

    def also(self, *variables: Any) -> Writer:
        """The same with more variables in sight."""
        sight = (*self.variables, *variables)
        return Writer(self.random, self.sorts, self.parts, self.procedures, sight, self.states)

    def _add(self, sort: Any, *makes: Make) -> None:
        self.pool.setdefault(sort, []).extend(makes)

    def _read(self, part: Part) -> Make:
        keys = [self._key(k) for k in part.keys]
        epoch = self.random.randrange(self.states)
        return lambda env: part.of(env[0][epoch])[tuple(k(env) for k in keys)]

    def _key(self, sort: Any) -> Make:
        """A term of the sort, mostly a variable."""
        sight = [variable(i) for i, s in enumerate(self.variables) if s is sort]
        chosen: Make = self.pick(sight if sight and self.random.random() < 0.6 else self.pool[sort])
        return chosen

    # Terms.

    def term(self, sort: Any, depth: int = 1) -> Make | None:
        """A term of the sort, if there is any."""
        if sort is Bool:
            return self.formula(depth)
        options = list(self.pool.get(sort, ()))
        if sort is not base_of(sort):
            elements = self.pool.get(base_of(sort), ())
            options += [constant(lang.NONE), *(built(lang.some, e) for e in elements)]
        if options and depth and self.random.random() < 0.3:
            condition = self.formula(depth - 1)
            return built(lang.ite, condition, self.pick(options), self.pick(options))
        return self.pick(options) if options else None

    def formula(self, depth: int) -> Make:
        if depth == 0 or self.random.random() < 0.3:
            return self._atom()
        how = self.pick(["not", "ite", *["quantifier"] * 3, *JUNCTIONS])
        if how == "quantifier":
            return self._quantified(depth - 1)
        a, b = self.formula(depth - 1), self.formula(depth - 1)
        if how == "not":
            return built(operator.invert, a)
        if how == "ite":
            return built(lang.ite, self._atom(), a, b)
        return built(JUNCTIONS[how], a, b)

    def rare(self) -> Make:
        """A conjunction that takes some steps to come true where every map starts empty."""
        atoms = [self._atom() for _ in range(self.pick([2, 3, 3]))]
        return lambda env: reduce(Bool.__and__, [atom(env) for atom in atoms])

    def _quantified(self, depth: int) -> Make:
        sorts = [*self.sorts, *(s for s in self.variables if s in self.sorts)]
        bound = [self.pick(sorts) for _ in range(self.pick([1, 2]))]
        body = self.also(*bound).formula(depth)
        quantifier: Any = self.pick([lang.forall, lang.exists])
        return lambda env: quantifier(*bound, over(body, env, len(bound)))

    def _atom(self) -> Make:
        options: list[Make] = list(self.pool.get(Bool, ())) * 2
        for sort, makes in self.pool.items():
            if sort is not Bool and len(makes) > 1:
                pair = self.random.sample(makes, 2)
                options += [built(operator.eq, *pair), built(operator.ne, *pair)]
            other = self.term(sort, 0) if sort is not base_of(sort) else None
            if other:
                one: Make = self.pick(makes)
                options += [built(attrgetter(a), one) for a in ("is_some", "is_none")]
                options.append(built(operator.eq, one, other))
        for procedure in self.procedures:
            if procedure.actor in self.pool:
                options.append(self._position(procedure))
        chosen: Make = self.pick(options or [constant(lang.TRUE), constant(lang.FALSE)])
        return chosen

    def _position(self, procedure: Procedure) -> Make:
        actor: Make = self.pick(self.pool[procedure.actor])
        step, epoch = self.pick([None, *procedure.steps]), self.random.randrange(self.states)
        return lambda env: procedure.at(env[0][epoch], actor(env), step)

    # Writes.

    def _empty(self, part: Part) -> Make | None:
        """The least remarkable value of a map."""
        if part.value is Bool:
            return constant(lang.FALSE)
        if part.value is not base_of(part.value):
            return constant(lang.NONE)
        return next(iter(self.pool.get(part.value, ())), None)

    def write(self, part: Part, start: bool = False) -> Make | None:
        """One write of a map, if there is a value; at the ``start`` every entry, mostly empty."""
        inner, count = self.also(*part.keys), len(part.keys)
        value = inner._empty(part) if start and self.random.random() < 0.8 else None
        value = value or inner.term(part.value, 2)
        if value is None:
            return None
        if not part.keys:
            return lambda env: part.of(env[0][0]).become(value(env))
        point = not start and all(self.pool.get(k) for k in part.keys)
        new = self.term(part.value, 2) if point and self.random.random() < 0.5 else None
        if new:
            keys = [self.pick(self.pool[k]) for k in part.keys]
            return lambda env: part.of(env[0][0]).set(tuple(k(env) for k in keys), new(env))
        where = None if start or self.random.random() < 0.5 else inner.formula(2)
        if where is None:
            return lambda env: part.of(env[0][0]).fill(over(value, env, count))
        return lambda env: part.of(env[0][0]).fill(over(value, env, count), over(where, env, count))

    def step(self, parameters: Iterable[Any]) -> Callable[..., lang.Step]:
        """The body of an operation."""
        inner = self.also(*parameters)
        mutable = [p for p in self.parts if p.kind is not lang.Fun]
        wanted = [self.pick(mutable) for _ in range(self.pick([1, 1, 2, 3]))]
        return effect(inner.formula(self.pick([0, 1, 2])), [inner.write(p) for p in wanted])


def effect(when: Make, writes: Iterable[Make | None]) -> Callable[..., lang.Step]:
    """The operation of a guard and writes."""
    able = [w for w in writes if w]

    def body(state: Any, *args: Any) -> lang.Step:
        return lang.Step(when=when(((state,), args)), then=[w(((state,), args)) for w in able])

    return body


def random_parts(random: Random, sorts: Sequence[Any], stratified: bool) -> list[Part]:
    """One to four maps, at least one of them mutable; ``stratified``: leading down the sorts."""
    parts: list[Part] = []
    for i in range(random.choice([1, 2, 3, 3, 4])):
        options = [*sorts, *sorts, Bool]
        keys = tuple(random.choice(options) for _ in range(random.choice([0, 1, 1, 1, 2])))
        kinds: list[Any] = [lang.Map, lang.Map, lang.Fun] if i else [lang.Map]
        kind = random.choice(kinds) if keys else lang.Var
        ranks = [sorts.index(k) for k in keys if k is not Bool and not issubclass(k, Enumeration)]
        lowest = max(ranks, default=-1) if stratified else -1
        below = [x for j, x in enumerate(sorts) if j > lowest or issubclass(x, Enumeration)]
        value = random.choice([Bool, Bool, *below, *(Opt[x] for x in below)])
        name = random.choice(["x", "m", "g.x", "g.m"]) + (str(i) if i else "")
        parts.append(Part(name, kind, keys, value, kind is lang.Fun and random.random() < 0.5))
    return parts


def random_procedures(state: type, writer: Writer) -> list[Procedure]:
    """None, or one or two procedures of two or three steps."""
    made: list[Procedure] = []
    actor = writer.pick(s for s in writer.sorts if not issubclass(s, Enumeration))
    for i in range(writer.pick([0, 0, 0, 1, 1, 2])):
        procedure = Procedure(f"run{i}")
        argument = dict.fromkeys(writer.pick(["", "y"]), writer.pick(writer.sorts))
        body = writer.step([actor, *argument.values()])
        procedure.step(named(body, "first", {"s": state, "x": actor, **argument}))
        more = ["second", "third"][: writer.pick([1, 1, 2])]
        for name in more:
            end = writer.pick([None, None, *more, Procedure.DONE])
            body = writer.step([actor])
            procedure.step(to=end)(named(body, name, {"s": state, "x": actor}))
        made.append(procedure)
    return made


def declarations(parts: Iterable[Part]) -> dict[str, Any]:
    """The body of a class that declares the maps."""
    last = {p: p.name.rpartition(".")[2] for p in parts}
    given = {name: lang.given(p.interpret) for p, name in last.items() if p.given}
    return {**given, "__annotations__": {name: p.annotation for p, name in last.items()}}


def random_design(random: Random, stratified: bool) -> Design[Any]:
    """A design with one to four operations, one to three properties, and lemmas, mostly false."""
    slots: dict[str, Any] = {"__slots__": ()}
    names = "ABC"[: random.choice([1, 1, 2, 2, 3])]
    sorts: list[Any] = [type(name, (Sort,), slots) for name in names]
    if random.random() < 0.4:
        values = dict.fromkeys("PQR"[: random.choice([2, 2, 3])], Enumeration)
        sorts.append(type("E", (Enumeration,), {**slots, "__annotations__": values}))
    parts = random_parts(random, sorts, stratified)
    grouped = [p for p in parts if p.name.startswith("g.")]
    body = declarations([p for p in parts if p not in grouped])
    if grouped:
        body["__annotations__"]["g"] = type("Maps", (lang.Group,), declarations(grouped))
    state = type("Random", (lang.State,), body)

    procedures = random_procedures(state, Writer(random, sorts, parts))
    writer = Writer(random, sorts, parts, procedures)
    rigid = [p for p in parts if p.kind is lang.Fun]

    def parameters() -> dict[str, Any]:
        options = [*sorts, *sorts, Bool, Opt[sorts[0]]]
        return {n: random.choice(options) for n in "xy"[: random.choice([0, 1, 1, 2])]}

    def operation(name: str) -> Any:
        chosen = parameters()
        return lang.operation(named(writer.step(chosen.values()), name, {"s": state, **chosen}))

    def claim(name: str, kind: Any, about: Sequence[Part]) -> Any:
        states, chosen = 2 if kind is lang.step else 1, parameters()
        known = () if kind is lang.assumption else procedures
        inner = Writer(random, sorts, about, known, tuple(chosen.values()), states)
        make = inner.formula(3)
        if random.random() < 0.75:
            make = inner.rare() if kind is lang.sometimes else built(operator.invert, inner.rare())

        def function(*args: Any) -> Any:
            return make((args[:states], args[states:]))

        annotations = {**dict.fromkeys(["s", "t"][:states], state), **chosen}
        return kind(named(function, name, annotations))

    def assumed(part: Part) -> Any:
        """Something about rigid maps; often that one of them is injective in its first key."""
        if part.value is Bool or random.random() < 0.5:
            return claim("fact", lang.assumption, rigid)
        first, *more = part.keys

        def injective(s: Any, x: Any, y: Any, *rest: Any) -> Any:
            return (part.of(s)[(x, *rest)] == part.of(s)[(y, *rest)]).implies(x == y)

        annotations = {"s": state, "x": first, "y": first, **dict.fromkeys("z" * len(more), *more)}
        return lang.assumption(named(injective, "injective", annotations))

    boot = Writer(random, sorts, parts)
    filled = [p for p in parts if p.kind is not lang.Fun and random.random() < 0.9]
    when = boot.formula(2) if random.random() < 0.1 else constant(lang.TRUE)
    start = effect(when, [boot.write(p, start=True) for p in filled])
    kinds: list[Any] = [lang.always, lang.always, lang.step, lang.sometimes]
    wanted = [random.choice(kinds) for _ in range(random.choice([1, 2, 3]))]
    return Design(
        name="random",
        state=state,
        init=lang.operation(named(start, "boot", {"s": state})),
        operations=[operation(f"op{i}") for i in range(random.choice([1, 2, 3, 4]))],
        procedures=procedures,
        properties=[claim(f"p{i}", kind, parts) for i, kind in enumerate(wanted)],
        lemmas=[claim(f"l{i}", lang.always, parts) for i in range(random.choice([0, 0, 1, 3]))],
        assumptions=[assumed(random.choice(rigid))] if rigid and random.random() < 0.5 else [],
    )


def space(design: Design[Any], scope: Scope) -> int:
    """How many states there are at a scope, reachable or not, whatever ``given`` says."""
    return prod(
        scope[c.value] ** prod(scope[k] for k in c.keys) for c in design.system().components
    )


def all_scopes(design: Design[Any], most: int) -> list[Scope]:
    """Every scope of sizes 1 to 3 with at most so many states."""
    sorts = design.sorts
    every = (
        Scope(dict(zip(sorts, sizes, strict=True)))
        for sizes in product((1, 2, 3), repeat=len(sorts))
    )
    return [scope for scope in every if space(design, scope) <= most]


@st.composite
def designs_with_scopes(
    draw: st.DrawFn, most: int, stratified: bool = False, shrink: bool = False
) -> tuple[Design[Any], Scope]:
    """A design, and a scope at which it has at most so many states.

    stratified: the maps lead from sort to sort in one direction, as the proofs require.
    shrink: draw every choice by itself: slower and less varied, but Hypothesis can then reduce a
        failing design to a small one.
    """
    random = draw(st.randoms(use_true_random=not shrink))
    design = random_design(random, stratified)
    scopes = all_scopes(design, most)
    assume(scopes)
    return design, random.choice(scopes[len(scopes) // 2 :])
