"""Options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

LONGEST = 1e6  # seconds
MOST = 1024  # elements of a sort


def _sizes(_context: object, _parameter: object, text: str | None) -> dict[str, int]:
    """``mm=2,frame=3`` as sizes by the names of sorts in lower case."""
    sizes: dict[str, int] = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, number = (p.strip() for p in part.partition("="))
        size = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
        if not (name and equals and 1 <= size <= MOST):
            raise click.BadParameter(
                f"{part!r}: write sizes from 1 to {MOST}, such as mm=2,frame=3"
            )
        if name in sizes:
            raise click.BadParameter(f"{name} is given twice")
        sizes[name] = size
    return sizes


def _seconds(_context: object, _parameter: object, value: float) -> float:
    if not 0 < value <= LONGEST:
        raise click.BadParameter("give seconds, more than 0")
    return value


def timeout_option(default: float, meaning: str) -> Callable[[Any], Any]:
    """``--timeout S``."""
    return click.option(
        "--timeout",
        type=float,
        default=default,
        show_default=True,
        metavar="S",
        callback=_seconds,
        help=meaning,
    )


def processes_option(meaning: str) -> Callable[[Any], Any]:
    """``-j N``."""
    return click.option(
        "-j",
        "processes",
        type=click.IntRange(1, 64),
        default=2,
        show_default=True,
        metavar="N",
        help=meaning,
    )


def picture(_context: object, _parameter: object, value: str | None) -> Path | None:
    if value is None:
        return None
    from ..pictures import SUFFIXES

    return _drawable(value, SUFFIXES)


def addresses(_context: object, _parameter: object, values: tuple[str, ...]) -> list[int]:
    """Addresses in hexadecimal."""
    found = []
    for value in values:
        digits = value.removeprefix("0x")
        if not re.fullmatch("[0-9a-fA-F]{1,16}", digits):
            raise click.BadParameter(f"{value!r}: give an address such as ffffc90000000000")
        found.append(int(digits, 16))
    return found


def grid(_context: object, _parameter: object, value: str | None) -> Path | None:
    if value is None:
        return None
    from ..pictures import GRID_SUFFIXES

    return _drawable(value, GRID_SUFFIXES)


def _drawable(value: str, suffixes: Sequence[str]) -> Path:
    path = Path(value)
    if path.suffix.lower() not in suffixes:
        raise click.BadParameter(f"{value}: end the name in one of {', '.join(suffixes)}")
    if not path.parent.is_dir():
        raise click.BadParameter(f"{value}: there is no folder {path.parent}")
    return path


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


SCOPE = click.option(
    "--scope",
    "sizes",
    metavar="SORT=N,...",
    callback=_sizes,
    help="Sizes for the bounded search, such as mm=2,frame=3.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
GRAPH = click.option(
    "--graph", metavar="F", callback=picture, help="Draw the counterexample: F.svg, F.png, ..."
)
DEPTH = click.option(
    "--depth",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Most steps of a counterexample that is searched for.",
)
CACHE = _options(
    click.option(
        "--cache",
        type=click.Choice(["on", "read-only", "verify", "off"]),
        metavar="MODE",
        default="on",
        show_default=True,
        help="Use of what was found earlier: on, read-only, off; verify: solve again, compare.",
    ),
    click.option("--cache-dir", metavar="DIR", help="Where they are kept."),
)
EFFORT = _options(
    SCOPE,
    DEPTH,
    click.option(
        "--lemmas",
        type=click.Choice(["given", "infer"]),
        help="given: only those of the design; infer: none of those. Default: those of the design, "
        "and inferred ones for what they leave open.",
    ),
    click.option("--require-proof", is_flag=True, help="Exit with 3 if a property is not proved."),
    timeout_option(60.0, "Seconds for the proof, and for the search of each property."),
    CACHE,
)
