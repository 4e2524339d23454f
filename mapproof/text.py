"""Results as plain text, 80 columns, ready to be pasted into a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click

from mapproof.model.language import Design, Property
from mapproof.proofs.trace import Change, Trace
from mapproof.proofs.verdict import Result, Verdict

from .naming import Naming, call
from .reasons import assumed, reason_of

WIDTH = 80
NAMES = 34  # columns for the names of properties, at most
INDENT = " " * 10

_COLOURS = {
    Verdict.PROVED: "green",
    Verdict.PROVED_AT_SCOPE: "green",
    Verdict.VIOLATED: "red",
    Verdict.VACUOUS: "red",
}

Ask = Callable[[str], str]


def fold(text: str, first: str, rest: str | None = None) -> list[str]:
    """Lines of at most 80 columns that start with ``first``, then ``rest`` (spaces if None)."""
    return textwrap.wrap(
        text,
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
    """What was established, after the verdict's word, and why no more."""
    match result.verdict:
        case Verdict.PROVED | Verdict.PROVED_AT_SCOPE if result.kind == "sometimes":
            return f"{_when(result, 'reached')}, replayed"
        case Verdict.PROVED | Verdict.PROVED_AT_SCOPE:
            where = "for any size" if result.scope is None else f"at {scope_text(result.scope)}"
            lemmas = f", {counted(len(result.lemmas), 'lemma')}" if result.lemmas else ""
            by = f", re-checked by {', '.join(result.checked_by)}" if result.checked_by else ""
            return f"{where}{lemmas}{by}"
        case Verdict.VIOLATED:
            return f"{_when(result, '')}{', replayed' if result.replayed else ''}".strip()
        case Verdict.HOLDS_TO_DEPTH:
            return f"{_searched(result)}; {result.reason}".removesuffix("; ")
        case _:
            parts = [result.reason or "no reason was given"]
            if result.kind != "sometimes" and result.scope is not None and (result.depth or -1) > 0:
                parts.append(_searched(result))
            return "; ".join(parts)


def _when(result: Result, verb: str) -> str:
    if result.depth == 0:
        return f"{verb} in the initial state".strip()
    return f"{verb} in {counted(result.depth or 0, 'step')}".strip()


def _searched(result: Result) -> str:
    steps = counted(result.depth or 0, "step")
    return f"no counterexample of at most {steps} at {scope_text(result.scope)}"


def verdicts(results: Sequence[Result]) -> Iterator[str]:
    """One line per property, what is needed to read it below."""
    words = max(len(word(r)) for r in results)
    names = min(NAMES, max(len(r.property) for r in results))
    for result in results:
        start = f"  {word(result):{words}}  {result.property:{names}}  "
        detail = established(result)
        lines = [start + detail]
        if len(lines[0]) > WIDTH:
            lines = [start.rstrip(), *fold(detail, "      ")]
        yield lines[0].replace(word(result), coloured(result, word(result)), 1)
        yield from lines[1:]


def report(design: Design[Any], results: Sequence[Result], seconds: float) -> str:
    """The results for one design: verdicts, then every counterexample, then what they rest on."""
    lines = [*fold(_title(design), "", "  "), "", *verdicts(results)]
    for result in results:
        if result.verdict is Verdict.VIOLATED:
            lines += ["", *counterexample(result)]
    lines += ["", *_footing(results), _summary(results, seconds)]
    return "\n".join(lines)


def _title(design: Design[Any]) -> str:
    summary = design.doc.partition("\n")[0].strip()
    return f"{design.name}: {summary}" if summary else design.name


def _footing(results: Sequence[Result]) -> Iterator[str]:
    """Lemmas and assumptions, each once."""
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
    """The property that a result with a trace is about."""
    assert result.trace is not None
    return result.trace.design.property_named(result.property)


def headline(result: Result) -> str:
    """The first line of a counterexample: which design, which property, how far."""
    return f"{result.design} :: {result.property}  {str(result.verdict).upper()} {_when(result, '')}"


def counterexample(result: Result) -> Iterator[str]:
    """A trace, step by step: who acts, what is called, only what changed; then what is false."""
    trace, prop = result.trace, property_of(result)
    assert trace is not None
    yield coloured(result, headline(result))
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
        yield from _step(trace, number)
    yield ""
    yield from _false_part(trace, prop)


def _step(trace: Trace, number: int) -> Iterator[str]:
    event = trace.events[number]
    label = f"  step {number + 1}"
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
    before, after = Naming.of(trace, number), Naming.of(trace, number + 1)
    done: set[tuple[str, tuple[int, ...]]] = set()
    for change in trace.changes(number):
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


def _false_part(trace: Trace, prop: Property[Any]) -> Iterator[str]:
    reason = reason_of(trace, prop)
    ends = len(trace.states) - 1
    old, new = Naming.of(trace, max(0, ends - 1)), Naming.of(trace, ends)
    yield from fold(reason.text, "  false   ")
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


def exit_code(results: Iterable[Result], require_proof: bool) -> int:
    """0 all is well, 1 violated or vacuous, 3 not settled; of several the worst."""
    codes = {_code(r, require_proof) for r in results}
    return next((code for code in (1, 3) if code in codes), 0)


def _code(result: Result, require_proof: bool) -> int:
    match result.verdict:
        case Verdict.PROVED | Verdict.PROVED_AT_SCOPE:
            return 0
        case Verdict.VIOLATED | Verdict.VACUOUS:
            return 1
        case Verdict.HOLDS_TO_DEPTH:
            return 3 if require_proof else 0
        case Verdict.UNKNOWN:
            return 3
