"""Processes that solve scripts, so that a crash, or a solver that ignores its limits, costs one answer.

No solver runs in the main process.  Two workers are enough: one for the prover and one for the solver
that re-checks; either takes what the other leaves.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Protocol

from mapproof.model.language.solver import Outcome

FAR_END = str(Path(__file__).with_name("solving.py"))
DEBUG = "MAPPROOF_DEBUG"
MEGABYTES = 4096  # of address space, for each worker
GRACE = 2.0  # seconds by which a solver may overrun its limit before it is killed
STARTS = 10  # processes in a row that may die before they take the script
START = 30.0  # seconds that a new process may take to load its solver
OUT_OF_TIME = Outcome("unknown", (), "time limit")
# Each script is solved from scratch; without these the memory goes back to the system in between, and
# to get it again costs a fifth of the time.  (glibc; elsewhere nobody looks at them.)
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(1 << 28), "MALLOC_MMAP_THRESHOLD_": str(1 << 28)}
NOW, SOON, RECHECK = range(3)  # ranks of scripts
DIED = Outcome("unknown", (), "worker died")


class _Died(Exception):
    """The process is gone: with a script at hand, or before it took one."""

    def __init__(self, *, over_a_script: bool) -> None:
        self.over_a_script = over_a_script


class Worker:
    """The near end of one process: starts it at once, and again whenever it has died."""

    def __init__(self, first: str = "z3", megabytes: int = MEGABYTES) -> None:
        self.first = first  # the solver to load at once
        self.megabytes = megabytes
        self._closed = self._given_up = False
        self._fresh = True
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._fresh = True
        return subprocess.Popen(
            [sys.executable, "-P", FAR_END, str(self.megabytes), self.first],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get(DEBUG) else subprocess.DEVNULL,
            bufsize=0,
            env=os.environ | MALLOC,
            process_group=0,  # Ctrl-C is for the near end
        )

    @property
    def pid(self) -> int:
        """The process that is at work now."""
        return self._process.pid

    def solve(self, solver: str, text: str, milliseconds: int, effort: int = 0) -> Outcome:
        """Solve one script; "unknown" if the process dies over it twice, or overruns its limit."""
        request = {"solver": solver, "text": text, "milliseconds": milliseconds, "effort": effort}
        line = json.dumps(request).encode() + b"\n"
        self._given_up = False
        started = monotonic()
        deaths = starts = 0
        while deaths < 2 and starts < STARTS and not (self._closed or self._given_up):
            if self._process.poll() is not None:
                self._restart()
            try:
                answer = json.loads(self._exchange(line, milliseconds / 1000))
            except TimeoutError:
                self._restart()
                return OUT_OF_TIME
            except _Died as death:
                deaths += death.over_a_script
                starts += 1
                self._end()
                continue
            reason = answer["reason"]
            if answer["answer"] == "unknown" and monotonic() - started >= milliseconds / 1000:
                reason = OUT_OF_TIME.reason  # the solvers have several words for it
            return Outcome(answer["answer"], tuple(answer["core"]), reason, answer["solver"])
        return DIED

    def _exchange(self, line: bytes, seconds: float) -> bytes:
        """Send a script; the answer.  The far end says first that it has the script."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = monotonic() + seconds + GRACE + (START if self._fresh else 0)
        reply = bytearray()
        ready = select.poll()
        ready.register(process.stdout, select.POLLIN)
        try:
            left = memoryview(line)
            while left:
                left = left[process.stdin.write(left) or 0 :]
            while reply.count(b"\n") < 2:
                if not ready.poll(max(0, int(1000 * (deadline - monotonic())))):
                    raise TimeoutError
                some = os.read(process.stdout.fileno(), 1 << 16)
                if not some:
                    raise _Died(over_a_script=bool(reply))
                reply += some
                self._fresh = False
        except TimeoutError:
            raise
        except (OSError, ValueError):  # a closed pipe
            raise _Died(over_a_script=bool(reply)) from None
        return bytes(reply.partition(b"\n")[2])

    def _restart(self) -> None:
        self._end()
        self._process = self._start()

    def kill(self) -> None:
        """Give up on what it is doing; a later script gets a new process."""
        self._given_up = True
        self._process.kill()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        process = self._process
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class _Task:
    """A script, who is to solve it, and until when."""

    def __init__(self, solver: str, text: str, deadline: float, effort: int) -> None:
        self.solver, self.text, self.deadline, self.effort = solver, text, deadline, effort
        self.future: Future[Outcome] = Future()

    def run(self, worker: Worker) -> None:
        if self.future.set_running_or_notify_cancel():
            left = int(1000 * (self.deadline - monotonic()))
            try:
                self.future.set_result(
                    worker.solve(self.solver, self.text, left, self.effort)
                    if left > 0
                    else OUT_OF_TIME
                )
            except BaseException as error:
                self.future.set_exception(error)


class Solvers(Protocol):
    """What provers ask: a pool, or one that remembers."""

    def submit(
        self, solver: str, text: str, deadline: float, effort: int = 0, rank: int = RECHECK
    ) -> Future[Outcome]:
        """Have a script solved until ``deadline``, a value of time.monotonic()."""
        ...

    def drop(self, futures: Iterable[Future[Outcome]]) -> None:
        """Give up on scripts, also on those that are being solved."""
        ...


class Pool:
    """Some workers, and the scripts that wait for them.

    Scripts come in three ranks: those that a prover waits for, those that it will wait for, and those
    that are re-checked.
    """

    def __init__(self, size: int = 2, megabytes: int = MEGABYTES) -> None:
        self.workers = [Worker("cvc5" if n else "z3", megabytes) for n in range(size)]
        self._waiting: tuple[deque[_Task], ...] = (deque(), deque(), deque())
        self._running: dict[int, _Task] = {}
        self._changed = Condition()
        self._closed = False
        for number in range(size):
            Thread(target=self._serve, args=(number,), daemon=True).start()

    def submit(
        self, solver: str, text: str, deadline: float, effort: int = 0, rank: int = RECHECK
    ) -> Future[Outcome]:
        """Have a script solved until ``deadline``, a value of time.monotonic()."""
        task = _Task(solver, text, deadline, effort)
        with self._changed:
            self._waiting[rank].append(task)
            self._changed.notify()
        return task.future

    def drop(self, futures: Iterable[Future[Outcome]]) -> None:
        """Give up on scripts, also on those that are being solved."""
        gone = {id(f) for f in futures if not f.cancel() and not f.done()}
        with self._changed:
            for number, task in self._running.items():
                if id(task.future) in gone:
                    task.deadline = 0
                    self.workers[number].kill()

    def close(self) -> None:
        """End all workers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self.workers:
            worker.close()

    def _serve(self, number: int) -> None:
        while (task := self._next(number)) is not None:
            task.run(self.workers[number])
            with self._changed:
                self._running.pop(number, None)

    def _next(self, number: int) -> _Task | None:
        with self._changed:
            while not self._closed:
                for queue in self._waiting:
                    if queue:
                        self._running[number] = queue.popleft()
                        return self._running[number]
                self._changed.wait()
        return None


@cache
def shared() -> Pool:
    """The workers of this process; the first call starts them."""
    pool = Pool()
    atexit.register(pool.close)
    return pool
