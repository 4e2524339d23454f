"""Mutants of a design: what its authors might have got wrong, one slip each.

A slip is made in the elaborated system: in the guard or the writes of a transition, or in the order of
a procedure's steps.  No text is patched, so every design has mutants without being written for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations, pairwise
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import Design, System
from mapproof.model.language.nodes import BOOL, TRUE_NODE, Component, Node
from mapproof.model.language.operation import Parameter, Procedure, Transition
from mapproof.model.language.state import Update

FLUSH = re.compile(r"(?<!no)flush", re.IGNORECASE)


class Slip(StrEnum):
    """What kinds of slip there are."""

    GUARD = "guard"
    WRITE = "write"
    DROPPED_BIT = "dropped bit"
    FLIPPED_BIT = "flipped bit"
    SWAPPED_WRITES = "swapped writes"
    SWAPPED_STEPS = "swapped steps"
    STEP = "step"
    FLUSH = "flush"


@dataclass(frozen=True)
class Change:
    """A transition before and after the slip; None: it can no longer happen."""

    before: Transition
    after: Transition | None


@dataclass(frozen=True)
class Mutant:
    """A design with one slip.

    name: stable from run to run; about: the slip in a sentence; changes: the transitions that differ.
    """

    original: Design[Any]
    name: str
    slip: Slip
    about: str
    changes: tuple[Change, ...]

    def design(self) -> Design[Any]:
        """The design with the slip in it; claims and lemmas are those of the original."""
        system = self.original.system()
        changed = {change.before.name: change.after for change in self.changes}
        transitions = (changed.get(t.name, t) for t in system.transitions)
        kept = tuple(t for t in transitions if t is not None)
        name = f"{self.original.name} ({self.name})"
        return self.original.running(replace(system, transitions=kept), name=name)


def mutants(design: Design[Any]) -> list[Mutant]:
    """Every mutant of a design, in the order of its transitions; no two make the same slip."""
    found: dict[tuple[Change, ...], Mutant] = {}
    names: dict[str, int] = {}
    for mutant in _all(design):
        if all(change.before == change.after for change in mutant.changes):
            continue
        if mutant.changes not in found:
            names[mutant.name] = number = names.get(mutant.name, 0) + 1
            name = mutant.name if number == 1 else f"{mutant.name} ({number})"
            found[mutant.changes] = replace(mutant, name=name)
    return list(found.values())


def _all(design: Design[Any]) -> Iterator[Mutant]:
    system = design.system()
    positions = frozenset(p.position for p in design.procedures)
    for t in system.transitions:
        parts = _Parts(t, positions)
        yield from _without_flush(design, parts)
        yield from _without_guards(design, parts)
        yield from _with_other_writes(design, parts)
    for procedure in design.procedures:
        yield from _with_other_steps(design, procedure, system, positions)


# The parts of a transition.


@dataclass(frozen=True)
class _Store:
    """Writes that are one store: the maps of a group at one key, or one map."""

    name: str
    updates: tuple[Update, ...]

    @property
    def is_entry(self) -> bool:
        return len(self.updates) > 1


class _Parts:
    """A transition, taken apart."""

    def __init__(self, transition: Transition, positions: frozenset[Component]) -> None:
        self.transition = transition
        self.positions = positions
        self.name = transition.name

    @property
    def guards(self) -> list[tuple[Node, ...]]:
        """What the author tests: conjuncts, of which those that test a whole entry are one."""
        when = self.transition.when
        conjuncts = when.args if when.op == "and" else (when,)
        tests = [c for c in conjuncts if c != TRUE_NODE and not self._is_position(c)]
        whole: dict[Any, list[Node]] = {}
        for test in tests:
            read = _tested(test)
            if read is not None:
                whole.setdefault((_group(read.data[0]), read.args), []).append(test)
        found: dict[tuple[Node, ...], None] = {}
        for test in tests:
            read = _tested(test)
            together = [test]
            if read is not None and _group(read.data[0]):
                together = whole[_group(read.data[0]), read.args]
            entire = len(together) > 3  # not just two bits that happen to be tested together
            found[tuple(together) if entire else (test,)] = None
        return list(found)

    def _is_position(self, conjunct: Node) -> bool:
        reads = nodes.components_of(conjunct)
        return bool(reads) and reads <= self.positions

    @property
    def stores(self) -> list[_Store]:
        """What the author writes; the position of a procedure is not among it."""
        found: dict[Any, list[Update]] = {}
        for update in self.transition.updates:
            if update.component not in self.positions:
                where = update.at if update.at is not None else _condition(update)
                found.setdefault((_group(update.component), where), []).append(update)
        return [_Store(_store_name(updates), tuple(updates)) for updates in found.values()]

    def has(self, *, when: Node | None = None, updates: Iterable[Update] | None = None) -> Change:
        """The transition with another guard or other writes."""
        t = self.transition
        after = replace(
            t,
            when=t.when if when is None else when,
            updates=t.updates if updates is None else tuple(updates),
        )
        return Change(t, after)

    def without(self, dropped: Sequence[Update]) -> Change:
        return self.has(updates=[u for u in self.transition.updates if u not in dropped])


def _tested(conjunct: Node) -> Node | None:
    """The map entry that a conjunct compares with a constant."""
    node = conjunct.args[0] if conjunct.op == "not" else conjunct
    if node.op == "is_some":
        node = node.args[0]
    if node.op == "eq" and node.args[1].op == "elem":
        node = node.args[0]
    return node if node.op == "read" else None


def _whole_entry(node: Node) -> str | None:
    """A test of all bits of one entry, as its author wrote it."""
    reads = [_tested(c) for c in node.args] if node.op == "and" and len(node.args) > 3 else [None]
    entries = {(_group(r.data[0]), r.args) if r is not None else None for r in reads}
    entry = entries.pop()
    if entries or entry is None:
        return None
    group, key = entry
    return f"{group}.none({', '.join(map(nodes.show, key))})"


def _group(component: Component) -> str:
    """The group whose maps are stored together; a procedure's locals are variables of their own."""
    prefix, _, _ = component.name.rpartition(".")
    return component.name if component.local or not prefix else prefix


def _condition(update: Update) -> tuple[Node, ...]:
    """The condition of a write of many entries, whatever its variables are called."""
    fresh = {v: nodes.var(v.sort, f"#{i}") for i, v in enumerate(update.variables)}
    return (nodes.substitute(update.when, dict(fresh)),)


def _store_name(updates: Sequence[Update]) -> str:
    first = updates[0]
    name = _group(first.component) if len(updates) > 1 else first.component.name
    if first.at is not None:
        return f"{name}[{', '.join(map(nodes.show, first.at))}]" if first.at else name
    return f"{name}[...]"


def _bit(update: Update) -> str:
    return update.component.name.rpartition(".")[2].rstrip("_")


# Slips in one transition.


def _without_flush(design: Design[Any], parts: _Parts) -> Iterator[Mutant]:
    t = parts.transition
    cited = t.name if "." in t.name else f"{t.name} {t.kernel}"
    if FLUSH.search(cited):
        dropped = [u for store in parts.stores for u in store.updates if not u.component.local]
        yield Mutant(
            design,
            f"{t.name}: without the flush",
            Slip.FLUSH,
            f"{t.name} does not flush",
            (parts.without(dropped),),
        )


def _without_guards(design: Design[Any], parts: _Parts) -> Iterator[Mutant]:
    t = parts.transition
    conjuncts = t.when.args if t.when.op == "and" else (t.when,)
    for tests in parts.guards:
        said = nodes.show(nodes.conj(tests), _whole_entry)
        yield Mutant(
            design,
            f"{t.name}: without guard {said}",
            Slip.GUARD,
            f"{t.name} does not test {said}",
            (parts.has(when=nodes.conj(c for c in conjuncts if c not in tests)),),
        )


def _with_other_writes(design: Design[Any], parts: _Parts) -> Iterator[Mutant]:
    t = parts.transition
    for store in parts.stores:
        yield Mutant(
            design,
            f"{t.name}: without write {store.name}",
            Slip.WRITE,
            f"{t.name} does not write {store.name}",
            (parts.without(store.updates),),
        )
        if store.is_entry:
            yield from _with_other_bits(design, parts, store)
    for a, b in combinations(parts.stores, 2):
        if _exchangeable(a, b):
            others = {u: replace(u, value=v.value) for u, v in _paired(a, b)}
            yield Mutant(
                design,
                f"{t.name}: values of {a.name} and {b.name} swapped",
                Slip.SWAPPED_WRITES,
                f"{t.name} gives {a.name} the value of {b.name} and the other way round",
                (parts.has(updates=[others.get(u, u) for u in t.updates]),),
            )


def _with_other_bits(design: Design[Any], parts: _Parts, store: _Store) -> Iterator[Mutant]:
    t = parts.transition
    for update in store.updates:
        bit = f"{_bit(update)} of {store.name}"
        yield Mutant(
            design,
            f"{t.name}: without bit {bit}",
            Slip.DROPPED_BIT,
            f"{t.name} leaves {bit} as it was",
            (parts.without([update]),),
        )
        if update.component.value == BOOL:
            flipped = replace(update, value=nodes.negate(update.value))
            yield Mutant(
                design,
                f"{t.name}: bit {bit} flipped",
                Slip.FLIPPED_BIT,
                f"{t.name} writes {bit} the wrong way round",
                (parts.has(updates=[flipped if u is update else u for u in t.updates]),),
            )


def _exchangeable(a: _Store, b: _Store) -> bool:
    """Two stores of single keys whose values could be mistaken for each other."""
    return (
        all(u.at is not None for u in (*a.updates, *b.updates))
        and [u.component.value for u in a.updates] == [u.component.value for u in b.updates]
        and [u.value for u in a.updates] != [u.value for u in b.updates]
    )


def _paired(a: _Store, b: _Store) -> Iterator[tuple[Update, Update]]:
    for u, v in zip(a.updates, b.updates, strict=True):
        yield u, v
        yield v, u


# Slips in the order of a procedure's steps.


def _with_other_steps(
    design: Design[Any],
    procedure: Procedure,
    system: System,
    positions: frozenset[Component],
) -> Iterator[Mutant]:
    known = {t.name: t for t in system.transitions}
    steps = [(s, _Parts(known[f"{procedure.name}.{s.name}"], positions)) for s in procedure.steps]
    for step, parts in steps:
        effects = [u for store in parts.stores for u in store.updates if not u.component.local]
        repeats = procedure.target(step) == step.at
        if effects or repeats:
            change = Change(parts.transition, None) if repeats else parts.without(effects)
            yield Mutant(
                design,
                f"{procedure.name}: without step {step.name}",
                Slip.STEP,
                f"{procedure.name} leaves out {step.name}",
                (change,),
            )
    for (a, first), (b, second) in pairwise(steps):
        if a.at != b.at:
            yield Mutant(
                design,
                f"{procedure.name}: steps {a.name} and {b.name} swapped",
                Slip.SWAPPED_STEPS,
                f"{procedure.name} does {b.name} before {a.name}",
                _swapped(first, second),
            )


def _swapped(first: _Parts, second: _Parts) -> tuple[Change, Change]:
    """Two steps that follow each other, with what they do exchanged.

    If both store entries, it is the stores that change places: a lock is still taken first.  The
    first step keeps its guard and saves its arguments, which the second one finds there.
    """
    a, b = first.transition, second.transition
    moved = []
    for parts in (first, second):
        stores = [s for s in parts.stores if not s.updates[0].component.local]
        moved.append(stores)
    if all(any(s.is_entry for s in stores) for stores in moved):
        moved = [[s for s in stores if s.is_entry] for stores in moved]
    early, late = ([u for s in stores for u in s.updates] for stores in moved)
    saved = {u: u.at for u in a.updates if u.component.local and u.at is not None}
    here = {nodes.read(u.component, at, 0): u.value for u, at in saved.items()}
    later = {value: read for read, value in here.items() if value.op == "var"}
    actor_a, actor_b = a.parameters[0].variable, b.parameters[0].variable

    def to_first(n: Node) -> Node:
        n = nodes.substitute(n, {actor_b: actor_a})

        def known(component: Component, epoch: int, keys: tuple[Node, ...]) -> Node:
            read = nodes.read(component, keys, epoch)
            return here.get(read, read)

        return nodes.rewrite_reads(n, known)

    def to_second(n: Node) -> Node:
        return nodes.substitute(nodes.substitute(n, later), {actor_a: actor_b})

    def kept(t: Transition, gone: list[Update], come: list[Update]) -> tuple[Update, ...]:
        return (*(u for u in t.updates if u not in gone), *come)

    new_first = kept(a, early, [_mapped(u, to_first) for u in late])
    new_second = kept(b, late, [_mapped(u, to_second) for u in early])
    return (
        Change(a, replace(a, updates=new_first, parameters=_needed(a, b, new_first))),
        Change(b, replace(b, updates=new_second, parameters=_needed(b, a, new_second))),
    )


def _mapped(update: Update, change: Any) -> Update:
    at = None if update.at is None else tuple(change(k) for k in update.at)
    when, value = change(update.when), change(update.value)
    return replace(update, when=when, value=value, at=at)


def _needed(t: Transition, other: Transition, updates: Sequence[Update]) -> tuple[Parameter, ...]:
    """The parameters of a step, and those of the other one that its new writes mention."""
    terms = [n for u in updates for n in (u.when, u.value, *(u.at or ()))]
    free = frozenset().union(*(n.free for n in terms)) if terms else frozenset()
    own = {p.variable for p in t.parameters}
    extra = [p for p in other.parameters if p.variable in free and p.variable not in own]
    return (*t.parameters, *extra)
