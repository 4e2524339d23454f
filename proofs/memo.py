"""Answers of solvers, remembered for as long as a command runs.

Several checks of restrictions of one design ask many questions in the same words: a cell of the grid
is one transition and one claim, whatever else the design has.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future

from mapproof.model.language.solver import Outcome

from .cache import DEFINITE, without_comments
from .worker import RECHECK, Solvers


class Memo:
    """Solvers that are asked each question once; only definite answers are remembered."""

    def __init__(self, solvers: Solvers) -> None:
        self.solvers = solvers
        self.hits = 0
        self._known: dict[tuple[str, str, int], Outcome] = {}

    def submit(
        self, solver: str, text: str, deadline: float, effort: int = 0, rank: int = RECHECK
    ) -> Future[Outcome]:
        """As of a Pool."""
        question = solver, without_comments(text), effort
        known = self._known.get(question)
        if known is not None:
            self.hits += 1
            answered: Future[Outcome] = Future()
            answered.set_result(known)
            return answered
        asked = self.solvers.submit(solver, text, deadline, effort, rank)

        def remember(future: Future[Outcome]) -> None:
            if not future.cancelled() and future.exception() is None:
                outcome = future.result()
                if outcome.answer in DEFINITE:
                    self._known[question] = outcome

        asked.add_done_callback(remember)
        return asked

    def drop(self, futures: Iterable[Future[Outcome]]) -> None:
        """As of a Pool."""
        self.solvers.drop(futures)
