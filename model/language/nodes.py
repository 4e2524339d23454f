"""The syntax tree that every reading interprets.

An operation or a property is called once, on symbolic arguments, and leaves a tree of :class:`Node`
behind.  The concrete, the bounded and the unbounded reading are three interpretations of that tree;
nothing else in the project gives a meaning to an operation.

Users never see nodes; they write the typed terms of :mod:`.terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from .errors import DesignError


@dataclass(frozen=True, slots=True)
class BoolSort:
    """The sort of truth values."""

    @property
    def __name__(self) -> str:
        return "Bool"


BOOL: Final = BoolSort()


@dataclass(frozen=True, slots=True)
class OptOf:
    """The sort of "no element, or one of ``base``"."""

    base: Any  # a Sort or Enumeration class

    @property
    def __name__(self) -> str:
        return f"Opt[{self.base.__name__}]" if self.base else "NONE of no sort yet"


@dataclass(frozen=True, slots=True)
class Component:
    """One named map of the state: its key sorts, its value sort, whether operations may change it.

    ``given`` is the interpretation that a finite scope uses for a rigid component:
    ``given(scope, *key_indices) -> index`` (a bool for Bool, None for "no element").
    """

    name: str
    keys: tuple[Any, ...]
    value: Any
    rigid: bool = False
    given: Callable[..., Any] | None = field(default=None, compare=False)
    local: bool = field(default=False, compare=False)

    def __hash__(self) -> int:
        return hash(self.name)  # sets of components are at the heart of every proof


def is_finite(sort: Any) -> bool:
    """Bool or an enumeration: a sort that has the same values on machines of any size."""
    return sort is BOOL or hasattr(sort, "values")


class Node:
    """An immutable term; equality is structural and cheap because hashes are kept."""

    __slots__ = (
        "_changing",
        "_components",
        "_free",
        "_hash",
        "_variables",
        "args",
        "data",
        "op",
        "sort",
    )

    def __init__(self, op: str, sort: Any, args: tuple[Node, ...] = (), data: Any = None) -> None:
        self.op = op
        self.sort = sort
        self.args = args
        self.data = data
        self._hash = hash((op, sort, args, data))
        self._free: frozenset[Node] | None = None
        self._variables: tuple[Node, ...] | None = None
        self._components: frozenset[Component] | None = None
        self._changing: frozenset[Component] | None = None

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Node)
            and self._hash == other._hash
            and self.op == other.op
            and self.sort == other.sort
            and self.data == other.data
            and self.args == other.args
        )

    @property
    def free(self) -> frozenset[Node]:
        """The variables that occur free in this term."""
        if self._free is None:
            if self.op == "var":
                self._free = frozenset((self,))
            else:
                below: frozenset[Node] = frozenset().union(*(arg.free for arg in self.args))
                self._free = below - set(self.data) if self.op in QUANTIFIERS else below
        return self._free

    @property
    def components(self) -> frozenset[Component]:
        """The state components that this term reads."""
        if self._components is None:
            below: frozenset[Component] = frozenset().union(*(a.components for a in self.args))
            self._components = below | {self.data[0]} if self.op == "read" else below
        return self._components

    @property
    def changing(self) -> frozenset[Component]:
        """Of the components that this term reads those that operations may change."""
        if self._changing is None:
            self._changing = frozenset(c for c in self.components if not c.rigid)
        return self._changing

    @property
    def variables(self) -> tuple[Node, ...]:
        """The free variables in a fixed order."""
        if self._variables is None:
            self._variables = tuple(sorted(self.free, key=repr))
        return self._variables

    def __repr__(self) -> str:
        return show(self)


QUANTIFIERS: Final = ("forall", "exists")


# Constructors.  Each one simplifies what is obvious, so that no reading has to.

TRUE_NODE: Final = Node("bool", BOOL, data=True)
FALSE_NODE: Final = Node("bool", BOOL, data=False)


def boolean(value: bool) -> Node:
    return TRUE_NODE if value else FALSE_NODE


def elem(sort: Any, index: int) -> Node:
    """The ``index``-th element of an enumeration (or of a finite scope, in the concrete reading)."""
    return Node("elem", sort, data=index)


def var(sort: Any, name: Any) -> Node:
    return Node("var", sort, data=name)


def read(component: Component, keys: tuple[Node, ...], epoch: int) -> Node:
    """The value of a component at ``keys``; epoch 0 is the old state, 1 the new one."""
    return Node("read", component.value, keys, (component, 0 if component.rigid else epoch))


def negate(a: Node) -> Node:
    if a.op == "bool":
        return boolean(not a.data)
    return a.args[0] if a.op == "not" else Node("not", BOOL, (a,))


def _junction(op: str, parts: Iterable[Node], unit: Node, zero: Node) -> Node:
    flat: dict[Node, None] = {}
    for part in parts:
        for piece in part.args if part.op == op else (part,):
            if piece == zero or negate(piece) in flat:
                return zero
            if piece != unit:
                flat[piece] = None
    if not flat:
        return unit
    return next(iter(flat)) if len(flat) == 1 else Node(op, BOOL, tuple(flat))


def conj(parts: Iterable[Node]) -> Node:
    return _junction("and", parts, TRUE_NODE, FALSE_NODE)


def disj(parts: Iterable[Node]) -> Node:
    return _junction("or", parts, FALSE_NODE, TRUE_NODE)


def implies(a: Node, b: Node) -> Node:
    return disj((negate(a), b))


def eq(a: Node, b: Node) -> Node:
    if a.sort != b.sort:
        # An element may be compared with an optional one: x == some(y) is meant.
        if isinstance(a.sort, OptOf) and a.sort.base == b.sort:
            return eq(a, some(b))
        if isinstance(b.sort, OptOf) and b.sort.base == a.sort:
            return eq(some(a), b)
        raise DesignError(
            f"{show(a)} is a {a.sort.__name__} and {show(b)} is a {b.sort.__name__}: "
            "only terms of one sort can be compared"
        )
    if a == b:
        return TRUE_NODE
    if a.op == "elem" and b.op == "elem":
        return FALSE_NODE
    if a.sort == BOOL:
        for x, y in ((a, b), (b, a)):
            if x.op == "bool":
                return y if x.data else negate(y)
        return FALSE_NODE if negate(a) == b else Node("eq", BOOL, (a, b))
    if isinstance(a.sort, OptOf):
        for x, y in ((a, b), (b, a)):
            if x.op == "none":
                return negate(is_some(y))
            if x.op == "some" and y.op == "some":
                return eq(x.args[0], y.args[0])
    return Node("eq", BOOL, (a, b))


def ite(c: Node, a: Node, b: Node) -> Node:
    if a.sort != b.sort:
        raise DesignError(
            f"the two arms of an ite have the sorts {a.sort.__name__} and {b.sort.__name__}"
        )
    if c.op == "bool":
        return a if c.data else b
    if a == b:
        return a
    if c.op == "not":
        return ite(c.args[0], b, a)
    if a.sort == BOOL:
        if a.op == "bool":
            return disj((c, b)) if a.data else conj((negate(c), b))
        if b.op == "bool":
            return implies(c, a) if b.data else conj((c, a))
    return Node("ite", a.sort, (c, a, b))


def none(base: Any) -> Node:
    return Node("none", OptOf(base))


def some(a: Node) -> Node:
    return Node("some", OptOf(a.sort), (a,))


def is_some(a: Node) -> Node:
    if a.op in ("some", "none"):
        return boolean(a.op == "some")
    if a.op == "ite":
        return ite(a.args[0], is_some(a.args[1]), is_some(a.args[2]))
    return Node("is_some", BOOL, (a,))


def value(a: Node) -> Node:
    """The element of an optional; of "none" it is an element that nothing may depend on.

    The concrete and the bounded reading take the first element, the unbounded one an arbitrary
    element: the unbounded reading has every behaviour of the others, so proofs carry over.
    """
    if a.op == "some":
        return a.args[0]
    if a.op == "ite":
        return ite(a.args[0], value(a.args[1]), value(a.args[2]))
    return Node("value", a.sort.base, (a,))


def _height(node: Node, memo: dict[Node, int]) -> int:
    found = memo.get(node)
    if found is None:
        found = max((_height(arg, memo) for arg in node.args), default=0)
        if node.op in QUANTIFIERS:
            found = max([found, *(v.data[1] for v in node.data)])
        memo[node] = found
    return found


def quantify(op: str, placeholders: tuple[Node, ...], hints: tuple[str, ...], body: Node) -> Node:
    """Bind ``placeholders`` in ``body``.

    Binders are named (hint, height) where height exceeds that of every binder inside, so nested
    binders never share a name and no variable is captured, whatever the lambdas were called.
    """
    height = _height(body, {}) + 1
    bound = tuple(var(p.sort, (h, height)) for p, h in zip(placeholders, hints, strict=True))
    if len(set(bound)) != len(bound):
        bound = tuple(
            var(p.sort, (f"{h}{i}", height))
            for i, (p, h) in enumerate(zip(placeholders, hints, strict=True))
        )
    return close(op, bound, substitute(body, dict(zip(placeholders, bound, strict=True))))


def close(op: str, variables: Iterable[Node], body: Node) -> Node:
    """``forall``/``exists`` over variables that already have their final names."""
    used = tuple(v for v in variables if v in body.free)
    if not used or body.op == "bool":
        return body  # sorts are never empty
    if body.op == op:
        return Node(op, BOOL, body.args, used + body.data)
    return Node(op, BOOL, (body,), used)


def rebuild(node: Node, args: tuple[Node, ...]) -> Node:
    """The same operator over new arguments, simplified again."""
    match node.op:
        case "not":
            return negate(args[0])
        case "and":
            return conj(args)
        case "or":
            return disj(args)
        case "eq":
            return eq(*args)
        case "ite":
            return ite(*args)
        case "some":
            return some(*args)
        case "is_some":
            return is_some(*args)
        case "value":
            return value(*args)
        case "forall" | "exists":
            return close(node.op, node.data, args[0])
        case _:
            return Node(node.op, node.sort, args, node.data) if args else node


def substitute(node: Node, mapping: dict[Node, Node]) -> Node:
    """Replace free variables by terms, renaming binders where a term would be captured."""
    memo: dict[Node, Node] = {}

    def go(n: Node) -> Node:
        if n.op == "var":
            return mapping.get(n, n)
        if not n.free & mapping.keys():
            return n
        done = memo.get(n)
        if done is None:
            if n.op in QUANTIFIERS:
                done = _under_binder(n, mapping)
            else:
                done = rebuild(n, tuple(go(arg) for arg in n.args))
            memo[n] = done
        return done

    return go(node)


def _under_binder(n: Node, mapping: dict[Node, Node]) -> Node:
    inner = {v: t for v, t in mapping.items() if v in n.free}
    incoming = frozenset().union(*(t.free for t in inner.values()))
    bound = n.data
    if {v.data for v in incoming} & {v.data for v in bound}:  # names, whatever the sorts
        taken = {v.data[1] for v in incoming | n.free if isinstance(v.data, tuple)}
        height = max([*taken, _height(n, {})]) + 1
        fresh = tuple(var(v.sort, (v.data[0], height)) for v in bound)
        inner |= dict(zip(bound, fresh, strict=True))
        bound = fresh
    return close(n.op, bound, substitute(n.args[0], inner))


def replace_term(node: Node, old: Node, new: Node) -> Node:
    """Replace a subterm wherever it occurs; it must not have variables that are bound around it."""
    if node == old:
        return new
    if not node.args:
        return node
    return rebuild(node, tuple(replace_term(a, old, new) for a in node.args))


def rewrite_reads(node: Node, rewrite: Callable[[Component, int, tuple[Node, ...]], Node]) -> Node:
    """Replace every read of the state, innermost first."""
    memo: dict[Node, Node] = {}

    def go(n: Node) -> Node:
        if not n.args and n.op != "read":
            return n
        done = memo.get(n)
        if done is None:
            args = tuple(go(arg) for arg in n.args)
            is_read = n.op == "read"
            done = rewrite(n.data[0], n.data[1], args) if is_read else rebuild(n, args)
            memo[n] = done
        return done

    return go(node)


def nodes_of(*roots: Node) -> Iterable[Node]:
    """Every distinct subterm."""
    seen: set[Node] = set()
    stack = list(roots)
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            yield n
            stack.extend(n.args)


def size(node: Node) -> int:
    """The number of distinct subterms."""
    return sum(1 for _ in nodes_of(node))


def by_appearance(terms: Iterable[Node]) -> Iterator[Node]:
    """The free variables, in the order of reading, each once."""
    seen: set[Node] = set()

    def visit(n: Node) -> Iterator[Node]:
        if n.op == "var" and n not in seen:
            seen.add(n)
            yield n
        for arg in n.args:
            yield from visit(arg)

    for term in terms:
        yield from (v for v in visit(term) if v in term.free)


def components_of(*roots: Node) -> set[Component]:
    """The components that the terms read."""
    return set().union(*(root.components for root in roots))


def variable_sorts(*roots: Node) -> Iterable[Any]:
    """The sorts of the variables in the terms, bound ones too."""
    return (n.sort for n in nodes_of(*roots) if n.op == "var")


# Text, for messages and lemmas.  One notation: the one that authors type.

_INFIX = {"and": " & ", "or": " | "}


def show(node: Node, name: Callable[[Node], str | None] = lambda _: None) -> str:
    """A term as its author would write it; ``name`` may replace the text of any subterm."""
    given = name(node)
    if given is not None:
        return given
    parts = [show(arg, name) for arg in node.args]
    match node.op:
        case "bool":
            return "TRUE" if node.data else "FALSE"
        case "elem":
            return str(node.sort.element_name(node.data))
        case "var":
            return variable_name(node)
        case "read":
            component, epoch = node.data
            prefix = "new." if epoch else ""
            return f"{prefix}{component.name}" + (f"[{', '.join(parts)}]" if parts else "")
        case "not" if node.args[0].op == "eq" and name(node.args[0]) is None:
            return " != ".join(_bracket(a, show(a, name), name) for a in node.args[0].args)
        case "not" if node.args[0].op == "is_some":
            return f"{show(node.args[0].args[0], name)}.is_none"
        case "not":
            return f"~{_bracket(node.args[0], parts[0], name)}"
        case "or" if node.args[0].op == "not" and len(node.args) > 1:
            return _implication(node, name)
        case "and" | "or":
            texts = (_bracket(a, p, name) for a, p in zip(node.args, parts, strict=True))
            return _INFIX[node.op].join(texts)
        case "eq":
            return " == ".join(_bracket(a, p, name) for a, p in zip(node.args, parts, strict=True))
        case "ite":
            return f"ite({', '.join(parts)})"
        case "none":
            return "NONE"
        case "some":
            return f"some({parts[0]})"
        case "is_some":
            return f"{parts[0]}.is_some"
        case "value":
            return f"{parts[0]}.value"
        case _:
            sorts = ", ".join(v.sort.__name__ for v in node.data)
            variables = ", ".join(variable_name(v) for v in node.data)
            return f"{node.op}({sorts}, lambda {variables}: {parts[0]})"


def _implication(node: Node, name: Callable[[Node], str | None]) -> str:
    given = [negate(a) for a in node.args if a.op == "not"]
    then = [a for a in node.args if a.op != "not"] or [negate(given.pop())]
    left, right = conj(given), disj(then)
    return f"{_bracket(left, show(left, name), name)}.implies({show(right, name)})"


def _bracket(node: Node, text: str, name: Callable[[Node], str | None]) -> str:
    inner = node.args[0] if node.op == "not" else node
    infix = inner.op == "eq" or node.op in ("and", "or")
    return f"({text})" if infix and name(inner) is None else text


def variable_name(node: Node) -> str:
    """The name of a variable as text; bound variables carry their height only when it matters."""
    if isinstance(node.data, tuple):
        hint, height = node.data
        return f"{hint}" if height == 1 else f"{hint}{height}"
    return str(node.data)
