"""Terms as text and back: the S-expressions in which a certificate keeps them.

``$m`` is a parameter, ``?k.1`` a bound variable, ``(read km $m ?k.1)`` a read of the old state and
``(new km $m ?k.1)`` one of the new.  What is read back is the same tree: text that no term is written
as, ill-sorted, out of scope or not simplified, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mapproof.model.language import Enumeration, nodes
from mapproof.model.language.nodes import BOOL, Component, Node, OptOf

DEEPEST = 100  # nested parentheses
_TOKEN = re.compile(r"[()]|[^\s()]+")
_BOUND = re.compile(r"\?([^\W\d]\w*)\.([1-9]\d{0,5})")

Form = str | list["Form"]
Scope = Mapping[str, Node]  # the variables in sight by their text


class Malformed(ValueError):
    """This is not the text of a term."""


# Writing.


def sort_text(sort: Any) -> str:
    """A sort as text."""
    return f"(Opt {sort.base.__name__})" if isinstance(sort, OptOf) else str(sort.__name__)


def tree_text(node: Node) -> str:
    """A term as text."""
    match node.op:
        case "bool":
            return "true" if node.data else "false"
        case "elem":
            return _element(node.sort, node.data)
        case "var":
            return variable_text(node)
        case "none":
            return f"(none {node.sort.base.__name__})"
        case "read":
            component, epoch = node.data
            head = f"{'new' if epoch else 'read'} {component.name}"
        case "forall" | "exists":
            bound = " ".join(f"({variable_text(v)} {sort_text(v.sort)})" for v in node.data)
            head = f"{node.op} ({bound})"
        case _:
            head = node.op
    return f"({' '.join([head, *map(tree_text, node.args)])})"


def variable_text(node: Node) -> str:
    """A variable as text."""
    return f"?{node.data[0]}.{node.data[1]}" if isinstance(node.data, tuple) else f"${node.data}"


def _element(sort: Any, index: int) -> str:
    return f"{sort.__name__}.{sort.values[index]}"


# Reading.


class Reader:
    """Reads terms over some sorts and state components."""

    def __init__(self, sorts: Mapping[str, Any], components: Sequence[Component] = ()) -> None:
        self.sorts = sorts
        self.components = {c.name: c for c in components}
        self.elements: dict[str, Node] = {
            _element(sort, i): nodes.elem(sort, i)
            for sort in sorts.values()
            if issubclass(sort, Enumeration)
            for i in range(len(sort.values))
        }

    def sort(self, text: str) -> Any:
        """The sort that a text names.  Raises Malformed."""
        return self._sort(_form(text))

    def tree(self, text: str, variables: Sequence[Node] = (), epochs: Sequence[int] = (0,)) -> Node:
        """The term of a text over variables, that reads the given states.  Raises Malformed."""
        return _Terms(self, epochs).of(_form(text), {variable_text(v): v for v in variables})

    def _sort(self, form: Form) -> Any:
        match form:
            case "Bool":
                return BOOL
            case str() if form in self.sorts:
                return self.sorts[form]
            case ["Opt", str(base)] if base in self.sorts:
                return OptOf(self.sorts[base])
        raise Malformed(f"there is no sort {_shown(form)}")


class _Terms:
    """Reads one term."""

    def __init__(self, reader: Reader, epochs: Sequence[int]) -> None:
        self.reader = reader
        self.epochs = epochs

    def of(self, form: Form, scope: Scope) -> Node:
        if isinstance(form, str):
            return self._atom(form, scope)
        match form:
            case ["none", str(base)] if base in self.reader.sorts:
                return nodes.none(self.reader.sorts[base])
            case ["forall" | "exists" as op, [*binders], body]:
                return self._quantified(op, binders, body, scope)
            case ["read" | "new" as which, str(name), *keys]:
                return self._read(which, name, [self.of(k, scope) for k in keys])
            case [str(op), *rest]:
                return _applied(op, tuple(self.of(r, scope) for r in rest))
        raise Malformed(f"{_shown(form)} is no term")

    def _atom(self, text: str, scope: Scope) -> Node:
        if text in ("true", "false"):
            return nodes.boolean(text == "true")
        known = scope.get(text) or self.reader.elements.get(text)
        if known is None:
            raise Malformed(f"{text} is not in sight")
        return known

    def _read(self, which: str, name: str, keys: Sequence[Node]) -> Node:
        component = self.reader.components.get(name)
        if component is None:
            raise Malformed(f"there is no map {name}")
        if tuple(k.sort for k in keys) != component.keys:
            raise Malformed(f"a read of {name} with the wrong keys")
        epoch = int(which == "new")
        if component.rigid and epoch:
            raise Malformed(f"{name} never changes, so it has no new value")
        if not component.rigid and epoch not in self.epochs:
            raise Malformed(f"{name} is read in a state that has no place here")
        return nodes.read(component, tuple(keys), epoch)

    def _quantified(self, op: str, binders: Sequence[Form], body: Form, scope: Scope) -> Node:
        inner, bound = dict(scope), list[Node]()
        for binder in binders:
            match binder:
                case [str(name), sort] if found := _BOUND.fullmatch(name):
                    if name in inner:
                        raise Malformed(f"{name} is bound twice")
                    variable = nodes.var(self.reader._sort(sort), (found[1], int(found[2])))
                    inner[name] = variable
                    bound.append(variable)
                case _:
                    raise Malformed(f"{_shown(binder)} binds nothing")
        inside = self.of(body, inner)
        made = nodes.close(op, bound, inside)
        return _unchanged(made, op, (inside,), tuple(bound))


_Make = Callable[[tuple[Node, ...]], Node]

_MAKE: dict[str, tuple[int, _Make]] = {  # the fewest arguments, and how it is made
    "not": (1, lambda a: nodes.negate(*a)),
    "and": (2, nodes.conj),
    "or": (2, nodes.disj),
    "eq": (2, lambda a: nodes.eq(*a)),
    "ite": (3, lambda a: nodes.ite(*a)),
    "some": (1, lambda a: nodes.some(*a)),
    "is_some": (1, lambda a: nodes.is_some(*a)),
    "value": (1, lambda a: nodes.value(*a)),
}


def _applied(op: str, args: tuple[Node, ...]) -> Node:
    if op not in _MAKE:
        raise Malformed(f"there is no operator {op}")
    fewest, make = _MAKE[op]
    if len(args) < fewest or (len(args) > fewest and op not in ("and", "or")):
        raise Malformed(f"{op} with {len(args)} arguments")
    if not _well_sorted(op, [a.sort for a in args]):
        raise Malformed(f"{op} over {', '.join(sort_text(a.sort) for a in args)}")
    return _unchanged(make(args), op, args, None)


def _well_sorted(op: str, sorts: Sequence[Any]) -> bool:
    match op:
        case "not" | "and" | "or":
            return all(s == BOOL for s in sorts)
        case "eq":
            return bool(sorts[0] == sorts[1])
        case "ite":
            return bool(sorts[0] == BOOL and sorts[1] == sorts[2])
        case "some":
            return sorts[0] != BOOL and not isinstance(sorts[0], OptOf)
        case _:
            return isinstance(sorts[0], OptOf)


def _unchanged(made: Node, op: str, args: tuple[Node, ...], data: Any) -> Node:
    """Terms are simplified as they are made; one that is not would be read as another."""
    if (made.op, made.args, made.data) != (op, args, data):
        raise Malformed(f"a term that begins with {op} is not simplified")
    return made


# Parentheses.


def _form(text: str) -> Form:
    tokens = iter(_TOKEN.findall(text))
    first = next(tokens, None)
    if first is None:
        raise Malformed("an empty text stands where a term is expected")
    form = _nested(first, tokens)
    if next(tokens, None) is not None:
        raise Malformed("there is more than one term in a text")
    return form


def _nested(first: str, tokens: Iterator[str]) -> Form:
    if first == ")":
        raise Malformed("a parenthesis closes that was not opened")
    if first != "(":
        return first
    stack: list[list[Form]] = [[]]
    for token in tokens:
        if token == "(":
            stack.append([])
            if len(stack) > DEEPEST:
                raise Malformed(f"parentheses are nested more than {DEEPEST} deep")
        elif token == ")":
            done = stack.pop()
            if not stack:
                return done
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    raise Malformed("a parenthesis is not closed")


def _shown(form: Form) -> str:
    text = form if isinstance(form, str) else f"({' '.join(map(_shown, form))})"
    return text if len(text) <= 60 else f"{text[:60]} ..."
