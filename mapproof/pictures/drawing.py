"""What a picture shows: boxes, rows and lines read off a graph, and how emphasis looks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import networkx as nx

    Graph: TypeAlias = nx.MultiDiGraph[Any]


class Mark(NamedTuple):
    """How one kind of emphasis looks: never by colour alone, so it survives a grey printer."""

    name: str
    sign: str
    meaning: str
    ink: str
    paper: str
    line: str  # in DOT
    dashes: str  # in SVG
    width: float


PLAIN: Final = Mark("plain", "", "", "#555555", "none", "solid", "none", 1.2)
CHANGED: Final = Mark(
    "changed", "* ", "changed by this step", "#0072B2", "#DCEDF9", "solid", "none", 2.4
)
VIOLATES: Final = Mark(
    "violates", "! ", "violates the property", "#C43C00", "#FFE1D1", "dashed", "9 4", 3.6
)
BREAKS: Final = Mark(  # of what is not known to happen: nobody may take it for a violation
    "breaks", "? ", "would break the property", "#6A3D9A", "#EDE3F6", "dashed", "3 3", 3.0
)
REMOVED: Final = Mark(
    "removed", "- ", "removed by this step", "#777777", "#F1F1F1", "dotted", "2 4", 2.0
)
MARKS: Final = {mark.name: mark for mark in (CHANGED, VIOLATES, BREAKS, REMOVED)}
HEADS: Final = {  # colour of the heading by kind
    "mm": "#FFF0B8",
    "cpu": "#FFF0B8",
    "root": "#C9D2DC",
    "table": "#E6EAEE",
    "frame": "#DCEBD5",
    "address": "#FFFFFF",
}
FONT: Final = "DejaVu Sans Mono,Menlo,Consolas,Liberation Mono,monospace"
SIZE: Final = 13  # of text; all lengths are in points
_CAPTION: Final = 120  # characters in a line; more would widen the picture for nothing
# What XML 1.0 cannot carry.
_NOT_XML: Final = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Row(NamedTuple):
    port: str
    text: str
    mark: Mark


class Box(NamedTuple):
    name: str  # a number, for a quoted name in DOT cannot end in a backslash
    kind: str
    rank: int
    mark: Mark
    rows: list[Row]  # the first is the heading


class Line(NamedTuple):
    name: str
    source: Box
    row: int
    target: Box
    mark: Mark


class Picture(NamedTuple):
    title: str
    caption: str
    boxes: list[Box]
    lines: list[Line]

    @property
    def marks(self) -> list[Mark]:
        """The marks that occur, in the order of the legend."""
        used = {box.mark for box in self.boxes} | {line.mark for line in self.lines}
        return [mark for mark in MARKS.values() if mark in used]


def read_graph(graph: Graph) -> Picture:
    boxes: dict[Any, Box] = {}
    for number, (node, data) in enumerate(graph.nodes(data=True)):
        kind, mark = data.get("kind", "table"), _mark(data)
        if kind not in HEADS:
            raise ValueError(f"node {node!r}: unknown kind {kind!r}; use {', '.join(HEADS)}")
        head = Row("head", mark.sign + shown(data.get("label", node)), mark)
        boxes[node] = Box(f"n{number}", kind, data.get("rank", 0), mark, [head])
    lines: list[Line] = []
    for number, (source, target, data) in enumerate(graph.edges(data=True)):
        rows, mark = boxes[source].rows, _mark(data)
        label = shown(data.get("label", ""))
        if label:
            rows.append(Row(f"row{number}", mark.sign + label, mark))
        row = len(rows) - 1 if label else 0
        lines.append(Line(f"e{number}", boxes[source], row, boxes[target], mark))
    title, caption = (shown(graph.graph.get(name, "")) for name in ("title", "caption"))
    wrapped = (
        part
        for line in caption.split("\n")
        for part in textwrap.wrap(line, _CAPTION, replace_whitespace=False) or [""]
    )
    return Picture(title, "\n".join(wrapped), list(boxes.values()), lines)


def _mark(data: Mapping[str, Any]) -> Mark:
    name = data.get("mark")
    if name is None:
        return PLAIN
    if name not in MARKS:
        raise ValueError(f"unknown mark {name!r}; use {', '.join(MARKS)}")
    return MARKS[name]


def shown(value: object) -> str:
    return text(value).expandtabs(4)


def text(value: object) -> str:
    """Return `value` as text that XML carries unchanged."""
    return _NOT_XML.sub("\ufffd", str(value).replace("\r\n", "\n").replace("\r", "\n"))
