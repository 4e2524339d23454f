"""What ``check`` says of built-in designs, asked once a process: the tests of a design are marked as one
group, so that one process has them all."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from mapproof.catalog import Catalog
from mapproof.proofs.check import Options, check
from mapproof.proofs.verdict import Result

PATIENT = 240.0  # seconds: others may use the machine, too


@cache
def results(design: str) -> dict[str, Result]:
    """The results by property."""
    return _checked(design, Options(timeout=PATIENT))


@cache
def refuted(design: str, only: tuple[str, ...], steps: int) -> dict[str, Result]:
    """The results of properties that are expected to be violated in so many steps, at most."""
    return _checked(design, Options(only=only, depth=steps, lemmas="given", timeout=PATIENT))


def _checked(design: str, options: Options) -> dict[str, Result]:
    return {r.property: r for r in check(Catalog().design_named(design), options)}


def about(design: str, *values: Any, name: str) -> Any:
    """The parameters of a test of a design."""
    return pytest.param(*values, id=name, marks=pytest.mark.xdist_group(design))
