"""``mapproof review``: a design and its patched version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mapproof.model.language import DesignError

from ..catalog import Catalog
from ..loading import told_plainly
from .options import EFFORT, GRAPH, JSON
from .session import Session, draw, exit_code, scopes_of, start_solvers


@click.command()
@click.argument("before")
@click.argument("after")
@EFFORT
@click.option("--markdown", "page", metavar="F", help="Write the comparison as Markdown, too.")
@GRAPH
@JSON
def review(
    before: str,
    after: str,
    sizes: dict[str, int],
    require_proof: bool,
    page: str | None,
    graph: Path | None,
    as_json: bool,
    **effort: Any,
) -> int:
    """Compare a design with its patched version; the exit code is that of AFTER."""
    start_solvers()
    from ..jsonout import Part, results_json
    from ..review import Review, Side, markdown, text

    catalog = Catalog()
    pair = [catalog.target(before), catalog.target(after)]
    session = Session(effort)
    found = [
        session.check(target, scope)
        for target, scope in zip(pair, scopes_of(pair, sizes), strict=True)
    ]
    sides = [Side(target.design, r) for target, (r, _) in zip(pair, found, strict=True)]
    compared = Review(*sides)
    every = [*sides[0].results, *sides[1].results]
    with told_plainly(pair[0].file), told_plainly(pair[1].file):
        if as_json:
            roles = ("before", "after")
            parts = [Part(*part, role) for part, role in zip(found, roles, strict=True)]
            click.echo(results_json(parts))
        else:
            click.echo(text(compared))
        if page is not None:
            _write(Path(page), markdown(compared))
            click.echo(f"\nMarkdown: {page}", err=as_json)
    if graph is not None:
        draw(every, graph, quiet=as_json)
    return exit_code(sides[1].results, require_proof=require_proof)


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise DesignError(f"cannot write {path}: {error.strerror or error}") from None
