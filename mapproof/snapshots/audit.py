"""The audit: every property of the library that is about what a snapshot shows, evaluated on one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Any

from mapproof.model.language import Property, State
from mapproof.model.language.sparse import Found, Unreadable, evaluate
from mapproof.model.machine.halves import Halves, KernelCopies, TopLevelTables, UserPages
from mapproof.model.machine.snapshot import Snapshot

from .facts import Facts
from .image import Image


class Status(StrEnum):
    """What a property came to.  NOTHING: no mapping is of the kind that it speaks of."""

    HOLDS = "holds"
    VIOLATED = "violated"
    NOTHING = "nothing to check"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Finding:
    """One property on one snapshot; ``reason`` says why it does not apply."""

    prop: Property[Any]
    status: Status
    found: Found = field(default_factory=Found)
    reason: str = ""


@dataclass
class Audit:
    """The findings on a snapshot, and what of it could not be read."""

    facts: Facts
    findings: list[Finding]
    seconds: float

    @property
    def image(self) -> Image:
        return self.facts.image

    @property
    def problems(self) -> list[str]:
        return [*self.image.problems, *self.facts.walk.problems, *self.facts.problems]

    @property
    def violated(self) -> list[Finding]:
        return [f for f in self.findings if f.status is Status.VIOLATED]


def about_snapshots(library: Iterable[Property[Any]]) -> list[Property[Any]]:
    """The properties of the library that are about a snapshot's state, and those about states that have
    more: these do not apply, and the audit says why."""
    families = (Halves, TopLevelTables, UserPages, KernelCopies)
    return [
        p
        for p in library
        if p.kind in ("always", "step")
        and p.state is not State
        and (issubclass(Snapshot, p.state) or issubclass(p.state, families))
    ]


def audit(image: Image, properties: Iterable[Property[Any]]) -> Audit:
    """Walk the tables of an image and evaluate properties on them."""
    started = monotonic()
    facts = Facts(image)
    findings = [_finding(prop, facts) for prop in properties]
    return Audit(facts, findings, monotonic() - started)


def _finding(prop: Property[Any], facts: Facts) -> Finding:
    if not issubclass(Snapshot, prop.state) or prop.kind == "step":
        return Finding(prop, Status.NOT_APPLICABLE, reason=_reason(prop, facts))
    try:
        found = evaluate(prop, facts)
    except Unreadable as error:
        return Finding(prop, Status.NOT_APPLICABLE, reason=str(error))
    if found.violated:
        return Finding(prop, Status.VIOLATED, found)
    return Finding(prop, Status.HOLDS if found.checked else Status.NOTHING, found)


def _reason(prop: Property[Any], facts: Facts) -> str:
    """Why a property of designs cannot be asked of a snapshot."""
    if prop.kind == "step":
        return "it is about a step, and a snapshot is one state"
    missing = []
    for component in sorted(prop.body().components, key=lambda c: c.name):
        try:
            facts.relation(component)
        except Unreadable as error:
            missing.append(str(error))
    if missing:  # what TLBs hold is told before what follows from it
        return next((reason for reason in missing if "TLB" in reason), missing[0])
    return f"it is about designs that have the state {prop.state.__name__}"
