"""What the language promises to those who write designs in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import pytest

from mapproof.model import language as lang
from mapproof.model.language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Design,
    DesignError,
    Enumeration,
    Fun,
    Group,
    Locals,
    Map,
    Opt,
    Procedure,
    Scope,
    Sort,
    State,
    Step,
    Update,
    Var,
    always,
    assumption,
    exists,
    forall,
    given,
    ite,
    operation,
    some,
    sometimes,
)
from mapproof.model.language.concrete import Machine
from mapproof.model.language.nodes import Node, var
from mapproof.proofs.induction import Prover, induction
from mapproof.proofs.search import search

from .random_designs import named


class A(Sort):
    """A sort."""


class B(Sort):
    """Another one."""


class Colour(Enumeration):
    """A domain of two values."""

    RED: Colour
    GREEN: Colour


class Pair(Group):
    """Two maps of one key."""

    left: Map[A, Bool]
    right: Map[A, Bool]


class Stack(Locals):
    """What an actor keeps."""

    seen: Map[A, Colour]


class Box(State):
    """A state with one map of every kind."""

    flag: Map[A, Bool]
    link: Map[tuple[A, A], Bool]
    other: Map[B, Bool]
    to: Map[A, Opt[B]]
    home: Map[A, B]
    colour: Var[Colour]
    lock: Var[Bool]
    fixed: Fun[tuple[A, A], Bool]
    pair: Pair
    stack: Stack


SCOPE = Scope({A: 2, B: 2})


@operation
def clear(s: Box) -> Step:
    """Nothing is set."""
    return Step(
        TRUE,
        [
            s.flag.fill(lambda x: FALSE),
            s.link.fill(lambda x, y: FALSE),
            s.other.fill(lambda x: FALSE),
            s.to.fill(lambda x: NONE),
            s.home.fill(lambda x: s.home[x]),
            s.colour.become(Colour.RED),
            s.lock.become(FALSE),
            s.pair.left.fill(lambda x: FALSE),
            s.pair.right.fill(lambda x: FALSE),
        ],
    )


def design(
    *operations: lang.Operation[Box, ...],
    claims: Iterable[lang.Property[Box]] = (),
    procedures: Iterable[Procedure] = (),
    assumptions: Iterable[lang.Property[Box]] = (),
) -> Design[Box]:
    return Design(
        name="box",
        state=Box,
        init=clear,
        operations=operations,
        procedures=list(procedures),
        properties=list(claims),
        assumptions=list(assumptions),
    )


def depth(d: Design[Box], claim: lang.Property[Box], most: int = 4) -> int | None:
    """Steps to the first violation (or witness) that the bounded search finds, if any."""
    found = search(d, {claim: most}, SCOPE, 60)[claim.name]
    return None if found.trace is None else found.depth


def proved(d: Design[Box], claim: lang.Property[Box], seconds: float = 60) -> bool:
    return claim in induction(d, [claim], [], Prover(d.system(), seconds)).proved


# --- names ---------------------------------------------------------------------------------------


def linked(s: Box, x: A) -> Bool:
    return exists(A, lambda m: s.fixed[x, m])


def meets(s: Box, x: A, y: A) -> Bool:
    return forall(A, lambda m: s.fixed[x, m].implies(exists(A, lambda m: s.fixed[m, y])))


Table = dict[tuple[int, ...], bool]
Nested = tuple[Callable[[Box], Bool], Callable[[Table], bool]]  # a term, what it means

NESTED: list[Nested] = [
    (
        lambda s: forall(A, lambda m: linked(s, m)),
        lambda f: all(any(f[x, y] for y in (0, 1)) for x in (0, 1)),
    ),
    (
        lambda s: exists(A, lambda m: forall(A, lambda x: meets(s, m, x))),
        lambda f: any(
            all(not f[m, z] or any(f[k, x] for k in (0, 1)) for x in (0, 1) for z in (0, 1))
            for m in (0, 1)
        ),
    ),
    (
        lambda s: exists(
            A, lambda m: ~s.fixed[m, m] & exists(A, lambda m: s.fixed[m, m] & linked(s, m))
        ),
        lambda f: f[0, 0] != f[1, 1],
    ),
    (
        lambda s: forall(A, A, lambda x, y: exists(A, A, lambda y, x: s.fixed[x, y])),
        lambda f: any(f.values()),
    ),
]


@pytest.mark.parametrize(("term", "meaning"), NESTED)
def test_a_function_may_call_its_variables_like_its_caller(
    term: Callable[[Box], Bool], meaning: Callable[[Table], bool]
) -> None:
    machine = Machine(design().system(), SCOPE)
    keys = list(product((0, 1), repeat=2))
    node, fixed = term(Box()).node, Box().fixed.component
    for values in product((False, True), repeat=4):
        places = [machine.layout.offset[fixed] + machine.layout.position(fixed, k) for k in keys]
        state = bytearray(machine.layout.size)
        for place, value in zip(places, values, strict=True):
            state[place] = value
        table: Table = dict(zip(keys, values, strict=True))
        assert bool(machine.evaluate(node, bytes(state))) is meaning(table)


def near(s: Box, x: A, y: A) -> Bool:
    """Something about both; of x alone where a variable is captured."""
    return exists(A, lambda m: s.fixed[m, x] & (s.fixed[y, y] | s.fixed[m, x]))


@operation
def raise_linked_from(s: Box) -> Step:
    return Step(
        TRUE, [s.flag.fill(lambda k: TRUE, where=lambda k: exists(A, lambda m: s.fixed[m, k]))]
    )


@operation
def raise_all_near(s: Box) -> Step:
    return Step(
        TRUE, [s.flag.fill(lambda k: TRUE, where=lambda k: forall(A, lambda m: near(s, m, k)))]
    )


@assumption
def irreflexive(s: Box, x: A) -> Bool:
    return ~s.fixed[x, x]


@always
def never_raised(s: Box, m: A) -> Bool:
    return ~s.flag[m]


@pytest.mark.parametrize("op", [raise_linked_from, raise_all_near])
def test_a_key_is_not_captured(op: lang.Operation[Box, ...]) -> None:
    d = design(op, claims=[never_raised], assumptions=[irreflexive])
    assert not proved(d, never_raised, seconds=1)  # one with a model that no solver finds
    assert depth(d, never_raised) == 1


@operation
def raise_if_other(s: Box) -> Step:
    return Step(TRUE, [s.flag.fill(lambda m: exists(B, lambda m: s.other[m]) | s.flag[m])])


@operation
def set_other(s: Box, m: B) -> Step:
    return Step(TRUE, [s.other.set(m, TRUE)])


@always
def raised_only_after_other(s: Box, m: A) -> Bool:
    return s.flag[m].implies(exists(B, lambda m: s.other[m]))


def test_variables_of_different_sorts_may_have_one_name() -> None:
    assert proved(design(raise_if_other, set_other), raised_only_after_other)
    assert depth(design(raise_if_other, set_other, claims=[never_raised]), never_raised) == 2
    assert not proved(design(raise_if_other, set_other), never_raised)


@operation
def raise_one(s: Box, m: A) -> Step:
    return Step(TRUE, [s.flag.set(m, TRUE)])


@operation
def raise_linked(s: Box, m: A, flag: A) -> Step:
    return Step(s.link[m, flag], [s.flag.set(m, TRUE)])


def test_a_property_and_an_operation_may_call_their_parameters_alike() -> None:
    d = design(raise_one, claims=[never_raised])
    assert not proved(d, never_raised)
    assert depth(d, never_raised) == 1


def test_a_parameter_may_be_called_like_a_map() -> None:
    d = design(raise_linked, claims=[never_raised])
    assert not proved(d, never_raised)  # nothing says that no link was set
    assert depth(d, never_raised) is None


# --- one step ------------------------------------------------------------------------------------


@operation
def first_true_then_false(s: Box, x: A) -> Step:
    return Step(TRUE, [s.flag.set(x, TRUE), s.flag.set(x, FALSE)])


@operation
def first_false_then_true(s: Box, x: A) -> Step:
    return Step(TRUE, [s.flag.set(x, FALSE), s.flag.set(x, TRUE)])


@operation
def one_true_then_all_false(s: Box, x: A) -> Step:
    return Step(TRUE, [s.flag.set(x, TRUE), s.flag.fill(lambda y: FALSE, where=lambda y: y == x)])


@operation
def all_true_then_each_false(s: Box) -> Step:
    return Step(TRUE, [s.flag.fill(lambda y: TRUE), s.flag.fill(lambda y: FALSE)])


@pytest.mark.parametrize(
    ("op", "wins"),
    [
        (first_true_then_false, False),
        (first_false_then_true, True),
        (one_true_then_all_false, False),
        (all_true_then_each_false, False),
    ],
)
def test_the_later_write_of_one_entry_wins(op: lang.Operation[Box, ...], wins: bool) -> None:
    d = design(op, claims=[never_raised])
    assert depth(d, never_raised) == (1 if wins else None)
    assert proved(d, never_raised) is not wins


@operation
def swap(s: Box, x: A, y: A) -> Step:
    return Step(TRUE, [s.flag.set(x, s.flag[y]), s.flag.set(y, s.flag[x])])


@operation
def set_up(s: Box, x: A) -> Step:
    return Step(~exists(A, lambda y: s.flag[y]), [s.flag.set(x, TRUE)])


@always
def at_most_one(s: Box, x: A, y: A) -> Bool:
    return (s.flag[x] & s.flag[y]).implies(x == y)


def test_every_read_is_of_the_old_state() -> None:
    d = design(set_up, swap, claims=[at_most_one])
    assert proved(d, at_most_one)
    assert depth(d, at_most_one) is None


@lang.step
def steps_change_something(s: Box, t: Box) -> Bool:
    return s.lock.now != t.lock.now


@operation
def toggle(s: Box) -> Step:
    return Step(TRUE, [s.lock.become(~s.lock.now)])


def test_a_step_that_changes_nothing_of_what_a_step_property_reads_is_a_step() -> None:
    assert depth(design(toggle), steps_change_something) is None
    assert depth(design(toggle, raise_one), steps_change_something) == 1


@always
def fixed_is_empty(s: Box, x: A) -> Bool:
    return ~s.fixed[x, x]


@sometimes
def two_elements(s: Box, x: B, y: B) -> Bool:
    return x != y


def test_a_property_may_be_about_what_no_operation_writes() -> None:
    assert depth(design(raise_one), fixed_is_empty) == 0
    assert depth(design(raise_one, assumptions=[irreflexive]), fixed_is_empty) is None
    assert depth(design(raise_one), two_elements) == 0


def test_a_map_that_nothing_sets_starts_with_anything_and_locals_with_the_first_element() -> None:
    machine = Machine(design().system(), SCOPE)
    start = list(machine.initial_states())
    assert len(start) == 2**2 * 2**4  # home and fixed
    seen = Box().stack.seen.component
    assert {machine.cell(state, seen, (x,)) for state in start for x in (0, 1)} == {0}


class Pointer(State):
    """One place among many."""

    at: Var[A]
    before: Var[Opt[A]]


@operation
def anywhere(s: Pointer) -> Step:
    return Step(TRUE, [s.before.become(NONE)])


@operation
def move(s: Pointer, x: A) -> Step:
    return Step(TRUE, [s.at.become(x), s.before.become(some(s.at.now))])


@pytest.mark.parametrize("size", [255, 256, 257, 300])
def test_a_sort_may_have_more_elements_than_a_byte_has_values(size: int) -> None:
    d = Design(name="pointer", state=Pointer, init=anywhere, operations=[move])
    machine = Machine(d.system(), Scope({A: size}))
    at, before = (c.component for c in (Pointer().at, Pointer().before))
    states = list(machine.initial_states())
    assert [machine.cell(state, at, ()) for state in states] == list(range(size))
    assert {machine.cell(state, before, ()) for state in states} == {size}  # none
    after = set(machine.successor_states(states[-1]))
    assert {(machine.cell(t, at, ()), machine.cell(t, before, ())) for t in after} == {
        (x, size - 1) for x in range(size)
    }


class Mapped(State):
    """Two maps, and a rigid one between their keys."""

    flag: Map[A, Bool]
    other: Map[B, Bool]
    up: Fun[A, B]


class MappedOneToOne(Mapped):
    """The same with the rigid map given."""

    up: Fun[A, B] = given(lambda scope, x: x)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


@operation
def nothing_set(s: Mapped) -> Step:
    return Step(TRUE, [s.flag.fill(lambda x: FALSE), s.other.fill(lambda x: FALSE)])


@operation
def set_both(s: Mapped, x: A, y: B) -> Step:
    return Step(TRUE, [s.flag.set(x, TRUE), s.other.set(y, TRUE)])


@assumption
def up_is_injective(s: Mapped, x: A, y: A) -> Bool:
    return (s.up[x] == s.up[y]).implies(x == y)


@always
def one_flag(s: Mapped, x: A, y: A, z: B) -> Bool:
    return (s.flag[x] & s.flag[y] & s.other[z]).implies(x == y)


@pytest.mark.parametrize("state", [Mapped, MappedOneToOne])
def test_a_trace_is_not_shrunk_below_what_an_assumption_needs(state: type[Mapped]) -> None:
    """The property does not depend on the map that needs two elements of B."""
    d = Design(
        name="mapped",
        state=state,
        init=nothing_set,
        operations=[set_both],
        properties=[one_flag],
        assumptions=[up_is_injective],
    )
    found = search(d, {one_flag: 4}, Scope({A: 3, B: 3}), 60)[one_flag.name]
    assert found.trace is not None
    assert (found.depth, found.trace.machine.scope.names()) == (2, {"a": 2, "b": 2})


# --- procedures ----------------------------------------------------------------------------------


def procedure(name: str = "run", **to: str) -> Procedure:
    """Raise the flag, set the link, lower the flag; each keyword sends a step elsewhere."""
    made = Procedure(name)

    def begin(s: Box, x: A) -> Step:
        return Step(TRUE, [s.flag.set(x, TRUE)])

    def middle(s: Box, x: A) -> Step:
        return Step(TRUE, [s.link.set((x, x), TRUE)])

    def end(s: Box, x: A) -> Step:
        return Step(TRUE, [s.flag.set(x, FALSE)])

    for function in (begin, middle, end):
        made.step(to=to.get(function.__name__))(function)
    return made


def positions(*procedures: Procedure) -> set[tuple[str, ...]]:
    """Where both actors stand, procedure by procedure, in every reachable state."""
    machine = Machine(design(procedures=procedures).system(), SCOPE)
    seen = set(machine.initial_states())
    todo = list(seen)
    while todo:
        fresh = set(machine.successor_states(todo.pop())) - seen
        seen |= fresh
        todo += fresh
    return {
        tuple(
            str(p.position.value.values[machine.cell(state, p.position, (x,))])
            for p in procedures
            for x in (0, 1)
        )
        for state in seen
    }


def test_other_steps_come_between_those_of_a_procedure() -> None:
    places = ("IDLE", "middle", "end")
    assert positions(procedure()) == set(product(places, places))


def test_an_actor_runs_one_procedure_at_a_time() -> None:
    found = positions(procedure("run"), procedure("walk"))
    alone = {("IDLE", p) for p in ("IDLE", "middle", "end")} | {("middle", "IDLE"), ("end", "IDLE")}
    assert found == {(a, b, c, d) for (a, c), (b, d) in product(alone, alone)}


@pytest.mark.parametrize(
    ("to", "places"),
    [
        ({"begin": Procedure.DONE}, {"IDLE"}),
        ({"begin": "end"}, {"IDLE", "end"}),
        ({"middle": "middle"}, {"IDLE", "middle"}),
        ({"end": "middle"}, {"IDLE", "middle", "end"}),
        ({"middle": Procedure.DONE}, {"IDLE", "middle"}),
    ],
)
def test_a_step_may_lead_elsewhere(to: dict[str, str], places: set[str]) -> None:
    assert {p for pair in positions(procedure(**to)) for p in pair} == places


def branching() -> Procedure:
    """Take the lock if it is free, else wait: two steps at one position, and a loop."""
    made = Procedure("take")

    def begin(s: Box, x: A) -> Step:
        return Step(TRUE)

    def acquire(s: Box, x: A) -> Step:
        return Step(~s.lock.now, [s.lock.become(TRUE), s.flag.set(x, TRUE)])

    def wait(s: Box, x: A) -> Step:
        return Step(s.lock.now)

    def release(s: Box, x: A) -> Step:
        return Step(TRUE, [s.lock.become(FALSE), s.flag.set(x, FALSE)])

    made.step(begin)
    made.step(at="trying", to="holding")(acquire)
    made.step(at="trying", to="trying")(wait)
    made.step(at="holding")(release)
    return made


def test_branches_and_loops() -> None:
    take = branching()
    begin, acquire, _, release = take.steps

    @always
    def held_by_the_flag(s: Box, x: A) -> Bool:
        """Together with the next one, inductive."""
        return (take.at(s, x, release) == s.flag[x]) & s.flag[x].implies(s.lock.now)

    @always
    def one_holder(s: Box, x: A, y: A) -> Bool:
        return (take.at(s, x, release) & take.at(s, y, release)).implies(x == y)

    @sometimes
    def contended(s: Box, x: A, y: A) -> Bool:
        return take.at(s, x, release) & take.at(s, y, acquire)

    @always
    def busy(s: Box, x: A) -> Bool:
        return take.idle(s, x) & take.at(s, x, begin)

    d = design(claims=[held_by_the_flag, one_holder, contended, busy], procedures=[take])
    claims = [held_by_the_flag, one_holder]
    assert set(induction(d, claims, [], Prover(d.system(), 60)).proved) == set(claims)
    assert [depth(d, p) for p in (one_holder, contended, busy)] == [None, 3, 1]


def test_a_procedure_may_have_any_name() -> None:
    run = procedure("set_pgd(), twice")

    @always
    def raised_meanwhile(s: Box, x: A) -> Bool:
        return run.idle(s, x) | s.flag[x]

    assert proved(design(claims=[raised_meanwhile], procedures=[run]), raised_meanwhile)


def test_a_patch_leaves_the_original_alone() -> None:
    before = design(raise_one, toggle, claims=[never_raised])
    after = before.replacing(raise_one, set_other, name="patched")
    assert [o.name for o in before.operations] == ["raise_one", "toggle"]
    assert [o.name for o in after.operations] == ["toggle", "set_other"]
    assert (depth(before, never_raised), depth(after, never_raised)) == (1, None)


# --- mistakes ------------------------------------------------------------------------------------

box: Any = Box()
a: Any = A(var(A, "a"))
b: Any = B(var(B, "b"))
c: Any = A(var(A, "c"))
untyped: Any = lang  # what a user gets who does not run a type checker
untyped_design: Any = design


def bad(**annotations: Any) -> Any:
    """A function of such parameters that returns None."""

    def wrong(*_: Any) -> None:
        return None

    return named(wrong, "wrong", annotations)


def itself(y: Any) -> Any:
    return y


def true(y: Any) -> Any:
    return TRUE


def python_true(y: Any) -> Any:
    return True


def state_with(**annotations: Any) -> State:
    made: State = type("Odd", (State,), {"__annotations__": annotations})()
    return made


def misplaced(**to: str) -> Any:
    return design(procedures=[procedure(**to)]).system()


def steps(*functions: Any) -> Any:
    made = Procedure("run")
    for function in functions:
        made.step(function)
    return design(procedures=[made]).system()


def begin(s: Box, x: A) -> Step:
    return Step(TRUE)


def by_another(s: Box, y: B) -> Step:
    return Step(TRUE)


def by_nobody(s: Box) -> Step:
    return Step(TRUE)


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "if": (lambda: 1 if box.flag[a] else 2, r"write & \| ~ and .implies\(\) instead of and, or"),
    "and": (lambda: box.flag[a] and box.lock.now, r"instead of and, or, not and if"),
    "or": (lambda: box.flag[a] or box.lock.now, r"instead of and, or, not and if"),
    "not": (lambda: not box.flag[a], r"instead of and, or, not and if"),
    "chained comparison": (lambda: a == c == a, "no Python truth value"),
    "in": (lambda: a in [c], "no Python truth value"),
    "Python bool": (
        lambda: box.flag.set(a, True),
        "True stands where a term is expected: write TRUE",
    ),
    "Python int": (lambda: box.flag[0], r"0 \(int\) stands where a term is expected"),
    "Python None": (
        lambda: box.to.set(a, None),
        r"None \(NoneType\) stands where a term is expected",
    ),
    "key of another sort": (lambda: box.flag[b], "a key of flag: b is a B, but a A is expected"),
    "too few keys": (lambda: box.link[a], r"link has 1 keys here, expected \[A, A\]"),
    "too many keys": (lambda: box.flag[a, a], r"flag has 2 keys here, expected \[A\]"),
    "value of another sort": (
        lambda: box.home.set(a, a),
        "value of home: a is a A, but a B is exp",
    ),
    "element for optional": (lambda: box.to.set(a, b), r"Opt\[B\] is expected, write some\(...\)"),
    "optional for element": (
        lambda: box.home.set(a, box.to[a]),
        r"is a Opt\[B\], but a B is expected",
    ),
    "NONE for element": (lambda: box.home.set(a, NONE), "NONE .* but a B is expected"),
    "NONE compared with element": (lambda: box.home[a] == NONE, "only terms of one sort"),
    "different sorts": (
        lambda: a == b,
        "a is a A and b is a B: only terms of one sort can be comp",
    ),
    "different optionals": (lambda: box.to[a] == some(a), "only terms of one sort can be compared"),
    "arms of an ite": (lambda: ite(TRUE, a, b), "the two arms of an ite have the sorts A and B"),
    "condition of an ite": (lambda: ite(a, a, a), r"a is a A, not a Bool \(ite\)"),
    "and of another sort": (lambda: box.lock.now & a, r"a is a A, not a Bool \(&\)"),
    "body of a quantifier": (
        lambda: untyped.forall(A, itself),
        "not a Bool .the body of forall",
    ),
    "quantifier over no sort": (lambda: untyped.forall(int, itself), "int is not a sort"),
    "variables of a quantifier": (
        lambda: untyped.forall(A, bad()),
        "takes 0 arguments, expected 1",
    ),
    "variables of a fill": (lambda: box.link.fill(true), "takes 1 arguments, expected 2"),
    "condition of a fill": (
        lambda: box.flag.fill(true, python_true),
        "write TRUE or F",
    ),
    "sort of a fill's condition": (
        lambda: box.flag.fill(true, itself),
        "Bool is exp",
    ),
    "no Bool as guard": (lambda: Step(a), "is a A: give it a Bool"),
    "Python bool as guard": (lambda: untyped.Step(True), "is a bool: give it a Bool"),
    "no write": (lambda: Step(TRUE, [box.flag[a]]), r"has a Bool in it: give it writes such as"),
    "rigid map": (lambda: box.fixed.set((a, a), TRUE), "a Fun is never written"),
    "rigid map, by hand": (
        lambda: Step(TRUE, [Update(box.fixed.component, (), TRUE.node, TRUE.node)]),
        "fixed is a Fun: no operation may change it",
    ),
    "no Step": (lambda: design(operation(bad(s=Box))).system(), "wrong returned NoneType: write"),
    "no annotations": (lambda: operation(bad()), "annotate every parameter"),
    "no state": (lambda: operation(bad(x=A)), "first parameter must be annotated with a subclass"),
    "parameter of no sort": (
        lambda: operation(bad(s=Box, n=int)),
        "parameter n: int is not a sort",
    ),
    "no Bool as property": (lambda: always(bad(s=Box)).body(), "wrong returned NoneType"),
    "assumption about a map": (
        lambda: assumption(never_raised.function),
        "never_raised reads flag, which operations may change",
    ),
    "undecorated operation": (lambda: untyped_design(begin), "decorate it with @operation"),
    "start with parameters": (
        lambda: untyped.Design(name="odd", state=Box, init=raise_one),
        "init must be an @operation that takes only the state",
    ),
    "absent operation": (
        lambda: design(raise_one, toggle).replacing(swap, set_up, name="v2"),
        "box has no operation swap to replace; it has raise_one, toggle",
    ),
    "absent property": (lambda: design().property_named("P"), "no property P; it has none"),
    "one name, two operations": (lambda: design(toggle, toggle), "two operations called toggle"),
    "one name, start and operation": (lambda: design(clear), "two operations called clear"),
    "one name, two properties": (
        lambda: design(claims=[always(begin_claim), always(begin_claim)]),
        "two properties called begin_claim",
    ),
    "one name, two steps": (lambda: steps(begin, begin), "two steps called begin"),
    "unknown position": (lambda: misplaced(begin="nowhere"), "no position nowhere; it has IDLE"),
    "step of another procedure": (
        lambda: procedure("walk").at(box, a, branching().steps[1]),
        "walk has no position trying; it has IDLE, middle, end",
    ),
    "other actor": (lambda: steps(begin, by_another), "the actor must be a A"),
    "no actor": (lambda: steps(begin, by_nobody), "the actor must be a A"),
    "no actor at all": (lambda: steps(by_nobody), "needs a step that takes its actor"),
    "procedure in use": (
        lambda: in_use().step(by_another),
        "is in use: add by_another before that",
    ),
    "no values": (lambda: type("Empty", (Enumeration,), {}), "Empty has no values: write one line"),
    "map of no sort": (
        lambda: state_with(n=untyped.Map[A, int]),
        "the value of n: int is not a sort",
    ),
    "no map": (lambda: state_with(n=int), r"component n is a int: declare it as"),
    "optional Bool": (lambda: state_with(n=Map[A, Opt[Bool]]), "takes a Sort or an Enumeration"),
    "optional key": (lambda: state_with(n=Map[Opt[A], Bool]), r"Opt\[...\] cannot be a key"),
    "name in use": (lambda: state_with(epoch=Map[A, Bool]), "epoch is taken"),
    "no element": (lambda: Scope({A: 0}), "a sort has at least one element"),
    "interpretation": (lambda: Machine(interpreted(2).system(), SCOPE), "is 2, which is no B"),
    "assumption broken": (lambda: Machine(interpreted(0).system(), SCOPE), "own assumption"),
}


def begin_claim(s: Box) -> Bool:
    return s.lock.now


def in_use() -> Procedure:
    made = procedure()
    assert made.position
    return made


def interpreted(index: int) -> Design[Any]:
    """A design that gives a rigid map one value everywhere, and assumes that it is injective."""

    def constant(scope: Scope, x: int) -> int:
        return index

    class Given(State):
        up: Fun[A, B] = given(constant)

    def boot(s: Any) -> Step:
        return Step(TRUE)

    def injective(s: Any, x: A, y: A) -> Any:
        return (s.up[x] == s.up[y]).implies(x == y)

    boot.__annotations__["s"] = injective.__annotations__["s"] = Given
    return Design(
        name="odd", state=Given, init=operation(boot), assumptions=[assumption(injective)]
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained(mistake: str) -> None:
    act, message = MISTAKES[mistake]
    with pytest.raises(DesignError, match=message):
        act()


def test_terms_are_shown_as_they_are_written() -> None:
    shown: list[tuple[Node, str]] = [
        (box.flag[a].implies(box.lock.now).node, "flag[a].implies(lock)"),
        ((box.to[a] != NONE).node, "to[a].is_some"),
        ((box.colour.now == Colour.GREEN).node, "colour == Colour.GREEN"),
        (exists(A, lambda m: ~box.pair.left[m]).node, "exists(A, lambda m: ~pair.left[m])"),
    ]
    assert [repr(node) for node, _ in shown] == [text for _, text in shown]
