"""Certificates: a proof as a file that stands on its own.

The file has a transition system, a claim and lemmas as trees, and one SMT-LIB script for each cell of
the proof.  A reader believes none of the scripts: :meth:`Certificate.cells` derives from the system
which there must be and what each must say, with the code that the prover uses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mapproof.model.language.design import Design, System
from mapproof.model.language.nodes import Node, read, rewrite_reads, show
from mapproof.model.language.property import Kind
from mapproof.model.language.unbounded import Scripts

from .induction import Induction
from .obligations import Claim, Obligation, grid, to_solve
from .systems import Data, Systems, fields, named, system_data, texts
from .trees import Malformed, tree_text

FORMAT = "mapproof certificate"
VERSION = 1
SUFFIX = ".proof.json"
LONGEST = 100_000_000  # bytes
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


@dataclass(frozen=True)
class Cell:
    """An obligation of a proof: what to ask, and who is said to have answered it."""

    obligation: Obligation
    script: str
    found_by: str


@dataclass(frozen=True)
class Stored:
    """An obligation as it stands in the file."""

    transition: str
    claim: str
    hypotheses: tuple[str, ...]
    assumptions: tuple[str, ...]
    found_by: str
    script: str


@dataclass(frozen=True)
class Certificate:
    """A proof that ``claim`` holds in every run of ``system``, for any size."""

    design: str
    system: System
    assumptions: tuple[str, ...]
    claim: Statement
    lemmas: tuple[Statement, ...]
    stored: tuple[Stored, ...]
    versions: Mapping[str, str]

    def text(self) -> str:
        """The content of the file."""
        document = self._data()
        return json.dumps(document | {"sha256": digest(document)}, indent=1) + "\n"

    @cached_property
    def grid(self) -> tuple[list[Obligation], int]:
        """The cells that a solver has to meet, and the number of the trivial ones."""
        rows = [grid(self.design, self.system, [s]) for s in (self.claim, *self.lemmas)]
        needed = [cell for row in rows for cell in to_solve(row)]
        return needed, sum(map(len, rows)) - len(needed)

    def cells(self) -> list[Cell]:
        """What has to be solved, derived anew.  Raises Rejected if the file says something else."""
        stored: dict[tuple[str, str], Stored] = {}
        for entry in self.stored:
            if stored.setdefault((entry.transition, entry.claim), entry) is not entry:
                raise Rejected(f"two obligations for {entry.transition}::{entry.claim}")
        invariants = {s.name: s for s in (self.claim, *self.lemmas) if s.kind == "always"}
        scripts, found = Scripts(), list[Cell]()
        for cell in self.grid[0]:
            given = stored.pop((cell.transition.name, cell.prop.name), None)
            if given is None:
                raise Rejected(f"there is no obligation for {cell.name}")
            if not set(given.hypotheses) <= invariants.keys():
                raise Rejected(f"{cell.name} rests on an invariant that is not in the certificate")
            if cell.initial and given.hypotheses:
                raise Rejected(f"{cell.name} assumes an invariant before the start")
            if not set(given.assumptions) <= set(self.assumptions):
                raise Rejected(f"{cell.name} rests on an assumption that is not in the certificate")
            hypotheses = [invariants[n] for n in given.hypotheses]
            axioms = map(self.assumptions.index, given.assumptions)
            script = cell.text(scripts, self.system, hypotheses, axioms)
            if script != given.script:
                raise Rejected(f"the script of {cell.name} is not that of the stored system")
            found.append(Cell(cell, script, given.found_by))
        for transition, claim in stored:
            raise Rejected(f"the obligation {transition}::{claim} is no cell of this proof")
        return found

    def difference(self, design: Design[Any]) -> str:
        """In what the certificate is not about this design; empty if it is."""
        assumptions = [a.name for a in design.assumptions]
        theirs = system_data(design.system(), assumptions, [])
        ours = self._system()
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

    def _system(self) -> Data:
        trees = [s.tree for s in (self.claim, *self.lemmas)]
        return system_data(self.system, self.assumptions, trees)

    def _data(self) -> Data:
        return {
            "format": FORMAT,
            "version": VERSION,
            "versions": dict(self.versions),
            "design": self.design,
            "claim": _statement_data(self.claim),
            "lemmas": [_statement_data(lemma) for lemma in self.lemmas],
            "system": self._system(),
            "obligations": [
                {
                    "transition": s.transition,
                    "claim": s.claim,
                    "hypotheses": list(s.hypotheses),
                    "assumptions": list(s.assumptions),
                    "found_by": s.found_by,
                    "script": s.script,
                }
                for s in self.stored
            ],
        }


def digest(document: Data) -> str:
    """The SHA-256 of a certificate's content, whatever the layout of the file."""
    content = {name: value for name, value in document.items() if name != "sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def certificate(design: Design[Any], name: str, proof: Induction) -> Certificate:
    """The certificate of one proved claim."""
    named_proofs = [p for n in (name, *proof.uses(name)) for p in proof.cells_of(n)]
    claims: dict[str, Claim] = {p.cell.prop.name: p.cell.prop for p in named_proofs}
    statements = [Statement(p.name, p.kind, p.closed()) for p in claims.values()]
    assumptions = tuple(a.name for a in design.assumptions)
    stored = [
        Stored(
            p.cell.transition.name,
            p.cell.prop.name,
            p.hypotheses,
            tuple(assumptions[i] for i in p.axioms),
            p.found_by,
            p.text,
        )
        for p in named_proofs
    ]
    return Certificate(
        design.name,
        design.system(),
        assumptions,
        statements[0],
        tuple(statements[1:]),
        tuple(stored),
        versions(),
    )


def versions() -> dict[str, str]:
    """The versions of what makes proofs."""
    return {name: _version(package) for name, package in PACKAGES.items()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


# Reading.


def read_certificate(content: bytes) -> Certificate:
    """The certificate in a file.

    Raises NotACertificate, and Rejected if it was changed after it was written.
    """
    try:
        return _read(content)
    except Malformed as error:
        raise NotACertificate(_printable(str(error))) from None
    except RecursionError:
        raise NotACertificate("it is nested too deeply") from None


def _read(content: bytes) -> Certificate:
    document = _document(content)
    if type(document) is not dict or document.get("format") != FORMAT:
        raise Malformed(f'it does not begin with "format": "{FORMAT}"')
    if type(document.get("version")) is not int or document["version"] != VERSION:
        found = str(document.get("version"))[:20]
        raise Malformed(f"it has the format version {found}, this program reads {VERSION}")
    _, _, made_by, design, claim, lemmas, system, obligations, sha256 = fields(
        document,
        "the certificate",
        format=str,
        version=int,
        versions=dict,
        design=str,
        claim=dict,
        lemmas=list,
        system=dict,
        obligations=list,
        sha256=str,
    )
    if sha256 != digest(document):
        raise Rejected("it was changed after it was written: the hash is that of something else")
    fields(made_by, "versions", mapproof=str, z3=str, cvc5=str)
    if not design.isprintable() or not 0 < len(design) <= 200:
        raise Malformed("the name of the design is no name")
    known = Systems(system)
    statements = [_statement(known, claim, "the claim")]
    statements += (_statement(known, lemma, "the lemma") for lemma in lemmas)
    _check_names(statements)
    stored = tuple(map(_stored, obligations))
    made = Certificate(
        design,
        known.system,
        tuple(known.assumptions),
        statements[0],
        tuple(statements[1:]),
        stored,
        made_by,
    )
    if made._system() != system:  # such as a sort that nothing uses
        raise Malformed("the system is not in the form in which it is written")
    return made


def _check_names(statements: Sequence[Statement]) -> None:
    names = [s.name for s in statements]
    for name in names:
        if names.count(name) > 1:
            raise Malformed(f"two statements are called {name}")
    for lemma in statements[1:]:
        if lemma.kind != "always":
            raise Malformed(f"the lemma {lemma.name} is not of the kind always")


def _statement(known: Systems, data: Any, where: str) -> Statement:
    name, kind, text, tree = fields(data, where, name=str, kind=str, text=str, tree=str)
    named(name, where)
    if kind not in ("always", "step"):
        raise Malformed(f"{where} {name} is of no kind that can be proved")
    epochs = (0, 1) if kind == "step" else (0,)
    made = Statement(name, kind, known.claim(f"{where} {name}", tree, epochs))
    if made.text != text:
        raise Rejected(f"the text of {name} does not say what its tree says")
    return made


def _statement_data(statement: Statement) -> Data:
    return {
        "name": statement.name,
        "kind": statement.kind,
        "text": statement.text,
        "tree": tree_text(statement.tree),
    }


def _stored(data: Any) -> Stored:
    transition, claim, hypotheses, assumptions, found_by, script = fields(
        data,
        "an obligation",
        transition=str,
        claim=str,
        hypotheses=list,
        assumptions=list,
        found_by=str,
        script=str,
    )
    if found_by.partition(" ")[0] not in SOLVERS or not found_by.isprintable():
        raise Malformed("an obligation was found by no solver that is known")
    named(transition, "an obligation")
    named(claim, "an obligation")
    rests_on = _once_each(hypotheses, "hypotheses"), _once_each(assumptions, "assumptions")
    return Stored(transition, claim, *rests_on, found_by, script)


def _once_each(names: list[Any], what: str) -> tuple[str, ...]:
    found = tuple(texts(names, what))
    if len(set(found)) != len(found):
        raise Malformed(f"the {what} of an obligation have one name twice")
    return found


def _document(content: bytes) -> Any:
    if len(content) > LONGEST:
        raise Malformed(f"it has more than {LONGEST} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"it is not UTF-8 (byte {error.start})") from None
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Malformed(f"it is not JSON: {error}") from None
    except Malformed:
        raise
    except ValueError:  # an integer of more digits than Python converts
        raise Malformed("it has a number that is too large") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("an object in it has one name twice")
    return found


def _no_constant(text: str) -> Any:
    raise Malformed(f"it is not JSON: {text}")


def _by_name(entries: Sequence[Data]) -> dict[str, Data]:
    return {e["name"]: e for e in entries}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
