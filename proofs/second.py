"""The second solver: cvc5, which reads the same text as z3."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from mapproof.model.language.solver import WITH_CORE, Outcome


@cache
def _cvc5() -> Any:
    """The module, loaded when it is first used; it is compiled and has no stubs."""
    return import_module("cvc5")


def version() -> str:
    """Name and version, as results quote it."""
    return f"cvc5 {_cvc5().__version__}"


def solve_text(text: str, milliseconds: int) -> Outcome:
    """Solve one SMT-LIB 2 script.

    Raises ValueError if cvc5 cannot read the text.
    """
    cvc5 = _cvc5()
    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("tlimit-per", str(max(1, milliseconds)))
    solver.setOption("enum-inst", "true")  # before it gives up, it tries every term of a sort
    parser = cvc5.InputParser(solver)
    asks = WITH_CORE in text
    whole = text + "(get-unsat-core)\n" * asks
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, whole, "obligation")
    symbols = parser.getSymbolManager()
    answer = ""
    try:
        while not (command := parser.nextCommand()).isNull():
            said: Any = command.invoke(solver, symbols)
            if answer:  # the command after check-sat
                return Outcome("unsat", tuple(str(said).strip("()\n ").split()))
            answer = str(said).strip()
            if answer == "sat":
                return Outcome("sat")
            if answer not in ("", "unsat"):
                return Outcome("unknown", (), answer)
            if answer and not asks:
                return Outcome("unsat")
    except Exception as error:  # cvc5 raises its own types for malformed text
        raise ValueError(f"cvc5 cannot read the obligation: {error}") from None
    raise ValueError("the obligation has no check-sat")
