"""Inferred lemmas."""

from __future__ import annotations

from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.nodes import Node
from mapproof.model.language.property import Kind, Property


class Lemma(Property[Any]):
    """An inferred ``always``: a clause that holds of all elements."""

    def __init__(self, clause: Node, name: str) -> None:
        self.kind: Kind = "always"
        self.name = name
        self.doc = self.module = ""
        self.parameters = ()
        self._bodies = {}
        self._closed = {}
        self.clause = clause

    def body(self, epoch: int = 0) -> Node:
        return self.closed(epoch)

    def closed(self, epoch: int = 0) -> Node:
        if epoch not in self._closed:
            at = nodes.rewrite_reads(self.clause, lambda c, _, keys: nodes.read(c, keys, epoch))
            names = tuple(str(v.data) for v in self.clause.variables)
            self._closed[epoch] = nodes.quantify("forall", self.clause.variables, names, at)
        return self._closed[epoch]
