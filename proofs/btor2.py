"""BTOR2: every map entry a bit-vector state, every choice a bit-vector input."""

from __future__ import annotations

from .netlist import Netlist


def btor2(net: Netlist) -> str:
    """The circuit as a BTOR2 file; states start at zero."""
    return _Writer(net).text()


class _Writer:
    def __init__(self, net: Netlist) -> None:
        self.net = net
        self.lines = [f"; {comment}" for comment in net.comments]
        self.count = 0
        self.sorts: dict[int, int] = {}
        self.node: dict[int, int] = {}  # of gates

    def line(self, *parts: object) -> int:
        """One line; its number."""
        self.count += 1
        self.lines.append(" ".join(map(str, (self.count, *parts))))
        return self.count

    def sort(self, width: int) -> int:
        if width not in self.sorts:
            self.sorts[width] = self.line("sort", "bitvec", width)
        return self.sorts[width]

    def word(self, kind: str, name: str, bits: tuple[int, ...]) -> int:
        """An input or a state, and its bits."""
        word = self.line(kind, self.sort(len(bits)), name)
        if len(bits) == 1:
            self.node[bits[0] >> 1] = word
        else:
            for i, bit in enumerate(bits):
                self.node[bit >> 1] = self.line("slice", self.sort(1), word, i, i)
        return word

    def ref(self, literal: int) -> int:
        """A literal as an operand: negative is negated."""
        return -self.node[literal >> 1] if literal & 1 else self.node[literal >> 1]

    def text(self) -> str:
        net = self.net
        bit = self.sort(1)
        self.node[0] = self.line("zero", bit)
        for word in net.inputs:
            self.word("input", word.name, word.bits)
        states = [self.word("state", x.word.name, x.word.bits) for x in net.latches]
        zeros = {1: self.node[0]}
        for state, latch in zip(states, net.latches, strict=True):
            width = len(latch.following)
            if width not in zeros:
                zeros[width] = self.line("zero", self.sort(width))
            self.line("init", self.sort(width), state, zeros[width])
        roots = [net.bad, *(x for latch in net.latches for x in latch.following)]
        for gate in net.circuit.cone(roots):
            fanin = net.circuit.fanin[gate]
            if fanin:
                self.node[gate] = self.line("and", bit, *map(self.ref, fanin))
        for state, latch in zip(states, net.latches, strict=True):
            low, *more = map(self.ref, latch.following)
            value, width = low, 1
            for high in more:
                width += 1
                value = self.line("concat", self.sort(width), high, value)
            self.line("next", self.sort(width), state, value)
        self.line("bad", self.ref(net.bad), net.name)
        return "\n".join([*self.lines, ""])
