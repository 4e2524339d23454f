"""The second solver: cvc5 re-checks what z3 has proved, from the same text."""

from __future__ import annotations

from typing import Any, Literal

import cvc5


def version() -> str:
    """Name and version, as results quote it."""
    return f"cvc5 {cvc5.__version__}"


def recheck(text: str, milliseconds: int) -> Literal["sat", "unsat", "unknown"]:
    """The second solver's answer to one SMT-LIB script.

    Raises ValueError if cvc5 cannot read the text.
    """
    terms = cvc5.TermManager()
    solver = cvc5.Solver(terms)
    solver.setOption("tlimit-per", str(max(1, milliseconds)))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "obligation")
    symbols = parser.getSymbolManager()
    answer: Any = ""
    try:
        while not (command := parser.nextCommand()).isNull():
            answer = command.invoke(solver, symbols) or answer
    except Exception as error:  # cvc5 raises its own types for malformed text
        raise ValueError(f"cvc5 cannot read the obligation: {error}") from None
    answer = str(answer).strip()
    if answer in ("sat", "unsat"):
        return "sat" if answer == "sat" else "unsat"
    return "unknown"
