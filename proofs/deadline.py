"""Time limits for work that a process does itself."""

from __future__ import annotations

from time import monotonic, thread_time

WAITING = 4  # seconds on the clock for one of work


class Deadline:
    """So many seconds of this thread's own work: what comes of it should not depend on how busy the
    machine is.  For the user's sake no more than a few times as many on the clock."""

    def __init__(self, seconds: float) -> None:
        self._work = thread_time() + seconds
        self.clock = monotonic() + WAITING * seconds
        """The last moment, as a value of time.monotonic()."""

    @property
    def passed(self) -> bool:
        """The time is up."""
        return thread_time() > self._work or monotonic() > self.clock
