"""The path through the tables to an offending mapping, as a graph for :mod:`mapproof.pictures`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mapproof.model.machine.geometry import PAGE_SHIFT

from .audit import Audit, Finding
from .offences import Mapping, describe_size, flags, offences
from .report import mapping_text

if TYPE_CHECKING:
    from ..pictures.drawing import Graph

_MOST = 4  # mappings in one picture


def path_graph(audit: Audit, finding: Finding) -> Graph:
    """The first offence against a property: its mappings, from the roots to the frames."""
    import networkx as nx

    graph: Graph = nx.MultiDiGraph()
    graph.graph["title"] = f"{audit.image.name} :: {finding.prop.name}  VIOLATED"
    offence = next((o for o in offences(finding, audit.facts) if o.mappings), None)
    lines = [finding.prop.summary]
    if offence is not None:
        mappings = offence.mappings[:_MOST]
        lines += [mapping_text(m, audit.image.geometry) for m in mappings]
        for mapping in mappings:
            _add_path(graph, audit, mapping)
    else:
        for told in offences(finding, audit.facts, 1):  # of an entry: which tables have what there
            label = told.about.replace(": ", "\n", 1).replace(", ", "\n")
            graph.add_node(told.about, label=label, kind="table", rank=0, mark="violates")
    graph.graph["caption"] = "\n".join(lines)
    return graph


def _add_path(graph: Graph, audit: Audit, mapping: Mapping) -> None:
    walk, geometry = audit.facts.walk, audit.image.geometry
    space = next(s for s in walk.spaces if s.title == mapping.owners[0])
    root = space.user if mapping.half == "user" and space.user else space.kernel
    owner = f"{space.title} {mapping.half}"
    label = f"{space.title}\n{mapping.half} pgd {root.pa:#x}"
    graph.add_node(owner, label=label, kind="root", rank=1)
    source, table = owner, root.pa >> PAGE_SHIFT
    for depth, level in enumerate(walk.levels):
        name = level.level.name
        slot = geometry.index(name, mapping.va)
        word = walk.word_at(root if depth == 0 else None, depth, table, slot)
        words = np.array([word], np.uint64)
        is_leaf = bool(level.is_leaf(words)[0])
        if is_leaf:
            target = f"frame {mapping.pfn:#x}"
            label = f"{geometry.show_pfn(mapping.pfn)}\n{describe_size(mapping.page)} page"
            graph.add_node(target, label=label, kind="frame", rank=9, mark="violates")
            text = flags(word, mapping.page, wide=geometry.has_nx)
        else:
            table = int(level.tables(words)[0])
            target = f"table {table:#x}"
            below = walk.levels[depth + 1].level.name
            graph.add_node(
                target,
                label=f"{below} page\n{geometry.show_pfn(table)}",
                kind="table",
                rank=depth + 2,
            )
            text = flags(word, 0, wide=geometry.has_nx) if level.level.rights else ""
        mark = "violates" if is_leaf else None
        label = f"[{slot}] {text}".rstrip()
        if not _has_edge(graph, source, target, label):
            graph.add_edge(source, target, label=label, mark=mark)
        if is_leaf:
            return
        source = target


def _has_edge(graph: Graph, source: str, target: str, label: str) -> bool:
    edges = graph.get_edge_data(source, target) or {}
    return any(data.get("label") == label for data in edges.values())
