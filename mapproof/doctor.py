"""Is this installation sound: versions, and a self-test that proves and refutes."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from time import monotonic

from click import style

from mapproof.model.designs.kpt import kpt, kpt_buggy, kpt_bugpgd
from mapproof.properties import kpt as claims

PARTS = (  # what is needed, the module that must load, what it is for
    ("z3-solver", "z3", "proofs for any size"),
    ("cvc5", "cvc5", "second opinion on every proof"),
    ("python-sat", "pysat.solvers", "search for counterexamples"),
    ("click", "click", "command line"),
    ("networkx", "networkx", "pictures"),
    ("graphlay", "graphlay", "layout of pictures"),
    ("resvg_py", "resvg_py", "PNG"),
    ("pymupdf-fonts", "pymupdf_fonts", "PNG"),
)


def report() -> tuple[str, bool]:
    """What was found, and whether all is well."""
    lines, sound = [f"mapproof {version('mapproof')}", f"Python {platform.python_version()}"], True
    for package, module, purpose in PARTS:
        try:
            import_module(module)
            said = version(package)
        except (ImportError, OSError, PackageNotFoundError) as error:
            said, sound = style(f"missing: {error}", fg="red"), False
        lines.append(f"  {package:14} {said}  ({purpose})")
    started = monotonic()
    try:
        wrong = [*_self_test()]
    except Exception as error:  # whatever is broken, it is reported
        wrong = [f"{type(error).__name__}: {error}"]
    lines.append(
        f"self-test {'passed' if not wrong else 'FAILED'} in {monotonic() - started:.2f} s"
    )
    lines += [style(f"  {line}", fg="red") for line in wrong]
    return "\n".join(lines), sound and not wrong


def _self_test() -> Iterator[str]:
    """What differs from what must come out."""
    from mapproof.proofs.check import Options, check

    expected = (
        (kpt, "proved proved"),
        (kpt.but(name="kpt without lemmas", lemmas=[]), "proved proved"),
        (kpt_buggy, "violated proved"),
        (kpt_bugpgd, "proved violated"),
    )
    for design, wanted in expected:
        subject = design.but(name=design.name, properties=[claims.P1, claims.P2])
        got = " ".join(str(r.verdict) for r in check(subject, Options(depth=3)))
        if got != wanted:
            yield f"{design.name}: expected {wanted}, got {got}"
