"""AIGER 1.9: bits, with one bad-state property and a symbol table."""

from __future__ import annotations

from collections.abc import Iterator

from .netlist import Netlist, Word


def aiger(net: Netlist, *, binary: bool) -> bytes:
    """The circuit as an AIGER file, in the binary format or as text."""
    circuit = net.circuit
    inputs = list(_named_bits(net.inputs))
    latches = list(_named_bits([latch.word for latch in net.latches]))
    following = [bit for latch in net.latches for bit in latch.following]
    leaves = [bit >> 1 for bit, _ in (*inputs, *latches)]
    place = {gate: i for i, gate in enumerate([0, *leaves])}
    gates = [g for g in circuit.cone([*following, net.bad]) if g not in place]
    for gate in gates:
        place[gate] = len(place)

    def literal(x: int) -> int:
        return 2 * place[x >> 1] | x & 1

    kind = "aig" if binary else "aag"
    counts = (len(place) - 1, len(inputs), len(latches), 0, len(gates), 1)
    head = [f"{kind} {' '.join(map(str, counts))}"]
    if not binary:
        head += (str(literal(bit)) for bit, _ in inputs)
    for (bit, _), after in zip(latches, following, strict=True):
        head.append(str(literal(after)) if binary else f"{literal(bit)} {literal(after)}")
    head.append(str(literal(net.bad)))
    body = b""
    for gate in gates:
        fanin = circuit.fanin[gate]
        assert fanin is not None
        b, a = sorted(map(literal, fanin))
        if binary:
            body += _number(2 * place[gate] - a) + _number(a - b)
        else:
            head.append(f"{2 * place[gate]} {a} {b}")
    tail = [f"i{i} {name}" for i, (_, name) in enumerate(inputs)]
    tail += (f"l{i} {name}" for i, (_, name) in enumerate(latches))
    tail += [f"b0 {net.name}", "c", *net.comments]
    return _lines(head) + body + _lines(tail)


def _named_bits(words: tuple[Word, ...] | list[Word]) -> Iterator[tuple[int, str]]:
    for word in words:
        for i, bit in enumerate(word.bits):
            yield bit, word.name if len(word.bits) == 1 else f"{word.name}.bit{i}"


def _lines(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _number(delta: int) -> bytes:
    """Seven bits to a byte, lowest first; the top bit says that more follow."""
    out = bytearray()
    while delta > 0x7F:
        out.append(delta & 0x7F | 0x80)
        delta >>= 7
    out.append(delta)
    return bytes(out)
