"""Mistakes planted in the walk: every small change of the terms that say what an access does.

A mistake changes one subterm wherever it occurs: a flag reads as always set or always clear, one part
of a conjunction is forgotten, "and" becomes "or", a choice always takes the same branch, a table or a
slot is always the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from mapproof.model.language import nodes
from mapproof.model.language.nodes import BOOL, Node, OptOf
from mapproof.model.language.solver import Z3
from mapproof.model.language.unbounded import Scripts

from .mmu_oracle import Observation, Oracle


@dataclass(frozen=True)
class Mistake:
    """One subterm and what stands in its place."""

    right: Node
    wrong: Node

    def __str__(self) -> str:
        return f"{_short(self.right)}  ->  {_short(self.wrong)}"

    def planted(self, outputs: Mapping[str, Node]) -> dict[str, Node]:
        """Those outputs that it changes."""
        memo: dict[Node, Node] = {self.right: self.wrong}

        def go(n: Node) -> Node:
            done = memo.get(n)
            if done is None:
                done = memo[n] = nodes.rebuild(n, tuple(map(go, n.args))) if n.args else n
            return done

        changed = {name: go(node) for name, node in outputs.items()}
        return {name: node for name, node in changed.items() if node != outputs[name]}


def are_equal(
    a: Mapping[str, Node], b: Mapping[str, Node], facts: Iterable[Node], milliseconds: int = 10_000
) -> bool:
    """Whether two sets of outputs always come to the same result, proved by z3 for tables of any size.

    What is not looked at need not agree: the error code of an access that does not fault, the frame
    of one that does, the table of an entry that is not marked.
    """

    def differs(name: str) -> Node:
        return nodes.negate(nodes.eq(a[name], b[name]))

    differences = [differs("fault")]
    for name in a:
        kind, _, level = name.partition(".")
        if kind == "code":
            differences.append(nodes.conj((a["fault"], differs(name))))
        elif kind in ("frame", "level"):
            differences.append(nodes.conj((nodes.negate(a["fault"]), differs(name))))
        elif kind in ("accessed", "dirty"):
            differences.append(differs(name))
        elif kind == "table":
            marked = nodes.disj((a[f"accessed.{level}"], a[f"dirty.{level}"]))
            differences.append(nodes.conj((marked, differs(name))))
    named = [(f"fact{i}", fact) for i, fact in enumerate(facts)]
    script = Scripts().script([*named, ("differ", nodes.disj(differences))])
    return Z3().solve(script, milliseconds).answer == "unsat"


def mistakes(roots: Iterable[Node]) -> Iterator[Mistake]:
    """All of them, in a fixed order."""
    for n in sorted(nodes.nodes_of(*roots), key=repr):
        for wrong in dict.fromkeys(_variants(n)):
            if wrong != n:
                yield Mistake(n, wrong)


class Fate(Enum):
    """What becomes of a planted mistake."""

    CAUGHT = "caught"
    EQUAL = "proved to change nothing"
    EMULATOR = "the emulator's own"
    MISSED = "missed"


class Record:
    """Accesses on which the model and the processor agree: what a mistake changes in one of them is a
    disagreement with the processor."""

    def __init__(self, oracle: Oracle, seen: Iterable[Observation]) -> None:
        self.oracle = oracle
        self.outputs = oracle.model.outputs
        loaded = [(o.state, o) for o in seen if o.state is not None]
        agreed = [(state, o) for state, o in loaded if o.agrees]
        self._explained = [(state, o) for state, o in loaded if o.explained]
        self._seen = [o for _, o in agreed]
        self._states = [state for state, _ in agreed]
        self._values = {
            name: list(map(function, self._states))
            for name, function in oracle.model.functions.items()
        }

    def __len__(self) -> int:
        return len(self._seen)

    def fate(self, mistake: Mistake, quickly: int = 500) -> tuple[Fate, int]:
        """What becomes of a mistake, and the number of the access that shows it (0 if none does)."""
        caught = self.disagreement(mistake, end=quickly)
        if caught is None:
            wrong = {**self.outputs, **mistake.planted(self.outputs)}
            if are_equal(self.outputs, wrong, self.oracle.model.facts):
                return Fate.EQUAL, 0
            caught = self.disagreement(mistake, start=quickly)
        if caught is not None:
            return Fate.CAUGHT, caught
        return (Fate.EMULATOR if self.is_the_emulators(mistake) else Fate.MISSED), 0

    def disagreement(self, mistake: Mistake, start: int = 0, end: int | None = None) -> int | None:
        """The number of an access, from ``start`` on and before ``end``, of which the model with that
        mistake says something else than what the processor did."""
        changed = mistake.planted(self.outputs)
        # The smallest first: a large term takes longer to compile than to be evaluated often.
        for name in sorted(changed, key=lambda name: len(list(nodes.nodes_of(changed[name])))):
            function, right = self.oracle.model.function(changed[name]), self._values[name]
            for i in range(start, len(self) if end is None else min(end, len(self))):
                value = function(self._states[i])
                if value != right[i] and self._matters(name, i, value):
                    return i
        return None

    def is_the_emulators(self, mistake: Mistake) -> bool:
        """Whether the processor makes this mistake: it turns differences that are explained into
        agreement, and does nothing else to them."""
        functions = dict(self.oracle.model.functions)
        for name, node in mistake.planted(self.outputs).items():
            functions[name] = self.oracle.model.function(node)
        agreed = False
        for state, o in self._explained:
            result = self.oracle.model.result(state, o.request, functions)
            if result not in (o.model, o.emulator):
                return False
            agreed |= result == o.emulator
        return agreed

    def _matters(self, name: str, i: int, value: int) -> bool:
        """Whether the result of an access is another one if an output has this value: see
        :func:`are_equal`."""
        kind, _, level = name.partition(".")
        fault, seen = self._values["fault"][i], self._seen[i]
        if kind == "code":
            return bool(fault)
        if kind in ("frame", "level"):
            found = {
                "frame": self._values["frame"][i],
                "level": self._values["level"][i],
                kind: value,
            }
            page = self.oracle.model.page(found["frame"], found["level"], seen.request)
            return not fault and page != seen.emulator.pfn
        if kind == "table":
            return bool(self._values[f"accessed.{level}"][i] or self._values[f"dirty.{level}"][i])
        return True


def _variants(n: Node) -> Iterator[Node]:
    match n.op:
        case "and" | "or":
            join = {"and": nodes.conj, "or": nodes.disj}
            for i in range(len(n.args)):
                yield join[n.op](n.args[:i] + n.args[i + 1 :])
            yield join["or" if n.op == "and" else "and"](n.args)
        case "ite":
            yield from n.args[1:]
        case "value":
            yield nodes.var(n.sort, "first")
        case "read" if n.sort != BOOL and not isinstance(n.sort, OptOf):
            if hasattr(n.sort, "values"):
                yield from (nodes.elem(n.sort, i) for i in range(len(n.sort.values)))
            elif n.args:
                yield nodes.var(n.sort, "first")
        case _ if n.sort == BOOL and n.op not in ("bool", "not"):
            yield from (nodes.TRUE_NODE, nodes.FALSE_NODE)


def _short(n: Node) -> str:
    text = nodes.show(n)
    return text if len(text) <= 200 else f"{text[:100]} ... {text[-97:]}"
