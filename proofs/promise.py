"""What an operation or a procedure promises: facts that hold whenever it returns.

The design gets a record of the last return (``Returned``): whether the latest step was one, and with
which arguments.  A promise is then an ordinary ``always``, so that what proves, re-checks or refutes
any other claim does so here.  Candidates are clauses over the design's own atoms, about the arguments
and one more element of each other sort; reached states leave few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from time import monotonic
from typing import Any

from pysat.solvers import Minisat22

from mapproof.model.language import nodes
from mapproof.model.language.concrete import Machine, State
from mapproof.model.language.design import Design, System
from mapproof.model.language.errors import DesignError
from mapproof.model.language.nodes import BOOL, Component, Node, OptOf, negate
from mapproof.model.language.operation import Operation, Parameter, Procedure, Transition
from mapproof.model.language.state import Update

from .check import Options, check
from .inference import scope_for
from .lemma import Lemma
from .samples import Samples
from .search import search
from .trace import Trace
from .verdict import Result, Verdict

MOST_FACTS = 8
MOST_ROWS = 48  # choices of elements for the variables
MOST_SAMPLES = 700  # of random walks on a larger machine
MOST_STATES = 6_000  # from the design's initial states, nearest first
MOST_LITERALS = 44  # in clauses of three
ROUNDS = 3
MOST_DENIED = 2
DEEPEST = 12  # steps of a run that shows what is not promised
EXPLORING = 2.0  # seconds


@dataclass(frozen=True)
class Fact:
    """A clause over arguments (``argument``) and variables, proved to hold whenever it returns."""

    clause: Node
    result: Result


@dataclass(frozen=True)
class Denial:
    """A clause that does not hold whenever it returns: a shortest run to a return after which it is
    false."""

    clause: Node
    trace: Trace


@dataclass(frozen=True)
class Promise:
    """Facts that were proved, what of that kind holds at any time, what the facts lack, and how many
    candidates were left open."""

    design: Design[Any]
    subject: Operation[Any, ...] | Procedure
    facts: tuple[Fact, ...]
    invariants: tuple[Fact, ...]
    denied: tuple[Denial, ...]
    unsettled: int


def subject_of(design: Design[Any], name: str) -> Operation[Any, ...] | Procedure:
    """The operation or procedure of that name; DesignError lists those that exist."""
    every: list[Operation[Any, ...] | Procedure] = [*design.operations, *design.procedures]
    for one in every:
        if one.name == name:
            return one
    names = ", ".join(o.name for o in every)
    raise DesignError(f"{design.name} has no operation {name}; it has {names or 'none'}")


def argument(name: str, sort: Any) -> Node:
    """How a fact speaks of an argument."""
    return nodes.read(Component(name, (), sort, rigid=True), (), 0)


class Returned:
    """A design with a record of the last return of one of its operations or procedures."""

    def __init__(self, design: Design[Any], subject: Operation[Any, ...] | Procedure) -> None:
        system = design.system()
        if isinstance(subject, Procedure):
            last = {
                f"{subject.name}.{s.name}"
                for s in subject.steps
                if subject.target(s) == Procedure.IDLE
            }
            kept: tuple[Parameter, ...] = subject.steps[0].operation.parameters[:1]
        else:
            last, kept = {subject.name}, subject.parameters
        steps = last
        if isinstance(subject, Procedure):
            steps = {f"{subject.name}.{s.name}" for s in subject.steps}
        self.steps = [t for t in system.transitions if t.name in steps]
        self.flag = Component("returned", (), BOOL)
        self._record = {p: Component(f"returned.{p.name}", (), p.sort, local=True) for p in kept}
        self.meaning = {
            argument(p.name, p.sort): nodes.read(c, (), 0) for p, c in self._record.items()
        }
        self.local = frozenset(c for c in system.components if c.local)
        if isinstance(subject, Procedure):
            self.meaning |= self._kept_in_locals(system, subject)
        self.system = replace(
            system,
            components=(*system.components, self.flag, *self._record.values()),
            init=replace(system.init, updates=(*system.init.updates, _set(self.flag, False))),
            transitions=tuple(self._recorded(t, last) for t in system.transitions),
        )
        self.design = design.running(self.system, name=design.name)

    def claiming(self, design: Design[Any], claims: Sequence[Lemma]) -> Design[Any]:
        """The design with other claims; its own are lemmas."""
        own = [p for p in (*design.properties, *design.lemmas) if p.kind == "always"]
        fewer = design.but(name=design.name, properties=list(claims), lemmas=own)
        return fewer.running(self.system, name=design.name)

    def lemma(self, clause: Node, name: str) -> Lemma:
        """That a clause holds after every return."""
        return Lemma(nodes.disj((negate(nodes.read(self.flag, (), 0)), self.of(clause))), name)

    def invariant(self, clause: Node, name: str) -> Lemma:
        """That a clause holds at any time, of whatever might be an argument."""
        any_ = {a: nodes.var(a.sort, a.data[0].name) for a in self.meaning}
        about_any = nodes.rewrite_reads(
            clause, lambda c, e, keys: any_.get(n := nodes.read(c, keys, e), n)
        )
        return Lemma(about_any, name)

    def of(self, clause: Node) -> Node:
        """A clause about arguments as one about the record of them."""
        return nodes.rewrite_reads(clause, self._meant)

    def _meant(self, component: Component, epoch: int, keys: tuple[Node, ...]) -> Node:
        read = nodes.read(component, keys, epoch)
        return self.meaning.get(read, read)

    def _recorded(self, t: Transition, last: set[str]) -> Transition:
        returns = t.name in last
        more = [_set(self.flag, returns)]
        if returns:
            more += (Update(c, (), nodes.TRUE_NODE, p.variable, ()) for p, c in self._record_of(t))
        return replace(t, updates=(*t.updates, *more))

    def _record_of(self, t: Transition) -> Iterator[tuple[Parameter, Component]]:
        return zip(t.parameters, self._record.values(), strict=False)

    def _kept_in_locals(self, system: System, subject: Procedure) -> dict[Node, Node]:
        """The arguments that the first step keeps in locals of the actor, under their names."""
        first = f"{subject.name}.{subject.steps[0].name}"
        start = next(t for t in system.transitions if t.name == first)
        actor = next(iter(self._record.values()))
        named = {p.variable: p for p in start.parameters[1:]}
        found: dict[Node, Node] = {}
        for u in start.updates:
            if u.component.local and u.value in named and len(u.component.keys) == 1:
                name = str(named[u.value].name)
                kept = nodes.read(u.component, (nodes.read(actor, (), 0),), 0)
                found[argument(name, u.component.value)] = kept
        return found


def _set(flag: Component, value: bool) -> Update:
    return Update(flag, (), nodes.TRUE_NODE, nodes.boolean(value), ())


# Candidates.


def literals_of(design: Design[Any], view: Returned) -> list[Node]:
    """Atoms of the design's guards, writes and claims, about the arguments and, of each other sort, one
    variable, and their negations."""
    trees = [n for t in design.system().transitions for n in (t.when, *_parts(t))]
    trees += [p.body() for p in (*design.properties, *design.lemmas)]
    arguments: dict[Any, list[Node]] = {}
    for a in view.meaning:
        arguments.setdefault(a.sort, []).append(a)
    about = relevant(view)
    rigid = (c for c in design.system().components if c.rigid and c.keys)
    named = {c.value for c in rigid if not nodes.is_finite(c.value)}
    positions = {p.position for p in design.procedures}
    found: dict[Node, None] = {}
    for n in nodes.nodes_of(*trees):
        if n.sort != BOOL or n.op not in ("read", "eq", "is_some"):
            continue
        atom = _plain(nodes.rewrite_reads(n, lambda c, _, keys: nodes.read(c, keys, 0)))
        inside = list(nodes.nodes_of(atom))
        reads = {m.data[0] for m in inside if m.op == "read"}
        if not atom.changing or not atom.changing <= about or reads & (positions | view.local):
            continue
        if any(m.op in ("ite", *nodes.QUANTIFIERS) for m in inside):
            continue
        if atom.op == "eq" and atom.args[0].sort is BOOL:
            continue
        holes = list(nodes.by_appearance([atom]))
        if any(isinstance(v.sort, OptOf) or nodes.is_finite(v.sort) for v in holes):
            continue
        # A table is spoken of by whose it is, where a rigid map says that.
        if any(v.sort in named and v.sort not in arguments for v in holes):
            continue
        whom = [arguments.get(v.sort) or [nodes.var(v.sort, v.sort.__name__)] for v in holes]
        for chosen in islice(product(*whom), 8):
            made = nodes.substitute(atom, dict(zip(holes, chosen, strict=True)))
            if made.op != "bool" and not _names_some(made):
                found[made] = None
    return [x for atom in found for x in (atom, negate(atom))]


def _names_some(atom: Node) -> bool:
    """A term equals a variable: where a sort has one element that is always so."""
    sides = (x.args[0] if x.op == "some" else x for x in atom.args)
    return atom.op == "eq" and any(x.op == "var" for x in sides)


def relevant(view: Returned) -> set[Component]:
    """What the subject decides by, and what it writes: of the fields of an entry only those that it
    decides by, or whether the entry is present where it decides by none."""
    decides: set[Component] = set()
    writes: set[Component] = set()
    for t in view.steps:
        conditions = [t.when, *(u.when for u in t.updates)]
        choices = (n.args[0] for u in t.updates for n in nodes.nodes_of(u.value) if n.op == "ite")
        decides |= nodes.components_of(*conditions, *choices)
        writes |= {u.component for u in t.updates}
    groups = {c.name.rpartition(".")[0] for c in decides}

    def telling(c: Component) -> bool:
        group, dot, field = c.name.rpartition(".")
        return not dot or (group not in groups and field == "present")

    return decides | {c for c in writes if telling(c)}


def _parts(t: Transition) -> Iterator[Node]:
    for u in t.updates:
        yield u.when
        yield u.value
        if u.at is not None:
            written = nodes.read(u.component, u.at, 0)
            yield written if written.sort is BOOL else nodes.eq(written, u.value)


def _plain(atom: Node) -> Node:
    """The atom with a variable for each value that a local keeps."""
    return nodes.rewrite_reads(
        atom,
        lambda c, e, keys: (
            nodes.var(c.value, c.name)
            if c.local and not nodes.is_finite(c.value) and not isinstance(c.value, OptOf)
            else nodes.read(c, keys, e)
        ),
    )


class Rows:
    """Reached states, each with choices of elements for the variables, as bits of one number; of them
    those that are returns."""

    def __init__(self, view: Returned, literals: Sequence[Node]) -> None:
        self._view = view
        design = view.design
        self._machines: list[tuple[Machine, list[State]]] = []
        samples = Samples(view.system, scope_for(design))
        some = samples.states[:: max(1, len(samples.states) // MOST_SAMPLES)]
        self._machines.append((samples.machine, some))
        near = Machine(view.system, design.scope_at())
        self._machines.append((near, _nearest(near)))
        self._variables = list(dict.fromkeys(v for x in literals for v in x.variables))
        self.every, self.returns = self._where(nodes.TRUE_NODE), self._where(_read(view.flag))
        self._masks: dict[Node, int] = {}

    def mask(self, literal: Node) -> int:
        """Where it is true."""
        if literal not in self._masks:
            if literal.op == "not":
                self._masks[literal] = self.every & ~self.mask(literal.args[0])
            else:
                self._masks[literal] = self._where(self._view.of(literal))
        return self._masks[literal]

    def _where(self, term: Node) -> int:
        bits, width = 0, 0
        for machine, states in self._machines:
            truth = machine.states_where(term, self._variables)
            sizes = [range(machine.scope[v.sort]) for v in self._variables]
            for values in islice(product(*sizes), MOST_ROWS):
                bits |= truth(states, *values) << width
                width += len(states)
        return bits


def _read(component: Component) -> Node:
    return nodes.read(component, (), 0)


def _nearest(machine: Machine) -> list[State]:
    seen = dict.fromkeys(islice(machine.initial_states(), 64))
    queue, started = list(seen), monotonic()
    for state in queue:  # grows
        if len(seen) > MOST_STATES or monotonic() - started > EXPLORING:
            break
        for after in machine.successor_states(state):
            if after not in seen:
                seen[after] = None
                queue.append(after)
    return list(seen)


def candidates(rows: Rows, literals: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """The clauses of at most three literals that hold after every return that was seen, no part of which
    does: those that do not hold always, and of those that do which compare two places of one map."""
    returns, found = rows.returns, list[frozenset[Node]]()
    clauses: list[Node] = []
    invariants: list[Node] = []
    some = [x for x in literals if rows.mask(x) & returns]
    for length in (1, 2, 3):
        pool = some if length < 3 else some[:MOST_LITERALS]
        for parts in combinations(pool, length):
            whole = 0
            for x in parts:
                whole |= rows.mask(x)
            if returns & ~whole:
                continue
            clause = frozenset(parts)
            if any(negate(x) in clause for x in parts) or any(f <= clause for f in found):
                continue
            found.append(clause)
            if whole & rows.every != rows.every:
                clauses.append(nodes.disj(parts))
            elif any(_converses(nodes.disj(parts))):
                invariants.append(nodes.disj(parts))
    return clauses, invariants


# What is promised.


def promise(
    design: Design[Any],
    name: str,
    timeout: float,
    progress: Callable[[str], None] = lambda _: None,
) -> Promise:
    """The facts that hold whenever an operation or a procedure returns, proved for any size, without
    those that follow from others; and converses of them that do not hold.

    Raises DesignError if there is no such operation, or if it was never seen to return.
    """
    subject = subject_of(design, name)
    view = Returned(design, subject)
    literals = literals_of(design, view)
    rows = Rows(view, literals)
    if not rows.returns:
        raise DesignError(
            f"{design.name}: {name} was not seen to return, so nothing can be promised"
        )
    deadline = monotonic() + timeout
    after, at_any_time = (
        sorted(some, key=lambda c: (len(_literals(c)), nodes.size(c)))
        for some in candidates(rows, literals)
    )
    known: dict[Node, Result] = {}
    for _ in range(ROUNDS):
        chosen = _independent([c for c in after if _may_hold(known.get(c))])
        todo = [c for c in chosen if c not in known]
        if not todo or monotonic() > deadline:
            break
        claims = {c: view.lemma(c, f"promise_{i}") for i, c in enumerate(todo)}
        known |= _settle(view, claims, deadline, progress)
    proved = [c for c, r in known.items() if r.verdict is Verdict.PROVED]
    facts = _independent([c for c in after if c in proved])
    claims = {
        c: view.invariant(c, f"invariant_{i}") for i, c in enumerate(_independent(at_any_time))
    }
    held = _settle(view, claims, deadline, progress)
    denials = dict.fromkeys(s for c in facts for s in _converses(c) if _fails(rows, s))
    denied = _denied(view, list(denials)[:MOST_DENIED], max(1.0, deadline - monotonic()))
    return Promise(
        design,
        subject,
        tuple(Fact(c, known[c]) for c in facts),
        tuple(Fact(c, r) for c, r in held.items() if r.verdict is Verdict.PROVED),
        tuple(denied),
        sum(r.verdict not in (Verdict.PROVED, Verdict.VIOLATED) for r in known.values()),
    )


def _may_hold(result: Result | None) -> bool:
    return result is None or result.verdict is Verdict.PROVED


def _literals(clause: Node) -> tuple[Node, ...]:
    return clause.args if clause.op == "or" else (clause,)


def _whole(rows: Rows, clause: Node) -> int:
    bits = 0
    for x in _literals(clause):
        bits |= rows.mask(x)
    return bits


def _independent(clauses: Sequence[Node]) -> list[Node]:
    """The first clauses that do not follow from those before them by logic alone.  What follows with the
    help of an invariant of the design stays: whoever reads the promise does not have it in mind."""
    atoms: dict[Node, int] = {}

    def literal(x: Node) -> int:
        atom = x.args[0] if x.op == "not" else x
        number = atoms.setdefault(atom, len(atoms) + 1)
        return -number if x.op == "not" else number

    with Minisat22() as sat:
        chosen: list[Node] = []
        for clause in clauses:
            for x in _literals(clause):
                literal(x)
        for one, two in combinations(atoms, 2):
            if _exclude_each_other(one, two):
                sat.add_clause([-atoms[one], -atoms[two]])
        for clause in clauses:
            parts = [literal(x) for x in _literals(clause)]
            if len(chosen) < MOST_FACTS and sat.solve(assumptions=[-x for x in parts]):
                chosen.append(clause)
                sat.add_clause(parts)
    return chosen


def _exclude_each_other(one: Node, two: Node) -> bool:
    """The same term equals two values."""
    if one.op != "eq" or two.op != "eq" or one.args[0] != two.args[0]:
        return False
    return one.args[1].op == two.args[1].op == "elem"


def _converses(clause: Node) -> Iterator[Node]:
    """Of "where a, b has what c has": where a, c has what b has, if both are of one map."""
    parts = _literals(clause)
    for x, y in combinations(parts, 2):
        if (x.op == "not") == (y.op == "not"):
            continue
        one, two = (p.args[0] if p.op == "not" else p for p in (x, y))
        if one.op == two.op == "read" and one.data == two.data:
            yield nodes.disj(negate(p) if p in (x, y) else p for p in parts)


def _fails(rows: Rows, clause: Node) -> bool:
    return bool(rows.returns & ~_whole(rows, clause))


def _denied(view: Returned, clauses: Sequence[Node], seconds: float) -> Iterator[Denial]:
    claims = {view.lemma(c, f"denied_{i}"): c for i, c in enumerate(clauses)}
    if not claims:
        return
    design = view.claiming(view.design, list(claims))
    found = search(design, dict.fromkeys(claims, DEEPEST), design.scope_at(), seconds)
    for claim, clause in claims.items():
        trace = found[claim.name].trace
        if trace is not None:
            yield Denial(clause, trace)


def _settle(
    view: Returned,
    claims: Mapping[Node, Lemma],
    deadline: float,
    progress: Callable[[str], None],
) -> Mapping[Node, Result]:
    """What is established about the claim that each clause makes."""
    left = deadline - monotonic()
    if not claims or left <= 0:
        return {}
    design = view.claiming(view.design, list(claims.values()))
    results = check(design, Options(timeout=left), progress)
    return dict(zip(claims, results, strict=True))
