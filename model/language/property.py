"""Properties: ``always`` (every state), ``step`` (every step), ``sometimes`` (some state)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from typing import Concatenate, Generic, Literal, ParamSpec

from .errors import DesignError
from .nodes import Node, negate, nodes_of, quantify
from .operation import S, S_contra, signature_of
from .state import old_and_new
from .terms import Bool, wrap

P = ParamSpec("P")
Kind = Literal["always", "step", "sometimes", "assumption"]


class Property(Generic[S_contra]):
    """A claim about a design.  Parameters are quantified: over all elements, in a ``sometimes``
    over some."""

    def __init__(self, function: Callable[..., Bool], kind: Kind) -> None:
        self.function = function
        self.kind: Kind = kind
        self.name = function.__name__
        self.doc = inspect.getdoc(function) or ""
        self.module = inspect.getdoc(inspect.getmodule(function)) or ""
        self.state, self.parameters = signature_of(function, 2 if kind == "step" else 1)
        self._bodies: dict[int, Node] = {}
        self._closed: dict[int, Node] = {}

    def body(self, epoch: int = 0) -> Node:
        """The claim over its parameters, of the old (0) or the new (1) state; a step sees both."""
        if epoch not in self._bodies:
            both = old_and_new(self.state)
            states = both if self.kind == "step" else both[epoch : epoch + 1]
            result = self.function(*states, *(wrap(p.variable) for p in self.parameters))
            if not isinstance(result, Bool):
                raise DesignError(
                    f"the property {self.name} returned {type(result).__name__}: return a Bool term"
                )
            self._bodies[epoch] = result.node
        return self._bodies[epoch]

    def closed(self, epoch: int = 0) -> Node:
        """The claim with its parameters quantified."""
        if epoch not in self._closed:
            op = "exists" if self.kind == "sometimes" else "forall"
            variables = tuple(p.variable for p in self.parameters)
            names = tuple(p.name for p in self.parameters)
            self._closed[epoch] = quantify(op, variables, names, self.body(epoch))
        return self._closed[epoch]

    def never(self) -> Property[S_contra]:
        """Of a ``sometimes``: the ``always`` that denies it."""
        denial = copy(self)
        denial.kind, denial.name = "always", f"never_{self.name}"
        denial._bodies = {epoch: negate(self.body(epoch)) for epoch in (0, 1)}
        denial._closed = {}
        return denial

    @property
    def summary(self) -> str:
        """The first paragraph of its documentation, as one line."""
        return " ".join(self.doc.partition("\n\n")[0].split())

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


def always(function: Callable[Concatenate[S, P], Bool]) -> Property[S]:
    """A property ``(state, parameters) -> Bool`` that holds in every reachable state."""
    return Property(function, "always")


def sometimes(function: Callable[Concatenate[S, P], Bool]) -> Property[S]:
    """A property that holds in some reachable state: the guard against vacuous proofs."""
    return Property(function, "sometimes")


def step(function: Callable[Concatenate[S, S, P], Bool]) -> Property[S]:
    """A property ``(old state, new state, parameters) -> Bool`` of every possible step."""
    return Property(function, "step")


def assumption(function: Callable[Concatenate[S, P], Bool]) -> Property[S]:
    """A fact about rigid maps that the design relies on; every verdict names it."""
    made: Property[S] = Property(function, "assumption")
    for node in nodes_of(made.body()):
        if node.op == "read" and not node.data[0].rigid:
            raise DesignError(
                f"the assumption {made.name} reads {node.data[0].name}, which operations may change: "
                "assume only about Fun maps, and state the rest in the initial condition"
            )
    return made
