"""Certificates: a proof as a file that stands on its own.

The file has a transition system, a claim and what shows it, of which there are three kinds.  A proof
for any size has lemmas, and one SMT-LIB script for each cell.  A proof at a scope has an invariant, and
the three scripts that make it one.  A run, for a ``sometimes``, has its steps.  A reader believes none
of the scripts: :meth:`Certificate.cells` derives from the system which there must be and what each must
say, with the code that the provers use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from mapproof.model.language.design import Design, System
from mapproof.model.language.nodes import Node, read, rewrite_reads, show
from mapproof.model.language.property import Kind

from .systems import Data, Systems, fields, named, system_data
from .trees import Malformed, tree_text

FORMAT = "mapproof certificate"
VERSION = 2
SUFFIX = ".proof.json"
SOLVERS = ("z3", "cvc5")
PACKAGES = {"mapproof": "mapproof", "z3": "z3-solver", "cvc5": "cvc5"}


class NotACertificate(ValueError):
    """The file cannot be read as a certificate of this version."""


class Rejected(ValueError):
    """The certificate does not establish what it claims."""


@dataclass(frozen=True)
class Statement:
    """A claim or a lemma, as its tree."""

    name: str
    kind: Kind
    tree: Node

    def closed(self, epoch: int = 0, /) -> Node:
        """The statement of the old (0) or the new (1) state; a step sees both."""
        if epoch == 0 or self.kind == "step":
            return self.tree
        return rewrite_reads(self.tree, lambda c, _, keys: read(c, keys, 1))

    @property
    def text(self) -> str:
        """As an author writes it."""
        return show(self.tree)

    def data(self) -> Data:
        """As it stands in the file."""
        return {
            "name": self.name,
            "kind": self.kind,
            "text": self.text,
            "tree": tree_text(self.tree),
        }


@dataclass(frozen=True)
class Cell:
    """A script that has to be unsatisfiable, and who is said to have found that it is."""

    name: str
    script: str
    found_by: str


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """That ``claim`` holds of ``system``: what the three kinds have in common.

    design and versions: what it was made of and with; nothing rests on them.
    """

    design: str
    system: System
    assumptions: tuple[str, ...]
    claim: Statement
    versions: Mapping[str, str]

    proof: ClassVar[str]
    """The kind, as it is called in the file."""
    kinds: ClassVar[tuple[Kind, ...]]
    """The kinds of claims that it can be about."""

    def established(self, whose: str) -> str:
        """Of which states of whose runs the claim holds, and for which machines, in words."""
        raise NotImplementedError

    @property
    def lemmas(self) -> tuple[Statement, ...]:
        """Invariants that were proved with the claim."""
        return ()

    @property
    def trivial(self) -> int:
        """The number of cells that need no solver."""
        return 0

    def cells(self) -> list[Cell]:
        """What has to be solved, derived anew.  Raises Rejected if the file says something else."""
        raise NotImplementedError

    def difference(self, design: Design[Any]) -> str:
        """In what the certificate is not about this design; empty if it is."""
        assumptions = [a.name for a in design.assumptions]
        theirs = system_data(design.system(), assumptions, [])
        ours = self.system_data()
        for part in ("components", "assumptions", "transitions"):
            named_theirs, named_ours = _by_name(theirs[part]), _by_name(ours[part])
            for name in named_theirs | named_ours:
                if named_theirs.get(name) != named_ours.get(name):
                    return f"{part[:-1]} {name}"
            if theirs[part] != ours[part]:
                return f"the order of the {part}"
        if theirs["start"] != ours["start"]:
            return f"the start {design.init.name}"
        for name, values in theirs["enumerations"].items():
            if ours["enumerations"].get(name) != values:
                return f"enumeration {name}"
        return "" if set(theirs["sorts"]) <= set(ours["sorts"]) else "the sorts"

    def text(self) -> str:
        """The content of the file."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "versions": dict(self.versions),
            "design": self.design,
            "claim": self.claim.data(),
            "system": self.system_data(),
            "proof": self.proof,
            **self.evidence(),
        }
        return json.dumps(document | {"sha256": digest(document)}, indent=1) + "\n"

    def system_data(self) -> Data:
        """The system as it stands in the file."""
        trees = [s.tree for s in (self.claim, *self.lemmas)]
        return system_data(self.system, self.assumptions, trees)

    def evidence(self) -> Data:
        """What shows the claim, as it stands in the file."""
        raise NotImplementedError


@dataclass(frozen=True)
class Head:
    """What a reader knows of a file before it comes to the evidence."""

    known: Systems
    fields: Mapping[str, Any]
    """What the certificates have in common, by the name of the field."""


def digest(document: Data) -> str:
    """The SHA-256 of a certificate's content, whatever the layout of the file."""
    content = {name: value for name, value in document.items() if name != "sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def common(design: Design[Any], claim: Statement) -> Data:
    """The fields that every certificate about a design has."""
    return {
        "design": design.name,
        "system": design.system(),
        "assumptions": tuple(a.name for a in design.assumptions),
        "claim": claim,
        "versions": {name: _version(package) for name, package in PACKAGES.items()},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def read_statement(known: Systems, data: Any, where: str, kinds: Sequence[Kind]) -> Statement:
    """A claim or a lemma of a file, of one of some kinds.  Raises Malformed and Rejected."""
    name, kind, text, tree = fields(data, where, name=str, kind=str, text=str, tree=str)
    named(name, where)
    for expected in kinds:
        if kind == expected:
            epochs = (0, 1) if kind == "step" else (0,)
            made = Statement(name, expected, known.claim(f"{where} {name}", tree, epochs))
            if made.text != text:
                raise Rejected(f"the text of {name} does not say what its tree says")
            return made
    raise Malformed(f"{where} {name} is not of the kind {' or '.join(kinds)}")


def read_solver(found_by: str) -> str:
    """The solver that is said to have answered, which is one that is known.  Raises Malformed."""
    if found_by.partition(" ")[0] not in SOLVERS or not found_by.isprintable():
        raise Malformed("an obligation was found by no solver that is known")
    return found_by


def _by_name(entries: Sequence[Data]) -> dict[str, Data]:
    return {e["name"]: e for e in entries}
