"""Certificates as files, and the designs that they are about."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mapproof.model.language import Design, DesignError
from mapproof.proofs.certificate import SUFFIX, NotACertificate, Rejected, read_certificate
from mapproof.proofs.verdict import Result
from mapproof.proofs.verify import Checked, Standing

from .catalog import Catalog

CODES = {
    Standing.PROVED: 0,
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
        _replace(path, text)
    except OSError as error:
        raise DesignError(f"cannot write {path}: {error.strerror or error}") from None
    return result.but(certificate_file=str(path))


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def design_for(catalog: Catalog, given: Design[Any] | None) -> Callable[[str], Design[Any] | None]:
    """Finds the design that a certificate must be about: the given one, else the built-in one."""

    def find(name: str) -> Design[Any] | None:
        return given if given is not None else catalog.built_in(name)

    return find


def worst(checked: Iterable[Checked]) -> int:
    """The exit code for several certificates."""
    return max((CODES[c.standing] for c in checked), key=(0, 3, 1, 2).index)
