"""Processes that do the same kind of task side by side, forked from this one.

A task and its value go through a pipe; whatever else a task needs, the process has because it was
forked after that was made.  So fork early: before there are threads whose locks could be held.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from mapproof.model.language.errors import DesignError

from .worker import shared

Task = TypeVar("Task")
Value = TypeVar("Value")
PATIENCE = 2.0  # seconds for a process to end its solvers


class Crew(Generic[Task, Value]):
    """Some processes that do tasks; each calls ``begin`` once for the function that does them."""

    def __init__(self, number: int, begin: Callable[[], Callable[[Task], Value]]) -> None:
        fork = multiprocessing.get_context("fork")
        self._processes: dict[Any, Any] = {}  # by the end of the pipe to each
        self._doing: dict[Any, int] = {}
        for _ in range(number):
            near, far = fork.Pipe()
            others = [*self._processes, near]
            process = fork.Process(target=_serve, args=(far, others, begin), daemon=True)
            process.start()
            far.close()
            self._processes[near] = process

    def values(self, tasks: Sequence[Task]) -> Iterator[Value]:
        """The values of tasks, in their order.  Raises what the first of them that fails raised."""
        todo = iter(enumerate(tasks))
        doing, done = self._doing, dict[int, Any]()
        for end in self._processes:
            self._give(end, todo)
        for number in range(len(tasks)):
            while number not in done:
                ready: list[Any] = wait(list(doing))
                for end in ready:
                    done[doing.pop(end)] = end.recv()
                    self._give(end, todo)
            value, error = done.pop(number)
            if error is not None:
                raise error
            yield value

    def _give(self, end: Any, todo: Iterator[tuple[int, Task]]) -> None:
        following = next(todo, None)
        if following is not None:
            self._doing[end], task = following
            end.send(task)

    def close(self) -> None:
        """End the processes: they see that nobody asks any more.  Waits for those that do nothing."""
        for end in self._processes:
            end.close()
        for end, process in self._processes.items():
            if end not in self._doing:
                process.join(PATIENCE)


def _serve(
    end: Connection, others: Sequence[Any], begin: Callable[[], Callable[[Any], Any]]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nobody is left to ask
    for other in others:
        other.close()
    shared.cache_clear()
    do = begin()
    with suppress(EOFError, OSError):
        while True:
            task = end.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = do(task), None
            except DesignError as error:
                answer = None, error
            except Exception as error:
                answer = None, RuntimeError(f"{type(error).__name__}: {error}")
            end.send(answer)
    shared().close()
