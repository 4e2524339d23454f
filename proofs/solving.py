"""The far end of a worker: a process that solves scripts, one after the other.

It is told one JSON object a line, ``{"solver": "z3" | "cvc5", "text": ..., "milliseconds": ...,
"effort": ...}``, and answers each with an empty line at once and a line with the outcome.  Every
command that proves something waits for its start, so it is run as a script and loads of mapproof only
the modules that call the solvers.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

MEMORY = "memory limit"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mapproof.model.language.solver import Outcome


def _solve(solver: str, text: str, milliseconds: int, effort: int) -> tuple[Outcome, str]:
    """The outcome, and name and version of the solver."""
    if solver == "z3":
        from mapproof.model.language.solver import Z3, version

        return Z3().solve(text, milliseconds, effort), version()
    from . import second

    return second.solve_text(text, milliseconds, effort), second.version()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    who = str(request["solver"])
    try:
        found, who = _solve(who, request["text"], request["milliseconds"], request["effort"])
        answer, core, reason = found.answer, found.core, found.reason
    except MemoryError:
        answer, core, reason = "unknown", (), MEMORY
    except ValueError as error:
        answer, core, reason = "unknown", (), str(error)
    if "out of memory" in reason or "bad_alloc" in reason:
        reason = MEMORY
    return {"answer": answer, "core": core, "reason": reason, "solver": who}


def _limit_memory(megabytes: int) -> None:
    with suppress(ValueError, OSError):  # there is a lower limit already
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent() -> None:
    """On Linux, a parent that is killed takes this process along (prctl(2), PR_SET_PDEATHSIG)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _bare_packages() -> None:
    """Packages as mere folders: their own code would load all of mapproof."""
    root = Path(__file__).parents[1]
    for name in ("mapproof", "mapproof.model", "mapproof.model.language", "mapproof.proofs"):
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package


def _serve(megabytes: int, first: str) -> None:
    _die_with_parent()
    _limit_memory(megabytes)
    _bare_packages()
    _solve(first, "(set-logic ALL)(check-sat)", 1000, 0)  # loads the solver
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # nothing that a solver prints is taken for an answer
    with suppress(OSError):
        for line in sys.stdin:
            replies.write("\n")  # it has come
            replies.flush()
            answer = _answer(json.loads(line))
            replies.write(json.dumps(answer) + "\n")
            replies.flush()
            if answer["reason"] == MEMORY:
                break  # the next script starts with all of the memory


if __name__ == "__main__":
    __package__ = "mapproof.proofs"
    _serve(int(sys.argv[1]), sys.argv[2])
    os._exit(0)  # with no flush: the near end may be gone
