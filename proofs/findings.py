"""What a check found, kept from run to run: lemmas, what each cell of a proof rests on, and runs.

Finding them takes most of the time of a check; to see that they are right takes little.  So a finding
is no verdict but a hint to the next check of the same question (:mod:`.recall`): every cell is asked of
both solvers again, whose answers to just these scripts the cache has, and runs are replayed.  Only
that no shorter run violates a claim is believed, as the answer of the SAT solver that said so; what
that answer depends on is in the name of the finding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mapproof.model import language
from mapproof.model.language.design import Design
from mapproof.model.language.layout import Layout
from mapproof.model.language.property import Property
from mapproof.model.language.scope import Scope
from mapproof.model.language.solver import Outcome

from .cache import Cache, Mismatch, Mode, key_of
from .induction import Induction
from .pdr import ENGINE as PDR
from .portable import LemmaText, RunText
from .results import SAT
from .systems import fields, system_data, texts
from .trees import Malformed, tree_text

ENGINE = ("mapproof", "python-sat")  # packages
SEARCH = ("check", "findings", "recall", "sat", "search")  # modules beside the readings


@dataclass(frozen=True)
class Rests:
    """What a cell of a proof rests on: names of invariants, numbers of assumptions; and its finder."""

    hypotheses: tuple[str, ...]
    axioms: tuple[int, ...]
    found_by: str


@dataclass(frozen=True)
class Finding:
    """The lemmas of a proof and its cells, by transition and claim; by property, a shortest run that
    violates a claim, and a run that shows a ``sometimes``, with the engine that found it."""

    lemmas: tuple[LemmaText, ...] = ()
    cells: Mapping[tuple[str, str], Rests] = field(default_factory=dict)
    violated: Mapping[str, RunText] = field(default_factory=dict)
    shown: Mapping[str, tuple[RunText, str]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As it is kept."""
        data = {
            "lemmas": self.lemmas,
            "cells": [
                [*cell, rests.hypotheses, rests.axioms, rests.found_by]
                for cell, rests in self.cells.items()
            ],
            "violated": {name: run.data for name, run in self.violated.items()},
            "shown": {name: [run.data, by] for name, (run, by) in self.shown.items()},
        }
        return json.dumps(data, separators=(",", ":"))


def read_finding(text: str) -> Finding:
    """The finding of a text.  Raises Malformed."""
    try:
        lemmas, cells, violated, shown = fields(
            json.loads(text), "a finding", lemmas=list, cells=list, violated=dict, shown=dict
        )
        return Finding(
            tuple(map(_lemma, lemmas)),
            dict(map(_cell, cells)),
            {name: _run(*run) for name, run in violated.items()},
            {name: (_run(*run), _engine(by)) for name, (run, by) in shown.items()},
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed(f"this is no finding: {error}") from None


def _lemma(data: Any) -> LemmaText:
    name, clause, variables = data
    name, clause = texts([name, clause], "a lemma")
    pairs = (texts(pair, "a variable") for pair in variables)
    return name, clause, tuple((variable, sort) for variable, sort in pairs)


def _cell(data: Any) -> tuple[tuple[str, str], Rests]:
    transition, claim, hypotheses, axioms, found_by = data
    transition, claim, found_by = texts([transition, claim, found_by], "a cell")
    rests = Rests(tuple(texts(hypotheses, "a cell")), _numbers(axioms), found_by)
    return (transition, claim), rests


def _run(sizes: Any, start: Any, events: Any) -> RunText:
    names = texts(list(sizes), "the sizes of a run")
    known = dict(zip(names, _numbers(sizes.values()), strict=True))
    steps = ((texts([name], "a step")[0], _numbers(arguments)) for name, arguments in events)
    return RunText(known, _numbers(start), tuple(steps))


def _engine(name: Any) -> str:
    if name not in (SAT, PDR):
        raise Malformed("a run was found by no engine that there is")
    return str(name)


def _numbers(values: Any) -> tuple[int, ...]:
    found = tuple(values)
    if not all(type(v) is int for v in found):
        raise Malformed("something else than a number stands where one is expected")
    return found


class Findings:
    """The findings in a cache."""

    def __init__(self, kept: Cache, mode: Mode) -> None:
        self.kept = kept
        self.mode = mode

    def get(self, key: str) -> Finding | None:
        """What was found last time, if anything, and if it is not to be found again."""
        return None if self.mode is Mode.VERIFY else self._stored(key)

    def put(self, key: str, found: Finding, proof: Induction) -> None:
        """Keep what was found, and that who found a cell says that its script is unsatisfiable: that
        is what an unsat core says.  Under ``verify``, raises Mismatch if another run was the shortest.
        """
        if self.mode is Mode.VERIFY:
            self._compare(self._stored(key), found)
            return
        for cell in proof.proofs.values():
            solver = cell.found_by.partition(" ")[0]
            outcome = Outcome("unsat", (), "", cell.found_by)
            self.kept.put(key_of(solver, cell.text, 0), outcome)
        self.kept.put_finding(key, found.text)

    def _stored(self, key: str) -> Finding | None:
        text = self.kept.finding(key)
        if text is None:
            return None
        try:
            return read_finding(text)
        except Malformed:
            return None

    def _compare(self, stored: Finding | None, found: Finding) -> None:
        before = stored.violated if stored else {}
        for name in found.violated.keys() & before.keys():
            said, steps = len(before[name].events), len(found.violated[name].events)
            if said != steps:
                raise Mismatch(
                    f"the cache is wrong about {name}: it says that a shortest run has {said} "
                    f"steps, the search finds one of {steps} (in {self.kept.path})"
                )


def question(
    design: Design[Any], wanted: Sequence[Property[Any]], scope: Scope, options: Sequence[Any]
) -> str:
    """The name of what is found of some properties of a design: a hash of all that it depends on.

    Raises DesignError if the design has no machine at the scope.
    """
    system = design.system()
    claims = [*design.properties, *design.lemmas]
    whole = [
        engine(),
        system_data(system, [a.name for a in design.assumptions], [p.closed() for p in claims]),
        list(Layout(system, scope).table.values()),
        [[p.kind, p.name, tree_text(p.closed())] for p in claims],
        [p.name for p in wanted],
        {sort.__name__: scope[sort] for sort in scope},
        options,
    ]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


@cache
def engine() -> list[str]:
    """What says that a run is a shortest one, and in which version: packages and sources."""
    here = Path(__file__).parent
    own = [here / f"{name}.py" for name in SEARCH]
    readings = (path for folder in language.__path__ for path in Path(folder).glob("*.py"))
    source = hashlib.sha256()
    for path in (*own, *sorted(readings)):
        source.update(path.read_bytes())
    return [*(f"{name} {version(name)}" for name in ENGINE), source.hexdigest()]
