"""Results as JSON: the format that other tools may rely on, see ``results.schema.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mapproof.proofs.explore import Explored
from mapproof.proofs.trace import Trace
from mapproof.proofs.verdict import Result

from .claims import Claim
from .naming import Naming
from .text import changes

VERSION = 1

Role = str | None


def results_json(
    results: Sequence[tuple[Result, Role]],
    errors: Sequence[str] = (),
    *,
    interrupted: bool = False,
    claims: Sequence[Claim] = (),
) -> str:
    """The results of a command as one JSON document.

    A result may have a role, such as "before" and "after" in a review.  ``errors`` are the messages
    of designs that could not be checked; ``claims`` are results that the ledger has expectations of.
    """
    document: dict[str, Any] = {
        "version": VERSION,
        "results": [_result(result, role) for result, role in results] + [*map(_claim, claims)],
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


def _result(result: Result, role: Role) -> dict[str, Any]:
    trace = result.trace
    return {
        "design": result.design,
        "property": result.property,
        "kind": result.kind,
        **({"role": role} if role else {}),
        "verdict": str(result.verdict),
        "scope": result.scope,
        "depth": result.depth,
        "trace": None if trace is None else [_step(trace, i) for i in range(len(trace.events))],
        "witness": None if trace is None else _witness(trace, result),
        "replayed": result.replayed,
        "lemmas": list(result.lemmas),
        "certificate": result.certificate_file or None,
        "checked_by": list(result.checked_by),
        "solver": result.solver or None,
        "assumptions": list(result.assumptions),
        "reason": result.reason or None,
        "seconds": round(result.seconds, 3),
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        **_result(claim.result, claim.role),
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
