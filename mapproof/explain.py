"""What there is, in words: lists, and explanations of whatever has a name."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from click import style, unstyle

from mapproof.model.language import Design, DesignError, Operation, Procedure, Property
from mapproof.model.language.nodes import TRUE_NODE, Node, show, substitute, var
from mapproof.model.language.operation import transition_of
from mapproof.model.language.state import Update
from mapproof.proofs.ledger import defects

from . import claims, costs, explain_system
from .catalog import Catalog
from .loading import suggestion, told_plainly
from .reasons import LONG
from .text import INDENT, WIDTH, first_sentence, fold, scope_text

KINDS = ("designs", "properties", "operations", "defects", "systems", "costs")
NAMES = 28  # columns for names in a list
HEADINGS = (
    "What it checks",
    "Why it matters",
    "Kernel precedent",
    "Smallest counterexample",
    "Not covered",
)

VERDICTS = {
    "proved": (
        "Every obligation of the property is unsatisfiable, for machines of any size and runs of "
        "any length, a second solver agrees, and every 'sometimes' of the design is reachable. Of "
        "a 'sometimes': a run that reaches it was replayed without a solver.",
        "0",
    ),
    "proved-at-scope": ("As proved, for the named finite scope only.", "0"),
    "holds-to-depth": (
        "There is no counterexample of at most so many steps at the named scope. Nothing is said "
        "of longer runs and of larger machines.",
        "0, or 3 with --require-proof",
    ),
    "violated": (
        "A run from the initial state was replayed without a solver and ends in a violation.",
        "1",
    ),
    "vacuous": (
        "Something that the design should sometimes do can never happen, so what was proved says "
        "nothing.",
        "1",
    ),
    "unknown": ("A limit of time, memory or solver was reached; the reason is given.", "3"),
}


@dataclass
class Deed:
    """An operation, or one step of a procedure, with the designs that have it."""

    name: str
    operation: Operation[Any, ...]
    procedure: Procedure | None
    designs: list[str]


# Lists.


def listing(catalog: Catalog, kinds: Sequence[str] = KINDS) -> str:
    """What there is of some kinds, one line each; :func:`explanation` says the rest."""
    blocks: dict[str, Callable[[Catalog], list[tuple[str, str]]]] = {
        "designs": lambda c: [(d.name, first_sentence(d.doc)) for d in c.designs.values()],
        "properties": lambda c: [(p.name, f"{p.kind}: {p.summary}") for p in c.library],
        "operations": lambda c: [
            (d.name, first_sentence(d.operation.doc)) for d in deeds(c.designs.values())
        ],
        "defects": lambda _: claims.rows(),
        "systems": explain_system.rows,
        "costs": lambda _: costs.rows(),
    }
    shown: list[str] = []
    for kind in kinds:
        rows = list(dict.fromkeys(blocks[kind](catalog)))  # variants share names and words
        width = max((len(name) for name, _ in rows), default=0)
        lines = [f"  {name:{width}}  {_short(text, WIDTH - width - 4)}" for name, text in rows]
        shown.append("\n".join([style(kind, bold=True), *(line.rstrip() for line in lines)]))
    return "\n\n".join(shown)


def _short(text: str, room: int) -> str:
    return textwrap.shorten(text, room, placeholder=" ...")


def columns(rows: Sequence[tuple[str, str]], indent: str = "  ") -> Iterator[str]:
    """Names with a text beside them, or below them where they are long."""
    width = min(NAMES, max((len(name) for name, _ in rows), default=0))
    for name, text in rows:
        beside = f"{indent}{name:{width}}  "
        if len(name) > width:
            yield indent + name
            beside = " " * len(f"{indent}{'':{width}}  ")
        yield from fold(text, beside) if text or len(name) <= width else ()


def deeds(designs: Iterable[Design[Any]]) -> list[Deed]:
    """Every operation and step of a procedure, each once, under the name that traces use."""
    found: dict[int, Deed] = {}

    def add(design: Design[Any], name: str, op: Operation[Any, ...], of: Procedure | None) -> None:
        deed = found.setdefault(id(op), Deed(name, op, of, []))
        if design.name not in deed.designs:
            deed.designs.append(design.name)

    for design in designs:
        for op in design.operations:
            add(design, op.name, op, None)
        for procedure in design.procedures:
            for step in procedure.steps:
                add(design, f"{procedure.name}.{step.name}", step.operation, procedure)
    return list(found.values())


# Explanations.


def explanation(catalog: Catalog, name: str, *, everything: bool = False) -> str:
    """What a name means: a defect, a verdict, a system, a design, a property, an operation, or several
    of these.

    A system of that name comes first, and with ``everything`` also what else is called so.
    ``design::name`` and ``file.py::design::name`` look in one design.  Raises DesignError, listing
    names like it, if nothing is called so.
    """
    if "::" in name or name.endswith(".py"):
        return _in_target(catalog, name)
    row = claims.explanation(name)
    if row is not None:
        return row
    found = [*_matches(name, catalog.designs.values())]
    system = explain_system.explanation(catalog, name)
    if system is not None and found and not everything:
        more = f"also called {name}, see 'mapproof explain --all {name}': "
        return f"{system}\n\n" + "\n".join(fold(more + ", ".join(_kinds(found)), "  "))
    if system is not None:
        found.insert(0, system)
    if name in VERDICTS:
        found.insert(0, _verdict(name))
    if not found:
        known = chain(VERDICTS, explain_system.names(catalog), _names(catalog.designs.values()))
        raise DesignError(
            f"nothing is called {name} ('mapproof list' lists all){suggestion(name, known)}"
        )
    return "\n\n".join(found)


def _kinds(found: Iterable[str]) -> list[str]:
    """What explanations are of, by their headings: "design", "property, always"."""
    headings = (unstyle(text.partition("\n")[0]) for text in found)
    return list(dict.fromkeys(h.partition("(")[2].rstrip(")").partition(",")[0] for h in headings))


def _in_target(catalog: Catalog, name: str) -> str:
    head, _, last = name.rpartition("::")
    whole = name.endswith(".py") or head.endswith(".py")  # names designs, nothing in them
    targets = catalog.targets([name if whole else head])
    shown: list[str] = []
    for target in targets:
        with told_plainly(target.file):
            if whole:
                shown.append(_design(target.design))
            else:
                shown += _matches(last, [target.design])
    if not shown:
        known = _names([t.design for t in targets])
        raise DesignError(f"{head} has nothing called {last}{suggestion(last, known)}")
    return "\n\n".join(shown)


def _matches(name: str, designs: Iterable[Design[Any]]) -> Iterator[str]:
    designs = list(designs)
    for design in designs:
        if design.name == name:
            yield _design(design)
    properties: dict[int, tuple[Property[Any], list[str]]] = {}
    for design in designs:
        for prop in _claims(design):
            if prop.name == name:
                properties.setdefault(id(prop), (prop, []))[1].append(design.name)
    for prop, users in properties.values():
        yield _property(prop, users)
    for deed in deeds(designs):
        if name in (deed.name, deed.operation.name, deed.procedure and deed.procedure.name):
            yield _deed(deed)


def _claims(design: Design[Any]) -> list[Property[Any]]:
    return [*design.properties, *design.lemmas, *design.assumptions]


def _names(designs: Iterable[Design[Any]]) -> Iterator[str]:
    designs = list(designs)
    for design in designs:
        yield design.name
        yield from (p.name for p in _claims(design))
    for deed in deeds(designs):
        yield deed.name


def _heading(name: str, what: str) -> str:
    return f"{style(name, bold=True)}  ({what})"


def _labelled(label: str, text: str) -> list[str]:
    return fold(text, f"  {label:7} ", INDENT)


def _paragraphs(doc: str) -> Iterator[str]:
    for paragraph in doc.split("\n\n"):
        yield from fold(" ".join(paragraph.split()), "  ", "  ")


def _verdict(name: str) -> str:
    meaning, code = VERDICTS[name]
    return "\n".join([_heading(name, "verdict"), *fold(meaning, "  "), f"  exit code {code}"])


def _property(prop: Property[Any], users: list[str]) -> str:
    lines = [_heading(prop.name, f"property, {prop.kind}"), *_paragraphs(prop.doc)]
    quantifier = "some" if prop.kind == "sometimes" else "every"
    if prop.parameters:
        of = ", ".join(f"{p.name}: {p.sort.__name__}" for p in prop.parameters)
        lines += _labelled("for", f"{quantifier} {of}")
    claim = show(prop.body())
    source = _source(prop) if len(claim) > LONG else []
    lines += ["", *source] if source else _labelled("claim", claim)
    parts = re.split(rf"^({'|'.join(HEADINGS)}): ", prop.module, flags=re.MULTILINE)
    if len(parts) > 1:
        lines.append("")
        for heading, text in zip(parts[1::2], parts[2::2], strict=True):
            lines += fold(f"{heading}: {' '.join(text.split())}", "  ", "    ")
    lines += ["", *fold(f"designs: {', '.join(users)}", "  ", "    ")]
    lines += _known_counterexamples(prop.name)
    return "\n".join(lines)


def _known_counterexamples(name: str) -> Iterator[str]:
    """Rows of the ledger that break a property, the shortest with its operations."""
    rows = (d for d in defects().values() if d.property == name)
    known = sorted(rows, key=lambda d: len(d.story))
    for first in known[:1]:
        story = f"broken by {first.id} ({first.buggy}): {', '.join(first.story)}"
        yield from fold(story, "  ", "    ")
    if known[1:]:
        yield from fold(f"and by {', '.join(d.id for d in known[1:])}", "  ", "    ")


def _source(prop: Property[Any]) -> list[str]:
    """The function that defines a property, without its documentation."""
    try:
        source = textwrap.dedent(inspect.getsource(prop.function))
        function = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return []
    if not isinstance(function, ast.FunctionDef):
        return []
    documented = ast.get_docstring(function) is not None
    first = function.body[1 if documented and len(function.body) > 1 else 0].lineno
    lines: list[str] = []
    for line in textwrap.dedent("\n".join(source.split("\n")[first - 1 :])).rstrip().split("\n"):
        indent = " " * (4 + len(line) - len(line.lstrip()))
        lines += fold(line.strip(), indent, indent + "  ") if line.strip() else [""]
    return lines


def _deed(deed: Deed) -> str:
    op, procedure = deed.operation, deed.procedure
    what = "operation" if procedure is None else f"step of the procedure {procedure.name}"
    lines = [_heading(deed.name, what)]
    if procedure is not None and procedure.doc:
        lines += _paragraphs(procedure.doc)
    lines += _paragraphs(op.doc) if op.doc else []
    if op.kernel:
        lines += _labelled("kernel", op.kernel)
    if op.parameters:
        lines += _labelled(
            "takes", ", ".join(f"{p.name}: {p.sort.__name__}" for p in op.parameters)
        )
    transition = transition_of(op)
    lines += _labelled("when", show(transition.when))
    label = "then"
    for update in transition.updates:
        lines += fold(_write(update), f"  {label:7} ", INDENT + "  ")
        label = ""
    if procedure is not None:
        step = next(s for s in procedure.steps if s.operation is op)
        lines += _labelled("moves", f"from {step.at} to {procedure.target(step)}")
    lines += ["", *fold(f"designs: {', '.join(deed.designs)}", "  ", "    ")]
    return "\n".join(lines)


def _write(update: Update) -> str:
    """One write: ``um[m, u] := some(f)``, ``km[mm, k] := NONE for every mm, k where ...``."""
    name = update.component.name
    if update.at is not None:
        key = ", ".join(show(k) for k in update.at)
        return f"{name}{f'[{key}]' if key else ''} := {show(update.value)}"
    fresh: dict[Node, Node] = {}
    for variable in update.variables:
        sort = variable.sort.__name__
        same = sum(v.sort is variable.sort for v in fresh)
        fresh[variable] = var(variable.sort, f"{sort.lower()}{same + 1 if same else ''}")
    keys = ", ".join(show(v) for v in fresh.values())
    where = "" if update.when == TRUE_NODE else f" where {show(substitute(update.when, fresh))}"
    value = show(substitute(update.value, fresh))
    return f"{name}[{keys}] := {value} for every {keys}{where}"


def _design(design: Design[Any]) -> str:
    lines = [_heading(design.name, "design"), *_paragraphs(design.doc)]
    if design.source:
        lines += _labelled("source", design.source)
    lines += _labelled("start", first_sentence(design.init.doc) or design.init.name)
    lines += _labelled("scope", scope_text(design.scope_at().names()))
    sections: list[tuple[str, list[tuple[str, str]]]] = [
        ("operations", [(d.name, first_sentence(d.operation.doc)) for d in deeds([design])]),
        ("properties", [(p.name, f"{p.kind}: {p.summary}") for p in design.properties]),
        ("lemmas", [(p.name, p.summary) for p in design.lemmas]),
        ("assumptions", [(p.name, p.summary) for p in design.assumptions]),
    ]
    for title, rows in sections:
        if rows:
            lines += ["", f"  {title}", *columns(rows, "    ")]
    return "\n".join(lines)
