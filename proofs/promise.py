"""What an operation or a procedure promises: facts that hold whenever it returns.

The design gets a record of the last return (``Returned``): whether the latest step was one, and with
which arguments.  A promise is then an ordinary ``always``, so that what proves, re-checks or refutes
any other claim does so here.  Candidates are clauses over the design's own atoms, about the arguments
and one more element of each other sort; reached states leave few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from random import Random
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
WALK, WALKING = 16, 1.5  # steps to a return, and seconds for all walks
OWN = 0.8  # the share of the subject's steps in them


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
        self.subject = subject
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
        self.first = first = next(t for t in self.steps if _starts(subject, t))
        self.flag = Component("returned", (), BOOL)
        self._record = {p: Component(f"returned.{p.name}", (), p.sort, local=True) for p in kept}
        self.meaning = {
            argument(p.name, p.sort): nodes.read(c, (), 0) for p, c in self._record.items()
        }
        self.local = frozenset(c for c in system.components if c.local)
        self._started: dict[Parameter, Component] = {}
        if isinstance(subject, Procedure):
            self.meaning = self._locals(system) | self.meaning
            self._started = {
                p: Component(f"started.{p.name}", (kept[0].sort,), p.sort, local=True)
                for p in first.parameters[1:]
                if argument(p.name, p.sort) not in self.meaning
            }
            self.meaning |= {
                argument(p.name, p.sort): nodes.read(c, (self._actor,), 0)
                for p, c in self._started.items()
            }
        self.arguments = {argument(p.name, p.sort) for p in first.parameters} & set(self.meaning)
        self.own_locals = {n.data[0]: a for a, n in self.meaning.items() if n.data[0] in self.local}
        added = (self.flag, *self._record.values(), *self._started.values())
        self.system = replace(
            system,
            components=(*system.components, *added),
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
        return Lemma(self.of_any(clause), name)

    def of_any(self, clause: Node) -> Node:
        """A clause about arguments as one about variables with their names."""
        any_ = {a: nodes.var(a.sort, a.data[0].name) for a in self.meaning}
        return nodes.rewrite_reads(
            clause, lambda c, e, keys: any_.get(n := nodes.read(c, keys, e), n)
        )

    def of_current(self, clause: Node) -> Node:
        """A clause about arguments as one about those of the call that an actor is in."""
        actor = self._actor
        return nodes.replace_term(self.of(clause), actor, nodes.var(actor.sort, "actor"))

    @property
    def running(self) -> Node:
        """An actor is in a call, between two of its steps."""
        if isinstance(self.subject, Operation):
            return nodes.FALSE_NODE
        at = nodes.read(self.subject.position, (nodes.var(self._actor.sort, "actor"),), 0)
        return negate(nodes.eq(at, nodes.elem(at.sort, 0)))

    def of(self, clause: Node) -> Node:
        """A clause about arguments as one about the record of them."""
        return nodes.rewrite_reads(clause, self._meant)

    def _meant(self, component: Component, epoch: int, keys: tuple[Node, ...]) -> Node:
        read = nodes.read(component, keys, epoch)
        return self.meaning.get(read, read)

    @property
    def _actor(self) -> Node:
        return nodes.read(next(iter(self._record.values())), (), 0)

    def _recorded(self, t: Transition, last: set[str]) -> Transition:
        returns = t.name in last
        more = [_set(self.flag, returns)]
        if returns:
            more += (Update(c, (), nodes.TRUE_NODE, p.variable, ()) for p, c in self._record_of(t))
        if t.name == self.first.name:
            actor = t.parameters[0].variable if t.parameters else nodes.TRUE_NODE
            for p, c in self._started.items():
                i = nodes.var(c.keys[0], f"{c.name}#0")
                here = nodes.eq(i, actor)
                more.append(Update(c, (i,), here, p.variable, (actor,)))
        return replace(t, updates=(*t.updates, *more))

    def _record_of(self, t: Transition) -> Iterator[tuple[Parameter, Component]]:
        return zip(t.parameters, self._record.values(), strict=False)

    def _locals(self, system: System) -> dict[Node, Node]:
        """What the actor's locals keep: an argument, under its name, if the first step puts it there, or
        what is spoken of by the local's own name."""
        named = {p.variable: p for p in self.first.parameters[1:]}
        kept = {u.component: named[u.value] for u in self.first.updates if u.value in named}
        later = {u.component for t in self.steps if t is not self.first for u in t.updates}
        kept = {c: p for c, p in kept.items() if c not in later}
        taken = {str(p.name) for p in self.first.parameters}
        found: dict[Node, Node] = {}
        for c in dict.fromkeys(u.component for t in self.steps for u in t.updates):
            own = c.name.rpartition(".")[2]
            name = str(kept[c].name) if c in kept else own
            one_each = c.local and c.keys == (self._actor.sort,) and not nodes.is_finite(c.value)
            if one_each and (c in kept or own not in taken):
                found.setdefault(argument(name, c.value), nodes.read(c, (self._actor,), 0))
        return found


def _starts(subject: Operation[Any, ...] | Procedure, t: Transition) -> bool:
    return isinstance(subject, Operation) or t.name == f"{subject.name}.{subject.steps[0].name}"


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
        term = nodes.value(a) if isinstance(a.sort, OptOf) else a
        arguments.setdefault(term.sort, []).append(term)
    about = relevant(view)
    rigid = (c for c in design.system().components if c.rigid and c.keys)
    named = {c.value for c in rigid if not nodes.is_finite(c.value)}
    positions = {p.position for p in design.procedures}
    found: dict[Node, None] = {}
    for n in nodes.nodes_of(*trees):
        if n.sort != BOOL or n.op not in ("read", "eq", "is_some"):
            continue
        atom = _plain(n, view.own_locals)
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
            made = _canonical(nodes.substitute(atom, dict(zip(holes, chosen, strict=True))))
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


def _plain(atom: Node, own: Mapping[Component, Node]) -> Node:
    """The atom of one state, with the name of it for what the subject's own locals keep, and a variable
    for what other locals keep."""

    def plain(c: Component, _: int, keys: tuple[Node, ...]) -> Node:
        if c in own:
            return own[c]
        if c.local and not nodes.is_finite(c.value) and not isinstance(c.value, OptOf):
            return nodes.var(c.value, c.name)
        return nodes.read(c, keys, 0)

    return nodes.rewrite_reads(atom, plain)


def _canonical(atom: Node) -> Node:
    """What is said in two ways is said in one: "x is some y" for "its value is y", constants last."""
    if atom.op != "eq":
        return atom
    a, b = atom.args
    for x, y in ((a, b), (b, a)):
        if x.op == "value":
            a, b = x.args[0], nodes.some(y)
            break
    if _is_constant(a) and not _is_constant(b):
        a, b = b, a
    return nodes.eq(a, b)


def _is_constant(term: Node) -> bool:
    return term.op == "elem" or (term.op == "some" and _is_constant(term.args[0]))


def undefined(literal: Node) -> list[Node]:
    """That an optional is none whose value the literal speaks of: then it says nothing."""
    terms = (n.args[0] for n in nodes.nodes_of(literal) if n.op == "value")
    return [negate(nodes.is_some(x)) for x in terms]


class _Table:
    """Reached states, each with choices of elements for the variables, as bits of one number."""

    def __init__(
        self,
        machines: Sequence[tuple[Machine, list[State]]],
        variables: Iterable[Node],
        meaning: Callable[[Node], Node],
    ) -> None:
        self._machines, self._meaning = machines, meaning
        self._variables = list(dict.fromkeys(variables))
        self.every = self.where(nodes.TRUE_NODE)
        self._masks: dict[Node, int] = {}

    def mask(self, clause: Node) -> int:
        """Where a literal or one of several is true."""
        if clause not in self._masks:
            if clause.op == "not":
                self._masks[clause] = self.every & ~self.mask(clause.args[0])
            elif clause.op == "or":
                return self.mask(clause.args[0]) | self.mask(nodes.disj(clause.args[1:]))
            else:
                self._masks[clause] = self.where(self._meaning(clause))
        return self._masks[clause]

    def where(self, term: Node) -> int:
        """Where a term of the state is true."""
        bits, width = 0, 0
        for machine, states in self._machines:
            truth = machine.states_where(term, self._variables)
            sizes = [range(machine.scope[v.sort]) for v in self._variables]
            for values in islice(product(*sizes), MOST_ROWS):
                bits |= truth(states, *values) << width
                width += len(states)
        return bits


class Rows:
    """What is seen of clauses in reached states: after returns, and before calls."""

    def __init__(self, view: Returned, literals: Sequence[Node]) -> None:
        design = view.design
        samples = Samples(view.system, scope_for(design))
        some = _some(samples, view)
        near = Machine(view.system, design.scope_at())
        machines = [(samples.machine, some), (near, _nearest(near))]
        variables = [v for x in literals for v in x.variables]
        after = _Table(machines, variables, view.of)
        called_with = [nodes.var(a.sort, a.data[0].name) for a in view.arguments]
        self._before = _Table(machines, [*called_with, *variables], view.of_any)
        self._possible = self._before.where(view.first.when)
        if isinstance(view.subject, Procedure):
            actor = nodes.var(view.subject.actor, "actor")
            self._during = _Table(machines, [actor, *variables], view.of_current)
            self._running = self._during.where(view.running)
        self._view = view
        self.mask, self.every = after.mask, after.every
        self.returns = after.mask(_read(view.flag))

    def brought_about(self, clause: Node) -> bool:
        """It was false when a call was possible, or between its steps; or it is about what only the
        function knows."""
        about = {n for n in nodes.nodes_of(clause) if n in self._view.meaning}
        if about - self._view.arguments or self._possible & ~self._before.mask(clause):
            return True
        procedure = isinstance(self._view.subject, Procedure)
        return procedure and bool(self._running & ~self._during.mask(clause))


def _some(samples: Samples, view: Returned) -> list[State]:
    """Returns, and other states, of each as many as shall be looked at."""
    flag = samples.machine.states_where(_read(view.flag), [])(samples.states)
    kinds: tuple[list[State], list[State]] = ([], [])
    for i, state in enumerate(samples.states):
        kinds[flag >> i & 1].append(state)
    returns = dict.fromkeys((*kinds[True], *_led_to_returns(samples, view)))
    return [
        s
        for kind in (kinds[False], [*returns])
        for s in kind[:: -(-len(kind) // MOST_SAMPLES) or 1]
    ]


def _led_to_returns(samples: Samples, view: Returned) -> Iterator[State]:
    """Returns after walks from all over the samples that take the subject's steps where they can."""
    random, started = Random(0), monotonic()
    machine, steps = samples.machine, {t.name for t in view.steps}
    returned = machine.states_where(_read(view.flag), [])
    for start in random.sample(samples.states, len(samples.states)):
        state = start
        for _ in range(WALK):
            if monotonic() - started > WALKING:
                return
            own: dict[str, list[State]] = {}
            others: dict[str, list[State]] = {}
            for event, after in machine.successors(state):
                name = event.transition.name
                (own if name in steps else others).setdefault(name, []).append(after)
            follow = own if own and (not others or random.random() < OWN) else others
            if not follow:
                break
            state = random.choice(random.choice([*follow.values()]))
            if returned([state]):
                yield state
                break


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
    unless = {x: undefined(x) for x in some}
    settled = rows.every
    for length in (1, 2, 3):
        pool = some if length < 3 else some[:MOST_LITERALS]
        for parts in combinations(pool, length):
            clause = frozenset(parts)
            whole = 0
            for x in parts:
                whole |= rows.mask(x)
            if returns & ~whole and not any(unless[x] for x in parts):
                continue
            said = nodes.disj((*parts, *(u for x in parts for u in unless[x])))
            if said.op == "bool" or returns & ~rows.mask(said):
                continue
            if any(negate(x) in clause for x in parts) or any(f <= clause for f in found):
                continue
            found.append(clause)
            if rows.mask(said) & rows.every != rows.every:
                if length == 1:
                    settled &= rows.mask(said)
                elif not rows.brought_about(said):
                    continue
                elif not _compares(said) and not settled & ~rows.mask(said):
                    continue  # it follows from shorter facts and invariants
                clauses.append(said)
            elif any(_converses(said)):
                invariants.append(said)
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
    shown = {c: _shortened(c, facts) for c in facts}
    claims = {
        c: view.invariant(c, f"invariant_{i}") for i, c in enumerate(_independent(at_any_time))
    }
    held = _settle(view, claims, deadline, progress)
    denials = dict.fromkeys(s for c in facts for s in _converses(c) if _fails(rows, s))
    denied = _denied(view, list(denials)[:MOST_DENIED], max(1.0, deadline - monotonic()))
    return Promise(
        design,
        subject,
        tuple(Fact(short, known[c]) for c, short in shown.items()),
        tuple(Fact(c, r) for c, r in held.items() if r.verdict is Verdict.PROVED),
        tuple(denied),
        sum(r.verdict not in (Verdict.PROVED, Verdict.VIOLATED) for r in known.values()),
    )


def _may_hold(result: Result | None) -> bool:
    return result is None or result.verdict is Verdict.PROVED


def _literals(clause: Node) -> tuple[Node, ...]:
    return clause.args if clause.op == "or" else (clause,)


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
            for some, equal in ((one, two), (two, one)):
                if some.op == "is_some" and _is_some_of(equal, some.args[0]):
                    sat.add_clause([-atoms[equal], atoms[some]])
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
    return one.args[1] != two.args[1] and all(_is_constant(x.args[1]) for x in (one, two))


def _is_some_of(equal: Node, term: Node) -> bool:
    """An optional equals some element."""
    if equal.op != "eq" or term not in equal.args:
        return False
    return any(x.op == "some" for x in equal.args)


def _shortened(clause: Node, facts: Iterable[Node]) -> Node:
    """Without what is false by another fact."""
    false = {negate(f) for f in facts}
    return nodes.disj(x for x in _literals(clause) if x not in false)


def _converses(clause: Node) -> Iterator[Node]:
    """Of "where a, b has what c has": where a, c has what b has, if both are of one map."""
    parts = _literals(clause)
    for x, y in combinations(parts, 2):
        if (x.op == "not") == (y.op == "not"):
            continue
        one, two = (p.args[0] if p.op == "not" else p for p in (x, y))
        if one.op == two.op == "read" and one.data == two.data:
            yield nodes.disj(negate(p) if p in (x, y) else p for p in parts)


def _compares(clause: Node) -> bool:
    """It says of two places of one map what the one has where the other has it, and under which
    condition; a condition on the same entries makes it a detail."""
    groups = [n.data[0].name.rpartition(".") for n in nodes.nodes_of(clause) if n.op == "read"]
    fields = {field for group, dot, field in groups if dot}
    return any(_converses(clause)) and (len(fields) < 2)


def _fails(rows: Rows, clause: Node) -> bool:
    return bool(rows.returns & ~rows.mask(clause))


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
    results = check(design, Options(timeout=left, thorough=False, ctis=False), progress)
    return dict(zip(claims, results, strict=True))
