"""Inferred lemmas as Python: ``@always`` functions that can be pasted into the design's file.

A clause becomes an implication whose premise reads best, and clauses with one premise become one
function.  Names come from what the clauses say, so that they are the same on every run.
"""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
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
    eq,
    negate,
    nodes_of,
    replace_term,
    show,
    substitute,
    var,
)
from mapproof.model.language.state import old_and_new
from mapproof.model.language.terms import Enumeration
from mapproof.proofs.lemma import Lemma
from mapproof.proofs.verdict import Result

from .loading import PRIVATE

WIDTH = 80
INDENT = " " * 4
LONGEST_NAME = 60  # characters, without what must be there
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
    taken |= {p.name for p in design.procedures}
    functions: list[Written] = []
    for group in _grouped(distinct, writer.positions):
        name = _unused([_title(group, writer.positions)], taken)
        taken.add(name)
        functions.append(Written(name, group.lemmas, writer.function(name, group)))
    return Page(tuple(writer.imports()), tuple(functions))


# Which implication a clause becomes.


@dataclass(frozen=True)
class _Said:
    """``premise implies conclusion``, for all values of the variables."""

    variables: tuple[Node, ...]
    premise: tuple[Node, ...]
    conclusion: Node


@dataclass(frozen=True)
class _Group:
    """Lemmas with the same premise."""

    variables: tuple[Node, ...]
    premise: tuple[Node, ...]
    conclusions: tuple[Node, ...]
    lemmas: tuple[Lemma, ...]


def _grouped(lemmas: Sequence[Lemma], positions: Mapping[Component, Procedure]) -> list[_Group]:
    """The lemmas by premise; of the implications that read equally well, a clause becomes the one
    whose premise most others have, too."""
    options = {lemma: _options(lemma.clause, positions) for lemma in lemmas}
    tally = Counter(
        key for said in options.values() for key in {(s.variables, s.premise) for s in said}
    )
    members: dict[Any, list[tuple[Lemma, Node]]] = {}
    for lemma, said in options.items():
        best = max(said, key=lambda s: tally[s.variables, s.premise])
        members.setdefault((best.variables, best.premise), []).append((lemma, best.conclusion))
    return [
        _Group(variables, premise, tuple(c for _, c in found), tuple(x for x, _ in found))
        for (variables, premise), found in members.items()
    ]


def _options(clause: Node, positions: Mapping[Component, Procedure]) -> list[_Said]:
    """The implications that a clause can be written as and that read best."""
    literals = clause.args if clause.op == "or" else (clause,)
    ranks = [_awkward(x, positions) for x in literals]
    found: list[_Said] = []
    for number, literal in enumerate(literals):
        if ranks[number] == min(ranks):
            rest = [negate(x) for i, x in enumerate(literals) if i != number]
            found.append(_named(rest, literal, positions))
    return found


def _awkward(literal: Node, positions: Mapping[Component, Procedure]) -> int:
    """How badly a literal reads as what follows from the others."""
    positive = literal.op != "not"
    atom = literal if positive else literal.args[0]
    if atom.op == "eq":
        a = atom.args[0]
        if _position(atom, positions) is not None:
            return 2 if positive else 6
        if a.sort is BOOL or _is_enumeration(a.sort):
            return 1 if positive else 3
        return 0 if positive else 4
    if atom.op == "read":
        return 1 if positive else 3
    return 2 if positive else 5


def _named(rest: list[Node], conclusion: Node, positions: Mapping[Component, Procedure]) -> _Said:
    """The implication with variables by order of appearance, so that those that say the same of
    different variables are equal."""

    def order(literal: Node) -> tuple[int, str]:
        rank = 0 if _position(literal, positions) else 1 if literal.op == "is_some" else 2
        plain = {v: var(v.sort, "") for v in literal.free}
        return rank, show(substitute(literal, plain))

    rest = sorted(rest, key=order)
    names: dict[Node, Node] = {}
    for variable in _by_appearance((*rest, conclusion)):
        same = sum(v.sort is variable.sort for v in names)
        names[variable] = var(variable.sort, f"{variable.sort.__name__}{same}")
    premise = tuple(_turned(substitute(x, names)) for x in rest)
    return _Said(tuple(names.values()), premise, _turned(substitute(conclusion, names)))


def _by_appearance(literals: Iterable[Node]) -> Iterator[Node]:
    """The free variables, in the order of reading, each once."""
    seen: set[Node] = set()

    def visit(n: Node) -> Iterator[Node]:
        if n.op == "var" and n not in seen:
            seen.add(n)
            yield n
        for arg in n.args:
            yield from visit(arg)

    for literal in literals:
        yield from (v for v in visit(literal) if v in literal.free)


def _turned(literal: Node) -> Node:
    """An equality with its sides in the usual order: a value by name on the right."""
    if literal.op == "not":
        return negate(_turned(literal.args[0]))
    if literal.op != "eq":
        return literal
    return eq(*sorted(literal.args, key=lambda n: (n.op in ("elem", "bool"), show(n))))


def _position(
    literal: Node, positions: Mapping[Component, Procedure]
) -> tuple[Procedure, Node, str] | None:
    """Procedure, actor and label of "the actor is there in the procedure"."""
    if literal.op == "eq":
        for a, b in (literal.args, literal.args[::-1]):
            if a.op == "read" and a.data[0] in positions and b.op == "elem":
                return positions[a.data[0]], a.args[0], b.sort.values[b.data]
    return None


def _is_enumeration(sort: Any) -> bool:
    base = sort.base if isinstance(sort, OptOf) else sort
    return base is not BOOL and issubclass(base, Enumeration)


# Functions.


class _Writer:
    """Writes functions about one design, and remembers what they need to import."""

    def __init__(self, design: Design[Any]) -> None:
        self.design = design
        self.positions = {p.position: p for p in design.procedures}
        self._state = old_and_new(design.state)[0]
        self._needed: dict[str, set[str]] = {}
        self._lost: dict[str, None] = {}
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
                yield from (f"    {name}," for name in sorted(names))
                yield ")"
        for name in self._lost:
            yield f"# {name}: the procedure of that name"

    def _import(self, thing: Any) -> None:
        """A class by its name."""
        if not thing.__module__.startswith(PRIVATE):
            self._needed.setdefault(thing.__module__, set()).add(thing.__name__)

    def _import_public(self, *names: str) -> None:
        self._needed.setdefault("mapproof", set()).update(names)

    def _procedure(self, procedure: Procedure) -> str:
        """How the file calls it; what is defined elsewhere is imported."""
        functions = [s.operation.function for s in procedure.steps]
        functions += (o.function for o in (self.design.init, *self.design.operations))
        homes = dict.fromkeys(f.__module__ for f in functions)
        for home in (sys.modules[m] for m in homes if m in sys.modules):
            for name, value in vars(home).items():
                if value is procedure:
                    if not home.__name__.startswith(PRIVATE):
                        self._needed.setdefault(home.__name__, set()).add(name)
                    return name
        self._lost[procedure.name] = None
        return procedure.name

    def function(self, name: str, group: _Group) -> str:
        """The source of one function."""
        names = _variable_names((*group.premise, *group.conclusions))
        for v in names:
            self._import(v.sort)
        said = f'"""{_sentence(group, _English(names, self.positions))}"""'
        parameters = [f"{names[v]}: {v.sort.__name__}" for v in group.variables]
        lines = ["@always", *_header(name, [f"s: {self.design.state.__name__}", *parameters])]
        lines += textwrap.wrap(
            said, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
        )
        premise, conclusions, lets = _shared(group, names, self.positions)
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
        return f"({text})" if infix and _position(inner, self.positions) is None else text

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
                    for v in n.data:
                        self._import(v.sort)
                    sorts = ", ".join(v.sort.__name__ for v in n.data)
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
        found = _position(node, self.positions)
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
        it = self._procedure(procedure)
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
    front = f"({whole})" if len(given) > 1 else whole
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


def _variable_names(literals: Sequence[Node]) -> dict[Node, str]:
    """Short names for the variables, free and bound."""
    names: dict[Node, str] = {}
    taken = {"s", "given"}
    bound = (v for n in nodes_of(*literals) if n.op in QUANTIFIERS for v in n.data)
    for variable in dict.fromkeys((*_by_appearance(literals), *sorted(bound, key=repr))):
        names[variable] = _unused(_letters(variable.sort.__name__), taken)
        taken.add(names[variable])
    return names


def _letters(sort: str) -> tuple[str, ...]:
    if sort in LETTERS:
        return LETTERS[sort]
    return SLOTS if sort.endswith("Slot") else (sort[0].lower(), sort.lower())


def _unused(names: Sequence[str], taken: Set[str]) -> str:
    """The first name that is free; the last one with a number if none is."""
    numbered = (f"{names[-1]}{i}" for i in count(2))
    return next(n for n in chain(names, numbered) if n not in taken and not iskeyword(n))


def _shared(
    group: _Group, names: dict[Node, str], positions: Mapping[Component, Procedure]
) -> tuple[list[Node], list[Node], list[tuple[Node, Node]]]:
    """Premise and conclusions with variables for the map entries that they read several times, and
    what the variables stand for; ``names`` gets their names."""
    literals = [*group.premise, *group.conclusions]
    bound = {v for n in nodes_of(*literals) if n.op in QUANTIFIERS for v in n.data}
    reads = {n for n in nodes_of(*literals) if n.op == "read" and n.args and not n.free & bound}
    lets: list[tuple[Node, Node]] = []
    taken = {"s", "given", *names.values()}
    for term in sorted(reads, key=lambda n: (len(show(n)), show(n)), reverse=True):
        times = sum(map(_occurrences(term), [*literals, *(t for _, t in lets)]))
        if times > 1 and len(show(term)) > SHORT and term.data[0] not in positions:
            variable = var(term.sort, object())
            literals = [replace_term(x, term, variable) for x in literals]
            lets = [(v, replace_term(t, term, variable)) for v, t in lets]
            lets.insert(0, (variable, term))
    for variable, term in lets:
        names[variable] = _unused([_field(term)], taken)
        taken.add(names[variable])
    return literals[: len(group.premise)], literals[len(group.premise) :], lets


def _occurrences(term: Node) -> Callable[[Node], int]:
    def times(node: Node) -> int:
        return 1 if node == term else sum(map(times, node.args))

    return times


def _field(node: Node) -> str:
    """The last part of the name of the map that a term reads."""
    while node.op in ("value", "some", "is_some", "not"):
        node = node.args[0]
    if node.op == "read":
        return str(node.data[0].name.rpartition(".")[2])
    return str(getattr(node.sort, "__name__", "value")).lower()


# Words.


class _English:
    """Terms and literals in words."""

    def __init__(self, names: Mapping[Node, str], positions: Mapping[Component, Procedure]) -> None:
        self._names = dict(names)
        self._positions = positions

    def term(self, node: Node) -> str:
        """A term without the state and without what only a program needs."""

        def name(n: Node) -> str | None:
            match n.op:
                case "var":
                    return self._names[n]
                case "elem":
                    return str(n.sort.values[n.data])
                case "value" | "some":
                    return show(n.args[0], name)
                case "forall" | "exists":
                    every = "every" if n.op == "forall" else "some"
                    bound = ", ".join(f"{v.sort.__name__} {self._names[v]}" for v in n.data)
                    return f"for {every} {bound}: {show(n.args[0], name)}"
                case _:
                    return None

        return show(node, name)

    def literal(self, literal: Node) -> str:
        """What a literal says."""
        true = literal.op != "not"
        atom = literal if true else literal.args[0]
        found = _position(atom, self._positions)
        if found is not None:
            procedure, actor, label = found
            if label == Procedure.IDLE:
                return f"{self.term(actor)} is {'not ' if true else ''}in {procedure.name}"
            where = f"about to take {procedure.name}.{label}"
            return f"{self.term(actor)} is {'' if true else 'not '}{where}"
        if atom.op == "read":
            return f"{self.term(atom)} {'holds' if true else 'does not hold'}"
        if atom.op == "is_some":
            return f"{self.term(atom.args[0])} is {'set' if true else 'none'}"
        if atom.op == "eq":
            a, b = map(self.term, atom.args)
            return f"{a} is {'' if true else 'not '}{b}"
        return self.term(literal)


def _sentence(group: _Group, english: _English) -> str:
    conclusion = _and([english.literal(x) for x in group.conclusions])
    premise = _telling(group)
    if not premise:
        return f"At all times {conclusion}."
    return f"If {_and([english.literal(x) for x in premise])}, then {conclusion}."


def _telling(group: _Group) -> list[Node]:
    """The premise without that something is set of which more is said."""
    rest = [x for x in group.premise if x.op != "is_some"]
    used = {n.args[0] for n in nodes_of(*rest, *group.conclusions) if n.op == "value"}
    return [x for x in group.premise if x.op != "is_some" or x.args[0] not in used]


def _and(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _title(group: _Group, positions: Mapping[Component, Procedure]) -> str:
    """A name for a function, from what it says."""
    premise = _telling(group)
    at = [x for x in premise if _position(x, positions) is not None]
    rest = [x for x in premise if x not in at]
    then = dict.fromkeys(_word(x, positions) for x in group.conclusions)
    front = "_and_".join(then) if len(then) < 3 else "what_holds"
    where = "".join(f"_{w}" for w in dict.fromkeys(_word(x, positions) for x in at))
    when = list(dict.fromkeys(_word(x, positions) for x in rest))
    while True:
        condition = f"_if_{'_and_'.join(when)}" if when else ""
        name = f"{front}{where}{condition}"
        if len(name) <= LONGEST_NAME or not when:
            return name
        when.pop()


def _word(literal: Node, positions: Mapping[Component, Procedure]) -> str:
    true = literal.op != "not"
    atom = literal if true else literal.args[0]
    found = _position(atom, positions)
    if found is not None:
        procedure, _, label = found
        if label == Procedure.IDLE:
            return f"{'outside' if true else 'inside'}_{procedure.name}"
        return f"{'' if true else 'not_'}at_{label}"
    if atom.op == "is_some":
        return f"{'' if true else 'no_'}{_field(atom)}"
    if atom.op == "eq":
        a, b = atom.args
        if b.op == "elem":
            value = str(b.sort.values[b.data]).lower()
            return f"{_field(a)}_{'' if true else 'not_'}{value}"
        one, two = _field(a), _field(b)
        if one == two:
            return f"{'same' if true else 'other'}_{one}"
        return f"{one}_is_{'' if true else 'not_'}{two}"
    if atom.op == "read":
        return f"{'' if true else 'not_'}{_field(atom)}"
    return "_and_".join(dict.fromkeys(_field(n) for n in nodes_of(atom) if n.op == "read"))
