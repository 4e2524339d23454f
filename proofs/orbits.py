"""What holds of some elements often holds of others like them: the images of a cube.

Two elements of a sort are alike where the fixed interpretations of rigid maps cannot tell them apart.
The images are proposals; whoever uses them proves each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import product
from typing import Any

from mapproof.model.language.nodes import BOOL, OptOf
from mapproof.model.language.terms import Enumeration

from .atoms import Atoms, Cube

Element = tuple[Any, int]  # sort, index

MOST = 6000  # images that are looked at for one cube


def element(sort: Any, index: int, size: int) -> Element | None:
    """The element that a value is, if it is one of an index sort."""
    base = sort.base if isinstance(sort, OptOf) else sort
    if base is BOOL or issubclass(base, Enumeration) or index >= size:
        return None
    return base, index


class Orbits:
    """Images of cubes under exchanges of elements that are alike."""

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms
        self.scope = atoms.sequential.scope
        self._facts = list(self._table_facts())
        self._class: dict[Element, list[int]] = {}
        colour = self._colours()
        for e in colour:
            self._class[e] = [i for i in range(self.scope[e[0]]) if colour[e[0], i] == colour[e]]

    def _element(self, sort: Any, index: int) -> Element | None:
        base = sort.base if isinstance(sort, OptOf) else sort
        return element(sort, index, self.scope[base])

    def _table_facts(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The given tables, line by line: name, keys and value (elements, or plain indices)."""
        for component, table in self.atoms.sequential.layout.table.items():
            keys = self.scope.combinations(component.keys)
            for key, value in zip(keys, table, strict=True):
                sorts, indices = (*component.keys, component.value), (*key, value)
                yield (
                    component.name,
                    tuple(self._element(s, i) or i for s, i in zip(sorts, indices, strict=True)),
                )

    def _colours(self) -> dict[Element, int]:
        """Elements that the tables tell apart have different colours."""
        colour: dict[Element, int] = {(s, i): 0 for s in self.scope for i in range(self.scope[s])}
        while True:
            seen: dict[Element, list[Any]] = {e: [] for e in colour}
            for name, line in self._facts:
                shades = [("e", colour[x]) if isinstance(x, tuple) else ("v", x) for x in line]
                for position, x in enumerate(line):
                    if isinstance(x, tuple):
                        seen[x].append((name, position, *shades))
            codes: dict[Any, int] = {}
            finer = {
                e: codes.setdefault((e[0], colour[e], tuple(sorted(seen[e]))), len(codes))
                for e in colour
            }
            if len(set(finer.values())) == len(set(colour.values())):
                return finer
            colour = finer

    def images(self, cube: Cube) -> Iterator[Cube]:
        """Cubes like this one, itself left out."""
        elements = sorted(self._mentioned(cube), key=lambda e: (e[0].__name__, e[1]))
        choices = [self._class[e] for e in elements]
        total = 1
        for i in sorted(range(len(choices)), key=lambda i: len(choices[i])):
            if total * len(choices[i]) > MOST:
                choices[i] = [elements[i][1]]
            total *= len(choices[i])
        related = self._related(elements)
        for picked in product(*choices):
            move = {e: (e[0], i) for e, i in zip(elements, picked, strict=True)}
            if len(set(move.values())) < len(move) or not self._kept(related, move):
                continue
            image = self._moved(cube, move)
            if image is not None and image != cube:
                yield image

    def _mentioned(self, cube: Cube) -> set[Element]:
        found: set[Element | None] = set()
        for literal in cube:
            atom = self.atoms[literal]
            place = atom.place
            found |= {
                self._element(s, i) for s, i in zip(place.component.keys, place.key, strict=True)
            }
            found.add(self._element(place.component.value, atom.value))
        return {e for e in found if e is not None}

    def _related(self, elements: list[Element]) -> list[tuple[str, tuple[Any, ...], Any]]:
        """Lines of the tables whose keys are among the elements."""
        inside = set(elements)
        return [
            (name, line[:-1], line[-1])
            for name, line in self._facts
            if all(not isinstance(x, tuple) or x in inside for x in line[:-1])
        ]

    def _kept(
        self, related: list[tuple[str, tuple[Any, ...], Any]], move: Mapping[Element, Element]
    ) -> bool:
        """Whether an exchange respects what the tables say of the elements among themselves."""
        moved = set(move.values())
        for name, keys, value in related:
            there = self._values[
                name, tuple(move.get(k, k) if isinstance(k, tuple) else k for k in keys)
            ]
            expected = move.get(value) if isinstance(value, tuple) else value
            if expected is not None:
                if there != expected:
                    return False
            elif there in moved:
                return False
        return True

    @cached_property
    def _values(self) -> Mapping[tuple[str, tuple[Any, ...]], Any]:
        return {(name, line[:-1]): line[-1] for name, line in self._facts}

    def _moved(self, cube: Cube, move: Mapping[Element, Element]) -> Cube | None:
        image = []
        for literal in cube:
            atom = self.atoms[literal]
            component = atom.place.component
            key = tuple(
                self._shifted(s, i, move)
                for s, i in zip(component.keys, atom.place.key, strict=True)
            )
            value = self._shifted(component.value, atom.value, move)
            number = self.atoms.number.get((component.name, key, value))
            if number is None:  # an entry of two values has an atom for one of them
                number = -self.atoms.number[component.name, key, 1 - value] if value < 2 else 0
            image.append(number if literal > 0 else -number)
        return tuple(sorted(image))

    def _shifted(self, sort: Any, index: int, move: Mapping[Element, Element]) -> int:
        e = self._element(sort, index)
        return move[e][1] if e is not None else index
