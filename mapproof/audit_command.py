"""``mapproof audit``: the properties of the library on the page tables of a real machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mapproof.model.language import DesignError, Property

from .catalog import Catalog
from .loading import suggestion

if TYPE_CHECKING:
    from .snapshots.audit import Audit


def chosen_properties(
    library: Sequence[Property[Any]], only: Sequence[str], skip: Sequence[str]
) -> list[Property[Any]]:
    """The properties to evaluate.  Raises DesignError for a name that is none."""
    known = [p.name for p in library]
    for name in (*only, *skip):
        if name not in known:
            raise DesignError(f"no property of snapshots is called {name}{suggestion(name, known)}")
    return [p for p in library if (not only or p.name in only) and p.name not in skip]


def run(
    snapshots: Sequence[str],
    *,
    only: Sequence[str],
    skip: Sequence[str],
    as_json: bool,
    every: bool,
    figures: bool,
    graph: Path | None,
    save: str | None,
    registers: str | None,
    echo: Callable[[str], None] = click.echo,
) -> int:
    """Audit one snapshot, or compare two; returns the exit code."""
    from .snapshots.audit import about_snapshots, audit
    from .snapshots.difference import difference, difference_json, difference_text
    from .snapshots.readers import read_image
    from .snapshots.report import audit_json, report

    if len(snapshots) > 2:
        raise DesignError("give one snapshot, or two to compare")
    if save is not None and len(snapshots) > 1:
        raise DesignError("--save takes one snapshot")
    properties = chosen_properties(about_snapshots(Catalog().library), only, skip)
    audits = [
        audit(read_image(Path(name), Path(registers) if registers else None), properties)
        for name in snapshots
    ]
    if len(audits) == 2:
        found = difference(audits[0], audits[1])
        document = json.loads(audit_json(audits)) if as_json else {}
        if as_json:
            document["difference"] = difference_json(found)
            echo(json.dumps(document, indent=2))
        else:
            echo(difference_text(audits[0], audits[1], found))
    elif as_json:
        echo(audit_json(audits))
    else:
        echo(report(audits[0], every=every, figures=figures))
    if save is not None:
        _save(audits[0], Path(save))
    if graph is not None:
        _draw(audits, graph, None if as_json else echo)
    return exit_code(audits)


def exit_code(audits: Sequence[Audit]) -> int:
    """1 if a property is violated, 3 if some of the tables could not be read, else 0."""
    if any(a.violated for a in audits):
        return 1
    return 3 if any(a.problems for a in audits) else 0


def _save(audited: Audit, path: Path) -> None:
    from .snapshots.ptsnap import write_ptsnap

    try:
        write_ptsnap(audited.image, path)
    except OSError as error:
        raise DesignError(f"cannot write {path}: {error.strerror or error}") from None


def _draw(audits: Sequence[Audit], path: Path, echo: Callable[[str], None] | None) -> None:
    from .pictures import render
    from .snapshots.picture import path_graph

    found = [(audited, finding) for audited in audits for finding in audited.violated]
    told = "nothing is violated, so there is no picture"
    if found:
        audited, finding = found[0]
        try:
            render(path_graph(audited, finding), path)
        except OSError as error:
            raise DesignError(f"cannot write {path}: {error.strerror or error}") from None
        told = f"picture of {finding.prop.name}: {path}"
        if len(found) > 1:
            told += f" (of another of {len(found)}: --only PROPERTY)"
    if echo is not None:
        echo(f"\n{told}")
