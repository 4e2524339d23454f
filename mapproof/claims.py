"""The ledger as the command line shows it: which designs it asks for, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import click

from mapproof.proofs.ledger import CONFIDENCE, Defect, Role, defects, met, out_of_reach
from mapproof.proofs.verdict import Result

from .catalog import Catalog, Target
from .lemma_text import Page
from .text import coloured, counted, established, fold, limits, word

LEDGER = "ledger"
ROLES: tuple[Role, ...] = ("buggy", "fixed")


@dataclass(frozen=True)
class Claim:
    """What the ledger expects of one design, what was found, and the lemmas that were inferred."""

    defect: Defect
    role: Role
    result: Result
    lemmas: Page

    @property
    def expected(self) -> str:
        return self.defect.expected(self.role)

    @property
    def met(self) -> bool:
        return met(self.defect, self.role, self.result)


def split(texts: Iterable[str]) -> tuple[list[str], list[Defect]]:
    """Targets that name designs, and the defects that the others name (``ledger``: all)."""
    known = defects()
    others: list[str] = []
    chosen: dict[str, Defect] = {}
    for text in texts:
        if text == LEDGER:
            chosen |= known
        elif text in known:
            chosen[text] = known[text]
        else:
            others.append(text)
    return others, list(chosen.values())


def targets(chosen: Sequence[Defect], catalog: Catalog) -> list[Target]:
    """The designs that defects name, each once, with all that is asked of it."""
    wanted: dict[str, dict[str, int]] = {}
    for defect in chosen:
        for role in ROLES:
            steps = len(defect.story) if role == "buggy" else 0
            wanted.setdefault(defect.design(role), {})[defect.property] = steps
    return [
        Target(catalog.design_named(name), tuple(only), steps=max(only.values()))
        for name, only in wanted.items()
    ]


def settled(
    chosen: Sequence[Defect], check: Callable[[str], tuple[list[Result], Page]]
) -> Iterator[tuple[Defect, list[Claim]]]:
    """Each defect with what was found; ``check`` is called once for each design."""
    found: dict[tuple[str, str], tuple[Result, Page]] = {}
    for defect in chosen:
        claims: list[Claim] = []
        for role in ROLES:
            name = defect.design(role)
            if (name, defect.property) not in found:
                results, lemmas = check(name)
                found |= {(name, result.property): (result, lemmas) for result in results}
            claims.append(Claim(defect, role, *found[name, defect.property]))
        yield defect, claims


def text(defect: Defect, claims: Sequence[Claim]) -> str:
    """A defect and what was found of it."""
    lines = fold(f"{defect.title} [{defect.confidence}]", f"{defect.id:6} ")
    lines.append(f"       {defect.property}")
    width = max(len(claim.result.design) for claim in claims)
    for claim in claims:
        result = claim.result
        said = coloured(result, word(result)) + f" {established(result)}"
        lines.append(f"  {claim.role}  {result.design:{width}}  {said}".rstrip())
        if claim.met and claim.role == "fixed" and defect.reason:
            lines += fold(defect.reason, " " * 9)
        if not claim.met:
            expected = f"not met: expected {claim.expected}"
            if claim.role == "buggy":
                expected += f", by {', '.join(defect.story)}"
            lines += fold(expected, " " * 9)
            lines += fold(limits(result), " " * 9) if limits(result) else []
    return "\n".join(lines)


def summary(claims: Sequence[Claim], seconds: float) -> str:
    """The last line."""
    number = sum(claim.met for claim in claims)
    return f"{number} of {counted(len(claims), 'expectation')} met in {seconds:.2f} s"


# What there is.


def rows() -> list[tuple[str, str]]:
    """The ledger in one line each, the rows that are out of reach last."""
    known = ((d.id, f"[{d.confidence}] {d.title}") for d in defects().values())
    missing = ((row, f"out of reach: {reason}") for row, reason in out_of_reach().items())
    return list(chain(known, missing))


def explanation(name: str) -> str | None:
    """What the ledger says of a row, if it has one of that name."""
    if name in out_of_reach():
        return "\n".join([f"{click.style(name, bold=True)}  (out of reach)", *_said(name)])
    defect = defects().get(name)
    if defect is None:
        return None
    lines = [f"{click.style(defect.id, bold=True)}  (defect of {defect.system})"]
    lines += fold(defect.title, "  ")
    grades = "; ".join(f"{g}: {CONFIDENCE[g]}" for g in defect.confidence.split("/"))
    for label, said in (("source", defect.source), ("grade", grades), ("breaks", defect.property)):
        lines += fold(said, f"  {label:7} ")
    for role in ROLES:
        lines += fold(f"{defect.design(role)}, {defect.expected(role)}", f"  {role:7} ")
    lines += fold(", ".join(defect.story), "  story   ")
    lines += fold(defect.reason, "  scope   ") if defect.reason else []
    return "\n".join(lines)


def _said(row: str) -> list[str]:
    return fold(out_of_reach()[row], "  ")
