"""``mapproof export``: which documents, and where they are written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mapproof.model.language import DesignError
from mapproof.proofs.export import Document, Format, cells, stream, systems

from .catalog import Target
from .files import write

ENDINGS = {"smt2": (".smt2",), "aiger": (".aig", ".aag"), "btor2": (".btor2", ".btor")}


def exported(
    target: Target, kind: str, sizes: Mapping[Any, int], output: Path | None
) -> list[Document]:
    """The documents for a target; one, if the output is a file or standard output.

    Raises DesignError if the output cannot take them all.
    """
    design = target.design
    chosen = [design.property_named(n) for n in target.only] or list(design.properties)
    whole = output is None or not is_folder(output)
    if output is not None and whole and output.suffix not in ENDINGS[kind]:
        raise DesignError(
            f"{output}: end the name of a file in {' or '.join(ENDINGS[kind])}, or name a folder"
        )
    if kind == "smt2":
        documents = list(cells(design, chosen))
        joined = Document(design.name, stream(documents))
        return [joined] if whole else documents
    if whole and len(chosen) != 1:
        names = ", ".join(p.name for p in chosen)
        raise DesignError(
            f"{design.name} has {len(chosen)} properties ({names}) and each is a file of its own: "
            f"name one, {design.name}::{chosen[0].name if chosen else 'PROPERTY'}, or give -o FOLDER"
        )
    binary = output is not None and output.suffix != ".aag"
    return list(
        systems(design, chosen, design.scope_at(sizes), cast("Format", kind), binary=binary)
    )


def is_folder(output: Path) -> bool:
    """Whether an output is meant as a folder."""
    return output.is_dir() or not output.suffix


def save(documents: list[Document], kind: str, output: Path | None) -> list[Path]:
    """Write the documents, each file at once or not at all; their paths, none without an output."""
    if output is None:
        return []
    try:
        if not is_folder(output):
            write(output, documents[0].content)
            return [output]
        output.mkdir(parents=True, exist_ok=True)
        paths = []
        for document in documents:
            path = output / f"{document.name}{ENDINGS[kind][0]}"
            write(path, document.content)
            paths.append(path)
    except OSError as error:
        raise DesignError(f"cannot write {output}: {error.strerror or error}") from None
    return paths
