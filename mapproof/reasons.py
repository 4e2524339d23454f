"""Why a claim fails: which part of it is false, at which elements, and which entries decide."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from typing import Any

from mapproof.model.language import Bool, Property
from mapproof.model.language.concrete import Machine
from mapproof.model.language.concrete import State as Vector
from mapproof.model.language.nodes import Component, Node, show
from mapproof.model.language.terms import wrap
from mapproof.proofs.trace import Trace

SHORT, LONG = 120, 320  # characters of a formula


@dataclass(frozen=True)
class Read:
    """A map entry that decides a claim; ``new`` if a step property reads it after the step."""

    component: Component
    key: tuple[int, ...]
    new: bool


@dataclass(frozen=True)
class Reason:
    """The false part of a claim (of a ``sometimes``: the part that holds), as its author wrote it,
    the elements that its variables stand for, and the entries that decide it.

    let: assignments that the text uses, where it is the property's source.
    """

    text: str
    let: tuple[str, ...]
    witness: dict[Node, int]
    reads: tuple[Read, ...]


def reason_of(trace: Trace, prop: Property[Any]) -> Reason:
    """Why the property fails (a ``sometimes``: holds) at the end of the trace."""
    judge = _at_the_end(trace, prop)
    witness = {p.variable: trace.witness[p.name] for p in prop.parameters}
    node = prop.body()
    wanted = prop.kind == "sometimes"
    while True:
        if node.op == "and" and not wanted:
            node = next(a for a in node.args if not judge.value(a, witness))
        elif node.op == ("exists" if wanted else "forall"):
            witness = judge.instance(node, witness, wanted)
            node = node.args[0]
        else:
            break
    judge.justify(node, witness)
    shown = show(node)
    let: list[str] = []
    if len(shown) > SHORT and not wanted:
        shown, *let = _source(trace, prop, len(shown)) or [shown]
    used = {v: i for v, i in witness.items() if v in node.free}
    return Reason(shown, tuple(let), used, tuple(judge.reads))


def assumed(
    trace: Trace, prop: Property[Any], *, arbitrary_locals: bool = False
) -> tuple[Read, ...]:
    """The entries that the start of the run leaves open and that the run or the claim needs; locals of
    procedures count where a run may begin inside of one."""
    machine = trace.machine
    free = set(machine.layout.arbitrary)
    places = {(c, key): place for c, key, place in machine.layout.cells()}
    if arbitrary_locals:
        free |= {place for (c, _), place in places.items() if c.local}
    found: dict[Read, None] = {}

    def note(judge: _Judge) -> None:
        for read in judge.reads:
            if places.get((read.component, read.key)) in free:
                found[read] = None

    for event, state in zip(trace.events, trace.states, strict=False):
        judge = _Judge(machine, state)
        parameters = event.transition.parameters
        env = {p.variable: a for p, a in zip(parameters, event.arguments, strict=True)}
        judge.justify(event.transition.when, env)
        note(judge)
    judge = _at_the_end(trace, prop)
    judge.justify(prop.body(), {p.variable: trace.witness[p.name] for p in prop.parameters})
    note(judge)
    written = {(c.component, c.key) for i in range(len(trace.events)) for c in trace.changes(i)}
    return tuple(r for r in found if (r.component, r.key) not in written)


def _at_the_end(trace: Trace, prop: Property[Any]) -> _Judge:
    if prop.kind == "step":
        return _Judge(trace.machine, trace.states[-2], trace.states[-1])
    return _Judge(trace.machine, trace.states[-1])


class _Judge:
    """Evaluates parts of a claim and collects the reads that decide them."""

    def __init__(self, machine: Machine, old: Vector, new: Vector | None = None) -> None:
        self.machine = machine
        self.old, self.new = old, new
        self.reads: dict[Read, None] = {}

    def value(self, node: Node, env: dict[Node, int]) -> int:
        known = {v: i for v, i in env.items() if v in node.free}
        return self.machine.evaluate(node, self.old, self.new, known)

    def instance(self, node: Node, env: dict[Node, int], wanted: bool) -> dict[Node, int]:
        """Elements at which the body of a quantifier has the wanted truth value."""
        for values in self.machine.scope.combinations(v.sort for v in node.data):
            inner = {**env, **dict(zip(node.data, values, strict=True))}
            if bool(self.value(node.args[0], inner)) is wanted:
                return inner
        raise AssertionError(node)

    def justify(self, node: Node, env: dict[Node, int]) -> None:
        """Collect the entries that give the node its value: of a choice only the arm taken, of a
        conjunction only what makes it false."""
        match node.op:
            case "read":
                component, epoch = node.data
                for arg in node.args:
                    self.justify(arg, env)
                key = tuple(self.value(a, env) for a in node.args)
                self.reads[Read(component, key, bool(epoch) and self.new is not None)] = None
            case "and" | "or":
                decides = node.op == "or"
                for arg in node.args:
                    if bool(self.value(arg, env)) is decides:
                        return self.justify(arg, env)
                for arg in node.args:
                    self.justify(arg, env)
            case "ite":
                self.justify(node.args[0], env)
                self.justify(node.args[1 if self.value(node.args[0], env) else 2], env)
            case "forall" | "exists":
                decides = node.op == "exists"
                if bool(self.value(node, env)) is decides:
                    self.justify(node.args[0], self.instance(node, env, decides))
            case _:
                for arg in node.args:
                    self.justify(arg, env)


def _source(trace: Trace, prop: Property[Any], length: int) -> list[str] | None:
    """The false conjunct in the words of the property's source, if they can be found and say more
    than a formula of that length; then the assignments that it uses.

    The statements before the ``return`` are run again on symbolic arguments, and each conjunct of
    what is returned is read on its own and evaluated at the witness.
    """
    try:
        source = textwrap.dedent(inspect.getsource(prop.function))
        function = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    *before, last = function.body
    if not isinstance(last, ast.Return) or last.value is None:
        return None
    if not all(isinstance(s, ast.Assign | ast.Expr) for s in before):
        return None
    names = list(inspect.signature(prop.function).parameters)
    states = (prop.state(0), prop.state(1))[: len(names) - len(prop.parameters)]
    terms = (*states, *(wrap(p.variable) for p in prop.parameters))
    space: dict[str, Any] = {
        **prop.function.__globals__,
        **inspect.getclosurevars(prop.function).nonlocals,
        **dict(zip(names, terms, strict=True)),
    }
    exec(compile(ast.Module(before, []), "<property>", "exec"), space)
    judge = _at_the_end(trace, prop)
    witness = {p.variable: trace.witness[p.name] for p in prop.parameters}
    for part in _conjuncts(last.value):
        value = eval(compile(ast.Expression(part), "<property>", "eval"), space)
        if isinstance(value, Bool) and not judge.value(value.node, witness):
            if isinstance(part, ast.Call) and length <= LONG:
                return None
            parts = [part, *_needed(before, part)]
            return [" ".join((ast.get_source_segment(source, p) or "").split()) for p in parts]
    return None


def _conjuncts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        return [*_conjuncts(node.left), *_conjuncts(node.right)]
    return [node]


def _needed(before: list[ast.stmt], part: ast.expr) -> list[ast.Assign]:
    """The assignments that the part uses, directly or not."""
    names = {n.id for n in ast.walk(part) if isinstance(n, ast.Name)}
    found: list[ast.Assign] = []
    for statement in reversed(before):
        if not isinstance(statement, ast.Assign):
            continue
        targets = {n.id for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        if targets & names:
            found.append(statement)
            names |= {n.id for n in ast.walk(statement.value) if isinstance(n, ast.Name)}
    return found[::-1]
