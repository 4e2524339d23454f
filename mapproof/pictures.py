"""Draw page tables: a graph of tables, entries and frames as a picture or as text.

The input is a :class:`networkx.MultiDiGraph` that follows this convention:

=====  ===========  =================================================================
where  attribute    meaning
=====  ===========  =================================================================
graph  ``title``    one line: design and property
graph  ``caption``  plain words, may have several lines: which step, what is violated
node   ``label``    text, may have several lines: name, then address
node   ``kind``     ``mm``, ``cpu``, ``root``, ``table``, ``frame`` or ``address``
node   ``rank``     column, an integer: 0 mm and cpu, 1 roots, 2.. tables, last frames
node   ``mark``     optional: ``changed`` or ``violates``
edge   ``label``    the entry as text, such as ``[273] P RW NX``
edge   ``mark``     optional: ``changed``, ``violates`` or ``removed``
=====  ===========  =================================================================

Parallel edges are allowed. A node is drawn as a box with one row for each labelled edge that
leaves it, in the order in which the edges were added, so a page table looks like its slots.
Absent attributes fall back to the node's name, ``table``, column 0 and no mark.

A layered layout engine decides where boxes and lines go; what they look like is decided here. PNG
text is set in a font that comes from a wheel. So neither Graphviz nor any other system package is
needed, and a graph gives the same bytes on every machine.
"""

from __future__ import annotations

import html
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import networkx as nx

    Graph: TypeAlias = nx.MultiDiGraph[Any]

__all__ = ["SUFFIXES", "render", "to_dot"]


class _Mark(NamedTuple):
    """How one kind of emphasis looks: never by colour alone, so it survives a grey printer."""

    name: str
    sign: str
    meaning: str
    ink: str
    paper: str
    line: str  # in DOT
    dashes: str  # in SVG
    width: float


_PLAIN: Final = _Mark("plain", "", "", "#555555", "none", "solid", "none", 1.2)
_CHANGED: Final = _Mark(
    "changed", "* ", "changed by this step", "#0072B2", "#DCEDF9", "solid", "none", 2.4
)
_VIOLATES: Final = _Mark(
    "violates", "! ", "violates the property", "#C43C00", "#FFE1D1", "dashed", "9 4", 3.6
)
_REMOVED: Final = _Mark(
    "removed", "- ", "removed by this step", "#777777", "#F1F1F1", "dotted", "2 4", 2.0
)
_MARKS: Final = {mark.name: mark for mark in (_CHANGED, _VIOLATES, _REMOVED)}
_HEADS: Final = {  # colour of the heading by kind
    "mm": "#FFF0B8",
    "cpu": "#FFF0B8",
    "root": "#C9D2DC",
    "table": "#E6EAEE",
    "frame": "#DCEBD5",
    "address": "#FFFFFF",
}
_FONT: Final = "DejaVu Sans Mono,Menlo,Consolas,Liberation Mono,monospace"
_SIZE: Final = 13  # of text; all lengths are in points
_ADVANCE: Final = 0.61 * _SIZE  # from one character to the next, in the widest of these fonts
_LEADING: Final = 1.2 * _SIZE  # from one line to the next
_PAD: Final = 10.0
_CAPTION: Final = 120  # characters in a line; more would widen the picture for nothing
_OPTIONS: Final = {
    "spacing": {"layer_gap": 60.0, "node_gap": 24.0, "dummy_gap": 12.0, "port_gap": 10.0},
    "routing": {"style": "orthogonal"},
    "tuning": {"routing": {"step_flatten": 10.0}},  # with more, long lines graze boxes
}
# What XML 1.0 cannot carry.
_NOT_XML: Final = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write `graph` to `path`, in the format that the suffix names.

    The file appears complete or not at all; an older one stays as it was after a failure.

    Args:
        graph: page tables, by the convention in this module's documentation.
        path: a file ending in one of `SUFFIXES`.

    Raises:
        ValueError: the suffix, or the `kind` or `mark` of a node or edge, is unknown.
        OSError: the file cannot be written.
    """
    target = Path(path)
    make = _FORMATS.get(target.suffix.lower())
    if make is None:
        raise ValueError(f"{target.name}: not a picture format; use {', '.join(SUFFIXES)}")
    content = make(graph)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def to_dot(graph: Graph) -> str:
    """Return `graph` as text in Graphviz's DOT language, with title and caption below.

    Args:
        graph: page tables, by the convention in this module's documentation.

    Raises:
        ValueError: the `kind` or `mark` of a node or edge is unknown.
    """
    picture = _read(graph)
    return _dot(picture, "\n".join(filter(None, (picture.title, picture.caption))))


# ----------------------------------------------------------------------- what to draw


class _Row(NamedTuple):
    port: str
    text: str
    mark: _Mark


class _Box(NamedTuple):
    name: str  # a number, for a quoted name in DOT cannot end in a backslash
    kind: str
    rank: int
    mark: _Mark
    rows: list[_Row]  # the first is the heading


class _Line(NamedTuple):
    name: str
    source: _Box
    row: int
    target: _Box
    mark: _Mark


class _Picture(NamedTuple):
    title: str
    caption: str
    boxes: list[_Box]
    lines: list[_Line]

    @property
    def marks(self) -> list[_Mark]:
        """The marks that occur, in the order of the legend."""
        used = {box.mark for box in self.boxes} | {line.mark for line in self.lines}
        return [mark for mark in _MARKS.values() if mark in used]


def _read(graph: Graph) -> _Picture:
    boxes: dict[Any, _Box] = {}
    for number, (node, data) in enumerate(graph.nodes(data=True)):
        kind, mark = data.get("kind", "table"), _mark(data)
        if kind not in _HEADS:
            raise ValueError(f"node {node!r}: unknown kind {kind!r}; use {', '.join(_HEADS)}")
        head = _Row("head", mark.sign + _shown(data.get("label", node)), mark)
        boxes[node] = _Box(f"n{number}", kind, data.get("rank", 0), mark, [head])
    lines: list[_Line] = []
    for number, (source, target, data) in enumerate(graph.edges(data=True)):
        rows, mark = boxes[source].rows, _mark(data)
        label = _shown(data.get("label", ""))
        if label:
            rows.append(_Row(f"row{number}", mark.sign + label, mark))
        row = len(rows) - 1 if label else 0
        lines.append(_Line(f"e{number}", boxes[source], row, boxes[target], mark))
    title, caption = (_shown(graph.graph.get(name, "")) for name in ("title", "caption"))
    wrapped = (
        part
        for line in caption.split("\n")
        for part in textwrap.wrap(line, _CAPTION, replace_whitespace=False) or [""]
    )
    return _Picture(title, "\n".join(wrapped), list(boxes.values()), lines)


def _mark(data: Mapping[str, Any]) -> _Mark:
    name = data.get("mark")
    if name is None:
        return _PLAIN
    if name not in _MARKS:
        raise ValueError(f"unknown mark {name!r}; use {', '.join(_MARKS)}")
    return _MARKS[name]


def _shown(value: object) -> str:
    return _text(value).expandtabs(4)


def _text(value: object) -> str:
    """Return `value` as text that XML carries unchanged."""
    return _NOT_XML.sub("\ufffd", str(value).replace("\r\n", "\n").replace("\r", "\n"))


# -------------------------------------------------------------------------------- DOT


def _dot(picture: _Picture, note: str) -> str:
    return "\n".join(_statements(picture, note)) + "\n"


def _statements(picture: _Picture, note: str) -> Iterator[str]:
    yield "digraph mapproof {"
    yield '  graph [rankdir="LR", ranksep=1.0, nodesep=0.35, labeljust="l", labelloc="b",'
    yield f'    fontname="{_FONT}", fontsize={_SIZE}, label="{_quoted(note)}"];'
    yield f'  node [shape="record", fontname="{_FONT}", fontsize={_SIZE}];'
    columns: dict[int, list[str]] = {}
    for box in picture.boxes:
        columns.setdefault(box.rank, []).append(box.name)
        fields = "|".join(f"<{row.port}> {_field(row.text)}" for row in box.rows)
        yield f'  {box.name} [label="{fields}", {_look(box.mark)}];'
    for _, members in sorted(columns.items()):
        yield f'  {{ rank="same"; {"; ".join(members)}; }}'
    firsts = [members[0] for _, members in sorted(columns.items())]
    for left, right in pairwise(firsts):
        yield f'  {left} -> {right} [style="invis", weight=0];'  # keeps the columns in order
    for line in picture.lines:
        look = f'id="{line.name}", {_look(line.mark)}'
        tail, head = f":{line.source.rows[line.row].port}:e", ":head:w"
        if line.source.rank == line.target.rank:
            tail = head = ""  # within a column Graphviz loses lines between rows
        if line.source.rank >= line.target.rank:
            look += ", constraint=false"  # a line back must not move the columns
        yield f"  {line.source.name}{tail} -> {line.target.name}{head} [{look}];"
    yield "}"


def _look(mark: _Mark) -> str:
    style = "" if mark.line == "solid" else f', style="{mark.line}"'
    return f'color="{mark.ink}", penwidth={mark.width:g}{style}'


def _field(text: str) -> str:
    return _quoted(text, special=r"([\\{}|<> ])")


def _quoted(text: str, special: str = r"(\\)") -> str:
    """Return `text` for a label in quotes, every line flush left."""
    escaped = re.sub(special, r"\\\1", text).replace("&", "&amp;").replace('"', r"\"")
    return "".join(f"{line}\\l" for line in escaped.split("\n"))


# -------------------------------------------------------------------------------- SVG


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


def _lay_out(picture: _Picture) -> _Layout:
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


def _width(box: _Box) -> float:
    longest = max(len(line) for row in box.rows for line in row.text.split("\n"))
    return longest * _ADVANCE + 2 * _PAD


def _height(row: _Row) -> float:
    return (row.text.count("\n") + 1) * _LEADING + _PAD


def _svg(picture: _Picture, *, notes: bool = True) -> str:
    return "\n".join(_elements(picture, notes=notes)) + "\n"


def _elements(picture: _Picture, *, notes: bool) -> Iterator[str]:
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
        f' font-family="{_FONT}" font-size="{_SIZE}" fill="#111111">'
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


def _drawn_line(line: _Line, route: list[_Point]) -> Iterator[str]:
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


def _drawn_box(box: _Box, places: list[_Place]) -> Iterator[str]:
    yield f'<g class="node {box.kind} {box.mark.name}" id="{box.name}">'
    outer = _Place(places[0].left, places[0].top, places[-1].right, places[-1].bottom)
    yield f'{_rectangle(outer)} fill="#FFFFFF"/>'
    for number, (row, place) in enumerate(zip(box.rows, places, strict=True)):
        if number == 0:
            yield f'{_rectangle(place)} fill="{_HEADS[box.kind]}" {_stroke(_PLAIN)}/>'
        elif row.mark is not _PLAIN:
            inner = _Place(place.left + 3, place.top + 3, place.right - 3, place.bottom - 3)
            yield f'{_rectangle(inner)} fill="{row.mark.paper}" {_stroke(row.mark, 1.6)}/>'
        top = place.middle - (row.text.count("\n") + 1) * _LEADING / 2
        yield from _written(
            row.text,
            place.left + _PAD,
            top,
            weight="normal" if number else "bold",
            struck=number > 0 and row.mark is _REMOVED,
        )
    dashes = "4 3" if box.kind == "address" else box.mark.dashes
    yield f'{_rectangle(outer)} fill="none" {_stroke(box.mark._replace(dashes=dashes))}/></g>'


def _legend(marks: list[_Mark], top: float) -> Iterator[str]:
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
        y = top + number * _LEADING + 0.85 * _SIZE
        yield (
            f'<text x="{left:.2f}" y="{y:.2f}" xml:space="preserve"{bold}{look}>'
            f"{html.escape(line)}</text>"
        )


def _rectangle(place: _Place) -> str:
    return (
        f'<rect x="{place.left:.2f}" y="{place.top:.2f}" width="{place.right - place.left:.2f}"'
        f' height="{place.bottom - place.top:.2f}"'
    )


def _stroke(mark: _Mark, width: float | None = None) -> str:
    return (
        f'stroke="{mark.ink}" stroke-width="{mark.width if width is None else width:g}"'
        f' stroke-dasharray="{mark.dashes}"'
    )


# ---------------------------------------------------------------------------- formats


def _as_svg(graph: Graph) -> bytes:
    return _svg(_read(graph)).encode()


def _as_png(graph: Graph) -> bytes:
    from tempfile import TemporaryDirectory

    from pymupdf_fonts import myfont  # type: ignore[import-untyped]
    from resvg_py import svg_to_bytes

    with TemporaryDirectory() as folder:  # the rasteriser takes fonts only as files
        fonts = [Path(folder, name) for name in ("fimo", "fimbo")]  # Fira Mono and its bold
        for font in fonts:
            font.write_bytes(myfont(font.name))
        return svg_to_bytes(
            svg_string=_svg(_read(graph)),
            zoom=2,
            dpi=96,
            skip_system_fonts=True,  # they would make the bytes depend on the machine
            font_files=[str(font) for font in fonts],
            monospace_family="Fira Mono",
        )


def _as_dot(graph: Graph) -> bytes:
    return to_dot(graph).encode()


def _as_html(graph: Graph) -> bytes:
    picture = _read(graph)
    return _PAGE.format(
        title=html.escape(picture.title),
        svg=_svg(picture, notes=False),
        caption=html.escape(picture.caption),
    ).encode()


def _as_graphml(graph: Graph) -> bytes:
    import networkx as nx

    # GraphML has no None, and wants edge names that are unique in the whole file.
    plain: Graph = nx.MultiDiGraph()
    plain.graph.update(_plain(graph.graph))
    plain.add_nodes_from((_text(node), _plain(data)) for node, data in graph.nodes(data=True))
    for number, (source, target, data) in enumerate(graph.edges(data=True)):
        plain.add_edge(_text(source), _text(target), number, **_plain(data))
    return ("\n".join(nx.generate_graphml(plain)) + "\n").encode()


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool | int | float) else _text(value)
        for name, value in data.items()
        if value is not None
    }


_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em; color: #111; background: #fff; }}
h1 {{ font-size: 1.3em; }}
figure {{ margin: 0; }}
svg {{ max-width: 100%; height: auto; }}
figcaption {{ white-space: pre-wrap; line-height: 1.5; }}
</style>
</head>
<body>
<h1>{title}</h1>
<figure>
{svg}<figcaption>{caption}</figcaption>
</figure>
</body>
</html>
"""

_FORMATS: Final[Mapping[str, Callable[[Graph], bytes]]] = {
    ".svg": _as_svg,
    ".png": _as_png,
    ".dot": _as_dot,
    ".graphml": _as_graphml,
    ".html": _as_html,
}
SUFFIXES: Final = tuple(_FORMATS)
"""The file name endings that `render` knows."""
