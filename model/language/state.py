"""The state: an immutable record of typed maps over sorts.

A design declares its state by subclassing :class:`State` (or another design's state) and annotating
maps.  ``s.pte[va]`` reads; ``s.pte.set(va, f)`` does not change ``s`` but describes one write, which
a Step collects.  What a Step does not name stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NoReturn,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from . import nodes
from .errors import DesignError
from .nodes import BOOL, TRUE_NODE, Component, Node, OptOf
from .terms import A, B, Bool, C, Term, coerce, placeholders, sort_of, wrap

K = TypeVar("K")
V = TypeVar("V", bound=Term)


@dataclass(frozen=True)
class Update:
    """One write: for every key (the variables) where ``when`` holds, the new value is ``value``.

    ``at`` names the only key that is written, when there is just one.
    """

    component: Component
    variables: tuple[Node, ...]
    when: Node
    value: Node
    at: tuple[Node, ...] | None = None


class Fun(Generic[K, V]):
    """A map that no operation changes, such as the 1:1 map of frames; assumptions describe it."""

    rigid = True

    def __init__(self, component: Component, epoch: int) -> None:
        self.component = component
        self.epoch = epoch

    def __getitem__(self, key: K) -> V:
        return cast(V, wrap(nodes.read(self.component, self._key(key), self.epoch)))

    def _key(self, key: object) -> tuple[Node, ...]:
        keys = key if isinstance(key, tuple) else (key,)
        name, sorts = self.component.name, self.component.keys
        if len(keys) != len(sorts):
            wanted = ", ".join(s.__name__ for s in sorts)
            raise DesignError(f"{name} has {len(keys)} keys here, expected [{wanted}]")
        return tuple(coerce(k, s, f"a key of {name}") for k, s in zip(keys, sorts, strict=True))

    if not TYPE_CHECKING:  # a type checker sees by itself that a Fun cannot be written

        def __getattr__(self, attribute: str) -> NoReturn:
            if attribute in ("set", "fill", "become"):
                raise DesignError(
                    f"{self.component.name} is a {type(self).__name__}, which has no {attribute}(): "
                    "a Fun is never written, a Map has set() and fill(), a Var has become()"
                )
            raise AttributeError(f"{type(self).__name__} has no {attribute}")


class Map(Fun[K, V]):
    """A map that operations change.  The key type is one sort or ``tuple[...]`` of sorts."""

    rigid = False

    def set(self, key: K, value: V) -> Update:
        """The write of one entry."""
        at = self._key(key)
        new = coerce(value, self.component.value, f"the value of {self.component.name}")
        variables = tuple(nodes.var(k.sort, f"{self.component.name}#{i}") for i, k in enumerate(at))
        when = nodes.conj(nodes.eq(v, k) for v, k in zip(variables, at, strict=True))
        return Update(self.component, variables, when, new, at)

    @overload
    def fill(
        self: Map[tuple[A, B, C], V],
        value: Callable[[A, B, C], V],
        where: Callable[[A, B, C], Bool] | None = None,
    ) -> Update: ...
    @overload
    def fill(
        self: Map[tuple[A, B], V],
        value: Callable[[A, B], V],
        where: Callable[[A, B], Bool] | None = None,
    ) -> Update: ...
    @overload
    def fill(
        self: Map[A, V], value: Callable[[A], V], where: Callable[[A], Bool] | None = None
    ) -> Update: ...
    def fill(self, value: Callable[..., Any], where: Callable[..., Bool] | None = None) -> Update:
        """The write of every entry, or of every entry where the condition holds."""
        name = self.component.name
        variables, _ = placeholders(value, self.component.keys, f"{name}.fill")
        terms = [wrap(v) for v in variables]
        new = coerce(value(*terms), self.component.value, f"the value of {name}")
        when = coerce(where(*terms), BOOL, f"the condition of {name}.fill") if where else TRUE_NODE
        fixed = {v: nodes.var(v.sort, f"{name}#{i}") for i, v in enumerate(variables)}
        return Update(
            self.component,
            tuple(fixed.values()),
            nodes.substitute(when, dict(fixed)),
            nodes.substitute(new, dict(fixed)),
        )


class Var(Map[tuple[()], V]):
    """A state component without a key, such as one global lock."""

    @property
    def now(self) -> V:
        """Its value."""
        return self[()]

    def become(self, value: V) -> Update:
        """The write of it."""
        return self.set((), value)


class _Record:
    """What State and Group share: annotated maps become attributes, in declaration order."""

    def __init__(self, prefix: str, arguments: dict[Any, Any], epoch: int) -> None:
        self.name = prefix.rstrip(".")
        self._parts: dict[str, Fun[Any, Any] | Group] = {}
        cls = type(self)
        try:
            hints = get_type_hints(cls)
        except NameError as error:
            raise DesignError(
                f"the state {cls.__name__}: {error}; declare sorts and states at module level"
            ) from None
        for name, hint in hints.items():
            if name.startswith("_"):
                continue
            if hasattr(State, name) or hasattr(Group, name) or name in ("name", "epoch"):
                raise DesignError(
                    f"the state {cls.__name__}: {name} is taken, call the map something else"
                )
            given = getattr(cls, name, None)
            local = isinstance(self, Locals)
            part = _part(f"{prefix}{name}", _fill_in(hint, arguments), epoch, given, local)
            self._parts[name] = part
            setattr(self, name, part)

    def components(self) -> tuple[Component, ...]:
        """Every component below this record, in declaration order."""
        found: list[Component] = []
        for part in self._parts.values():
            found.extend((part.component,) if isinstance(part, Fun) else part.components())
        return tuple(found)

    def groups(self) -> tuple[Group, ...]:
        """Every group below this record."""
        parts = [p for p in self._parts.values() if isinstance(p, Group)]
        return tuple(g for p in parts for g in (p, *p.groups()))


class Group(_Record):
    """Maps that belong together, such as all bits of the entries at one page-table level."""

    def show_entry(self, values: Mapping[str, str]) -> str | None:
        """One entry (the shown values of the maps of this group at one key, by map name) as a kernel
        developer writes it, such as "P RW US NX pte1"; None to list the maps one by one."""
        return None


class Locals(Group):
    """What a procedure keeps on its stack: maps keyed by the actor.

    Nothing reads them before the procedure has set them, so a finite scope starts them with the
    first element instead of every one; the unbounded reading starts them with anything.
    """


class State(_Record):
    """Base of every design's state."""

    def __init__(self, epoch: int = 0) -> None:
        super().__init__("", {}, epoch)
        self.epoch = epoch

    @classmethod
    def show_element(
        cls, sort: Any, index: int, look: Callable[..., int], scope: Mapping[Any, int]
    ) -> str | None:
        """How a reader sees an element where that depends on the state: "[273]" for a slot of the
        direct map.  ``look(name, *key_indices)`` is the value of a map by its name.  None leaves it
        to the sort."""
        return None


@cache
def _old_and_new(state: Any) -> tuple[Any, Any]:
    return state(0), state(1)


def old_and_new(state: Any) -> tuple[Any, Any]:
    """The states before and after a step, as every function of a design sees them: made once for a
    State class, so that terms have their components in common."""
    return _old_and_new(state)


def _fill_in(hint: Any, arguments: dict[Any, Any]) -> Any:
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(arguments[p] for p in parameters)] if parameters else hint


def _part(name: str, hint: Any, epoch: int, given: Any, local: bool) -> Any:
    origin = get_origin(hint) or hint
    if isinstance(origin, type) and issubclass(origin, Group):
        parameters = getattr(origin, "__parameters__", ())
        return origin(f"{name}.", dict(zip(parameters, get_args(hint), strict=True)), epoch)
    if not (isinstance(origin, type) and issubclass(origin, Fun)):
        raise DesignError(
            f"the state component {name} is a {getattr(hint, '__name__', hint)}: declare it as "
            "Map[...], Fun[...], Var[...] or a Group"
        )
    if issubclass(origin, Var):
        keys: tuple[Any, ...] = ()
        (value,) = get_args(hint)
    else:
        key, value = get_args(hint)
        keys = get_args(key) if get_origin(key) is tuple else (key,)
    sorts = tuple(sort_of(k, f"a key of {name}") for k in keys)
    if any(isinstance(s, OptOf) for s in sorts):
        raise DesignError(f"a key of {name}: Opt[...] cannot be a key; use the sort itself")
    component = Component(
        name,
        sorts,
        sort_of(value, f"the value of {name}"),
        origin.rigid,
        given,
        local,
    )
    return origin(component, epoch)


def given(interpretation: Callable[..., Any]) -> Any:
    """Fix a rigid map in finite scopes: ``frame_of: Fun[Page, Frame] = given(lambda scope, k: k)``.

    The function takes the scope and the key indices and returns an index, a bool, or None for none.
    Without it a rigid map may be anything that the design's assumptions allow.
    """
    return interpretation
