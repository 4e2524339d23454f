"""The matrix of a design's parts as text of 80 columns, and as JSON (see ``matrix.schema.json``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from string import ascii_letters
from typing import Any

import click

from mapproof.model.language.parts import MACHINE
from mapproof.proofs.matrix import Cell, Matrix, Standing
from mapproof.proofs.trace import Trace
from mapproof.proofs.verdict import Result, Verdict

from .jsonout import VERSION, Part, result_json
from .lemma_text import Page, with_names
from .naming import Naming, call
from .text import WIDTH, counted, counterexample, established, first_sentence, fold, limits, word

SIGNS = {
    Standing.PROVED: ".",
    Standing.BROKEN: "X",
    Standing.OPEN: "?",
    Standing.OWN_DEFECT: "o",
}
MEANINGS = {
    Standing.PROVED: "proved",
    Standing.BROKEN: "broken",
    Standing.OPEN: "not settled",
    Standing.OWN_DEFECT: "broken by itself",
}
NO_LEMMAS = Page((), ())  # with a result: the texts are told once, for all of the matrix
NOT_REACHED = "-"  # of a cell, when the command was stopped before
_COLOURS = {
    Standing.PROVED: "green",
    Standing.BROKEN: "red",
    Standing.OPEN: "yellow",
    Standing.OWN_DEFECT: "magenta",
}


def matrix_text(
    found: Matrix, seconds: float, *, traces: bool = False, proofs: bool = False
) -> str:
    """The grid, then each broken cell with its runs, own defects, what is not settled, and totals.

    traces: runs in full, as ``check`` prints them; proofs: what proves each claim of each cell.
    """
    lines = [*fold(title(found), "", "  "), "", *grid(found)]
    for cell in found.of(Standing.BROKEN):
        claims = counted(sum(r.kind != "sometimes" for r in cell.results), "claim")
        said = f"{cell.row}, with {cell.column}: {len(cell.broken)} of {claims} broken"
        lines += ["", click.style(said, fg=_COLOURS[Standing.BROKEN], bold=True)]
        for result in cell.broken:
            lines += _run(result, traces=traces)
    for row in found.rows:
        own = _own_defects(found, row)
        if own:
            said = f"{row}, alone: {counted(len(own), 'claim')} broken"
            lines += ["", click.style(said, fg=_COLOURS[Standing.OWN_DEFECT], bold=True)]
            for result in own:
                lines += _run(result, traces=traces)
    for cell in found.cells.values():
        if cell.open:
            said = f"{_pair(cell)}: {counted(len(cell.open), 'claim')} not settled"
            lines += ["", click.style(said, fg=_COLOURS[Standing.OPEN], bold=True)]
            for result in cell.open:
                lines += fold(f"{result.property}: {word(result)} {established(result)}", "  ")
                lines += fold(limits(result), "      ") if limits(result) else []
    lines += ["", *_proofs(found)] if proofs else []
    return "\n".join([*lines, "", *_footing(found), *_totals(found, seconds)])


def title(found: Matrix) -> str:
    """The design, and what it is."""
    summary = first_sentence(found.design.doc)
    return f"{found.design.name}: {summary}" if summary else found.design.name


def grid(found: Matrix) -> Iterator[str]:
    """A line for each part's claims, in which the columns are the parts' operations."""
    number = len(found.columns)
    letters = dict(zip(found.columns, labels(number), strict=True))
    width = max(map(len, found.rows))
    step = 3 if 5 + width + 3 * number <= WIDTH else 2
    width = max(8, min(width, WIDTH - 5 - step * number))
    yield " " * (width + 5) + "".join(f"{letter:>{step}}" for letter in letters.values())
    for row in found.rows:
        name = row if len(row) <= width else f"{row[: width - 1]}~"
        marks = "".join(
            " " * (step - 1) + _sign(found.cells.get((row, column))) for column in found.columns
        )
        yield f"  {letters.get(row, ''):1}  {name:{width}}{marks}"
    silent = [f"{letters[c]} {c}" for c in found.columns if c not in found.rows]
    if silent:
        yield from fold(f"without claims: {', '.join(silent)}", "  ", "    ")
    yield ""
    yield "  rows: whose claims; columns: whose operations are added"
    legend = [f"{SIGNS[s]} {MEANINGS[s]}" for s in SIGNS if found.of(s)]
    legend += [] if found.complete else [f"{NOT_REACHED} not reached"]
    yield f"  {'   '.join(legend)}"


def labels(number: int) -> list[str]:
    """One letter for each column."""
    return list((ascii_letters + "0123456789" + "#" * number)[:number])


def _sign(cell: Cell | None) -> str:
    if cell is None:
        return NOT_REACHED
    return click.style(SIGNS[cell.standing], fg=_COLOURS[cell.standing], bold=True)


def _pair(cell: Cell) -> str:
    return f"{cell.row}, alone" if cell.row == cell.column else f"{cell.row}, with {cell.column}"


def _own_defects(found: Matrix, row: str) -> list[Result]:
    """What a part violates alone."""
    cells = [found.cells[key] for key in found.cells if key[0] == row]
    return [r for cell in cells[:1] for r in cell.results if r.property in cell.own]


def _run(result: Result, *, traces: bool) -> Iterator[str]:
    """A violated claim with its shortest run: every step with the part that takes it."""
    if traces:
        yield ""
        yield from counterexample(result)
        return
    yield from fold(f"{result.property}: {word(result)} {established(result)}", "  ")
    trace = result.trace
    assert trace is not None
    who = [owner(trace, event.transition.name) for event in trace.events]
    width = max(map(len, who), default=0)
    for number, (part, event) in enumerate(zip(who, trace.events, strict=True)):
        lead = f"    {number + 1:2} {part:{width}}  "
        yield from fold(call(Naming.of(trace, number), event), lead)


def owner(trace: Trace, step: str) -> str:
    """The part that a step of a run belongs to."""
    owners = (part.name for part in trace.design.parts if step in part.steps)
    return next(owners, MACHINE)


def _proofs(found: Matrix) -> Iterator[str]:
    """For each claim, what proves it where."""
    yield click.style("proofs", bold=True)
    shown: dict[tuple[str, str, str, str], list[str]] = {}
    for cell in found.cells.values():
        for result in cell.results:
            if result.verdict is Verdict.PROVED and result.kind != "sometimes":
                key = cell.row, result.property, established(result), cell.shown_in[result.property]
                shown.setdefault(key, []).append(cell.column)
    for (row, name, how, where), columns in shown.items():
        cells = ", ".join("alone" if c == row else c for c in columns)
        yield from fold(f"{row}: {name} {how}, in {where}: {cells}", "  ", "    ")


def _footing(found: Matrix) -> Iterator[str]:
    """What the verdicts rest on."""
    results = [r for cell in found.cells.values() for r in cell.results]
    proofs = [r for r in results if r.verdict is Verdict.PROVED and r.kind != "sometimes"]
    solvers = dict.fromkeys(name for r in proofs for name in r.checked_by)
    if solvers:
        yield from fold(f"proofs re-checked by: {', '.join(solvers)}", "", "  ")
    if any(r.trace is not None for r in results):
        yield "every run was replayed without a solver in its pair of parts"
    assumptions = dict.fromkeys(name for r in results for name in r.assumptions)
    if assumptions:
        yield from fold(f"assuming: {', '.join(assumptions)}", "", "  ")


def _totals(found: Matrix, seconds: float) -> Iterator[str]:
    parts = [f"{len(cells)} {MEANINGS[s]}" for s in SIGNS if (cells := found.of(s))]
    every = len(found.rows) * len(found.columns)
    if not found.complete:
        parts.append(f"{every - len(found.cells)} not reached")
    yield from fold(f"{counted(every, 'cell')}: {', '.join(parts)} in {seconds:.2f} s", "")


# JSON.


def matrix_json(matrices: Iterable[Matrix], *, interrupted: bool = False) -> str:
    """Matrices as one JSON document."""
    document: dict[str, Any] = {"version": VERSION, "matrices": [*map(_matrix, matrices)]}
    if interrupted:
        document["interrupted"] = True
    return json.dumps(document, indent=2)


def _matrix(found: Matrix) -> dict[str, Any]:
    every = [result for cell in found.cells.values() for result in cell.results]
    named, lemmas = with_names(found.design, every)
    told = iter(named)
    return {
        "design": found.design.name,
        "rows": list(found.rows),
        "columns": list(found.columns),
        "cells": [
            _cell(cell, list(islice(told, len(cell.results)))) for cell in found.cells.values()
        ],
        "inferred": [{"name": f.name, "text": f.text} for f in lemmas.functions],
    }


def _cell(cell: Cell, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "row": cell.row,
        "column": cell.column,
        "standing": str(cell.standing),
        "broken": [r.property for r in cell.broken],
        "claims": [
            {
                **result_json(result, Part([result], NO_LEMMAS)),
                "own_defect": result.property in cell.own,
                "shown_in": cell.shown_in[result.property],
                "owners": None if result.trace is None else _owners(result.trace),
            }
            for result in results
        ],
    }


def _owners(trace: Trace) -> list[str]:
    return [owner(trace, event.transition.name) for event in trace.events]
