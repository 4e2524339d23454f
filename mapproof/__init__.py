"""A model checker for kernel page-table mapping invariants.

Everything that a design file needs comes from here: ``from mapproof import Design, State, Map``.
Importing this package loads no solver; :func:`check` does, when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapproof.model.language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Design,
    DesignError,
    Enumeration,
    Fun,
    Group,
    Map,
    Operation,
    Opt,
    Part,
    Procedure,
    Property,
    Scope,
    Sort,
    State,
    Step,
    Update,
    Var,
    always,
    assumption,
    exists,
    forall,
    given,
    ite,
    operation,
    restricted,
    some,
    sometimes,
    step,
)

if TYPE_CHECKING:
    from mapproof.proofs.check import Options, check
    from mapproof.proofs.verdict import Result, Verdict

    __version__: str

__all__ = [
    "FALSE",
    "NONE",
    "TRUE",
    "Bool",
    "Design",
    "DesignError",
    "Enumeration",
    "Fun",
    "Group",
    "Map",
    "Operation",
    "Opt",
    "Options",
    "Part",
    "Procedure",
    "Property",
    "Result",
    "Scope",
    "Sort",
    "State",
    "Step",
    "Update",
    "Var",
    "Verdict",
    "__version__",
    "always",
    "assumption",
    "check",
    "exists",
    "forall",
    "given",
    "ite",
    "operation",
    "restricted",
    "some",
    "sometimes",
    "step",
]

_LATE = {
    "Options": "mapproof.proofs.check",
    "check": "mapproof.proofs.check",
    "Result": "mapproof.proofs.verdict",
    "Verdict": "mapproof.proofs.verdict",
}


def __getattr__(name: str) -> object:
    """Load what is slow to import when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("mapproof")
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
