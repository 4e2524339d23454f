"""The matrix of a design's parts as a picture."""

from __future__ import annotations

from mapproof.proofs.matrix import Cell, Matrix, Standing
from mapproof.proofs.verdict import Result

from .matrix_text import MEANINGS, title
from .naming import Naming, call
from .pictures.grid import Grid, Shade, Square
from .text import counted, established, word

_SHADES = {
    Standing.PROVED: Shade("", MEANINGS[Standing.PROVED], "#2E6B2E", "#DCEBD5"),
    Standing.BROKEN: Shade("X", MEANINGS[Standing.BROKEN], "#7A1F00", "#FFC4A8"),
    Standing.OPEN: Shade("?", MEANINGS[Standing.OPEN], "#6A5500", "#FFF0B8"),
    Standing.OWN_DEFECT: Shade("o", MEANINGS[Standing.OWN_DEFECT], "#4A2D73", "#E0D3EE"),
}
_CAPTION = """Rows: whose properties. Columns: whose operations are added.
A broken cell names the property that breaks. A framed cell is a system alone:
what it breaks itself is not blamed on the others."""
_RUNS = "\nOf each row, the shortest run that breaks one of its cells:"


def picture(found: Matrix) -> Grid:
    """The grid, and below it for each row the shortest run that breaks one of its cells."""
    squares = {key: _square(cell) for key, cell in found.cells.items()}
    broken: dict[str, list[tuple[Cell, Result]]] = {}
    for cell in found.of(Standing.BROKEN):
        broken.setdefault(cell.row, []).extend((cell, result) for result in cell.broken)
    shortest = [min(runs, key=lambda run: run[1].depth or 0) for runs in broken.values()]
    return Grid(
        title=title(found),
        caption=_CAPTION + (_RUNS if shortest else ""),
        rows=list(found.rows),
        columns=list(found.columns),
        squares=squares,
        notes=[_note(cell, result) for cell, result in shortest],
    )


def _square(cell: Cell) -> Square:
    shade = _SHADES[cell.standing]
    named = [r.property for r in (cell.broken or cell.open)]
    if cell.row == cell.column and cell.own:
        named = sorted(cell.own)
    more = f" +{len(named) - 1}" if len(named) > 1 else ""
    said = f"{named[0]}{more}" if named else ""
    lines = [f"{cell.row} with {cell.column}: {MEANINGS[cell.standing]}"]
    lines += [f"{r.property}: {word(r)} {established(r)}".rstrip() for r in cell.results]
    return Square(shade, said, "\n".join(lines))


def _note(cell: Cell, result: Result) -> tuple[str, str]:
    trace = result.trace
    assert trace is not None
    steps = [call(Naming.of(trace, n), event) for n, event in enumerate(trace.events)]
    depth = counted(len(steps), "step")
    return f"{cell.row} with {cell.column}: {result.property} broken in {depth}", "; ".join(steps)
