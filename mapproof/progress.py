"""One line on standard error that says what is being done, where someone can see it."""

from __future__ import annotations

import sys
from time import monotonic

EVERY = 0.1  # seconds between two updates
WIDTH = 79


class Progress:
    """A line that is overwritten; nothing at all unless standard error is a terminal."""

    def __init__(self) -> None:
        self._active = sys.stderr.isatty()
        self._last = 0.0
        self._shown = False

    def __call__(self, text: str) -> None:
        """Show what is being done, unless the last update was a moment ago."""
        now = monotonic()
        if not self._active or now - self._last < EVERY:
            return
        self._last, self._shown = now, True
        sys.stderr.write(f"\r\x1b[K{text[:WIDTH]}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
