"""The vocabulary in which designs and properties are written; see ARCHITECTURE.md for the order."""

from .design import Design, Size
from .errors import DesignError
from .operation import Operation, Procedure, ProcedureStep, Step, operation
from .parts import Part, restricted
from .property import Property, always, assumption, sometimes, step
from .scope import Scope
from .state import Fun, Group, Locals, Map, State, Update, Var, given
from .terms import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Opt,
    Sort,
    exists,
    forall,
    ite,
    some,
)

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
    "Locals",
    "Map",
    "Operation",
    "Opt",
    "Part",
    "Procedure",
    "ProcedureStep",
    "Property",
    "Scope",
    "Size",
    "Sort",
    "State",
    "Step",
    "Update",
    "Var",
    "always",
    "assumption",
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
