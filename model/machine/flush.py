"""Flush requests: what a CPU that unmaps a page remembers until everybody has answered.

A request is an IPI: it arrives whenever its target takes interrupts, which may be late, and it is not
lost.  So all that is kept is who waits for whom.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import FALSE, Bool, Locals, Map, Update, forall
from .sorts import Cpu, Frame, Va


class Flush(Locals):
    """The locals of an unmapping: the address, the page that was there, and for each CPU whether its
    answer is missing."""

    va: Map[Cpu, Va]
    frame: Map[Cpu, Frame]
    waits_for: Map[tuple[Cpu, Cpu], Bool]

    def begin(self, by: Cpu, va: Va, frame: Frame, whom: Callable[[Cpu], Bool]) -> list[Update]:
        """The entry has been cleared; the answers of some CPUs are needed."""
        asked = self.waits_for.fill(lambda b, cpu: whom(cpu), lambda b, cpu: b == by)
        return [self.va.set(by, va), self.frame.set(by, frame), asked]

    def ask_only(self, by: Cpu, whom: Callable[[Cpu], Bool]) -> Update:
        """No answer is needed of the others."""
        return self.waits_for.fill(lambda b, cpu: FALSE, lambda b, cpu: (b == by) & ~whom(cpu))

    def answer(self, by: Cpu, cpu: Cpu) -> Update:
        """A CPU has done what was asked."""
        return self.waits_for.set((by, cpu), FALSE)

    def answered(self, by: Cpu) -> Bool:
        """Everybody has."""
        return forall(Cpu, lambda cpu: ~self.waits_for[by, cpu])

    def is_about(self, by: Cpu, va: Va, frame: Frame) -> Bool:
        """The unmapping is of that page at that address."""
        return (self.va[by] == va) & (self.frame[by] == frame)
