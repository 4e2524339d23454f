"""Two designs side by side: what a patch repairs, and what it breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from click import style, unstyle

from mapproof.model.language import Design
from mapproof.proofs.verdict import Result, Verdict

from .text import (
    coloured,
    counterexample,
    cti_text,
    first_sentence,
    fold,
    footing,
    headline,
    limits,
    not_excluded,
    smallest_cti,
    word,
)

GOOD = (Verdict.PROVED, Verdict.PROVED_AT_SCOPE)
BAD = (Verdict.VIOLATED, Verdict.VACUOUS)
ABSENT = "-"


@dataclass(frozen=True)
class Side:
    """One of the two designs, with its results."""

    design: Design[Any]
    results: Sequence[Result]

    def of(self, name: str) -> Result | None:
        """The result for a property, if this side has it."""
        return next((r for r in self.results if r.property == name), None)


@dataclass(frozen=True)
class Review:
    """A comparison of two checked designs."""

    before: Side
    after: Side

    @property
    def rows(self) -> list[tuple[str, Result | None, Result | None, str]]:
        """For every property of either: its name, both results, and what the patch did to it."""
        every = [r.property for side in (self.after, self.before) for r in side.results]
        pairs = [(n, self.before.of(n), self.after.of(n)) for n in dict.fromkeys(every)]
        return [(name, old, new, _effect(old, new)) for name, old, new in pairs]

    @property
    def violations(self) -> list[Result]:
        """The results of either side that have a counterexample."""
        every = (*self.before.results, *self.after.results)
        return [r for r in every if r.verdict is Verdict.VIOLATED]

    @property
    def verdict(self) -> str:
        """The comparison in a sentence."""
        effects = [effect for *_, effect in self.rows]
        counts = [f"{effects.count(e)} {e}" for e in ("fixed", "broken") if e in effects]
        unsettled = [r for r in self.after.results if r.verdict not in GOOD]
        if not unsettled:
            state = f"every property of {self.after.design.name} is proved"
        else:
            total = len(self.after.results)
            state = f"{self.after.design.name}: {len(unsettled)} of {total} properties not proved"
        return f"{', '.join(counts) or 'no property fixed or broken'}; {state}"


def _effect(old: Result | None, new: Result | None) -> str:
    if old is None or new is None:
        return "" if old is None else "not checked"
    if old.verdict in BAD and new.verdict in GOOD:
        return "fixed"
    if old.verdict not in BAD and new.verdict in BAD:
        return "broken"
    if (old.verdict in GOOD) != (new.verdict in GOOD):
        return "weaker" if old.verdict in GOOD else "stronger"
    return ""


def text(review: Review) -> str:
    """The comparison for a terminal or a mail."""
    before, after = review.before, review.after
    lines: list[str] = []
    for label, side in (("before", before), ("after", after)):
        lines += fold(_title(side.design), f"{label:6}  ")
    lines += ["", *_table(review)]
    for result in review.violations:
        lines += ["", *counterexample(result)]
    for result in after.results:
        if limits(result):
            lines += ["", *fold(f"{result.property}: {word(result)}", "")]
            lines += fold(limits(result), "  ")
    lines += not_excluded(after.results)
    lines += ["", *fold(review.verdict, "")]
    lines += footing(after.results)
    return "\n".join(lines)


def _title(design: Design[Any]) -> str:
    summary = first_sentence(design.doc)
    return f"{design.name}: {summary}" if summary else design.name


def _table(review: Review) -> Iterator[str]:
    rows = review.rows
    name_width = max(len("property"), *(len(name) for name, *_ in rows))
    olds = max(len("before"), *(len(_word(old)) for _, old, _, _ in rows))
    news = max(len("after"), *(len(_word(new)) for _, _, new, _ in rows))
    head = f"  {'property':{name_width}}  {'before':{olds}}  {'after':{news}}"
    yield style(head.rstrip(), bold=True)
    for name, old, new, effect in rows:
        cells = (_cell(old, olds), _cell(new, news), effect)
        line = f"  {name:{name_width}}  {'  '.join(cells)}"
        if len(unstyle(line).rstrip()) <= 80:
            yield line.rstrip()
        else:
            yield from (f"  {name}", f"      {'  '.join(cells)}".rstrip())


def _word(result: Result | None) -> str:
    return ABSENT if result is None else word(result)


def _cell(result: Result | None, width: int) -> str:
    said = _word(result)
    shown = said if result is None else coloured(result, said)
    return shown + " " * (width - len(said))


def markdown(review: Review) -> str:
    """The comparison for a web page: a table, and the counterexamples as blocks of code."""
    before, after = review.before, review.after
    lines = [
        f"# {before.design.name} -> {after.design.name}",
        "",
        f"* before: {_escaped(_title(before.design))}",
        f"* after: {_escaped(_title(after.design))}",
        "",
        f"{_escaped(review.verdict)}.",
        "",
        "| property | before | after | |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{n}` | {_word(old)} | {_word(new)} | {e} |" for n, old, new, e in review.rows]
    for result in review.violations:
        body = unstyle("\n".join(counterexample(result)))
        lines += ["", f"## {_escaped(headline(result))}", "", "```text", body, "```"]
    still = smallest_cti(after.results)
    if still is not None:
        body = unstyle("\n".join(cti_text(still)))
        title = f"{still.design} :: {still.property}  NOT PROVED"
        lines += ["", f"## {_escaped(title)}", "", "```text", body, "```"]
    rest = unstyle("\n".join(footing(after.results)))
    lines += ["", "```text", rest, "```"] if rest else []
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", text)
