"""Satisfiability of circuits: gates go to an incremental SAT solver as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Timer
from time import monotonic
from typing import Any

from pysat.solvers import Glucose4

from mapproof.model.language import circuit as c
from mapproof.model.language.circuit import Circuit, dimacs

SLICE = 2000  # conflicts between two looks at the clock


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


class GateSolver:
    """Gates in an incremental solver, loaded as they are needed; extra variables above them.

    Questions are sets of assumptions, in the solver's own literals.  ``passed`` says whether the time
    is up.
    """

    def __init__(
        self, circuit: Circuit, passed: Callable[[], bool], engine: Any = Glucose4
    ) -> None:
        self.circuit = circuit
        self.passed = passed
        self._sat = engine()
        self._done: set[int] = {0}
        self._true = self.fresh()
        self._sat.add_clause([self._true])

    def fresh(self) -> int:
        """A new variable: an input that no gate reads, so that the circuit can still grow."""
        return dimacs(self.circuit.input())

    def lit(self, literal: int) -> int:
        """A circuit literal for use in clauses."""
        if literal < 2:
            return self._true if literal == c.TRUE else -self._true
        gate = literal >> 1
        if gate not in self._done:
            for clause in self.circuit.clauses([literal], self._done):
                self._sat.add_clause(clause)
        return dimacs(literal)

    def add(self, clause: Sequence[int]) -> None:
        """Assert a clause for good."""
        self._sat.add_clause(clause)

    def solve(self, assumptions: Sequence[int], conflicts: int = 0) -> bool:
        """Whether the clauses can hold with the assumptions.

        Raises TimeoutError when the time is up, or after so many conflicts (0: no bound).
        """
        spent = 0
        while True:
            self._sat.conf_budget(SLICE)
            answer = self._sat.solve_limited(assumptions=assumptions)
            spent += SLICE
            if self.passed() or (answer is None and 0 < conflicts <= spent):
                raise TimeoutError("time limit")
            if answer is not None:
                return bool(answer)

    def core(self) -> set[int]:
        """The assumptions that an answer "no" needed."""
        return set(self._sat.get_core() or ())

    def model(self) -> Callable[[int], bool]:
        """The truth of circuit literals that were loaded (false elsewhere)."""
        values: list[int] = self._sat.get_model() or []
        size = len(values)

        def true(literal: int) -> bool:
            gate = literal >> 1
            positive = 0 < gate <= size and values[gate - 1] > 0
            return positive != bool(literal & 1)

        return true
