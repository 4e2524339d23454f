"""Parts: the systems that a design composes on one state, so that each can be looked at alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .errors import DesignError
from .operation import Operation, Procedure
from .property import Property

if TYPE_CHECKING:
    from .design import Design

MACHINE = "machine"  # what belongs to no part: TLB fills, flush answers, accesses
FIELDS = {"operations": "operations", "procedures": "procedures", "properties": "claims"}
"""Lists of a design that parts add to, and what they call them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Part:
    """One system within a design that composes several on one state.

    name: as it is called on the command line and in a matrix; operations, procedures: what it does,
    added to those of the design (two parts may share one); claims: the properties that it relies on,
    its row in a matrix, added to those of the design; doc: one paragraph for ``explain``.
    family: the file of ``properties/`` whose properties are claims of this part as well, its name if
    empty (with - as _).  That is how a built-in design, which cannot import properties, has them.
    """

    name: str
    operations: Sequence[Operation[Any, ...]] = ()
    procedures: Sequence[Procedure] = ()
    claims: Sequence[Property[Any]] = ()
    doc: str = ""
    family: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == MACHINE:
            raise DesignError(
                f"a part cannot be called {self.name!r}: use letters, digits and _ . - , and not "
                f"{MACHINE!r}, which stands for what is in no part"
            )
        for what, expected in (
            ("operations", Operation),
            ("procedures", Procedure),
            ("claims", Property),
        ):
            items = getattr(self, what)
            if not isinstance(items, (list, tuple)):
                raise DesignError(f"the part {self.name}: {what} must be a list, not {items!r}")
            for item in items:
                if not isinstance(item, expected):
                    raise DesignError(f"the part {self.name} lists {item!r} under {what}")
            object.__setattr__(self, what, tuple(items))
        for claim in self.claims:
            if claim.kind == "assumption":
                raise DesignError(
                    f"the part {self.name} claims the assumption {claim.name}: list it under "
                    "assumptions of the design"
                )

    def keeping(self, lists: Mapping[str, Sequence[Any]]) -> Part:
        """The part without what some lists of a design, by their names, do not have."""
        fewer: dict[str, Any] = {}
        for what, items in lists.items():
            ids = {id(item) for item in items}
            fewer[FIELDS[what]] = [i for i in getattr(self, FIELDS[what]) if id(i) in ids]
        return replace(self, **fewer)

    @property
    def steps(self) -> Iterator[str]:
        """The names of its transitions."""
        return _transitions(self.operations, self.procedures)


def check_parts(design: str, state: type, parts: Sequence[Part]) -> None:
    """Refuse parts that do not fit a design.  Raises DesignError."""
    seen: dict[str, Part] = {}
    owner: dict[int, str] = {}
    for part in parts:
        if not isinstance(part, Part):
            raise DesignError(
                f"the design {design} lists {part!r} under parts: make it a Part(...)"
            )
        if part.name in seen:
            raise DesignError(f"the design {design} has two parts called {part.name}")
        seen[part.name] = part
        for claim in part.claims:
            if not issubclass(state, claim.state):
                raise DesignError(
                    f"the design {design}, part {part.name}: {claim.name} is about "
                    f"{claim.state.__name__}, which the state {state.__name__} does not extend"
                )
            other = owner.setdefault(id(claim), part.name)
            if other != part.name:
                raise DesignError(
                    f"the design {design}: {claim.name} is claimed by two parts, {other} and "
                    f"{part.name}: a claim of both belongs to the design"
                )


def with_parts(own: Sequence[Any], theirs: Iterable[Sequence[Any]]) -> list[Any]:
    """What a design lists of its own, then what its parts add that is not there yet."""
    listed = {id(item) for item in own}
    more = {id(item): item for items in theirs for item in items}
    return [*own, *(item for name, item in more.items() if name not in listed)]


def without_parts(every: Sequence[Any], theirs: Iterable[Sequence[Any]]) -> list[Any]:
    """What a design lists of its own: what belongs to the machine."""
    gone = {id(item) for items in theirs for item in items}
    return [item for item in every if id(item) not in gone]


def restricted(design: Design[Any], parts: Iterable[str]) -> Design[Any]:
    """The design with the machine and only these parts, called ``design[a+b]``.

    Its transitions are some of the design's own, word by word, and its initial states are the same:
    a procedure that is left out stands IDLE for ever, and what no step writes any more keeps its
    initial value.  So every run of it is a run of the design, every run of it is a run with further
    parts, and a cell of the design's grid is a cell of its grid.

    Raises DesignError if there is no such part.
    """
    wanted = {design.part_named(name).name for name in parts}
    kept = [part for part in design.parts if part.name in wanted]
    operations = with_parts(design.own_operations, [p.operations for p in kept])
    procedures = with_parts(design.own_procedures, [p.procedures for p in kept])
    smaller = replace(
        design,
        name=f"{design.name}[{'+'.join(p.name for p in kept)}]",
        operations=operations,
        procedures=procedures,
        properties=with_parts(design.own_properties, [p.claims for p in kept]),
        parts=kept,
    )
    steps = set(_transitions(operations, procedures))
    system = design.system()
    transitions = tuple(t for t in system.transitions if t.name in steps)
    return smaller.running(replace(system, transitions=transitions), name=smaller.name)


def _transitions(
    operations: Sequence[Operation[Any, ...]], procedures: Sequence[Procedure]
) -> Iterator[str]:
    yield from (op.name for op in operations)
    yield from (f"{p.name}.{step.name}" for p in procedures for step in p.steps)
