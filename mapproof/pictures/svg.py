"""A picture as SVG: a layout engine places boxes and lines, what they look like is decided here."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from .drawing import FONT, HEADS, PLAIN, REMOVED, SIZE, Box, Line, Mark, Picture, Row

_ADVANCE: Final = 0.61 * SIZE  # from one character to the next, in the widest of these fonts
_LEADING: Final = 1.2 * SIZE  # from one line to the next
_PAD: Final = 10.0
_OPTIONS: Final = {
    "spacing": {"layer_gap": 60.0, "node_gap": 24.0, "dummy_gap": 12.0, "port_gap": 10.0},
    "routing": {"style": "orthogonal"},
    "tuning": {"routing": {"step_flatten": 10.0}},  # with more, long lines graze boxes
}

_Point: TypeAlias = tuple[float, float]


class _Place(NamedTuple):
    """The rectangle of one row."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


class _Layout(NamedTuple):
    width: float
    height: float
    places: dict[str, list[_Place]]  # the rows of each box
    routes: dict[str, list[_Point]]  # the corners of each line


def _lay_out(picture: Picture) -> _Layout:
    import graphlay

    ranks = sorted({box.rank for box in picture.boxes})
    widths = {rank: max(_width(box) for box in picture.boxes if box.rank == rank) for rank in ranks}
    graph = graphlay.Graph()
    for box in picture.boxes:
        height = sum(map(_height, box.rows))
        rank = {"fixed": ranks.index(box.rank)}
        graph.node(box.name, width=widths[box.rank], height=height, rank=rank)
    # The engine takes no line within a column; those get their route below.
    routed = [line for line in picture.lines if line.source.rank != line.target.rank]
    for line in routed:
        heights = [_height(row) for row in line.source.rows]
        middle = sum(heights[: line.row]) + heights[line.row] / 2
        leave = {"side": "right", "t": 2 * middle / sum(heights) - 1}
        graph.edge(
            line.source.name,
            line.target.name,
            source_port={"offset": leave},
            target_port={"side": "left"},
        )
    drawing = graphlay.layout(graph, options=_OPTIONS)
    left, top = drawing.bounds["min"]["x"], drawing.bounds["min"]["y"]
    places: dict[str, list[_Place]] = {}
    for box, node in zip(picture.boxes, drawing.nodes, strict=True):
        width = widths[box.rank]
        x = node["center"]["x"] - left - width / 2
        y = node["center"]["y"] - top - sum(map(_height, box.rows)) / 2
        for row in box.rows:
            place = _Place(x, y, x + width, y + _height(row))
            places.setdefault(box.name, []).append(place)
            y = place.bottom
    routes: dict[str, list[_Point]] = {}
    for line, edge in zip(routed, drawing.edges, strict=True):
        routes[line.name] = [(point["x"] - left, point["y"] - top) for point in edge["points"]]
    width = drawing.bounds["max"]["x"] - left
    for line in picture.lines:
        if line.name not in routes:
            start, end = places[line.source.name][line.row], places[line.target.name][0]
            turn = max(start.right, end.right) + 2 * _PAD
            corners = [(start.right, start.middle), (turn, start.middle)]
            corners += [(turn, end.middle), (end.right, end.middle)]
            routes[line.name] = corners
            width = max(width, turn)
    return _Layout(width, drawing.bounds["max"]["y"] - top, places, routes)


def _width(box: Box) -> float:
    longest = max(len(line) for row in box.rows for line in row.text.split("\n"))
    return longest * _ADVANCE + 2 * _PAD


def _height(row: Row) -> float:
    return (row.text.count("\n") + 1) * _LEADING + _PAD


def svg(picture: Picture, *, notes: bool = True) -> str:
    return "\n".join(_elements(picture, notes=notes)) + "\n"


def _elements(picture: Picture, *, notes: bool) -> Iterator[str]:
    layout = _lay_out(picture)
    title, caption = (picture.title, picture.caption) if notes else ("", "")
    body = list(_legend(picture.marks, layout.height + 2 * _PAD))
    foot = layout.height + (2 * _PAD + _LEADING if body else 0)
    body += _written(caption, 0, foot + 2 * _PAD)
    above = 2 * _PAD + (title.count("\n") + 1) * _LEADING if title else 0
    below = foot + 2 * _PAD + (caption.count("\n") + 1) * _LEADING if caption else foot
    sample = max((len(mark.sign + mark.meaning) for mark in picture.marks), default=0)
    texts = [_ADVANCE * len(line) for line in f"{title}\n{caption}".split("\n")]
    legend = len(picture.marks) * _step(sample)
    width = max(layout.width, legend, *texts) + 4 * _PAD
    height = above + below + 4 * _PAD

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}"'
        f' height="{height:.0f}"'
        f' viewBox="{-2 * _PAD:g} {-2 * _PAD - above:.2f} {width:.2f} {height:.2f}"'
        f' font-family="{FONT}" font-size="{SIZE}" fill="#111111">'
    )
    yield f"<title>{html.escape(picture.title)}</title>"
    yield (
        f'<rect x="{-2 * _PAD:g}" y="{-2 * _PAD - above:.2f}" width="{width:.2f}"'
        f' height="{height:.2f}" fill="#FFFFFF"/>'
    )
    yield from _written(title, 0, -above, weight="bold")
    # What is marked goes on top of what is not.
    for line in sorted(picture.lines, key=lambda line: line.mark.width):
        yield from _drawn_line(line, layout.routes[line.name])
    for box in picture.boxes:
        yield from _drawn_box(box, layout.places[box.name])
    yield from body
    yield "</svg>"


def _drawn_line(line: Line, route: list[_Point]) -> Iterator[str]:
    mark = line.mark
    (before, _), (x, y) = route[-2:]
    back = 11.0 if before < x else -11.0  # a line arrives from the left, or from the right
    half = 3.5 + mark.width / 2
    points = " ".join(f"{a:.2f},{b:.2f}" for a, b in (*route[:-1], (x - back / 2, y)))
    path = f'<polyline points="{points}" fill="none" stroke-linejoin="round"'
    hover = f"{line.source.rows[line.row].text} -> {line.target.rows[0].text}"
    yield f'<g class="edge {mark.name}" id="{line.name}"><title>{html.escape(hover)}</title>'
    # A white rim keeps crossing lines apart.
    yield f'{path} stroke="#FFFFFF" stroke-width="{mark.width + 3:g}"/>'
    yield f"{path} {_stroke(mark)}/>"
    yield (
        f'<path d="M{x:.2f},{y:.2f} l{-back:g},{half:g} v{-2 * half:g} z" fill="{mark.ink}"/></g>'
    )


def _drawn_box(box: Box, places: list[_Place]) -> Iterator[str]:
    yield f'<g class="node {box.kind} {box.mark.name}" id="{box.name}">'
    outer = _Place(places[0].left, places[0].top, places[-1].right, places[-1].bottom)
    yield f'{_rectangle(outer)} fill="#FFFFFF"/>'
    for number, (row, place) in enumerate(zip(box.rows, places, strict=True)):
        if number == 0:
            yield f'{_rectangle(place)} fill="{HEADS[box.kind]}" {_stroke(PLAIN)}/>'
        elif row.mark is not PLAIN:
            inner = _Place(place.left + 3, place.top + 3, place.right - 3, place.bottom - 3)
            yield f'{_rectangle(inner)} fill="{row.mark.paper}" {_stroke(row.mark, 1.6)}/>'
        top = place.middle - (row.text.count("\n") + 1) * _LEADING / 2
        yield from _written(
            row.text,
            place.left + _PAD,
            top,
            weight="normal" if number else "bold",
            struck=number > 0 and row.mark is REMOVED,
        )
    dashes = "4 3" if box.kind == "address" else box.mark.dashes
    yield f'{_rectangle(outer)} fill="none" {_stroke(box.mark._replace(dashes=dashes))}/></g>'


def _legend(marks: list[Mark], top: float) -> Iterator[str]:
    longest = max((len(mark.sign + mark.meaning) for mark in marks), default=0)
    for number, mark in enumerate(marks):
        left = number * _step(longest)
        middle = top + _LEADING / 2
        end = left + 4 * _PAD
        yield f'<path d="M{left:.2f},{middle:.2f} H{end:.2f}" {_stroke(mark)}/>'
        yield from _written(mark.sign + mark.meaning, end + _PAD, top)


def _step(longest: int) -> float:
    """Return the distance from one sample of the legend to the next."""
    return longest * _ADVANCE + 9 * _PAD


def _written(
    text: str, left: float, top: float, *, weight: str = "normal", struck: bool = False
) -> Iterator[str]:
    """Return `text` line by line; of bold text only the first line is bold."""
    if not text:
        return
    look = ' text-decoration="line-through"' if struck else ""
    for number, line in enumerate(text.split("\n")):
        bold = ' font-weight="bold"' if weight == "bold" and not number else ""
        y = top + number * _LEADING + 0.85 * SIZE
        yield (
            f'<text x="{left:.2f}" y="{y:.2f}" xml:space="preserve"{bold}{look}>'
            f"{html.escape(line)}</text>"
        )


def _rectangle(place: _Place) -> str:
    return (
        f'<rect x="{place.left:.2f}" y="{place.top:.2f}" width="{place.right - place.left:.2f}"'
        f' height="{place.bottom - place.top:.2f}"'
    )


def _stroke(mark: Mark, width: float | None = None) -> str:
    return (
        f'stroke="{mark.ink}" stroke-width="{mark.width if width is None else width:g}"'
        f' stroke-dasharray="{mark.dashes}"'
    )
