"""Pictures of page tables: complete, well-formed, the same every time, never half-written."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import networkx as nx
import pydot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapproof import pictures

if TYPE_CHECKING:
    Graph: TypeAlias = nx.MultiDiGraph[Any]

SVG = "{http://www.w3.org/2000/svg}"
NASTY = st.text(
    st.sampled_from("ab <>&\"'\\{}|[]%;#-\n\r\t\0\x0b\x85\u2028\ud800\uffff\u00e9\u4e2d")
    | st.characters(),
    max_size=12,
) | st.sampled_from(["&amp;", "&nbsp;", "\\N", "\\", "]]>", "-->", "<b>", "a\\l", "|{", "\\}"])


def kaiser() -> Graph:
    """Two processes, their kernel and shadow tables, and a shadow entry that goes too far."""
    graph: Graph = nx.MultiDiGraph(
        title="kaiser-v1 :: shadow_maps_only_allowed",
        caption="Step 2: kaiser_add_mapping on cpu0.\nThe shadow of mm0 maps kernel data.",
    )
    graph.add_node("cpu0", label="cpu0", kind="cpu", rank=0)
    for mm, base in (("mm0", "ffff888003a0"), ("mm1", "ffff888003b0")):
        graph.add_node(mm, label=mm, kind="mm", rank=0)
        graph.add_node(f"k-{mm}", label=f"kernel PGD\n{base}0000", kind="root", rank=1)
        graph.add_node(f"s-{mm}", label=f"shadow PGD\n{base}1000", kind="root", rank=1)
        graph.add_node(f"u-{mm}", label=f"user PUD\n{base}2000", kind="table", rank=2)
    graph.add_node("direct", label="direct map\nffff888001c03000", kind="table", rank=2)
    graph.add_node("shadow", label="shadow PUD", kind="table", rank=2, mark="changed")
    graph.add_node("data", label="pfn 0x3a07\nkernel data", kind="frame", rank=3, mark="violates")
    graph.add_node("text", label="pfn 0x3a05\nentry text", kind="frame", rank=3)
    graph.add_node("va", label="ffffc90000004000", kind="address", rank=0)
    graph.add_edge("cpu0", "s-mm0", label="CR3", mark="changed")
    graph.add_edge("va", "shadow", label="")
    for mm in ("mm0", "mm1"):
        graph.add_edge(mm, f"k-{mm}", label="pgd")
        graph.add_edge(mm, f"s-{mm}", label="pgd + 0x1000")
        graph.add_edge(f"k-{mm}", f"u-{mm}", label="[  0] P RW US NX")
        graph.add_edge(f"s-{mm}", f"u-{mm}", label="[  0] P RW US")
        graph.add_edge(f"k-{mm}", "direct", label="[273] P RW NX")
        graph.add_edge(f"s-{mm}", "shadow", label="[402] P RW")
    graph.add_edge("direct", "data", label="[  0] P RW NX")
    graph.add_edge("shadow", "data", label="[  4] P RW NX", mark="violates")
    graph.add_edge("shadow", "text", label="[  5] P RO", mark="removed")
    graph.add_edge("shadow", "text", label="[  6] P RO", mark="changed")
    return graph


def small(label: str = "node", *, title: str = "", caption: str = "", entry: str = "") -> Graph:
    graph: Graph = nx.MultiDiGraph(title=title, caption=caption)
    graph.add_node("a", label=label, kind="root", rank=1)
    graph.add_node("b", label="b", kind="frame", rank=2)
    graph.add_edge("a", "b", label=entry)
    return graph


def made(graph: Graph, folder: Path, suffix: str) -> bytes:
    path = folder / f"picture{suffix}"
    pictures.render(graph, path)
    return path.read_bytes()


def texts(svg: bytes | str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def shown(text: str) -> list[str]:
    """What a reader should see of `text`, line by line."""
    lines = re.sub("\r\n?", "\n", text).expandtabs(4)
    return re.sub("[\0-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]", "\ufffd", lines).split("\n")


# ------------------------------------------------------------------------------- SVG


def test_svg_shows_every_label(tmp_path: Path) -> None:
    graph = kaiser()
    seen = texts(made(graph, tmp_path, ".svg"))
    signs = {"changed": "* ", "violates": "! ", "removed": "- "}
    data: dict[str, Any]
    for data in [*dict(graph.nodes).values(), *(edge for *_, edge in graph.edges(data=True))]:
        for number, line in enumerate(data["label"].split("\n")):
            sign = signs.get(data.get("mark", ""), "") if number == 0 else ""
            assert not line or sign + line in seen
    assert {graph.graph["title"], *graph.graph["caption"].split("\n")} <= set(seen)


def test_svg_marks_edges_by_more_than_colour(tmp_path: Path) -> None:
    root = ET.fromstring(made(kaiser(), tmp_path, ".svg"))
    edges = [group for group in root.iter(f"{SVG}g") if "edge" in group.get("class", "").split()]
    looks: dict[str, tuple[str, str, str]] = {}
    for group in edges:
        line = group.findall(f"{SVG}polyline")[-1]
        parts = [line.get(f"stroke{part}", "") for part in ("", "-width", "-dasharray")]
        looks[group.get("class", "").split()[1]] = (parts[0], parts[1], parts[2])
    assert len(edges) == kaiser().number_of_edges()
    assert set(looks) == {"plain", "changed", "violates", "removed"}
    for one, other in combinations(looks.values(), 2):
        assert one[0] != other[0]
        assert one[1:] != other[1:]
    assert float(looks["violates"][1]) == max(float(width) for _, width, _ in looks.values())


def test_lines_leave_their_row_and_columns_keep_their_order(tmp_path: Path) -> None:
    root = ET.fromstring(made(small(entry="[273] P RW NX"), tmp_path, ".svg"))
    boxes = {group.get("id"): group for group in root.iter(f"{SVG}g")}
    row = next(text for text in boxes["n0"].iter(f"{SVG}text") if text.text == "[273] P RW NX")
    line = boxes["e0"].findall(f"{SVG}polyline")[-1].get("points", "")
    x, y = map(float, line.split()[0].split(","))
    assert abs(float(row.get("y", "")) - y) < 8
    outer = boxes["n0"].findall(f"{SVG}rect")[-1]
    assert x == pytest.approx(float(outer.get("x", "")) + float(outer.get("width", "")), abs=0.02)
    target = boxes["n1"].findall(f"{SVG}rect")[-1]
    assert x < float(target.get("x", ""))


def test_legend_explains_only_what_occurs(tmp_path: Path) -> None:
    assert "! violates the property" in texts(made(kaiser(), tmp_path, ".svg"))
    assert texts(made(small(), tmp_path, ".svg")) == ["node", "b"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_graph_is_laid_out_without_overlap(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ranks = data.draw(st.lists(st.integers(-2, 5), max_size=9))
    graph: Graph = nx.MultiDiGraph()
    for node, rank in enumerate(ranks):
        graph.add_node(node, label=f"table {node}", rank=rank)
    for _ in range(data.draw(st.integers(0, 12)) if ranks else 0):
        ends = st.integers(0, len(ranks) - 1)
        label = data.draw(st.sampled_from(["", "[0] P RW", "two\nlines"]))
        graph.add_edge(data.draw(ends), data.draw(ends), label=label)
    svg = made(graph, tmp_path_factory.mktemp("any"), ".svg")
    boxes: list[tuple[float, float, float, float]] = []
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        if "node" in group.get("class", "").split():
            get = group.findall(f"{SVG}rect")[-1].get
            x, y = float(get("x", "")), float(get("y", ""))
            boxes.append((x, y, x + float(get("width", "")), y + float(get("height", ""))))
    assert len(boxes) == len(ranks)
    for (left, top, right, bottom), (x, y, end, foot) in combinations(boxes, 2):
        assert right <= x or end <= left or bottom <= y or foot <= top
    for (one, box), (other, another) in combinations(zip(ranks, boxes, strict=True), 2):
        assert (one < other) == (box[0] < another[0])


@settings(max_examples=150, deadline=None)
@given(label=NASTY, title=NASTY, caption=NASTY, entry=NASTY)
def test_svg_escapes(
    label: str, title: str, caption: str, entry: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph = small(label, title=title, caption=caption, entry=entry)
    svg = made(graph, tmp_path_factory.mktemp("nasty"), ".svg")
    seen = texts(svg)
    for line in shown(label) + shown(entry) + shown(title):
        assert not line or line in seen
    written = "".join("".join(seen).split())
    assert "".join("".join(shown(caption)).split()) in written


# -------------------------------------------------------------------------- other formats


def test_png_is_a_picture_with_text(tmp_path: Path) -> None:
    png = made(kaiser(), tmp_path, ".png")
    root = ET.fromstring(made(kaiser(), tmp_path, ".svg"))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    assert width == pytest.approx(2 * float(root.get("width", "")), abs=2)
    assert height == pytest.approx(2 * float(root.get("height", "")), abs=2)
    # The text is drawn, wherever no font is installed too: other letters make another picture.
    assert made(small("abc"), tmp_path, ".png") != made(small("xyz"), tmp_path, ".png")


def test_dot_is_read_back(tmp_path: Path) -> None:
    graph = kaiser()
    assert made(graph, tmp_path, ".dot").decode() == pictures.to_dot(graph)
    parsed = parse(pictures.to_dot(graph))
    edges = [edge for edge in parsed.get_edges() if edge.get("style") != '"invis"']
    assert len(edges) == graph.number_of_edges()
    ends = [(str(edge.get_source()), str(edge.get_destination())) for edge in edges]
    names = {node: f"n{number}" for number, node in enumerate(graph)}
    wanted = [(names[source], names[target]) for source, target in graph.edges()]
    assert sorted((a.split(":")[0], b.split(":")[0]) for a, b in ends) == sorted(wanted)
    violating = [edge for edge in edges if edge.get("style") == '"dashed"']
    assert [edge.get_source() for edge in violating] == [f"{names['shadow']}:row14:e"]


@settings(max_examples=100, deadline=None)
@given(label=NASTY, title=NASTY, entry=NASTY)
def test_dot_escapes(label: str, title: str, entry: str) -> None:
    parsed = parse(pictures.to_dot(small(label, title=title, entry=entry)))
    fields = ["<head> " + field(label)] + (["<row0> " + field(entry)] if entry else [])
    node = next(node for node in parsed.get_nodes() if node.get_name() == "n0")
    assert node.get("label") == '"' + "|".join(fields) + '"'
    assert len(parsed.get_edges()) == 2  # the entry, and the one that keeps the columns in order


def parse(dot: str) -> pydot.Dot:
    graphs = pydot.graph_from_dot_data(dot)
    assert graphs
    assert len(graphs) == 1
    return graphs[0]


def field(text: str) -> str:
    escapes = {ord(char): f"\\{char}" for char in '{}|<> "\\'} | {ord("&"): "&amp;"}
    return "".join(line.translate(escapes) + "\\l" for line in shown(text))


def test_html_is_one_page(tmp_path: Path) -> None:
    page = made(kaiser(), tmp_path, ".html").decode()
    svg = page[page.index("<svg") : page.index("</svg>") + len("</svg>")]
    assert "! violates the property" in texts(svg)
    assert kaiser().graph["title"] not in texts(svg)
    assert f"<h1>{kaiser().graph['title']}</h1>" in page
    assert kaiser().graph["caption"] in page
    assert not re.search(r"(src|href)=|@import|url\(", page)


def test_html_escapes_and_keeps_braces(tmp_path: Path) -> None:
    page = made(small(title="<script>{0}", caption="</svg>{x}"), tmp_path, ".html").decode()
    assert "<script>" not in page
    assert "&lt;script&gt;{0}" in page
    assert page.count("</svg>") == 1


def test_graphml_is_read_back(tmp_path: Path) -> None:
    graph = kaiser()
    graph.nodes["data"]["pfn"] = 0x3A07
    graph.nodes["text"]["note"] = None
    again = read_graphml(made(graph, tmp_path, ".graphml"))
    del graph.nodes["text"]["note"]
    assert graph.graph.items() <= again.graph.items()
    assert dict(again.nodes) == dict(graph.nodes)
    assert sorted(map(edge_facts, again.edges(data=True))) == sorted(
        map(edge_facts, graph.edges(data=True))
    )


@settings(max_examples=60, deadline=None)
@given(label=NASTY.filter(str.strip))
def test_graphml_escapes(label: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    graph = small(label)
    again = read_graphml(made(graph, tmp_path_factory.mktemp("ml"), ".graphml"))
    assert shown(again.nodes["a"]["label"]) == shown(label)


def read_graphml(data: bytes) -> Graph:
    graph = nx.read_graphml(io.BytesIO(data), force_multigraph=True)
    assert isinstance(graph, nx.MultiDiGraph)
    return graph


def edge_facts(edge: tuple[str, str, dict[str, Any]]) -> tuple[str, str, str]:
    """The edge without its name; the reader drops empty attributes."""
    source, target, data = edge
    return source, target, str(sorted((k, v) for k, v in data.items() if v and k != "id"))


# ------------------------------------------------------------------- writing, and failing


@pytest.mark.parametrize("suffix", pictures.SUFFIXES)
def test_same_graph_same_bytes(suffix: str, tmp_path: Path) -> None:
    assert made(kaiser(), tmp_path, suffix) == made(kaiser(), tmp_path, suffix)


def test_same_bytes_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys, networkx; from mapproof import pictures;"
        "g = networkx.MultiDiGraph(title='t', caption='c'); g.add_node('a', label='a', rank=0);"
        "g.add_node('b', label='b', rank=1, mark='changed'); g.add_edge('a', 'b', label='[1]');"
        "pictures.render(g, sys.argv[1])"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / f"{seed}.svg")],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()


@pytest.mark.parametrize("suffix", pictures.SUFFIXES)
def test_empty_graph(suffix: str, tmp_path: Path) -> None:
    assert made(nx.MultiDiGraph(), tmp_path, suffix)


def test_suffix_in_capitals(tmp_path: Path) -> None:
    assert made(small(), tmp_path, ".SVG").startswith(b"<svg")


@pytest.mark.parametrize("name", ["x.pdf", "x", ".svg"])
def test_unknown_suffix_lists_the_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.dot, \.graphml, \.html"):
        pictures.render(small(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_unknown_kind_and_mark_are_named() -> None:
    graph = small()
    graph.nodes["a"]["kind"] = "tabel"
    with pytest.raises(ValueError, match="node 'a': unknown kind 'tabel'; use mm, cpu"):
        pictures.to_dot(graph)
    graph = small()
    graph.nodes["a"]["mark"] = "wrong"
    with pytest.raises(ValueError, match="unknown mark 'wrong'; use changed"):
        pictures.to_dot(graph)


def test_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = made(small("old"), tmp_path, ".svg")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        pictures.render(small("new"), tmp_path / "picture.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.svg"]
    assert (tmp_path / "picture.svg").read_bytes() == old


def test_import_is_cheap() -> None:
    script = (
        "import sys; from mapproof import pictures;"
        "heavy = {'networkx', 'graphlay', 'resvg_py', 'pymupdf_fonts'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
