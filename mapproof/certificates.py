"""Certificates as files, and what is said of them when they are checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from mapproof.model.language import Design, DesignError
from mapproof.proofs.certificate import SUFFIX, NotACertificate, Rejected
from mapproof.proofs.certificate_reader import read_certificate
from mapproof.proofs.verdict import Result
from mapproof.proofs.verify import Checked, Standing

from . import files
from .catalog import Catalog
from .jsonout import VERSION
from .text import counted, fold

CODES = {
    Standing.PROVED: 0,
    Standing.PROVED_AT_SCOPE: 0,
    Standing.UNKNOWN: 3,
    Standing.REJECTED: 1,
    Standing.UNREADABLE: 2,
}


def write(result: Result, folder: Path) -> Result:
    """Write the certificate of a result, if it has one: all of the file, or nothing."""
    if result.certificate is None:
        return result
    text = result.certificate.text()
    try:
        read_certificate(text.encode()).cells()
    except (NotACertificate, Rejected) as error:
        raise DesignError(
            f"{result.design}::{result.property}: no certificate can be written: {error}"
        ) from None
    path = folder / re.sub(r"[^\w.-]", "_", f"{result.design}.{result.property}{SUFFIX}")
    try:
        files.write(path, text.encode())
    except OSError as error:
        raise DesignError(f"cannot write {path}: {error.strerror or error}") from None
    return result.but(certificate_file=str(path))


def design_for(catalog: Catalog, given: Design[Any] | None) -> Callable[[str], Design[Any] | None]:
    """Finds the design that a certificate must be about: the given one, else the built-in one."""

    def find(name: str) -> Design[Any] | None:
        return given if given is not None else catalog.built_in(name)

    return find


def worst(checked: Iterable[Checked]) -> int:
    """The exit code for several certificates."""
    return max((CODES[c.standing] for c in checked), key=(0, 3, 1, 2).index)


_PROVED = (Standing.PROVED, Standing.PROVED_AT_SCOPE)
_COLOURS = dict.fromkeys(_PROVED, "green") | {
    Standing.REJECTED: "red",
    Standing.UNREADABLE: "red",
}


def checked_text(name: str, checked: Checked) -> str:
    """The outcome for one certificate: what it claims, in words, and what that rests on."""
    certificate, said = checked.certificate, str(checked.standing)
    colour = _COLOURS.get(checked.standing, "yellow")
    lines = fold(f"{name}: {said}", "", "  ")
    lines[0] = lines[0].replace(f": {said}", f": {click.style(said, fg=colour, bold=True)}")
    if checked.reason:
        lines += fold(checked.reason, "  ")
    if certificate is None or checked.standing not in _PROVED:
        return "\n".join(lines)
    claim = certificate.claim
    whose = f"the design {certificate.design}"
    if not checked.bound:
        whose = f"the transition system in the file (it is called {certificate.design})"
    lines += fold(f"{certificate.established(whose)}:", "  ")
    lines += fold(f"{claim.name}: {claim.text}", "    ", "      ")
    if certificate.lemmas:
        lines += fold("with the lemmas", "  ")
        for lemma in certificate.lemmas:
            lines += fold(f"{lemma.name}: {lemma.text}", "    ", "      ")
    if certificate.assumptions:
        lines += fold(f"assuming: {', '.join(certificate.assumptions)}", "  ", "    ")
    by = ", ".join(checked.checked_by)
    solved = f"{counted(checked.cells, 'obligation')} solved by {by}" if checked.cells else by
    if checked.trivial:
        solved += f", {checked.trivial} trivial"
    lines += fold(f"{solved}, in {checked.seconds:.2f} s", "  ", "    ")
    if not checked.bound:
        lines += fold("no design was compared with it: give --design TARGET", "  ", "    ")
    return "\n".join(lines)


def checked_json(checked: Sequence[tuple[str, Checked]]) -> str:
    """The outcome for certificates, each with the name of its file."""
    document = {"version": VERSION, "certificates": [_checked(n, c) for n, c in checked]}
    return json.dumps(document, indent=2)


def _checked(name: str, checked: Checked) -> dict[str, Any]:
    certificate = checked.certificate
    return {
        "file": name,
        "verdict": str(checked.standing),
        "design": certificate.design if certificate else None,
        "property": certificate.claim.name if certificate else None,
        "proof": certificate.proof if certificate else None,
        "bound": checked.bound,
        "claim": certificate.claim.text if certificate else None,
        "lemmas": {lemma.name: lemma.text for lemma in certificate.lemmas} if certificate else {},
        "assumptions": list(certificate.assumptions) if certificate else [],
        "obligations": checked.cells,
        "trivial": checked.trivial,
        "checked_by": list(checked.checked_by),
        "reason": checked.reason or None,
        "seconds": round(checked.seconds, 3),
    }
