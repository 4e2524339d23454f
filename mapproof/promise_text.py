"""What a function promises, as the comment to be written above it, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mapproof.model.language import Procedure
from mapproof.model.language.nodes import Node, conj, implies, nodes_of, show
from mapproof.proofs.lemma import Lemma
from mapproof.proofs.promise import Denial, Fact, Promise

from .jsonout import VERSION
from .lemma_clauses import grouped
from .lemma_text import variable_names
from .lemma_words import English, listed, telling
from .naming import Naming, call
from .text import counted, first_sentence, fold


def promise_text(found: Promise) -> str:
    """A kernel comment: what holds whenever it returns, each fact in words and as a formula; what does
    not, with the shortest run that shows it."""
    subject = found.subject
    lines = fold(f"{subject.name}() - {first_sentence(subject.doc)}", "", "  ")
    lines += ["", "Whenever it returns:" if found.facts else _nothing(found)]
    for fact in found.facts:
        lines += _said(found, fact.clause)
    if found.invariants:
        lines += ["", "At any time, whether it was called or not:"]
    for fact in found.invariants:
        lines += _said(found, fact.clause)
    if found.denied:
        lines += ["", "It does not promise:"]
    for denial in found.denied:
        lines += [
            *_said(found, denial.clause),
            *fold(f"not after {_run(denial)}", "    ", "      "),
        ]
    lines += ["", *fold(_footing(found), "", "  ")]
    return "\n".join(["/**", *(f" * {line}".rstrip() for line in lines), " */"])


def promise_json(found: Promise) -> str:
    """The same for other tools."""
    document = {
        "version": VERSION,
        "design": found.design.name,
        "operation": found.subject.name,
        "kernel": found.subject.kernel,
        "promises": [_fact(found, f) for f in found.facts],
        "invariants": [_fact(found, f) for f in found.invariants],
        "not_promised": [
            _in_words(found, d.clause) | {"run": list(_steps(d))} for d in found.denied
        ],
        "unsettled": found.unsettled,
        "assumptions": [a.name for a in found.design.assumptions],
    }
    return json.dumps(document, indent=2)


def _nothing(found: Promise) -> str:
    if found.unsettled:
        return "What holds whenever it returns is not known."
    return "It promises nothing: what holds when it returns held before."


def _fact(found: Promise, fact: Fact) -> dict[str, Any]:
    result = fact.result
    by = {"lemmas": list(result.lemmas), "checked_by": list(result.checked_by)}
    return _in_words(found, fact.clause) | by


def _said(found: Promise, clause: Node) -> Iterator[str]:
    words = _in_words(found, clause)
    yield from fold(words["text"], "- ", "  ")
    if words["formula"] not in words["text"]:
        yield from fold(words["formula"], "    ", "      ")


def _in_words(found: Promise, clause: Node) -> dict[str, Any]:
    positions = {p.position: p for p in found.design.procedures}
    (group,) = grouped([Lemma(clause, "")], positions)
    parts = (*group.premise, *group.conclusions)
    arguments = {n.data[0].name for n in nodes_of(*parts) if n.op == "read" and not n.args}
    names = variable_names(parts, arguments)
    english = English(names, positions)
    said = listed([english.literal(x) for x in group.conclusions])
    given = telling(group)
    premise = listed([english.literal(x) for x in given]) if given else ""
    every = ", ".join(f"{v.sort.__name__} {names[v]}" for v in group.variables)
    where = f"for every {every}: " if every else ""
    text = f"{where}if {premise}, then {said}." if premise else f"{where}{said}."
    formula = implies(conj(group.premise), conj(group.conclusions))
    return {"text": text, "formula": show(formula, names.get)}


def _run(denial: Denial) -> str:
    return "; ".join(_steps(denial))


def _steps(denial: Denial) -> Iterator[str]:
    trace = denial.trace
    for number, event in enumerate(trace.events):
        yield call(Naming.of(trace, number), event)


def _footing(found: Promise) -> str:
    kind = "procedure" if isinstance(found.subject, Procedure) else "operation"
    said = f"mapproof: {kind} of {found.design.name}"
    if found.facts:
        said += "; proved for any size"
    solvers = dict.fromkeys(s for f in found.facts for s in f.result.checked_by)
    if solvers:
        said += f", re-checked by {', '.join(solvers)}"
    if found.design.assumptions:
        said += f"; assuming {', '.join(a.name for a in found.design.assumptions)}"
    if found.unsettled:
        said += f"; {counted(found.unsettled, 'candidate')} left open"
    return f"{said}."
