"""Checks of restrictions of one design, as questions and answers that can go to other processes.

A process that was forked has the design, too; so what is sent are names, and plain data where things
are new: inferred lemmas, and runs, which are replayed when they arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import Design
from mapproof.model.language.parts import restricted

from .check import Options, check
from .crew import Crew
from .lemma import Lemma
from .memo import Memo
from .portable import LemmaText, Portable, ResultText, lemma_text, result_text
from .verdict import Result
from .worker import Solvers

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Question:
    """Do some claims hold of the machine with some parts, and does it do some jobs?

    thorough: as in Options; patience: how many times the time that Options give.
    """

    parts: frozenset[str]
    claims: tuple[str, ...]
    jobs: tuple[str, ...] = ()
    thorough: bool = True
    patience: int = 1


class Questions:
    """Asks about one design, in this process or in a crew of others.

    What inferred lemmas were found is offered to later questions; what comes of it does not depend
    on the number of processes.
    """

    def __init__(
        self,
        design: Design[Any],
        options: Options,
        solvers: Callable[[], Solvers],
        processes: int = 1,
        progress: Progress = lambda _: None,
    ) -> None:
        self.design = design
        self.options = options
        self.progress = progress
        self._solvers = solvers
        self._memo: Memo | None = None
        self._lemmas: dict[nodes.Node, Lemma] = {}
        self._crew = Crew(processes, self._begin) if processes > 1 else None

    def restricted(self, parts: Iterable[str]) -> Design[Any]:
        """The design with some parts: itself, with all, so that its proofs are seen to be its own."""
        some = frozenset(parts)
        every = len(some) == len(self.design.parts)
        return self.design if every else restricted(self.design, some)

    def answers(self, questions: Sequence[Question]) -> Iterator[dict[str, Result]]:
        """For each question the results by claim; lemmas are offered from one call to the next."""
        offered = list(self._lemmas.values())
        if self._crew is None:
            for question in questions:
                yield self._kept(self._ask(question, offered, self.progress))
            return
        texts = tuple(map(lemma_text, offered))
        values = self._crew.values([(question, texts) for question in questions])
        for number, (question, answer) in enumerate(zip(questions, values, strict=True), 1):
            self.progress(f"{self.design.name}: {number} of {len(questions)} questions")
            portable = Portable(self.restricted(question.parts))
            yield self._kept(map(portable.result, answer))

    def close(self) -> None:
        """End the other processes."""
        if self._crew is not None:
            self._crew.close()

    def _ask(
        self, question: Question, offered: Sequence[Lemma], progress: Progress
    ) -> list[Result]:
        """The results of one check.  The design's other claims may help to prove those asked for."""
        if self._memo is None:
            self._memo = Memo(self._solvers())
        design = self.restricted(question.parts)
        properties = [
            p for p in design.properties if p.kind != "sometimes" or p.name in question.jobs
        ]
        bare = replace(
            design,
            parts=(),
            properties=properties,
            lemmas=[*design.lemmas, *_about(design, offered)],
        ).running(design.system(), name=design.name)
        names = dict.fromkeys((*question.claims, *question.jobs))
        options = replace(
            self.options,
            only=tuple(names),
            timeout=self.options.timeout * question.patience,
            thorough=question.thorough,
            ctis=False,
            solvers=self._memo,
        )
        return check(bare, options, progress)

    def _kept(self, results: Iterable[Result]) -> dict[str, Result]:
        found = {result.property: result for result in results}
        for result in found.values():
            for lemma in result.inferred:
                name = f"found_{len(self._lemmas) + 1}"
                self._lemmas.setdefault(lemma.clause, Lemma(lemma.clause, name))
        return found

    # To other processes and back.

    @cached_property
    def _whole(self) -> Portable:
        return Portable(self.design)

    def _begin(self) -> Callable[[tuple[Question, tuple[LemmaText, ...]]], list[ResultText]]:
        def do(task: tuple[Question, tuple[LemmaText, ...]]) -> list[ResultText]:
            question, texts = task
            offered = list(map(self._whole.lemma, texts))
            return list(map(result_text, self._ask(question, offered, lambda _: None)))

        return do


def _about(design: Design[Any], lemmas: Iterable[Lemma]) -> list[Lemma]:
    """Those that speak of nothing but what the steps of a design do."""
    steps = design.system().transitions
    about = nodes.components_of(*(t.when for t in steps))
    about |= {u.component for t in steps for u in t.updates}
    return [lemma for lemma in lemmas if nodes.components_of(lemma.clause) <= about]
