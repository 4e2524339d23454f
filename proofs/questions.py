"""Checks of restrictions of one design, as questions and answers that can go to other processes.

A process that was forked has the design, too; so what is sent are names, and text where things are
new: inferred lemmas as terms, runs as events.  Runs are replayed when they arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.concrete import Event, Machine, State
from mapproof.model.language.design import Design
from mapproof.model.language.parts import restricted
from mapproof.model.language.scope import Scope

from .check import Options, check
from .crew import Crew
from .lemma import Lemma
from .memo import Memo
from .trace import Trace, rerun
from .trees import Reader, sort_text, tree_text
from .verdict import Result
from .worker import Solvers

Progress = Callable[[str], None]
LemmaText = tuple[str, str, tuple[tuple[str, str], ...]]  # name, clause, its variables and sorts


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


@dataclass(frozen=True)
class _Run:
    sizes: dict[str, int]
    start: State
    events: tuple[tuple[str, tuple[int, ...]], ...]


_Answer = list[tuple[Result, _Run | None, tuple[LemmaText, ...]]]


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
        texts = tuple(map(_lemma_text, offered))
        values = self._crew.values([(question, texts) for question in questions])
        for number, (question, answer) in enumerate(zip(questions, values, strict=True), 1):
            self.progress(f"{self.design.name}: {number} of {len(questions)} questions")
            yield self._kept(self._read(question, answer))

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

    def _begin(self) -> Callable[[tuple[Question, tuple[LemmaText, ...]]], _Answer]:
        def do(task: tuple[Question, tuple[LemmaText, ...]]) -> _Answer:
            question, texts = task
            offered = [self._lemma(text) for text in texts]
            return [
                (
                    result.but(trace=None, cti=None, inferred=()),
                    None if result.trace is None else _run(result.trace),
                    tuple(map(_lemma_text, result.inferred)),
                )
                for result in self._ask(question, offered, lambda _: None)
            ]

        return do

    def _read(self, question: Question, answer: _Answer) -> Iterator[Result]:
        design = self.restricted(question.parts)
        for result, run, lemmas in answer:
            trace = None if run is None else self._trace(design, result.property, run)
            yield result.but(trace=trace, inferred=tuple(map(self._lemma, lemmas)))

    def _trace(self, design: Design[Any], name: str, run: _Run) -> Trace:
        scope = Scope({self._reader.sorts[sort]: size for sort, size in run.sizes.items()})
        machine = Machine(design.system(), scope)
        transitions = {t.name: t for t in design.system().transitions}
        events = [Event(transitions[step], arguments) for step, arguments in run.events]
        return rerun(design, design.property_named(name), machine, run.start, events)

    def _lemma(self, text: LemmaText) -> Lemma:
        name, clause, variables = text
        named = [nodes.var(self._reader.sort(sort), variable) for variable, sort in variables]
        return Lemma(self._reader.tree(clause, named), name)

    @cached_property
    def _reader(self) -> Reader:
        components = self.design.system().components
        sorts: list[Any] = [sort for c in components for sort in (*c.keys, c.value)]
        bases = (sort.base if isinstance(sort, nodes.OptOf) else sort for sort in sorts)
        named = {base.__name__: base for base in (*bases, *self.design.sorts)}
        named.pop(nodes.BOOL.__name__, None)
        return Reader(named, components)


def _about(design: Design[Any], lemmas: Iterable[Lemma]) -> list[Lemma]:
    """Those that speak of nothing but what the steps of a design do."""
    steps = design.system().transitions
    about = nodes.components_of(*(t.when for t in steps))
    about |= {u.component for t in steps for u in t.updates}
    return [lemma for lemma in lemmas if nodes.components_of(lemma.clause) <= about]


def _lemma_text(lemma: Lemma) -> LemmaText:
    variables = tuple((str(v.data), sort_text(v.sort)) for v in lemma.clause.variables)
    return lemma.name, tree_text(lemma.clause), variables


def _run(trace: Trace) -> _Run:
    scope = trace.machine.scope
    sizes = {sort.__name__: scope[sort] for sort in scope}
    events = tuple((event.transition.name, event.arguments) for event in trace.events)
    return _Run(sizes, trace.states[0], events)
