"""Reading certificates from files, of which nothing is believed."""

from __future__ import annotations

import json
from typing import Any

from .certificate import (
    FORMAT,
    VERSION,
    Certificate,
    Head,
    NotACertificate,
    Rejected,
    digest,
    read_statement,
)
from .certified_any_size import AnySize
from .certified_at_scope import AtScope, Shown
from .systems import Systems, fields
from .trees import Malformed

LONGEST = 100_000_000  # bytes
KINDS: dict[str, type[AnySize | AtScope | Shown]] = {k.proof: k for k in (AnySize, AtScope, Shown)}


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
    kind = KINDS.get(str(document.get("proof")))
    if kind is None:
        raise Malformed("it has no proof of a kind that is known")
    types = {
        "format": str,
        "version": int,
        "versions": dict,
        "design": str,
        "claim": dict,
        "system": dict,
        "proof": str,
        "sha256": str,
    }
    head = {name: value for name, value in document.items() if name in types}
    evidence = {name: value for name, value in document.items() if name not in types}
    _, _, made_by, design, claim, system, _, sha256 = fields(head, "the certificate", **types)
    if sha256 != digest(document):
        raise Rejected("it was changed after it was written: the hash is that of something else")
    fields(made_by, "versions", mapproof=str, z3=str, cvc5=str)
    if not design.isprintable() or not 0 < len(design) <= 200:
        raise Malformed("the name of the design is no name")
    known = Systems(system)
    common = {
        "design": design,
        "system": known.system,
        "assumptions": tuple(known.assumptions),
        "claim": read_statement(known, claim, "the claim", kind.kinds),
        "versions": made_by,
    }
    made = kind.read(Head(known, common), evidence)
    if made.system_data() != system:  # such as a sort that nothing uses
        raise Malformed("the system is not in the form in which it is written")
    return made


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


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
