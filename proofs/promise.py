"""What an operation or a procedure promises: facts that hold whenever it returns.

The design gets a record of the last return (``Returned``): whether the latest step was one, and with
which arguments.  A promise is then an ordinary ``always``, so that what proves, re-checks or refutes
any other claim does so here.  Candidates are clauses over the design's own atoms, about the arguments
and one more element of each other sort; reached states leave few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from time import monotonic
from typing import Any

from pysat.solvers import Minisat22

from mapproof.model.language import nodes
from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.nodes import Node, negate
from mapproof.model.language.operation import Operation, Procedure

from .check import Options, check
from .inference import scope_for
from .lemma import Lemma
from .returned import Returned, subject_of
from .returned_candidates import Rows, candidates, converses, literals_in
from .returned_literals import is_constant, literals_of
from .search import search
from .trace import Trace
from .verdict import Result, Verdict

MOST_FACTS = 8
ROUNDS = 3
MOST_DENIED = 2
DEEPEST = 12  # steps of a run that shows what is not promised
LONGEST, REFUTING = 14, 3.0  # steps of runs that refute what is open; seconds for each machine


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
        sorted(some, key=lambda c: (len(literals_in(c)), nodes.size(c)))
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
    opened = [c for c, r in known.items() if r.verdict not in (Verdict.PROVED, Verdict.VIOLATED)]
    opened = _not_refuted(view, opened)
    facts = _independent([c for c in after if c in proved])
    shown = {c: _shortened(c, facts) for c in facts}
    claims = {
        c: view.invariant(c, f"invariant_{i}") for i, c in enumerate(_independent(at_any_time))
    }
    held = _settle(view, claims, deadline, progress)
    denials = dict.fromkeys(s for c in facts for s in converses(c) if _fails(rows, s))
    denied = _denied(view, list(denials)[:MOST_DENIED], max(1.0, deadline - monotonic()))
    return Promise(
        design,
        subject,
        tuple(Fact(short, known[c]) for c, short in shown.items()),
        tuple(Fact(c, r) for c, r in held.items() if r.verdict is Verdict.PROVED),
        tuple(denied),
        len(opened),
    )


def _may_hold(result: Result | None) -> bool:
    return result is None or result.verdict is Verdict.PROVED


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
            for x in literals_in(clause):
                literal(x)
        for one, two in combinations(atoms, 2):
            if _exclude_each_other(one, two):
                sat.add_clause([-atoms[one], -atoms[two]])
            for some, equal in ((one, two), (two, one)):
                if some.op == "is_some" and _is_some_of(equal, some.args[0]):
                    sat.add_clause([-atoms[equal], atoms[some]])
        for clause in clauses:
            parts = [literal(x) for x in literals_in(clause)]
            if len(chosen) < MOST_FACTS and sat.solve(assumptions=[-x for x in parts]):
                chosen.append(clause)
                sat.add_clause(parts)
    return chosen


def _exclude_each_other(one: Node, two: Node) -> bool:
    """The same term equals two values."""
    if one.op != "eq" or two.op != "eq" or one.args[0] != two.args[0]:
        return False
    return one.args[1] != two.args[1] and all(is_constant(x.args[1]) for x in (one, two))


def _is_some_of(equal: Node, term: Node) -> bool:
    """An optional equals some element."""
    if equal.op != "eq" or term not in equal.args:
        return False
    return any(x.op == "some" for x in equal.args)


def _shortened(clause: Node, facts: Iterable[Node]) -> Node:
    """Without what is false by another fact."""
    false = {negate(f) for f in facts}
    return nodes.disj(x for x in literals_in(clause) if x not in false)


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


def _not_refuted(view: Returned, clauses: Sequence[Node]) -> list[Node]:
    """Those of what was not proved that longer runs do not refute either, on the design's own machine
    and on one with more elements."""
    left = {view.lemma(c, f"open_{i}"): c for i, c in enumerate(clauses)}
    for scope in (view.design.scope_at(), scope_for(view.design)):
        if left:
            design = view.claiming(view.design, list(left))
            found = search(design, dict.fromkeys(left, LONGEST), scope, REFUTING, shrink=False)
            left = {claim: c for claim, c in left.items() if found[claim.name].trace is None}
    return list(left.values())


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
