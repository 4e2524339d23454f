"""Boolean circuits: and-inverter graphs with sharing.

A literal is an int, as in the AIGER format: ``2 * gate`` or, negated, ``2 * gate + 1``; 0 is false
and 1 is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

FALSE, TRUE = 0, 1


class Circuit:
    """A growing circuit; equal gates are made once."""

    def __init__(self) -> None:
        self.fanin: list[tuple[int, int] | None] = [
            None
        ]  # gate 0 is the constant; inputs have None
        self._known: dict[tuple[int, int], int] = {}

    def input(self) -> int:
        """A new input, as a positive literal."""
        self.fanin.append(None)
        return 2 * (len(self.fanin) - 1)

    def and_(self, a: int, b: int) -> int:
        if a > b:
            a, b = b, a
        if a == FALSE or a == b ^ 1:
            return FALSE
        if a in (TRUE, b):
            return b
        gate = self._known.get((a, b))
        if gate is None:
            gate = 2 * len(self.fanin)
            self.fanin.append((a, b))
            self._known[a, b] = gate
        return gate

    def or_(self, a: int, b: int) -> int:
        return self.and_(a ^ 1, b ^ 1) ^ 1

    def all(self, literals: Iterable[int]) -> int:
        """Conjunction, as a balanced tree over the sorted distinct literals; stops at a false one."""
        distinct: set[int] = set()
        for literal in literals:
            if literal == FALSE:
                return FALSE
            distinct.add(literal)
        distinct.discard(TRUE)
        level = sorted(distinct)
        while len(level) > 1:
            pairs = [self.and_(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            level = pairs + level[len(pairs) * 2 :]
            if FALSE in pairs:
                return FALSE
        return level[0] if level else TRUE

    def any(self, literals: Iterable[int]) -> int:
        return self.all(lit ^ 1 for lit in literals) ^ 1

    def ite(self, c: int, a: int, b: int) -> int:
        if a == b:
            return a
        return self.or_(self.and_(c, a), self.and_(c ^ 1, b))

    def equal(self, a: int, b: int) -> int:
        return self.ite(a, b, b ^ 1)

    def cone(self, roots: Iterable[int], done: Set[int] = frozenset()) -> list[int]:
        """The gates below the roots (inputs included), in topological order.

        Gates in ``done`` are left out, with all that is below them.
        """
        wanted: set[int] = set()
        stack = [r >> 1 for r in roots]
        while stack:
            gate = stack.pop()
            if gate and gate not in wanted and gate not in done:
                wanted.add(gate)
                fanin = self.fanin[gate]
                if fanin:
                    stack.append(fanin[0] >> 1)
                    stack.append(fanin[1] >> 1)
        return sorted(wanted)  # a gate is made after its fanin

    def clauses(self, roots: Sequence[int], done: set[int]) -> list[tuple[int, ...]]:
        """Tseitin clauses for the gates below the roots that are not in ``done`` (which grows).

        Variables are gate numbers; negative means negated, as in DIMACS.
        """
        made: list[tuple[int, ...]] = []
        gates = self.cone(roots, done)
        for gate in gates:
            fanin = self.fanin[gate]
            if fanin:
                a, b = map(dimacs, fanin)
                made += [(-gate, a), (-gate, b), (gate, -a, -b)]
        done.update(gates)
        return made


def dimacs(literal: int) -> int:
    """A circuit literal (not a constant) as a DIMACS literal."""
    return -(literal >> 1) if literal & 1 else literal >> 1


class Simulation:
    """The values of a circuit's literals in many cases at once: a number with a bit for each case.

    ``inputs``: for each input gate the cases in which it is true.
    """

    def __init__(self, circuit: Circuit, cases: int, inputs: Mapping[int, int]) -> None:
        self._fanin = circuit.fanin
        self._all = (1 << cases) - 1
        self._values = {0: 0, **inputs}

    def of(self, literal: int) -> int:
        """The cases in which a literal is true."""
        gate = literal >> 1
        value = self._values.get(gate)
        if value is None:
            value = self._gate(gate)
        return value ^ self._all if literal & 1 else value

    def _gate(self, root: int) -> int:
        values, everything = self._values, self._all
        stack = [root]
        while stack:
            gate = stack[-1]
            fanin = self._fanin[gate]
            assert fanin is not None
            a, b = fanin
            left, right = values.get(a >> 1), values.get(b >> 1)
            if left is None or right is None:
                stack += [x >> 1 for x, v in ((a, left), (b, right)) if v is None]
                continue
            stack.pop()
            left = left ^ everything if a & 1 else left
            values[gate] = left & (right ^ everything if b & 1 else right)
        return values[root]
