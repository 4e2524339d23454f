"""The only importer of z3: satisfiability of SMT-LIB text.

z3 is loaded when it is first used: the main process gets its answers from workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

WITH_CORE = "(set-option :produce-unsat-cores true)"  # what a script has that asks for a core
Answer = Literal["sat", "unsat", "unknown"]


def version() -> str:
    """Name and version, as results quote it."""
    import z3

    return f"z3 {z3.get_version_string()}"


@dataclass(frozen=True)
class Outcome:
    """What a solver said: the answer, the named facts that an "unsat" needs, why it gave up; and
    its name and version, where that is known."""

    answer: Answer
    core: tuple[str, ...] = ()
    reason: str = ""
    solver: str = ""


class Z3:
    """Solves SMT-LIB 2 scripts in one z3 context.

    What was solved before in a context may change what z3 finds next; a new one answers always the
    same.
    """

    def __init__(self) -> None:
        import z3

        self._z3: Any = z3
        self._context = z3.Context()

    def solve(self, text: str, milliseconds: int, effort: int = 0) -> Outcome:
        """Solve one script.

        ``effort`` bounds the work in z3's own unit, which does not depend on the machine (0: no
        bound).  Raises ValueError if the text is not well-formed.
        """
        solver = self._z3.Solver(ctx=self._context)
        solver.set("ctrl_c", False)  # or z3 takes the key for itself and merely answers "unknown"
        solver.set("timeout", max(1, milliseconds))
        solver.set("rlimit", effort)
        try:
            solver.from_string(text)
        except self._z3.Z3Exception as error:
            raise ValueError(f"z3 cannot read the obligation: {error}") from None
        answer = str(solver.check())
        if answer == "unsat":
            return Outcome("unsat", tuple(str(name) for name in solver.unsat_core()))
        return (
            Outcome("sat") if answer == "sat" else Outcome("unknown", (), solver.reason_unknown())
        )
