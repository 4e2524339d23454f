"""Typed terms: what an author writes in an operation or a property.

A sort is a Python class, and a term of that sort is an instance of it, so that mypy and pyright
reject a wrong sort in a user's file.  Terms build the tree of :mod:`.nodes` and mean nothing by
themselves: comparing two of them gives a :class:`Bool` term, never a Python truth value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    NoReturn,
    Self,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from . import nodes
from .errors import DesignError
from .nodes import BOOL, Node, OptOf

A = TypeVar("A", bound="Term")
B = TypeVar("B", bound="Term")
C = TypeVar("C", bound="Term")


class Term:
    """A typed term; ``node`` is its tree."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def __bool__(self) -> NoReturn:
        raise DesignError(
            f"the symbolic value {self.node!r} has no Python truth value: write & | ~ and "
            ".implies() instead of and, or, not and if, and ite(c, a, b) for a choice of value"
        )

    def __hash__(self) -> int:
        return hash(self.node)

    def __eq__(self, other: Self) -> Bool:  # type: ignore[override]
        return Bool(nodes.eq(self.node, _term(other, "==").node))

    def __ne__(self, other: Self) -> Bool:  # type: ignore[override]
        return ~(self == other)

    def __repr__(self) -> str:
        return repr(self.node)


def _term(x: object, where: str) -> Term:
    if isinstance(x, bool):
        raise DesignError(f"{x} stands where a term is expected: write TRUE or FALSE ({where})")
    if not isinstance(x, Term):
        raise DesignError(f"{x!r} ({type(x).__name__}) stands where a term is expected ({where})")
    return x


class Bool(Term):
    """A truth value.  Combine with ``&``, ``|``, ``~``, ``.implies()`` and ``==``."""

    __slots__ = ()

    def __and__(self, other: Bool) -> Bool:
        return Bool(nodes.conj((self.node, _bool(other, "&"))))

    def __or__(self, other: Bool) -> Bool:
        return Bool(nodes.disj((self.node, _bool(other, "|"))))

    def __invert__(self) -> Bool:
        return Bool(nodes.negate(self.node))

    def implies(self, other: Bool) -> Bool:
        """False only where ``self`` is true and ``other`` is false."""
        return Bool(nodes.implies(self.node, _bool(other, "implies")))


def _bool(x: object, where: str) -> Node:
    term = _term(x, where)
    if not isinstance(term, Bool):
        raise DesignError(f"{term!r} is a {type(term).__name__}, not a Bool ({where})")
    return term.node


TRUE: Final = Bool(nodes.TRUE_NODE)
FALSE: Final = Bool(nodes.FALSE_NODE)


class Sort(Term):
    """An index domain of any size, such as ``Mm`` or ``Frame``.  Subclass it to declare one."""

    __slots__ = ()

    @classmethod
    def show(cls, index: int) -> str:
        """How a reader sees element ``index`` of a finite scope; sorts override it."""
        return f"{cls.__name__.lower()}{index}"


class Enumeration(Term):
    """A finite domain of named values: ``class Owner(Enumeration): FREE: Owner; USER: Owner``."""

    __slots__ = ()
    values: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        names = tuple(n for n in inspect.get_annotations(cls) if not n.startswith("_"))
        if not names and not cls.values:
            raise DesignError(
                f"the enumeration {cls.__name__} has no values: write one line "
                f"'NAME: {cls.__name__}' each"
            )
        cls.values = names or cls.values
        for index, name in enumerate(cls.values):
            setattr(cls, name, cls(nodes.elem(cls, index)))

    @classmethod
    def element_name(cls, index: int) -> str:
        return f"{cls.__name__}.{cls.values[index]}"


@cache
def enumeration(name: str, values: tuple[str, ...]) -> type[Enumeration]:
    """An enumeration made from data, such as the positions of a procedure; the same data give the
    same sort, so a lemma about a procedure also fits its replacement with the same positions."""
    return type(name, (Enumeration,), {"__slots__": (), "values": values})


T_co = TypeVar("T_co", bound=Term, covariant=True)


class Opt(Term, Generic[T_co]):
    """An element of a sort, or none: what an empty page-table entry points to is none."""

    __slots__ = ()

    @property
    def is_some(self) -> Bool:
        return Bool(nodes.is_some(self.node))

    @property
    def is_none(self) -> Bool:
        return ~self.is_some

    @property
    def value(self) -> T_co:
        """The element; of none it is an unspecified one, so guard it with ``is_some``."""
        return cast(T_co, wrap(nodes.value(self.node)))

    def __eq__(self, other: Opt[Any] | Term) -> Bool:  # type: ignore[override]
        return Bool(nodes.eq(*_match_none(self.node, _term(other, "==").node)))

    def __ne__(self, other: Opt[Any] | Term) -> Bool:  # type: ignore[override]
        return ~(self == other)

    __hash__ = Term.__hash__


class _NoElement(Opt[Any]):
    """``NONE`` fits every optional sort; it takes the sort of what it meets."""

    __slots__ = ()


NONE: Final[Opt[Any]] = _NoElement(nodes.none(None))


def _match_none(a: Node, b: Node) -> tuple[Node, Node]:
    if a == NONE.node and isinstance(b.sort, OptOf):
        return nodes.none(b.sort.base), b
    if b == NONE.node and isinstance(a.sort, OptOf):
        return a, nodes.none(a.sort.base)
    return a, b


def some(x: A) -> Opt[A]:
    """The optional that holds ``x``."""
    return Opt(nodes.some(_term(x, "some").node))


def ite(condition: Bool, then: A, otherwise: A) -> A:
    """``then`` where the condition holds, ``otherwise`` elsewhere."""
    a, b = _match_none(_term(then, "ite").node, _term(otherwise, "ite").node)
    return cast(A, wrap(nodes.ite(_bool(condition, "ite"), a, b)))


def wrap(node: Node) -> Any:
    """The typed term around a node."""
    if node.sort == BOOL:
        return Bool(node)
    if isinstance(node.sort, OptOf):
        return Opt(node)
    return node.sort(node)


def sort_of(annotation: Any, where: str) -> Any:
    """The sort that a type annotation names: a Sort, an Enumeration, Bool or Opt[...] of those."""
    if annotation is Bool:
        return BOOL
    if get_origin(annotation) is Opt:
        base = sort_of(get_args(annotation)[0], where)
        if base is BOOL or isinstance(base, OptOf):
            raise DesignError(
                f"{where}: Opt[...] takes a Sort or an Enumeration, not {base.__name__}"
            )
        return OptOf(base)
    if isinstance(annotation, type) and issubclass(annotation, (Sort, Enumeration)):
        return annotation
    raise DesignError(
        f"{where}: {getattr(annotation, '__name__', annotation)!s} is not a sort; use a subclass "
        "of Sort or Enumeration, Bool, or Opt[...] of a Sort or Enumeration"
    )


def coerce(x: object, sort: Any, where: str) -> Node:
    """The node of ``x``, checked to have the wanted sort (``NONE`` takes it)."""
    node = _term(x, where).node
    if node == NONE.node and isinstance(sort, OptOf):
        return nodes.none(sort.base)
    if node.sort != sort:
        raise DesignError(
            f"{where}: {node!r} is a {node.sort.__name__}, but a {sort.__name__} is expected"
            + (", write some(...)" if isinstance(sort, OptOf) and node.sort == sort.base else "")
        )
    return node


def placeholders(
    body: Callable[..., object], sorts: tuple[Any, ...], where: str
) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """Fresh variables for the parameters of a lambda, and the lambda's names for them."""
    hints = tuple(inspect.signature(body).parameters)
    if len(hints) != len(sorts):
        raise DesignError(
            f"{where}: the function takes {len(hints)} arguments, expected {len(sorts)}"
        )
    return tuple(nodes.var(s, object()) for s in sorts), hints


def _quantified(op: str, sorts: tuple[Any, ...], body: Callable[..., Bool]) -> Bool:
    sorts = tuple(sort_of(s, op) for s in sorts)
    marks, hints = placeholders(body, sorts, op)
    inner = _bool(body(*map(wrap, marks)), f"the body of {op}")
    return Bool(nodes.quantify(op, marks, hints, inner))


@overload
def forall(a: type[A], body: Callable[[A], Bool], /) -> Bool: ...
@overload
def forall(a: type[A], b: type[B], body: Callable[[A, B], Bool], /) -> Bool: ...
@overload
def forall(a: type[A], b: type[B], c: type[C], body: Callable[[A, B, C], Bool], /) -> Bool: ...
def forall(*args: Any) -> Bool:
    """True if the body holds for all elements: ``forall(Mm, Cpu, lambda m, c: ...)``."""
    return _quantified("forall", args[:-1], args[-1])


@overload
def exists(a: type[A], body: Callable[[A], Bool], /) -> Bool: ...
@overload
def exists(a: type[A], b: type[B], body: Callable[[A, B], Bool], /) -> Bool: ...
@overload
def exists(a: type[A], b: type[B], c: type[C], body: Callable[[A, B, C], Bool], /) -> Bool: ...
def exists(*args: Any) -> Bool:
    """True if the body holds for some element."""
    return _quantified("exists", args[:-1], args[-1])
