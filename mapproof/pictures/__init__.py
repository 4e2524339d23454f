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
node   ``mark``     optional: ``changed``, ``violates`` or ``breaks``
edge   ``label``    the entry as text, such as ``[273] P RW NX``
edge   ``mark``     optional: ``changed``, ``violates``, ``breaks`` or ``removed``
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..files import write
from .dot import dot
from .drawing import read_graph, text
from .grid import Grid, grid_svg
from .svg import svg

if TYPE_CHECKING:
    from .drawing import Graph

__all__ = ["GRID_SUFFIXES", "SUFFIXES", "Grid", "render", "render_grid", "to_dot"]


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
    write(target, make(graph))


def to_dot(graph: Graph) -> str:
    """Return `graph` as text in Graphviz's DOT language, with title and caption below.

    Args:
        graph: page tables, by the convention in this module's documentation.

    Raises:
        ValueError: the `kind` or `mark` of a node or edge is unknown.
    """
    picture = read_graph(graph)
    return dot(picture, "\n".join(filter(None, (picture.title, picture.caption))))


def render_grid(grid: Grid, path: str | os.PathLike[str]) -> None:
    """Write a matrix to `path`, in the format that the suffix names, as `render` does.

    Args:
        grid: the cells, and what is said of them.
        path: a file ending in one of `GRID_SUFFIXES`.

    Raises:
        ValueError: the suffix is unknown.
        OSError: the file cannot be written.
    """
    target = Path(path)
    match target.suffix.lower():
        case ".svg":
            content = grid_svg(grid).encode()
        case ".png":
            content = _rasterised(grid_svg(grid))
        case ".html":
            content = _page(grid.title, grid_svg(grid, captioned=False), grid.caption)
        case _:
            raise ValueError(
                f"{target.name}: not a format of grids; use {', '.join(GRID_SUFFIXES)}"
            )
    write(target, content)


def _as_svg(graph: Graph) -> bytes:
    return svg(read_graph(graph)).encode()


def _as_png(graph: Graph) -> bytes:
    return _rasterised(svg(read_graph(graph)))


def _rasterised(drawing: str) -> bytes:
    from tempfile import TemporaryDirectory

    from pymupdf_fonts import myfont  # type: ignore[import-untyped]
    from resvg_py import svg_to_bytes

    with TemporaryDirectory() as folder:  # the rasteriser takes fonts only as files
        fonts = [Path(folder, name) for name in ("fimo", "fimbo")]  # Fira Mono and its bold
        for font in fonts:
            font.write_bytes(myfont(font.name))
        return svg_to_bytes(
            svg_string=drawing,
            zoom=2,
            dpi=96,
            skip_system_fonts=True,  # they would make the bytes depend on the machine
            font_files=[str(font) for font in fonts],
            monospace_family="Fira Mono",
        )


def _as_dot(graph: Graph) -> bytes:
    return to_dot(graph).encode()


def _as_html(graph: Graph) -> bytes:
    picture = read_graph(graph)
    return _page(picture.title, svg(picture, notes=False), picture.caption)


def _page(title: str, drawing: str, caption: str) -> bytes:
    return _PAGE.format(
        title=html.escape(title), svg=drawing, caption=html.escape(caption)
    ).encode()


def _as_graphml(graph: Graph) -> bytes:
    import networkx as nx

    # GraphML has no None, and wants edge names that are unique in the whole file.
    plain: Graph = nx.MultiDiGraph()
    plain.graph.update(_plain(graph.graph))
    plain.add_nodes_from((text(node), _plain(data)) for node, data in graph.nodes(data=True))
    for number, (source, target, data) in enumerate(graph.edges(data=True)):
        plain.add_edge(text(source), text(target), number, **_plain(data))
    return ("\n".join(nx.generate_graphml(plain)) + "\n").encode()


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool | int | float) else text(value)
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
GRID_SUFFIXES: Final = (".svg", ".png", ".html")
"""Those that `render_grid` knows."""
