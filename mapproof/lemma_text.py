"""Inferred lemmas as Python: ``@always`` functions that can be pasted into the design's file.

A clause becomes an implication whose premise reads best, and clauses with one premise become one
function.  Names come from what the clauses say, so that they are the same on every run.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain, count
from keyword import iskeyword
from typing import Any

from mapproof.model.language import Design, Procedure, Var
from mapproof.model.language.nodes import (
    BOOL,
    QUANTIFIERS,
    Component,
    Node,
    OptOf,
    by_appearance,
    nodes_of,
    replace_term,
    show,
    var,
)
from mapproof.model.language.state import old_and_new
from mapproof.proofs.lemma import Lemma
from mapproof.proofs.verdict import Result

from .lemma_clauses import Group, field_of, grouped, position
from .lemma_words import English, sentence, title_of
from .loading import PRIVATE

WIDTH = 80
INDENT = " " * 4
SHORT = 12  # characters of a map entry that may stand there twice
LETTERS = {  # what kernel code calls things, by sort
    "Mm": ("m", "n"),
    "Cpu": ("cpu", "other"),
    "Frame": ("f", "g"),
    "Va": ("va", "wa"),
    "UserPage": ("u", "v"),
    "KernelPage": ("k", "l"),
    "Pgd": ("p", "q"),
    "P4d": ("p", "q"),
    "Pud": ("p", "q"),
    "Pmd": ("p", "q"),
    "Pte": ("t", "u"),
}
SLOTS = ("i", "j", "k", "l")


@dataclass(frozen=True)
class Written:
    """One function: the lemmas that it stands for, and its source."""

    name: str
    lemmas: tuple[Lemma, ...]
    text: str


@dataclass(frozen=True)
class Page:
    """The lemmas of a design as source."""

    imports: tuple[str, ...]
    functions: tuple[Written, ...]

    @property
    def text(self) -> str:
        """All of it, to be pasted into a file."""
        names = "\n".join(f"{INDENT}{f.name}," for f in self.functions)
        parts = ("\n".join(self.imports), *(f.text for f in self.functions))
        return "\n\n\n".join((*parts, f"INFERRED = (\n{names}\n)"))

    def of(self, lemmas: Iterable[Lemma]) -> list[Written]:
        """The functions that some lemmas are in, each once."""
        wanted = {lemma.clause for lemma in lemmas}
        return [f for f in self.functions if wanted & {x.clause for x in f.lemmas}]


def with_names(design: Design[Any], results: Sequence[Result]) -> tuple[list[Result], Page]:
    """The results with their inferred lemmas under the names of the functions, and the functions."""
    page = written(design, (lemma for r in results for lemma in r.inferred))

    def named(result: Result) -> Result:
        numbered = {lemma.name for lemma in result.inferred}
        given = [name for name in result.lemmas if name not in numbered]
        return result.but(lemmas=(*given, *(f.name for f in page.of(result.inferred))))

    return [named(r) for r in results], page


def written(design: Design[Any], lemmas: Iterable[Lemma]) -> Page:
    """The lemmas, each once, as functions that can be pasted into the file of the design."""
    distinct = list({lemma.clause: lemma for lemma in lemmas}.values())
    writer = _Writer(design)
    taken = {p.name for p in (*design.properties, *design.lemmas, *design.assumptions)}
    taken |= {design.init.name, *(o.name for o in design.operations)}
    taken |= writer.taken
    functions: list[Written] = []
    for group in grouped(distinct, writer.positions):
        name = _unused([title_of(group, writer.positions)], taken)
        taken.add(name)
        functions.append(Written(name, group.lemmas, writer.function(name, group)))
    return Page(tuple(writer.imports()), tuple(functions))


class _Writer:
    """Writes functions about one design, and remembers what they need to import."""

    def __init__(self, design: Design[Any]) -> None:
        self.design = design
        self.positions = {p.position: p for p in design.procedures}
        self._state = old_and_new(design.state)[0]
        self._needed: dict[str, set[str]] = {}
        self._lost: dict[str, None] = {}
        called = (name for p in design.procedures for _, name in self._places(p))
        self.taken = {"s", "given", *called, *(p.name for p in design.procedures)}
        self._import(design.state)
        self._import_public("Bool", "always")

    def imports(self) -> Iterator[str]:
        """The lines above the functions."""
        for module, names in sorted(self._needed.items()):
            line = f"from {module} import {', '.join(sorted(names))}"
            if len(line) <= WIDTH:
                yield line
            else:
                yield f"from {module} import ("
                yield from (f"{INDENT}{name}," for name in sorted(names))
                yield ")"
        for name in self._lost:
            yield f"# {name} is to be imported from where it is defined"

    def _import(self, thing: Any) -> str:
        """How a sort, a state or a procedure is called; what is not in the design's file is
        imported."""
        wanted = thing.__name__ if isinstance(thing, type) else None
        for home, name in self._places(thing):
            if not home.startswith(PRIVATE):
                line = name if wanted in (name, None) else f"{name} as {wanted}"
                self._needed.setdefault(home, set()).add(line)
            return wanted or name
        name = wanted or str(thing.name)
        self._lost[name] = None
        return name

    def _places(self, thing: Any) -> Iterator[tuple[str, str]]:
        """The modules that have something, and what they call it."""
        design = self.design
        steps = (s.operation for p in design.procedures for s in p.steps)
        functions = [o.function for o in (*steps, design.init, *design.operations)]
        parts = [*([thing] if isinstance(thing, type) else []), *functions]
        for home in dict.fromkeys(p.__module__ for p in parts):
            names = vars(sys.modules[home]) if home in sys.modules else {}
            yield from ((home, name) for name, value in names.items() if value is thing)

    def _sort(self, sort: Any) -> str:
        """An annotation."""
        if sort is BOOL:
            return "Bool"
        if isinstance(sort, OptOf):
            self._import_public("Opt")
            return f"Opt[{self._sort(sort.base)}]"
        return self._import(sort)

    def _import_public(self, *names: str) -> None:
        self._needed.setdefault("mapproof", set()).update(names)

    def function(self, name: str, group: Group) -> str:
        """The source of one function."""
        names = variable_names((*group.premise, *group.conclusions), self.taken)
        said = f'"""{sentence(group, English(names, self.positions))}"""'
        parameters = [f"{names[v]}: {self._sort(v.sort)}" for v in group.variables]
        lines = ["@always", *_header(name, [f"s: {self.design.state.__name__}", *parameters])]
        lines += textwrap.wrap(
            said, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
        )
        premise, conclusions, lets = _shared(group, names, self)
        for variable, term in lets:
            lines += [f"{INDENT}{names[variable]} = {self.term(term, names)}"]
        given = [self.operand(x, names) for x in premise]
        then = [self.operand(x, names) for x in conclusions]
        if len(then) == 1:
            then = [self.term(conclusions[0], names)]
        return "\n".join([*lines, *_returned(given, then)])

    def operand(self, node: Node, names: Mapping[Node, str]) -> str:
        """A literal as one side of ``&``, or whatever comes before a dot."""
        text = self.term(node, names)
        inner = node.args[0] if node.op == "not" else node
        infix = node.op in ("and", "or") or inner.op == "eq"
        return f"({text})" if infix and position(inner, self.positions) is None else text

    def term(self, node: Node, names: Mapping[Node, str]) -> str:
        """A term as the author would type it."""

        def name(n: Node) -> str | None:
            match n.op:
                case "var":
                    return names[n]
                case "read":
                    return self._read(n.data[0], [show(a, name) for a in n.args])
                case "eq":
                    return self._at(n, name)
                case "forall" | "exists":
                    self._import_public(n.op)
                    sorts = ", ".join(self._sort(v.sort) for v in n.data)
                    bound = ", ".join(names[v] for v in n.data)
                    return f"{n.op}({sorts}, lambda {bound}: {show(n.args[0], name)})"
                case "elem":
                    self._import(n.sort)
                case "bool" | "none" | "some" | "ite":
                    word = {"bool": str(n.data).upper(), "none": "NONE"}.get(n.op, n.op)
                    self._import_public(word)
                case _:
                    pass
            return None

        return show(node, name)

    def _read(self, component: Component, keys: list[str]) -> str:
        part: Any = self._state
        for step in component.name.split("."):
            part = getattr(part, step)
        if keys:
            return f"s.{component.name}[{', '.join(keys)}]"
        return f"s.{component.name}.now" if isinstance(part, Var) else f"s.{component.name}[()]"

    def _at(self, node: Node, name: Callable[[Node], str | None]) -> str | None:
        """Where an actor stands, or that two stand at the same place; None of anything else."""
        found = position(node, self.positions)
        if found is not None:
            procedure, actor, label = found
            return self._stands(procedure, show(actor, name), label)
        a, b = node.args
        if not (a.op == b.op == "read" and a.data[0] in self.positions and b.data == a.data):
            return None
        procedure = self.positions[a.data[0]]
        one, two = (show(n.args[0], name) for n in (a, b))
        same = (
            f"({self._stands(procedure, one, x)} == {self._stands(procedure, two, x)})"
            for x in a.sort.values
        )
        return f"({' & '.join(same)})"

    def _stands(self, procedure: Procedure, who: str, label: str) -> str:
        it = self._import(procedure)
        if label == Procedure.IDLE:
            return f"{it}.idle(s, {who})"
        number = next(i for i, step in enumerate(procedure.steps) if step.at == label)
        return f"{it}.at(s, {who}, {it}.steps[{number}])"


# Layout.


def _header(name: str, parameters: list[str]) -> list[str]:
    line = f"def {name}({', '.join(parameters)}) -> Bool:"
    if len(line) <= WIDTH:
        return [line]
    inner = f"{INDENT}{', '.join(parameters)}"
    lines = [inner] if len(inner) <= WIDTH else [f"{INDENT}{p}," for p in parameters]
    return [f"def {name}(", *lines, ") -> Bool:"]


def _returned(given: list[str], then: list[str]) -> list[str]:
    """``return``, in one line or in as many as there are parts."""
    whole, what = " & ".join(given), " & ".join(then)
    if not given:
        line = f"{INDENT}return {what}"
        return [line] if len(line) <= WIDTH else [f"{INDENT}return (", *_parts(then), f"{INDENT})"]
    front = f"({whole})" if len(given) > 1 or whole.startswith("~") else whole  # a dot binds closer
    line = f"{INDENT}return {front}.implies({what})"
    if len(line) <= WIDTH:
        return [line]
    head = [f"{INDENT}given = {whole}"]
    if len(head[0]) > WIDTH:
        head = [f"{INDENT}given = (", *_parts(given), f"{INDENT})"]
    line = f"{INDENT}return given.implies({what})"
    if len(line) <= WIDTH:
        return [*head, line]
    return [*head, f"{INDENT}return given.implies(", *_parts(then), f"{INDENT})"]


def _parts(texts: list[str]) -> list[str]:
    return [f"{INDENT * 2}{'& ' if i else ''}{text}" for i, text in enumerate(texts)]


def variable_names(literals: Sequence[Node], reserved: Set[str]) -> dict[Node, str]:
    """Short names for the variables, free and bound."""
    names: dict[Node, str] = {}
    taken = set(reserved)
    bound = (v for n in nodes_of(*literals) if n.op in QUANTIFIERS for v in n.data)
    for variable in dict.fromkeys((*by_appearance(literals), *sorted(bound, key=repr))):
        names[variable] = _unused(_letters(variable.sort), taken)
        taken.add(names[variable])
    return names


def _letters(sort: Any) -> tuple[str, ...]:
    if isinstance(sort, OptOf):
        return _letters(sort.base)
    name = sort.__name__
    if name in LETTERS:
        return LETTERS[name]
    return SLOTS if name.endswith("Slot") else (name[0].lower(), name.lower())


def _unused(names: Sequence[str], taken: Set[str]) -> str:
    """The first name that is free; the last one with a number if none is."""
    numbered = (f"{names[-1]}{i}" for i in count(2))
    return next(n for n in chain(names, numbered) if n not in taken and not iskeyword(n))


def _shared(
    group: Group, names: dict[Node, str], writer: _Writer
) -> tuple[list[Node], list[Node], list[tuple[Node, Node]]]:
    """Premise and conclusions with variables for the map entries that they read several times, and
    what the variables stand for; ``names`` gets their names."""
    literals = [*group.premise, *group.conclusions]
    bound = {v for n in nodes_of(*literals) if n.op in QUANTIFIERS for v in n.data}
    reads = {n for n in nodes_of(*literals) if n.op == "read" and n.args and not n.free & bound}
    lets: list[tuple[Node, Node]] = []
    taken = {*writer.taken, *names.values()}
    for term in sorted(reads, key=lambda n: (len(show(n)), show(n)), reverse=True):
        times = sum(map(_occurrences(term), [*literals, *(t for _, t in lets)]))
        if times > 1 and len(show(term)) > SHORT and term.data[0] not in writer.positions:
            variable = var(term.sort, object())
            literals = [replace_term(x, term, variable) for x in literals]
            lets = [(v, replace_term(t, term, variable)) for v, t in lets]
            lets.insert(0, (variable, term))
    for variable, term in lets:
        names[variable] = _unused([field_of(term)], taken)
        taken.add(names[variable])
    return literals[: len(group.premise)], literals[len(group.premise) :], lets


def _occurrences(term: Node) -> Callable[[Node], int]:
    def times(node: Node) -> int:
        return 1 if node == term else sum(map(times, node.args))

    return times
