"""A picture as text in Graphviz's DOT language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from .drawing import FONT, SIZE, Mark, Picture


def dot(picture: Picture, note: str) -> str:
    return "\n".join(_statements(picture, note)) + "\n"


def _statements(picture: Picture, note: str) -> Iterator[str]:
    yield "digraph mapproof {"
    yield '  graph [rankdir="LR", ranksep=1.0, nodesep=0.35, labeljust="l", labelloc="b",'
    yield f'    fontname="{FONT}", fontsize={SIZE}, label="{_quoted(note)}"];'
    yield f'  node [shape="record", fontname="{FONT}", fontsize={SIZE}];'
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


def _look(mark: Mark) -> str:
    style = "" if mark.line == "solid" else f', style="{mark.line}"'
    return f'color="{mark.ink}", penwidth={mark.width:g}{style}'


def _field(text: str) -> str:
    return _quoted(text, special=r"([\\{}|<> ])")


def _quoted(text: str, special: str = r"(\\)") -> str:
    """Return `text` for a label in quotes, every line flush left."""
    escaped = re.sub(special, r"\\\1", text).replace("&", "&amp;").replace('"', r"\"")
    return "".join(f"{line}\\l" for line in escaped.split("\n"))
