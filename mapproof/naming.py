"""How a reader sees the parts of a state: real addresses and kernel words, never indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mapproof.model.language.concrete import Event, Machine
from mapproof.model.language.concrete import State as Vector
from mapproof.model.language.design import Design
from mapproof.model.language.nodes import BOOL, Component, Node, OptOf, variable_name
from mapproof.model.language.state import Group
from mapproof.model.language.terms import Enumeration
from mapproof.proofs.trace import Trace

ACTORS = ("Cpu", "Thread", "Mm")


@dataclass(frozen=True)
class Naming:
    """Names in one state of a design's machine."""

    design: Design[Any]
    machine: Machine
    state: Vector

    @classmethod
    def of(cls, trace: Trace, step: int) -> Naming:
        """Names in the state of a trace after so many steps."""
        return cls(trace.design, trace.machine, trace.states[step])

    @cached_property
    def _components(self) -> dict[str, Component]:
        return {c.name: c for c in self.machine.system.components}

    @cached_property
    def _names(self) -> dict[tuple[Any, int], str]:
        return {}

    def element(self, sort: Any, index: int) -> str:
        """An element of an index sort: as the design or its state shows it, else as its sort does."""
        if sort in self.design.shown_as:
            return self.design.shown_as[sort][index]
        known = self._names.get((sort, index))
        if known is None:
            show = self.design.state.show_element
            known = show(sort, index, self._look, self.machine.scope) or str(sort.show(index))
            self._names[sort, index] = known
        return known

    def _look(self, name: str, *key: int) -> int:
        return self.machine.cell(self.state, self._components[name], key)

    def value(self, sort: Any, index: int) -> str:
        """A value of any sort."""
        if sort is BOOL:
            return "yes" if index else "no"
        if isinstance(sort, OptOf):
            if index == self.machine.scope[sort.base]:
                return "none"
            return self.value(sort.base, index)
        if issubclass(sort, Enumeration):
            return str(sort.values[index])
        return self.element(sort, index)

    def cell(self, name: str, sorts: Sequence[Any], key: Sequence[int]) -> str:
        """A map entry: ``km[mm0, ffff888001001000]``."""
        return name + (f"[{self.key(sorts, key)}]" if sorts else "")

    def key(self, sorts: Sequence[Any], key: Sequence[int]) -> str:
        """The key of a map entry; a slot that is shown in brackets loses them here."""
        shown = (self.value(s, k) for s, k in zip(sorts, key, strict=True))
        return ", ".join(k[1:-1] if k[:1] + k[-1:] == "[]" else k for k in shown)

    def content(self, component: Component, key: tuple[int, ...]) -> str:
        """The value of a map entry in this state."""
        return self.value(component.value, self.machine.cell(self.state, component, key))

    @cached_property
    def _grouped(self) -> dict[str, Group]:
        """The group of each grouped map, by the map's name."""
        groups = self.design.state(0).groups()
        return {name: g for g in groups for name in members(g, self._components)}

    def group_of(self, component: Component) -> Group | None:
        """The group that a map belongs to."""
        return self._grouped.get(component.name)

    def together(self, component: Component) -> list[Component]:
        """The maps of the same group with the same keys; of a map in no group, the map itself."""
        group = self.group_of(component)
        if group is None:
            return [component]
        every = (self._components[name] for name in members(group, self._components))
        return [c for c in every if c.keys == component.keys]

    def entry(self, component: Component, key: tuple[int, ...]) -> str | None:
        """All maps of a group at one key as the group shows them; None if it does not."""
        group = self.group_of(component)
        if group is None:
            return None
        values = {
            c.name.removeprefix(f"{group.name}."): self.content(c, key)
            for c in self.together(component)
        }
        return group.show_entry(values)

    def arguments(self, event: Event) -> dict[str, str]:
        """The arguments of a step, by parameter."""
        parameters = event.transition.parameters
        return {
            p.name: self.value(p.sort, a) for p, a in zip(parameters, event.arguments, strict=True)
        }

    def witness(self, variables: Mapping[Node, int]) -> Iterator[tuple[str, str]]:
        """The elements that variables stand for."""
        for variable, index in variables.items():
            yield variable_name(variable), self.value(variable.sort, index)


def members(group: Group, components: Mapping[str, Component]) -> list[str]:
    """The names of the maps of a group itself, without those of groups inside it."""
    prefix = f"{group.name}."
    return [n for n in components if n.startswith(prefix) and "." not in n[len(prefix) :]]


def actor_of(event: Event) -> str | None:
    """The name of the parameter that says who acts."""
    for parameter in event.transition.parameters:
        if getattr(parameter.sort, "__name__", "") in ACTORS:
            return parameter.name
    return None


def call(naming: Naming, event: Event) -> str:
    """A step in words: ``mm0: kaiser_add_any(i=ffff888001001000)``."""
    who, arguments = actor_of(event), naming.arguments(event)
    listed = ", ".join(f"{name}={value}" for name, value in arguments.items() if name != who)
    actor = f"{arguments[who]}: " if who else ""
    return f"{actor}{event.transition.name}({listed})"
