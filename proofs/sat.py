"""Satisfiability of circuits: gates go to an incremental SAT solver as they are needed."""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer
from time import monotonic

from pysat.solvers import Glucose4

from mapproof.model.language import circuit as c
from mapproof.model.language.circuit import Circuit, dimacs


class CircuitSolver:
    """Asks whether a literal of a growing circuit can be true.

    A "yes" is replayed concretely by whoever asks; a "no" rests on the SAT solver alone, which is
    why no proof is built on it.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self._sat = Glucose4()
        self._done: set[int] = set()
        self._false = False

    def require(self, literal: int) -> None:
        """Assert a literal for good."""
        if literal == c.FALSE:
            self._false = True
        elif literal != c.TRUE:
            self._add(literal)
            self._sat.add_clause([dimacs(literal)])

    def holds(self, literal: int, deadline: float) -> bool:
        """Whether the literal can be true.

        ``deadline`` is a value of time.monotonic(); raises TimeoutError when it passes.
        """
        if literal == c.FALSE or self._false:
            return False
        self._add(literal)
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError("time limit")
        timer = Timer(left, self._sat.interrupt)
        timer.daemon = True
        timer.start()
        try:
            assumed = [] if literal == c.TRUE else [dimacs(literal)]
            answer = self._sat.solve_limited(assumptions=assumed, expect_interrupt=True)
        finally:
            timer.cancel()
        if answer is None:
            self._sat.clear_interrupt()
            raise TimeoutError("time limit")
        return bool(answer)

    def model(self) -> Callable[[int], bool]:
        """The truth of a literal's gate in the last satisfying assignment (false where free)."""
        true = {v for v in self._sat.get_model() or () if v > 0}
        return lambda literal: literal >> 1 in true

    def _add(self, literal: int) -> None:
        if literal > 1:
            self._sat.append_formula(self.circuit.clauses([literal], self._done))
