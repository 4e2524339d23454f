"""Two systems at once: a design whose state is the states of both.

The state is a class that inherits from both.  What they have in common is what has the same name in
both: it is one map then, which the steps of either see and change.  What is one event for the kernel,
such as a fork or a context switch, is one step of the composition: possible when both say so, with the
writes of both.  Properties need nothing: they are claims about either state, and so about the new one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .design import Design, Size
from .errors import DesignError
from .operation import Operation, Procedure, Step
from .state import State, old_and_new


@dataclass(frozen=True)
class AtOnce:
    """Two operations that are one event; renamed: parameters of the second by those of the first."""

    first: Operation[Any, ...]
    second: Operation[Any, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)

    def joint(self, state: type[State]) -> Operation[Any, ...]:
        """One operation of the composition, with the name of the first."""
        first, second = self.first, self.second
        names = [self.renamed.get(p.name, p.name) for p in second.parameters]
        sorts = {p.name: p.sort for p in first.parameters}
        for name, parameter in zip(names, second.parameters, strict=True):
            if sorts.setdefault(name, parameter.sort) is not parameter.sort:
                raise DesignError(
                    f"{first.name} and {second.name} at once: {name} is a {sorts[name].__name__} in "
                    f"one and a {parameter.sort.__name__} in the other; rename it"
                )

        def both(s: Any, *arguments: Any) -> Step:
            given = dict(zip(sorts, arguments, strict=True))
            a = first(s, *(given[p.name] for p in first.parameters))
            b = second(s, *(given[name] for name in names))
            return Step(when=a.when & b.when, then=[*a.then, *b.then])

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        annotations: dict[str, Any] = {"s": state, **sorts}
        both.__annotations__ = annotations
        both.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(n, kind, annotation=a) for n, a in annotations.items()]
        )
        both.__doc__ = f"{first.doc} {second.doc}"
        kernel = "; ".join(dict.fromkeys(k for k in (first.kernel, second.kernel) if k))
        return Operation(both, kernel, first.name)


def together(
    first: Design[Any],
    second: Design[Any],
    state: type[State],
    *,
    name: str,
    at_once: Sequence[AtOnce] = (),
    without: Sequence[Operation[Any, ...] | Procedure] = (),
    doc: str,
    **changes: Any,
) -> Design[Any]:
    """The design that runs both on one state.  Where both start a common map, the second has the
    last word.  ``without``: what one part says in short of what the other says in full.  An operation
    that both have is there once.  Raises DesignError where they do not fit."""
    for part in (first, second):
        if not issubclass(state, part.state):
            raise DesignError(
                f"{name}: the state {state.__name__} has to inherit from {part.state.__name__}"
            )
    known = {c.name: c for c in old_and_new(first.state)[0].components()}
    for component in old_and_new(second.state)[0].components():
        if known.get(component.name, component) != component:
            raise DesignError(f"{name}: {component.name} is not the same map in both states")
    pairs = {pair.first: pair for pair in at_once} | {pair.second: pair for pair in at_once}
    operations = list(dict.fromkeys((*first.operations, *second.operations)))
    procedures = list(dict.fromkeys((*first.procedures, *second.procedures)))
    for op in (*pairs, *without):
        if not any(op is o for o in (*operations, *procedures)):
            raise DesignError(f"{name}: neither design has the operation {op.name}")
    return Design(
        name=name,
        state=state,
        init=AtOnce(first.init, second.init).joint(state),
        operations=[
            *(o for o in operations if o not in pairs and o not in without),
            *(pair.joint(state) for pair in at_once),
        ],
        procedures=[p for p in procedures if p not in without],
        lemmas=[*first.lemmas, *second.lemmas],
        assumptions=list(dict.fromkeys((*first.assumptions, *second.assumptions))),
        scope=_roomy(first.scope, second.scope),
        doc=doc,
        source=f"{first.source}; {second.source}",
        made_of=[first, second],
        **changes,
    )


def _roomy(a: Mapping[type, Size], b: Mapping[type, Size]) -> Mapping[type, Size]:
    """A scope that is enough for either; where a size is computed, the second's."""
    merged = {**a, **b}
    for sort in a.keys() & b.keys():
        x, y = a[sort], b[sort]
        if isinstance(x, int) and isinstance(y, int):
            merged[sort] = max(x, y)
    return merged
