"""What became of the mutants of a design: as text of 80 columns, and as JSON.

Other tools may rely on the JSON, see ``mutation.schema.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from mapproof.proofs.mutation import ENOUGH, Fate, Mutation, Outcome

from .jsonout import VERSION
from .text import counted, fold

_COLOURS = {Fate.KILLED: "green", Fate.EQUIVALENT: "cyan", Fate.SURVIVED: "red"}
_FATE = 10  # columns


def mutation_text(found: Mutation) -> str:
    """Every mutant with its fate, the survivors again with their reasons, and the score."""
    lines = [f"{found.design}: {counted(len(found.outcomes), 'mutant')}", ""]
    for outcome in found.outcomes:
        lines += _line(outcome)
    survivors = found.of(Fate.SURVIVED)
    if survivors:
        lines += ["", "survivors"]
        for outcome in survivors:
            lines += fold(f"{outcome.mutant.about}: {outcome.reason}", "  ", "    ")
            if outcome.harmless:
                lines += fold(f"harmless: {outcome.harmless}", "    ", "      ")
    return "\n".join([*lines, "", *summary(found)])


def summary(found: Mutation) -> Iterator[str]:
    """The score in one sentence."""
    killed, equivalent = len(found.of(Fate.KILLED)), len(found.of(Fate.EQUIVALENT))
    different = len(found.outcomes) - equivalent
    judged = "" if found.enough else f", less than {ENOUGH:.0%}"
    yield from fold(
        f"{killed} of {counted(different, 'mutant')} killed ({found.score:.1%}{judged}); "
        f"{equivalent} equivalent, {len(found.of(Fate.SURVIVED))} survived",
        "",
    )


def _line(outcome: Outcome) -> Iterator[str]:
    fate = str(outcome.fate)
    lead = f"  {fate:{_FATE}}  "
    first, *rest = fold(outcome.mutant.name, lead)
    yield first.replace(fate, click.style(fate, fg=_COLOURS[outcome.fate], bold=True), 1)
    yield from rest
    if outcome.fate is not Fate.SURVIVED:
        yield from fold(_why(outcome), " " * (len(lead) + 2))


def _why(outcome: Outcome) -> str:
    if outcome.fate is Fate.KILLED and outcome.trace is not None:
        return f"by {outcome.killer} in {counted(outcome.steps or 0, 'step')}"
    if outcome.fate is Fate.KILLED:
        return f"by {outcome.killer}: {outcome.reason}"
    return outcome.reason


def mutation_json(found: Mutation) -> str:
    """The same as one JSON document."""
    document: dict[str, Any] = {
        "version": VERSION,
        "design": found.design,
        "score": round(found.score, 4),
        "killed": len(found.of(Fate.KILLED)),
        "equivalent": len(found.of(Fate.EQUIVALENT)),
        "survived": len(found.of(Fate.SURVIVED)),
        "mutants": [_mutant(outcome) for outcome in found.outcomes],
    }
    return json.dumps(document, indent=2)


def _mutant(outcome: Outcome) -> dict[str, Any]:
    trace = outcome.trace
    return {
        "name": outcome.mutant.name,
        "slip": str(outcome.mutant.slip),
        "about": outcome.mutant.about,
        "fate": str(outcome.fate),
        "killer": outcome.killer or None,
        "steps": outcome.steps,
        "run": None if trace is None else [event.transition.name for event in trace.events],
        "reason": outcome.reason,
        "harmless": outcome.harmless or None,
    }


def mutation_page(results: list[Mutation]) -> str:
    """The page of scores and survivors in ``docs/``."""
    lines = [
        "# Mutation",
        "",
        "`mapproof mutate DESIGN` makes one slip at a time in a design (a guard or a write left out, a",
        "bit flipped, two writes or steps swapped) and asks which property notices. Written by",
        "`tests/test_mutation.py` from what the command finds.",
        "",
        "| design | mutants | equivalent | killed | survived | score |",
        "|---|---|---|---|---|---|",
    ]
    for found in results:
        counts = [len(found.of(f)) for f in (Fate.EQUIVALENT, Fate.KILLED, Fate.SURVIVED)]
        numbers = " | ".join(str(n) for n in (len(found.outcomes), *counts))
        lines.append(f"| `{found.design}` | {numbers} | {found.score:.1%} |")
    lines += ["", "The score is killed of those that are not equivalent.", "", "## Survivors", ""]
    for found in results:
        for outcome in found.of(Fate.SURVIVED):
            why = outcome.harmless or outcome.reason
            lines.append(f"- `{found.design}`: {outcome.mutant.name}. {why[:1].upper()}{why[1:]}.")
    return "\n".join(lines) + "\n"
