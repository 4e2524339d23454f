"""Long work that Ctrl-C can always stop.

Solvers run for seconds inside C code, where Python does not see the key.  So the work is done by a
thread, and the main thread does nothing but wait for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import NoReturn, TypeVar

T = TypeVar("T")

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def interruptible(work: Callable[[], T]) -> T:
    """The value of ``work()``, or what it raises; raises KeyboardInterrupt at Ctrl-C at once."""
    done: SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:
            done.put((None, error))

    Thread(target=run, daemon=True).start()
    value, error = done.get()
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def leave(code: int) -> NoReturn:
    """End the program without waiting for a solver that is still at work."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)
