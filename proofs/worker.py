"""A process that solves scripts, so that both solvers work side by side and a crash costs one answer.

The process is told one JSON object a line, ``{"solver": "z3" | "cvc5", "text": ..., "milliseconds":
...}``, and answers with one line each.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

from mapproof.model.language.solver import Z3, Outcome

from . import second


class Worker:
    """The near end: starts the process at once and again whenever it has died."""

    def __init__(self) -> None:
        self._closed = False
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mapproof.proofs.worker"]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def solve(self, solver: str, text: str, milliseconds: int) -> Outcome:
        """Solve one script; "unknown" if the process dies over it."""
        request = {"solver": solver, "text": text, "milliseconds": milliseconds}
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        line = ""
        with suppress(OSError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            if not self._closed:
                self._process = self._start()
            return Outcome("unknown", (), f"the {solver} process died")
        answer = json.loads(line)
        return Outcome(answer["answer"], tuple(answer["core"]), answer["reason"])

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._closed = True
        self._process.kill()
        self._process.communicate()


def _die_with_parent() -> None:
    """On Linux, a parent that is killed takes this process along (prctl(2), PR_SET_PDEATHSIG)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the near end decides when to stop
    _die_with_parent()
    z3 = Z3()
    with suppress(OSError):
        for line in sys.stdin:
            request = json.loads(line)
            solve = z3.solve if request["solver"] == "z3" else second.solve_text
            try:
                outcome = solve(request["text"], request["milliseconds"])
            except ValueError as error:
                outcome = Outcome("unknown", (), str(error))
            answer = {"answer": outcome.answer, "core": outcome.core, "reason": outcome.reason}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _serve()
    os._exit(0)  # with no flush: the near end may be gone
