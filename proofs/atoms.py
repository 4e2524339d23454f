"""What a finite-scope proof speaks of: "this map entry has that value", and cubes of such literals.

An atom is a number; a literal is ``+atom`` or ``-atom``, as in DIMACS.  An entry with two values has
one atom, its second value; one with more has an atom for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mapproof.model.language.latches import Place, Sequential
from mapproof.model.language.nodes import BOOL

Cube = tuple[int, ...]  # sorted; a set of states in which all of its literals are true


@dataclass(frozen=True)
class Atom:
    """An entry has a value: as circuit literals of the present state, the start, the next state."""

    place: Place
    value: int
    now: int
    first: int
    after: int

    def text(self, positive: bool, sequential: Sequential) -> str:
        """The literal as a reader sees it: ``sh[0, 2] != none``."""
        component = self.place.component
        keys = ", ".join(map(str, self.place.key))
        where = component.name + (f"[{keys}]" if keys else "")
        if component.value is BOOL:
            return where if positive else f"~{where}"
        shown = value_name(component.value, self.value, sequential)
        return f"{where} {'==' if positive else '!='} {shown}"


def value_name(sort: object, value: int, sequential: Sequential) -> str:
    """A value by its name, or by its number."""
    base = getattr(sort, "base", sort)
    if base is not sort and value == sequential.scope[base]:
        return "none"
    names = getattr(base, "values", None)
    return str(names[value]) if names else str(value)


class Atoms:
    """All atoms of a sequential circuit; number 0 is no atom."""

    def __init__(self, sequential: Sequential) -> None:
        self.sequential = sequential
        self.list: list[Atom | None] = [None]
        self.number: dict[tuple[str, tuple[int, ...], int], int] = {}
        self.leaf: dict[int, int] = {}  # from gates of decoded latches
        for place in sequential.places:
            values = range(place.size) if place.size > 2 else range(place.size - 1, place.size)
            for value in values if place.size > 1 else ():
                index = 0 if place.component.value is BOOL else value
                atom = Atom(place, value, place.now[index], place.first[index], place.after[index])
                number = len(self.list)
                self.list.append(atom)
                self.number[place.component.name, place.key, value] = number
                self.leaf[atom.now >> 1] = -number if atom.now & 1 else number

    def __getitem__(self, literal: int) -> Atom:
        atom = self.list[abs(literal)]
        assert atom is not None
        return atom

    def key(self, literal: int) -> tuple[str, tuple[int, ...], int]:
        """Under what ``number`` has the atom of a literal: map, key and value."""
        atom = self[literal]
        return atom.place.component.name, atom.place.key, atom.value

    def now(self, literal: int) -> int:
        """A literal about the present state, in the circuit."""
        return self[literal].now ^ (literal < 0)

    def after(self, literal: int) -> int:
        """A literal about the next state, in the circuit."""
        return self[literal].after ^ (literal < 0)

    def first(self, literal: int) -> int:
        """A literal about the initial state, in the circuit."""
        return self[literal].first ^ (literal < 0)

    def text(self, clause: Iterable[int]) -> str:
        """A clause as a reader sees it."""
        return " | ".join(self[x].text(x > 0, self.sequential) for x in clause)
