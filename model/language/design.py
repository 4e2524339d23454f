"""Designs: an initial condition, operations, procedures, assumptions and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic

from . import nodes
from .errors import DesignError
from .nodes import Component, Node
from .operation import Operation, Procedure, S, Transition, transition_of
from .parts import FIELDS, Part, check_parts, with_parts, without_parts
from .property import Property
from .scope import Scope
from .state import Update, old_and_new
from .terms import Enumeration

Size = int | Callable[[Mapping[type, int]], int]

DEFAULT_SIZE = 2


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


@dataclass(frozen=True, kw_only=True)
class Design(Generic[S]):
    """A patch design: what the kernel does to page-table state, and what must hold meanwhile.

    name: how it is called on the command line.
    init: an operation without parameters, applied to an arbitrary state: ``when`` is what booting
        assumes, ``then`` what it sets.  A map that it does not set starts with arbitrary values.
    operations, procedures: what may happen, in any order, by any actor.
    properties: what must hold; lemmas: invariants that help to prove it.
    assumptions: facts about rigid maps.
    parts: systems that the design composes, each with what it does and what it claims, which is added
        to the design's own operations, procedures and properties; those stand for the machine.
    scope: how many elements of a sort the bounded search uses (2 where nothing is said); a function
        of the other sizes for a sort that follows from them, such as two PGD pages per process.
    doc: one paragraph for ``explain``; source: where the design comes from.
    made_of: the designs that it was composed of (see :mod:`.compose`); what proves them may help here.
    shown_as: how a reader sees the elements of a sort, where they are those of a real machine
        (:mod:`.start`).
    """

    name: str
    state: type[S]
    init: Operation[S, []]
    operations: Sequence[Operation[S, ...]] = ()
    procedures: Sequence[Procedure] = ()
    properties: Sequence[Property[S]] = ()
    lemmas: Sequence[Property[S]] = ()
    assumptions: Sequence[Property[S]] = ()
    scope: Mapping[type, Size] = field(default_factory=dict)
    geometry: str = "x86-64"
    doc: str = ""
    source: str = ""
    parts: Sequence[Part] = ()
    made_of: Sequence[Design[Any]] = ()
    shown_as: Mapping[type, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_parts(self.name, self.state, self.parts)
        for what, theirs in self._of_parts.items():
            object.__setattr__(self, what, with_parts(getattr(self, what), theirs))
        for what, expected, items in (
            ("operations", Operation, self.operations),
            ("procedures", Procedure, self.procedures),
            ("properties", Property, self.properties),
            ("lemmas", Property, self.lemmas),
            ("assumptions", Property, self.assumptions),
        ):
            for item in items:
                if not isinstance(item, expected):
                    decorator = {"operations": "operation", "assumptions": "assumption"}.get(
                        what, "always"
                    )
                    hint = f": decorate it with @{decorator}" if callable(item) else ""
                    raise DesignError(f"the design {self.name} lists {item!r} under {what}{hint}")
        if not isinstance(self.init, Operation) or self.init.parameters:
            raise DesignError(
                f"the design {self.name}: init must be an @operation that takes only the state"
            )
        actors: list[Operation[Any, ...] | Procedure] = [*self.operations, *self.procedures]
        steps = [self.init.name, *(o.name for o in actors)]
        claims = [p.name for p in dict.fromkeys((*self.properties, *self.lemmas))]
        for what, names in (("operations", steps), ("properties", claims)):
            for name in names:
                if names.count(name) > 1:
                    raise DesignError(f"the design {self.name} has two {what} called {name}")

    def replacing(
        self,
        old: Operation[S, ...] | Procedure,
        new: Operation[S, ...] | Procedure,
        *,
        name: str,
        doc: str = "",
    ) -> Design[S]:
        """The same design with one operation or procedure replaced: that is a patch.

        Raises DesignError if ``old`` is not in the design.
        """
        operations, procedures = list(self.operations), list(self.procedures)
        parts = [_instead(part, old, new) for part in self.parts]
        present: list[Any] = [*operations, *procedures]
        if not any(o is old for o in present):
            raise DesignError(
                f"{self.name} has no operation {getattr(old, 'name', old)!s} to replace; it has "
                + _listed([o.name for o in present])
            )
        operations = [o for o in operations if o is not old]
        procedures = [p for p in procedures if p is not old]
        if isinstance(new, Procedure):
            procedures.append(new)
        elif isinstance(new, Operation):
            operations.append(new)
        else:
            raise DesignError(f"{self.name}.replacing: {new!r} is not an operation or a procedure")
        return replace(
            self,
            name=name,
            operations=operations,
            procedures=procedures,
            parts=parts,
            doc=doc or self.doc,
        )

    def but(self, *, name: str, **changes: Any) -> Design[S]:
        """The same design with other fields, under another name.

        Parts that are replaced take what they do and claim with them.  A list of operations,
        procedures or properties is all of them: parts lose what is not in it.
        """
        if "parts" in changes:
            changes = {what: getattr(self, f"own_{what}") for what in self._of_parts} | changes
        elif kept := {what: changes[what] for what in self._of_parts if what in changes}:
            changes = changes | {"parts": [part.keeping(kept) for part in self.parts]}
        return replace(self, name=name, **changes)

    @property
    def _of_parts(self) -> dict[str, list[Sequence[Any]]]:
        """What parts add to the design, by the name of its field."""
        return {what: [getattr(p, of) for p in self.parts] for what, of in FIELDS.items()}

    @property
    def own_operations(self) -> list[Operation[S, ...]]:
        """Those of no part: the machine's."""
        return without_parts(self.operations, self._of_parts["operations"])

    @property
    def own_procedures(self) -> list[Procedure]:
        """Those of no part."""
        return without_parts(self.procedures, self._of_parts["procedures"])

    @property
    def own_properties(self) -> list[Property[S]]:
        """Those that no part claims."""
        return without_parts(self.properties, self._of_parts["properties"])

    def part_named(self, name: str) -> Part:
        """The part of that name; DesignError lists those that exist."""
        for part in self.parts:
            if part.name == name:
                return part
        raise DesignError(
            f"{self.name} has no part {name}; it has {_listed([p.name for p in self.parts])}"
        )

    def running(self, system: System, *, name: str) -> Design[S]:
        """The same claims about another system over the same state, such as a mutant of this one's."""
        variant = replace(self, name=name)
        object.__setattr__(variant, "_system", system)
        return variant

    def property_named(self, name: str) -> Property[S]:
        """The property of that name; DesignError lists those that exist."""
        for prop in self.properties:
            if prop.name == name:
                return prop
        raise DesignError(
            f"{self.name} has no property {name}; it has {_listed([p.name for p in self.properties])}"
        )

    def scope_at(self, sizes: Mapping[type, int] | None = None) -> Scope:
        """The finite scope with these sizes, over those of the design; it has every sort that the
        design or a property mentions."""
        chosen: dict[type, Size] = {**self.scope, **(sizes or {})}
        known: dict[type, int] = {}
        later: dict[type, Callable[[Mapping[type, int]], int]] = {}
        for sort in self.sorts:
            size = chosen.get(sort, DEFAULT_SIZE)
            if isinstance(size, int):
                known[sort] = size
            else:
                later[sort] = size
        return Scope(known | {sort: size(known) for sort, size in later.items()})

    @cached_property
    def sorts(self) -> tuple[type, ...]:
        """Every index sort that the design or one of its claims mentions."""
        claims = (*self.properties, *self.lemmas, *self.assumptions)
        parameters = [p.sort for claim in claims for p in claim.parameters]
        claimed = nodes.variable_sorts(*(claim.body() for claim in claims))
        return index_sorts((*self.system().sorts, *parameters, *claimed, *self.scope))

    def system(self) -> System:
        """What every reading interprets; the design's functions are called once."""
        return self._system

    @cached_property
    def _system(self) -> System:
        procedures = tuple(self.procedures)
        transitions = [transition_of(op) for op in self.operations]
        for procedure in procedures:
            transitions.extend(procedure.transitions(procedures))
        positions = tuple(p.position for p in procedures)
        start = transition_of(self.init)
        components = (*old_and_new(self.state)[0].components(), *positions)
        sorts: dict[str, Any] = {}
        for sort in (s for c in components for s in (*c.keys, c.value)):
            base = sort.base if isinstance(sort, nodes.OptOf) else sort
            if sorts.setdefault(base.__name__, base) is not base:
                raise DesignError(f"the design {self.name} has two sorts called {base.__name__}")
        return System(
            components=components,
            init=replace(start, updates=(*start.updates, *map(_idle, procedures))),
            transitions=tuple(transitions),
            axioms=tuple(a.closed() for a in self.assumptions),
        )


def _instead(
    part: Part, old: Operation[Any, ...] | Procedure, new: Operation[Any, ...] | Procedure
) -> Part:
    """The part with one operation or procedure replaced, if it has it."""
    if not any(o is old for o in (*part.operations, *part.procedures)):
        return part
    operations = [o for o in part.operations if o is not old]
    procedures = [p for p in part.procedures if p is not old]
    if isinstance(new, Procedure):
        procedures.append(new)
    else:
        operations.append(new)
    return replace(part, operations=operations, procedures=procedures)


def _idle(procedure: Procedure) -> Update:
    where = procedure.position
    key = nodes.var(procedure.actor, f"{where.name}#0")
    return Update(where, (key,), nodes.TRUE_NODE, procedure._label(procedure.IDLE))


@dataclass(frozen=True)
class System:
    """A transition system as trees: components, start, transitions, facts about rigid maps.

    tables: entries of rigid maps at one scope, in the order of its combinations, in place of the
    interpretation that the design gives.
    """

    components: tuple[Component, ...]
    init: Transition
    transitions: tuple[Transition, ...]
    axioms: tuple[Node, ...]
    tables: Mapping[Component, tuple[int, ...]] = field(default_factory=dict, hash=False)

    def sliced(self, *roots: Node) -> System:
        """Only what can influence the given terms (cone of influence)."""
        known = {c.name: c for c in self.components}
        for root in roots:
            for c in nodes.components_of(root):
                if known.get(c.name) != c:
                    raise DesignError(f"{c.name} is not part of this design's state")
        wanted = nodes.components_of(*roots)
        wanted |= nodes.components_of(self.init.when)
        while True:
            before = len(wanted)
            for t in (self.init, *self.transitions):
                writes = [u for u in t.updates if u.component in wanted]
                if writes:
                    wanted |= nodes.components_of(t.when)
                    for u in writes:
                        wanted |= nodes.components_of(u.when, u.value, *(u.at or ()))
            for axiom in self.axioms:
                about = nodes.components_of(axiom)
                if about & wanted:
                    wanted |= about
            if len(wanted) == before:
                break
        return System(
            tuple(c for c in self.components if c in wanted),
            _keep(self.init, wanted),
            tuple(
                _keep(t, wanted)
                for t in self.transitions
                if any(u.component in wanted for u in t.updates)
            ),
            tuple(a for a in self.axioms if nodes.components_of(a) <= wanted),
            self.tables,
        )

    @property
    def sorts(self) -> tuple[type, ...]:
        """The index sorts in use, by first mention."""
        steps = (self.init, *self.transitions)
        terms = [n for t in steps for u in t.updates for n in (u.when, u.value, *(u.at or ()))]
        terms += [*self.axioms, *(t.when for t in steps)]
        return index_sorts(
            (
                *(s for c in self.components for s in (*c.keys, c.value)),
                *(p.sort for t in self.transitions for p in t.parameters),
                *nodes.variable_sorts(*terms),
            )
        )


def index_sorts(sorts: Iterable[Any]) -> tuple[type, ...]:
    """The index sorts among some sorts, once each (enumerations have a size of their own)."""
    bases = (s.base if isinstance(s, nodes.OptOf) else s for s in sorts)
    return tuple(
        dict.fromkeys(b for b in bases if b is not nodes.BOOL and not issubclass(b, Enumeration))
    )


def _keep(t: Transition, wanted: set[Component]) -> Transition:
    return replace(t, updates=tuple(u for u in t.updates if u.component in wanted))
