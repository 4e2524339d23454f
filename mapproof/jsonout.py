"""Results as JSON: the format that other tools may rely on, see ``results.schema.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mapproof.proofs.explore import Explored
from mapproof.proofs.trace import Trace
from mapproof.proofs.verdict import Result

from .claims import Claim
from .lemma_text import Page
from .naming import Naming
from .text import changes, special

if TYPE_CHECKING:
    from mapproof.proofs.cti import Cti

VERSION = 1

Role = str | None


@dataclass(frozen=True)
class Part:
    """The results for one design, the lemmas that were inferred for them, and the role of the design,
    such as "before" and "after" in a review."""

    results: Sequence[Result]
    lemmas: Page
    role: Role = None


def results_json(
    parts: Sequence[Part],
    errors: Sequence[str] = (),
    *,
    interrupted: bool = False,
    claims: Sequence[Claim] = (),
) -> str:
    """The results of a command as one JSON document.

    ``errors`` are the messages of designs that could not be checked; ``claims`` are results that the
    ledger has expectations of.
    """
    results = [result_json(result, part) for part in parts for result in part.results]
    document: dict[str, Any] = {
        "version": VERSION,
        "results": results + [_claim(claim) for claim in claims],
    }
    if errors:
        document["errors"] = list(errors)
    if interrupted:
        document["interrupted"] = True
    return _text(document)


def explored_json(found: Explored) -> str:
    """The outcome of an exploration."""
    return _text(
        {
            "version": VERSION,
            "design": found.design,
            "scope": found.scope.names(),
            "states": found.states,
            "depth": found.depth,
            "complete": found.complete,
        }
    )


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2)


def result_json(result: Result, part: Part) -> dict[str, Any]:
    """One result, as the schema has it."""
    trace = result.trace
    return {
        "design": result.design,
        "property": result.property,
        "kind": result.kind,
        **({"role": part.role} if part.role else {}),
        "verdict": str(result.verdict),
        "scope": result.scope,
        "depth": result.depth,
        "trace": None if trace is None else [_step(trace, i) for i in range(len(trace.events))],
        "witness": None if trace is None else _witness(trace, result),
        "replayed": result.replayed,
        "cti": None if result.cti is None else _cti(result.cti, result),
        "lemmas": list(result.lemmas),
        "inferred": [{"name": f.name, "text": f.text} for f in part.lemmas.of(result.inferred)],
        "certificate": result.certificate_file or None,
        "checked_by": list(result.checked_by),
        "solver": result.solver or None,
        "assumptions": list(result.assumptions),
        "reason": result.reason or None,
        "seconds": round(result.seconds, 3),
    }


def _cti(cti: Cti, result: Result) -> dict[str, Any]:
    trace = cti.trace
    return {
        "scope": trace.machine.scope.names(),
        "before": {name: {"initial": old, "value": new} for name, old, new in special(cti)},
        "step": _step(trace, 0),
        "witness": _witness(trace, result),
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        **result_json(claim.result, Part([claim.result], claim.lemmas, claim.role)),
        "defect": claim.defect.id,
        "expected": claim.expected,
        "met": claim.met,
    }


def _step(trace: Trace, number: int) -> dict[str, Any]:
    event = trace.events[number]
    return {
        "operation": event.transition.name,
        "kernel": event.transition.kernel or None,
        "args": Naming.of(trace, number).arguments(event),
        "changes": {name: {"old": old, "new": new} for name, old, new in changes(trace, number)},
    }


def _witness(trace: Trace, result: Result) -> dict[str, str]:
    """The elements at which the property fails (a ``sometimes``: holds), by parameter."""
    naming = Naming.of(trace, len(trace.states) - 1)
    parameters = trace.design.property_named(result.property).parameters
    return {p.name: naming.value(p.sort, trace.witness[p.name]) for p in parameters}
