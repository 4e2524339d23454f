"""Results as plain text, 80 columns, ready to be pasted into a mail."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from mapproof.model.language import Design, Property
from mapproof.proofs.trace import Change, Trace
from mapproof.proofs.verdict import Result, Verdict

from .naming import Naming, call
from .reasons import assumed, reason_of

if TYPE_CHECKING:
    from mapproof.proofs.cti import Cti

WIDTH = 80
INDENT = " " * 10

_OPEN = "magenta"  # of what is not known
_COLOURS = {
    Verdict.PROVED: "green",
    Verdict.PROVED_AT_SCOPE: "green",
    Verdict.VIOLATED: "red",
    Verdict.VACUOUS: "red",
}


def fold(text: str, first: str, rest: str | None = None) -> list[str]:
    """Lines of at most 80 columns that start with ``first``, then ``rest`` (spaces if None)."""
    room = WIDTH - len(first if rest is None else rest)
    words = (w if len(w) <= room else w.replace("::", ":: ") for w in text.split(" "))
    return textwrap.wrap(
        " ".join(words),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def counted(number: int, thing: str) -> str:
    """``1 step``, ``2 steps``; of a lemma, "lemmas"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def scope_text(scope: dict[str, int] | None) -> str:
    """A scope as the command line writes it."""
    return ",".join(f"{k}={v}" for k, v in (scope or {}).items())


def word(result: Result) -> str:
    """The verdict in the words that are fixed for it."""
    if result.verdict is Verdict.HOLDS_TO_DEPTH:
        return f"{result.verdict} {result.depth}"
    return str(result.verdict)


def coloured(result: Result, text: str) -> str:
    """Text in the colour of a verdict."""
    return click.style(text, fg=_COLOURS.get(result.verdict, "yellow"), bold=True)


def established(result: Result) -> str:
    """What was established, in a few words after the verdict's own."""
    match result.verdict:
        case Verdict.PROVED | Verdict.PROVED_AT_SCOPE if result.kind == "sometimes":
            return f"reached {when(result)}"
        case Verdict.PROVED | Verdict.PROVED_AT_SCOPE:
            where = "for any size" if result.scope is None else f"at {scope_text(result.scope)}"
            lemmas = f", {counted(len(result.lemmas), 'lemma')}" if result.lemmas else ""
            return where + lemmas
        case Verdict.VIOLATED:
            return when(result)
        case Verdict.HOLDS_TO_DEPTH:
            return "not proved"
        case _:
            return ""


def limits(result: Result) -> str:
    """What is known of a claim that is neither proved for any size nor violated, and why no more; of a
    ``sometimes`` that was seen, where, if not at the scope that was asked for."""
    seen = result.kind == "sometimes" and result.verdict is Verdict.PROVED
    if seen or result.verdict is Verdict.PROVED_AT_SCOPE:
        return result.reason
    if result.verdict not in (Verdict.HOLDS_TO_DEPTH, Verdict.UNKNOWN, Verdict.VACUOUS):
        return ""
    parts: list[str] = []
    searched = result.kind != "sometimes" and result.scope is not None
    if searched and result.depth is not None and result.depth >= 0:
        steps = counted(result.depth, "step")
        parts.append(f"no counterexample of at most {steps} at {scope_text(result.scope)}")
    return "; ".join([*parts, result.reason or "no reason is known"])


def when(result: Result) -> str:
    """After how many steps something shows."""
    return "in the initial state" if not result.depth else f"in {counted(result.depth, 'step')}"


def verdicts(results: Sequence[Result]) -> Iterator[str]:
    """One line per property; below it, what is known where nothing was settled."""
    words = max(len(word(r)) for r in results)
    names = max(len(r.property) for r in results)
    for result in results:
        said = coloured(result, word(result)) + " " * (words - len(word(result)))
        line = f"  {said}  {result.property:{names}}  {established(result)}"
        yield line.rstrip()
        if limits(result):
            yield from fold(limits(result), "      ")


def report(design: Design[Any], results: Sequence[Result], seconds: float) -> str:
    """The results for one design: verdicts, then every counterexample, then the smallest step that a
    proof does not get past, then what the verdicts rest on."""
    lines = [*fold(_title(design), "", "  "), "", *verdicts(results)]
    for result in results:
        if result.verdict is Verdict.VIOLATED:
            lines += ["", *counterexample(result)]
    lines += not_excluded(results)
    lines += ["", *footing(results), _summary(results, seconds)]
    return "\n".join(lines)


def _title(design: Design[Any]) -> str:
    summary = first_sentence(design.doc)
    return f"{design.name}: {summary}" if summary else design.name


def first_sentence(text: str) -> str:
    """The first sentence of a documentation."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.]) (?=[A-Z])", paragraph, maxsplit=1)[0]


def footing(results: Sequence[Result]) -> Iterator[str]:
    """What the verdicts rest on: second solvers, lemmas and assumptions, each once."""
    proofs = [r for r in results if r.verdict is Verdict.PROVED and r.kind != "sometimes"]
    solvers = dict.fromkeys(name for r in proofs for name in r.checked_by)
    if solvers:
        yield from fold(f"proofs re-checked by: {', '.join(solvers)}", "", "  ")
    sharing: dict[tuple[str, ...], list[str]] = {}
    for result in results:
        if result.lemmas:
            sharing.setdefault(result.lemmas, []).append(result.property)
    for lemmas, properties in sharing.items():
        yield from fold(f"lemmas of {', '.join(properties)}: {', '.join(lemmas)}", "", "  ")
    assumptions = dict.fromkeys(name for r in results for name in r.assumptions)
    if assumptions:
        yield from fold(f"assuming: {', '.join(assumptions)}", "", "  ")


def _summary(results: Sequence[Result], seconds: float) -> str:
    tally: dict[str, int] = {}
    for result in results:
        tally[result.verdict] = tally.get(result.verdict, 0) + 1
    parts = ", ".join(f"{number} {verdict}" for verdict, number in tally.items())
    return f"{parts} in {seconds:.2f} s"


# Counterexamples.


def property_of(result: Result) -> Property[Any]:
    """The property that a result with a trace, or a CTI, is about."""
    trace = result.shown()
    assert trace is not None
    return trace.design.property_named(result.property)


def headline(result: Result) -> str:
    """The first line of a counterexample: which design, which property, how far."""
    return f"{result.design} :: {result.property}  {str(result.verdict).upper()} {when(result)}"


def counterexample(result: Result) -> Iterator[str]:
    """A trace, step by step: who acts, what is called, only what changed; then what is false."""
    trace, prop = result.trace, property_of(result)
    assert trace is not None
    for line in fold(headline(result), "", "  "):
        yield coloured(result, line)
    yield from fold(prop.summary or "(not documented)", "  ")
    how = "; replayed without a solver" if result.replayed else ""
    yield from fold(f"scope {scope_text(result.scope)}{how}", "  ")
    yield ""
    yield from fold(trace.design.init.doc.partition("\n\n")[0] or "the initial state", "  start   ")
    naming = Naming.of(trace, 0)
    for read in assumed(trace, prop):
        yield from fold(
            f"{naming.cell(read.component.name, read.component.keys, read.key)} = "
            f"{naming.content(read.component, read.key)}",
            INDENT,
            INDENT + "  ",
        )
    for number in range(len(trace.events)):
        yield from _step(trace, number, f"  step {number + 1}")
    yield ""
    yield from _false_part(trace, prop, "false")


# Counterexamples to induction: never in the words or the colour of a counterexample.

NOT_REACHED = "not known to be reachable"


def smallest_cti(results: Sequence[Result]) -> Result | None:
    """The result with the CTI that has least to look at."""
    every = [r for r in results if r.cti is not None]
    return min(every, key=lambda r: len(r.cti.before) if r.cti else 0, default=None)


def not_excluded(results: Sequence[Result]) -> Iterator[str]:
    """The smallest CTI, step and all; of the others what would break what."""
    shown = smallest_cti(results)
    if shown is None:
        return
    yield ""
    yield from cti_text(shown)
    others = [r for r in results if r.cti is not None and r is not shown]
    if others:
        names = (f"{r.property} ({r.cti.trace.events[0].transition.name})" for r in others if r.cti)
        yield ""
        yield from fold(f"likewise, from other states: {', '.join(names)}", "  ", "    ")


def cti_text(result: Result) -> Iterator[str]:
    """A CTI: what is special of the state, the step, which part of the property it would break."""
    assert result.cti is not None
    trace, prop = result.cti.trace, property_of(result)
    title = f"{result.design} :: {result.property}  NOT PROVED for any size"
    yield from (click.style(line, fg=_OPEN, bold=True) for line in fold(title, "", "  "))
    yield from fold(prop.summary or "(not documented)", "  ")
    yield from fold(
        f"A step would break it from a state that no known invariant rules out. The state is "
        f"{NOT_REACHED}: this is no counterexample, it shows what a proof lacks.",
        "  ",
    )
    yield from fold(f"scope {scope_text(trace.machine.scope.names())}", "  ")
    yield ""
    naming = Naming.of(trace, 0)
    entries = {name: value for name, _, value in special(result.cti)}
    for read in assumed(trace, prop, arbitrary_locals=True):
        name = naming.cell(read.component.name, read.component.keys, read.key)
        entries.setdefault(name, naming.content(read.component, read.key))
    lead = "  before  "
    for name, value in entries.items():
        yield from fold(f"{name} = {value}", lead, INDENT + "  ")
        lead = INDENT
    yield from _step(trace, 0, "  step")
    yield ""
    yield from _false_part(trace, prop, "breaks")


def _step(trace: Trace, number: int, label: str) -> Iterator[str]:
    event = trace.events[number]
    said = fold(call(Naming.of(trace, number), event), f"{label:10}")
    kernel = f"[{event.transition.kernel}]" if event.transition.kernel else ""
    if kernel and len(said) == 1 and len(said[0]) + 2 + len(kernel) <= WIDTH:
        said, kernel = [f"{said[0]}  {kernel}"], ""
    yield said[0].replace(label, click.style(label, bold=True), 1)
    yield from said[1:]
    if kernel:
        yield from fold(kernel, INDENT)
    changed = [*changes(trace, number)]
    for name, old, new in changed:
        line = f"{INDENT}{name}  {old} -> {new}"
        if len(line) <= WIDTH:
            yield line
        else:
            yield from fold(name, INDENT, INDENT + "  ")
            yield from fold(f"{old} -> {new}", INDENT + "    ")
    if not changed:
        yield f"{INDENT}(nothing changes)"


def changes(trace: Trace, number: int) -> Iterator[tuple[str, str, str]]:
    """What a step changed: entry, old value, new value; a group's maps at one key are one entry."""
    return _told(trace.changes(number), Naming.of(trace, number), Naming.of(trace, number + 1))


def special(cti: Cti) -> Iterator[tuple[str, str, str]]:
    """What makes the state before the step of a CTI a special one: entry, its value in an initial
    state, its value."""
    trace = cti.trace
    return _told(cti.before, Naming(trace.design, trace.machine, cti.start), Naming.of(trace, 0))


def _told(
    changed: Iterable[Change], before: Naming, after: Naming
) -> Iterator[tuple[str, str, str]]:
    done: set[tuple[str, tuple[int, ...]]] = set()
    for change in changed:
        component, key = change.component, change.key
        group = after.group_of(component)
        old, new = before.entry(component, key), after.entry(component, key)
        if group is None or old is None or new is None:
            yield _plain(change, before, after)
        elif (group.name, key) not in done:
            done.add((group.name, key))
            yield after.cell(group.name, component.keys, key), old, new


def _plain(change: Change, before: Naming, after: Naming) -> tuple[str, str, str]:
    component = change.component
    name = after.cell(component.name, component.keys, change.key)
    sort = component.value
    return name, before.value(sort, change.old), after.value(sort, change.new)


def _false_part(trace: Trace, prop: Property[Any], label: str) -> Iterator[str]:
    reason = reason_of(trace, prop)
    ends = len(trace.states) - 1
    old, new = Naming.of(trace, max(0, ends - 1)), Naming.of(trace, ends)
    yield from fold(reason.text, f"  {label:8}")
    for number, assignment in enumerate(reason.let):
        yield from fold(assignment, INDENT if number else "  let     ", INDENT + "  ")
    if reason.witness:
        named = ", ".join(f"{k} = {v}" for k, v in new.witness(reason.witness))
        yield from fold(named, "  at      ")
    lead = "  where   "
    shown: set[str] = set()
    for read in reason.reads:
        naming = old if prop.kind == "step" and not read.new else new
        entry = naming.entry(read.component, read.key)
        group = naming.group_of(read.component)
        name = group.name if entry is not None and group else read.component.name
        text = naming.cell(name, read.component.keys, read.key)
        text = f"{'new.' if read.new else ''}{text} = "
        text += entry if entry is not None else naming.content(read.component, read.key)
        if text not in shown:
            shown.add(text)
            yield from fold(text, lead, INDENT + "  ")
            lead = INDENT
