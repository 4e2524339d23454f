"""``mapproof matrix``: which properties of one system survive the operations of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from mapproof.model.language import DesignError
from mapproof.proofs.check import Options
from mapproof.proofs.matrix import Matrix, Pairs, Standing
from mapproof.proofs.verdict import Verdict

from .catalog import Catalog, Target
from .loading import suggestion, told_plainly
from .matrix_text import matrix_json, matrix_text
from .progress import Progress
from .running import interruptible

if TYPE_CHECKING:
    from mapproof.proofs.worker import Solvers


def run(
    names: Sequence[str],
    *,
    solvers: Callable[[], Solvers],
    processes: int,
    depth: int,
    timeout: float,
    as_json: bool,
    traces: bool,
    proofs: bool,
    graph: Path | None,
) -> int:
    """Settle the pairs of one design, or of every built-in one that composes parts; the exit code.

    Raises DesignError, and click.Abort after Ctrl-C, when what was settled has been shown.
    """
    targets, systems = chosen(Catalog(), names)
    if graph is not None and len(targets) > 1:
        raise DesignError(f"--graph draws one matrix: name one of {_names(targets)}")
    options = Options(depth=depth, timeout=timeout)
    progress = Progress()
    found: list[Matrix] = []
    interrupted = False
    for target in targets:
        started = monotonic()
        with told_plainly(target.file):
            pairs = Pairs(target.design, systems, options, progress, solvers, processes)
            try:
                interruptible(pairs.settle)
            except KeyboardInterrupt:
                interrupted = True
            finally:
                progress.clear()
            matrix = pairs.matrix()
            if not as_json:
                said = matrix_text(matrix, monotonic() - started, traces=traces, proofs=proofs)
                click.echo(f"\n{said}" if found else said)
        found.append(matrix)
        if interrupted:
            break
    if as_json:
        click.echo(matrix_json(found, interrupted=interrupted))
    if interrupted:
        raise click.Abort
    if graph is not None:
        _draw(found[0], graph, quiet=as_json)
    return exit_code(found)


def exit_code(found: Sequence[Matrix]) -> int:
    """0 every claim of every cell is proved, 1 one is violated or never happens, 3 otherwise."""
    results = [r for matrix in found for cell in matrix.cells.values() for r in cell.results]
    verdicts = {r.verdict for r in results}
    if verdicts & {Verdict.VIOLATED, Verdict.VACUOUS}:
        return 1
    return 3 if any(matrix.of(Standing.OPEN) for matrix in found) else 0


def chosen(catalog: Catalog, names: Sequence[str]) -> tuple[list[Target], tuple[str, ...]]:
    """The designs, and the systems to restrict them to.

    The first name may be a design.  Otherwise every name is a system, of every built-in design that
    has them all.  Raises DesignError, with candidates.
    """
    first = names[0] if names else ""
    composed = [d for d in catalog.designs.values() if d.parts]
    systems = dict.fromkeys(part.name for design in composed for part in design.parts)
    if first and first not in systems:
        try:
            targets = catalog.targets([first])
        except DesignError as error:
            known = [*(d.name for d in composed), *systems]
            if "::" in first or "/" in first or first.endswith(".py") or first in catalog.designs:
                raise
            raise DesignError(
                f"{first} is neither a design that composes systems nor one of them: there are "
                f"{', '.join(known) or 'none'}{suggestion(first, known)}"
            ) from error
        composing = [t for t in targets if t.design.parts]
        if not composing:
            known = [d.name for d in composed]
            raise DesignError(
                f"{first} composes no systems: give Design(parts=[...]) some"
                + (f", or take {', '.join(known)}" if known else "")
            )
        for target in composing:
            for name in names[1:]:
                _refuse_unknown(target.design, name)
        return composing, tuple(names[1:])
    having = [d for d in composed if {*names} <= {p.name for p in d.parts}]
    if not having:
        if not composed:
            raise DesignError("no built-in design composes systems: name a file with one")
        for name in names:
            _refuse_unknown(composed[0], name)
        raise DesignError(f"no built-in design has all of {', '.join(names)}")
    return [Target(design) for design in having], tuple(names)


def _refuse_unknown(design: Any, name: str) -> None:
    known = [part.name for part in design.parts]
    if name not in known:
        raise DesignError(
            f"{design.name} has no system {name}, it has {', '.join(known)}"
            + suggestion(name, known)
        )


def _names(targets: Sequence[Target]) -> str:
    return ", ".join(target.design.name for target in targets)


def _draw(found: Matrix, path: Path, *, quiet: bool) -> None:
    from .matrix_picture import picture
    from .pictures import render_grid

    try:
        render_grid(picture(found), path)
    except OSError as error:
        raise DesignError(f"cannot write {path}: {error.strerror or error}") from None
    click.echo(f"{'' if quiet else chr(10)}picture of {found.design.name}: {path}", err=quiet)
