"""A matrix as SVG: a square for each pair, its colour and sign say what became of it."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator
from typing import Final, NamedTuple

from .drawing import FONT, SIZE, text


class Shade(NamedTuple):
    """How one kind of cell looks: never by colour alone, so it survives a grey printer."""

    sign: str
    meaning: str
    ink: str
    paper: str


class Square(NamedTuple):
    """A cell: its shade, a few words in it, and what a pointer that rests on it is told."""

    shade: Shade
    said: str
    hover: str


class Grid(NamedTuple):
    """What a picture of a matrix shows; the caption is below, the notes tell of each broken cell."""

    title: str
    caption: str
    rows: list[str]
    columns: list[str]
    squares: dict[tuple[str, str], Square]
    notes: list[tuple[str, str]]  # a heading, and its text


_ADVANCE: Final = 0.61 * SIZE
_LEADING: Final = 1.25 * SIZE
_SMALL: Final = 10  # text within squares and notes
_PAD: Final = 12.0
_SIDE: Final = 84.0  # of a square
_HIGH: Final = 48.0
_CHARACTERS: Final = 13  # of a line within a square
_LINES: Final = 4
_NOTE: Final = 130  # characters of a line of the notes


def grid_svg(grid: Grid, *, captioned: bool = True) -> str:
    """The picture as text; without caption, for a page that has it elsewhere."""
    left = max((len(name) for name in grid.rows), default=0) * _ADVANCE + _PAD
    tilt = max((len(name) for name in grid.columns), default=0) * _ADVANCE * 0.71 + 2 * _PAD
    right = left + _SIDE * len(grid.columns)
    body = list(_body(grid, left, tilt))
    bottom = tilt + _HIGH * len(grid.rows) + 2 * _PAD
    legend, bottom = _legend(grid, bottom)
    below, bottom = _below(grid, bottom, captioned=captioned)
    above = _LEADING + 2 * _PAD if captioned else _PAD
    texts = [len(grid.title) * _ADVANCE]
    texts += [len(line) * _ADVANCE for line in grid.caption.split("\n") if captioned]
    notes = [line for note in grid.notes for line in (note[0], *textwrap.wrap(note[1], _NOTE))]
    texts += [_PAD + len(line) * 0.61 * _SMALL for line in notes]
    widest = max([right + tilt, *texts])
    width, height = widest + 2 * _PAD, bottom + above + _PAD
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}"'
        f' height="{height:.0f}" viewBox="{-_PAD:g} {-above:g} {width:.2f} {height:.2f}"'
        f' font-family="{FONT}" font-size="{SIZE}" fill="#111111">',
        f"<title>{_safe(grid.title)}</title>",
        f'<rect x="{-_PAD:g}" y="{-above:g}" width="{width:.2f}" height="{height:.2f}"'
        ' fill="#FFFFFF"/>',
    ]
    if captioned:
        head.append(_text(grid.title, 0, -above + _PAD + SIZE, bold=True))
    return "\n".join([*head, *body, *legend, *below, "</svg>"]) + "\n"


def _body(grid: Grid, left: float, top: float) -> Iterator[str]:
    for number, name in enumerate(grid.columns):
        x = left + _SIDE * (number + 0.5)
        yield (
            f'<text transform="translate({x:.2f},{top - 6:.2f}) rotate(-45)">{_safe(name)}</text>'
        )
    for down, row in enumerate(grid.rows):
        y = top + _HIGH * down
        yield (
            f'<text x="{left - _PAD:.2f}" y="{y + _HIGH / 2 + SIZE / 3:.2f}"'
            f' text-anchor="end">{_safe(row)}</text>'
        )
        for across, column in enumerate(grid.columns):
            square = grid.squares.get((row, column))
            if square is not None:
                yield from _square(square, left + _SIDE * across, y, alone=row == column)


def _square(square: Square, x: float, y: float, *, alone: bool) -> Iterator[str]:
    shade = square.shade
    edge = ' stroke="#111111" stroke-width="2.4"' if alone else ' stroke="#FFFFFF"'
    inset = 1.5 if alone else 0.0
    yield f"<g><title>{_safe(square.hover)}</title>"
    yield (
        f'<rect x="{x + inset:.2f}" y="{y + inset:.2f}" width="{_SIDE - 2 * inset:.2f}"'
        f' height="{_HIGH - 2 * inset:.2f}" fill="{shade.paper}"{edge}/>'
    )
    lines = _cut(square.said) if square.said else [shade.sign]
    size = _SMALL if square.said else SIZE
    first = y + _HIGH / 2 - (len(lines) - 1) * size * 1.1 / 2 + size / 3
    for number, line in enumerate(lines):
        yield (
            f'<text x="{x + _SIDE / 2:.2f}" y="{first + number * size * 1.1:.2f}"'
            f' text-anchor="middle" font-size="{size}" fill="{shade.ink}">{_safe(line)}</text>'
        )
    yield "</g>"


def _cut(said: str) -> list[str]:
    """A name with underscores on a few short lines."""
    lines = textwrap.wrap(said.replace("_", " "), _CHARACTERS)
    return lines if len(lines) <= _LINES else [*lines[: _LINES - 1], lines[_LINES - 1][:10] + "..."]


def _legend(grid: Grid, top: float) -> tuple[list[str], float]:
    shades = dict.fromkeys(square.shade for square in grid.squares.values())
    lines: list[str] = []
    x = 0.0
    for shade in shades:
        lines.append(
            f'<rect x="{x:.2f}" y="{top:.2f}" width="{2 * SIZE}" height="{1.2 * SIZE:.2f}"'
            f' fill="{shade.paper}"/>'
        )
        lines.append(
            f'<text x="{x + SIZE:.2f}" y="{top + SIZE:.2f}" text-anchor="middle"'
            f' fill="{shade.ink}">{_safe(shade.sign)}</text>'
        )
        lines.append(_text(shade.meaning, x + 2.6 * SIZE, top + SIZE))
        x += 2.6 * SIZE + (len(shade.meaning) + 3) * _ADVANCE
    return lines, top + 2 * _LEADING


def _below(grid: Grid, top: float, *, captioned: bool) -> tuple[list[str], float]:
    lines: list[str] = []
    if captioned:
        for line in grid.caption.split("\n"):
            lines.append(_text(line, 0, top + SIZE))
            top += _LEADING
        top += _PAD
    for heading, said in grid.notes:
        for number, line in enumerate([heading, *textwrap.wrap(said, _NOTE)]):
            lines.append(
                _text(line, _PAD * bool(number), top + _SMALL, bold=not number, size=_SMALL)
            )
            top += 1.25 * _SMALL
        top += 0.5 * _SMALL
    return lines, top


def _text(said: str, x: float, y: float, *, bold: bool = False, size: int = SIZE) -> str:
    weight = ' font-weight="bold"' if bold else ""
    small = "" if size == SIZE else f' font-size="{size}"'
    return f'<text x="{x:.2f}" y="{y:.2f}" xml:space="preserve"{weight}{small}>{_safe(said)}</text>'


def _safe(said: str) -> str:
    return html.escape(text(said))
