"""The unbounded reading: terms as SMT-LIB 2 text over sorts of any size.

Sorts are uninterpreted and state components are functions.  A new state is never declared: a read
of it is rewritten to what the transition wrote, over the old state, so the only quantifiers in an
obligation are those of the hypotheses and of the claim.  The text is canonical (it depends on the
design alone), and any SMT solver can read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from . import nodes
from .design import System
from .errors import DesignError
from .nodes import BOOL, Component, Node, OptOf
from .operation import Transition
from .solver import WITH_CORE
from .terms import Enumeration

_UNUSUAL = re.compile(r"[^A-Za-z0-9_.]")


def after(node: Node, transition: Transition) -> Node:
    """A term about the new state (epoch 1), as a term about the old one."""

    def rewrite(component: Component, epoch: int, keys: tuple[Node, ...]) -> Node:
        result = nodes.read(component, keys, 0)
        if epoch == 0 or component.rigid:
            return result
        for update in transition.updates:
            if update.component == component:
                here = dict(zip(update.variables, keys, strict=True))
                result = nodes.ite(
                    nodes.substitute(update.when, here),
                    nodes.substitute(update.value, here),
                    result,
                )
        return result

    return nodes.rewrite_reads(node, rewrite)


def check_stratified(system: System) -> None:
    """Refuse a design whose maps lead around in a circle of sorts.

    Where functions go in one direction only, quantifier instantiation terminates.  Raises
    DesignError naming the cycle and how to break it.
    """
    steps: dict[str, dict[str, str]] = {}  # from sort, to sort: a map that leads there
    for c in system.components:
        target = c.value.base if isinstance(c.value, OptOf) else c.value
        if target is BOOL or issubclass(target, Enumeration):
            continue
        for key in c.keys:
            if key is not BOOL and not issubclass(key, Enumeration):
                steps.setdefault(target.__name__, {})[key.__name__] = c.name
    try:
        TopologicalSorter(steps).prepare()
    except CycleError as error:
        circle = list(error.args[1])
        source, sink = circle[-2:]
        raise DesignError(
            "the maps of this design lead around in a circle of sorts, "
            f"{' -> '.join(circle)}, which no proof for any size can follow: break it by making "
            f"{steps[sink][source]} a relation, Map[tuple[{source}, {sink}], Bool]"
        ) from None


class _Printer:
    """Prints terms and remembers what must be declared."""

    def __init__(self) -> None:
        self.components: dict[Component, None] = {}
        self.constants: dict[Node, None] = {}
        self.sorts: dict[Any, None] = {}
        self.defaults: dict[Any, None] = {}

    def term(self, n: Node) -> str:
        match n.op:
            case "bool":
                return "true" if n.data else "false"
            case "elem":
                self.sort(n.sort)
                return _value(n.sort, n.data)
            case "var":
                return self.variable(n)
            case "read":
                return self.read(n, "")
            case "eq" if isinstance(n.args[0].sort, OptOf):
                return self.term(_split_equality(*n.args))
            case "not" | "and" | "or" | "ite":
                return f"({n.op} {' '.join(map(self.term, n.args))})"
            case "eq":
                return f"(= {' '.join(map(self.term, n.args))})"
            case "forall" | "exists":
                return f"({n.op} ({' '.join(map(self.binder, n.data))}) {self.term(n.args[0])})"
            case "is_some" | "value":
                (inner,) = n.args
                suffix = ".some" if n.op == "is_some" else ""
                if inner.op == "read":
                    return self.read(inner, suffix)
                if inner.op == "none":
                    self.sort(n.sort)
                    self.defaults[n.sort] = None
                    return f"{_sort(n.sort)}.default"
                return self.variable(inner, suffix)
            case _:
                raise AssertionError(f"{n.op} of sort {n.sort.__name__}")

    def read(self, n: Node, suffix: str) -> str:
        component = n.data[0]
        self.components[component] = None
        for sort in (*component.keys, component.value):
            self.sort(sort)
        keys = " ".join(map(self.term, n.args))
        name = _map(component) + suffix
        return f"({name} {keys})" if keys else name

    def variable(self, n: Node, suffix: str = "") -> str:
        self.sort(n.sort)
        if isinstance(n.data, tuple):
            hint, height = n.data
            return f"?{ascii_name(hint)}.{height}{suffix}"
        self.constants[n] = None
        return _constant(n) + suffix

    def binder(self, v: Node) -> str:
        name = self.variable(v)
        if isinstance(v.sort, OptOf):
            return f"({name}.some Bool) ({name} {_sort(v.sort.base)})"
        return f"({name} {_sort(v.sort)})"

    def sort(self, sort: Any) -> None:
        base = sort.base if isinstance(sort, OptOf) else sort
        if base is not BOOL:
            self.sorts[base] = None

    def merge(self, other: _Printer) -> None:
        """Also declare what another printer needs."""
        self.components |= other.components
        self.constants |= other.constants
        self.sorts |= other.sorts
        self.defaults |= other.defaults

    def declarations(self) -> list[str]:
        lines = []
        for sort in sorted(self.sorts, key=lambda s: str(s.__name__)):
            if issubclass(sort, Enumeration):
                values = " ".join(f"({_value(sort, i)})" for i in range(len(sort.values)))
                lines.append(f"(declare-datatypes (({_sort(sort)} 0)) (({values})))")
            else:
                lines.append(f"(declare-sort {_sort(sort)} 0)")
        for sort in sorted(self.defaults, key=lambda s: str(s.__name__)):
            lines.append(f"(declare-const {_sort(sort)}.default {_sort(sort)})")
        for c in sorted(self.components, key=lambda c: c.name):
            keys = " ".join(map(_sort, c.keys))
            lines += _declare(_map(c), f"({keys})", c.value)
        for v in sorted(self.constants, key=lambda v: str(v.data)):
            lines += _declare(_constant(v), "()", v.sort)
        return lines


# Every kind of name has its own mark: authors may call things alike, or as SMT-LIB calls its own.


def _map(component: Component) -> str:
    return f"s.{ascii_name(component.name)}"


def _sort(sort: Any) -> str:
    return "Bool" if sort is BOOL else f"sort.{ascii_name(sort.__name__)}"


def _value(sort: Any, index: int) -> str:
    return f"value.{ascii_name(sort.element_name(index))}"


def _constant(parameter: Node) -> str:
    return f"${ascii_name(str(parameter.data))}"


@cache
def ascii_name(name: str) -> str:
    """The name with every other character spelled out: solvers differ in what they take."""
    return _UNUSUAL.sub(lambda found: f"~{ord(found[0]):x}~", name)


def _declare(name: str, keys: str, sort: Any) -> list[str]:
    if isinstance(sort, OptOf):
        return [
            f"(declare-fun {name}.some {keys} Bool)",
            f"(declare-fun {name} {keys} {_sort(sort.base)})",
        ]
    return [f"(declare-fun {name} {keys} {_sort(sort)})"]


def _split_equality(a: Node, b: Node) -> Node:
    both = nodes.implies(nodes.is_some(a), nodes.eq(nodes.value(a), nodes.value(b)))
    return nodes.conj((nodes.eq(nodes.is_some(a), nodes.is_some(b)), both))


class Scripts:
    """Writes SMT-LIB 2 scripts; a fact that many scripts share is printed once."""

    def __init__(self) -> None:
        self._printed: dict[Node, tuple[str, _Printer]] = {}

    def script(
        self,
        facts: Iterable[tuple[str, Node]],
        comments: Sequence[str] = (),
        *,
        core: bool = True,
    ) -> str:
        """A script that asks whether the named facts can hold together; with ``core`` also which of
        them cannot, which costs the solvers some time.

        Free variables become constants.  Names must be SMT-LIB symbols.
        """
        whole = _Printer()
        asserts = []
        for name, node in facts:
            if node not in self._printed:
                printer = _Printer()
                self._printed[node] = (printer.term(node), printer)
            text, part = self._printed[node]
            whole.merge(part)
            asserts.append(f"(assert (! {text} :named {name}))")
        head = [f"; {line}" for line in comments]
        options = [*([WITH_CORE] if core else []), "(set-logic ALL)"]
        return "\n".join([*head, *options, *whole.declarations(), *asserts, "(check-sat)", ""])
