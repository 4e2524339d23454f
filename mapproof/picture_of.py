"""From a counterexample to a picture: the tables as a graph, by the convention of :mod:`.pictures`.

The rule works for any design.  A map whose values are elements (``um: Map[(Mm, UserPage),
Opt[Frame]]``) gives an edge from the first key to the value, labelled with the rest of the key; the
maps of one group at one key make one edge.  What a map says about one element alone becomes a line
in its box.  Elements that nothing leads to or from, and of which the step and the property say
nothing, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from mapproof.model.language.nodes import BOOL, Component, OptOf
from mapproof.model.language.terms import Enumeration
from mapproof.proofs.trace import Trace
from mapproof.proofs.verdict import Result

from .naming import ACTORS, Naming, call
from .reasons import Reason, reason_of
from .text import NOT_REACHED, property_of

if TYPE_CHECKING:
    import networkx as nx

    Graph: TypeAlias = nx.MultiDiGraph[Any]

Key: TypeAlias = tuple[int, ...]
Element: TypeAlias = tuple[Any, int]  # sort and index

_NOTHING: Element = (None, 0)  # where an empty entry leads, when that matters
_TABLES = ("Pgd", "P4d", "Pud", "Pmd", "Pte")
_ADDRESSES = ("Va", "UserPage", "KernelPage")
_KINDS = {"Mm": "mm", "Cpu": "cpu", "Thread": "cpu", "Pgd": "root", "Frame": "frame"}
_OTHER, _LAST = 20, 40  # columns: other sorts, then frames
_URGENCY = ("violates", "breaks", "changed", "removed", None)  # of two marks the first is shown


def picture_of(result: Result, step: int | None = None) -> Graph:
    """The state after a step of a result's trace (the last one if None) as a graph.

    What the step changed is marked, and in the last state the entries that the false part of the
    property reads.  Of a result without a trace its CTI is drawn, in other colours.  Raises
    ValueError if the result has neither.
    """
    trace = result.shown()
    if trace is None:
        raise ValueError(f"{result.design} :: {result.property} has no run to draw")
    return _Drawing(result, trace, len(trace.events) if step is None else step).graph()


@dataclass
class _Edge:
    source: Element
    target: Element
    label: str
    mark: str | None = None


@dataclass
class _Box:
    lines: list[str] = field(default_factory=list[str])
    mark: str | None = None

    def emphasise(self, mark: str | None) -> None:
        """Take on a mark, unless there is a more urgent one."""
        self.mark = min(self.mark, mark, key=_URGENCY.index)


@dataclass(frozen=True)
class _Bundle:
    """Maps that are drawn together: those of a group with the same keys, or one map alone."""

    name: str
    maps: tuple[Component, ...]
    grouped: bool

    @property
    def keys(self) -> tuple[Any, ...]:
        return self.maps[0].keys

    @property
    def rigid(self) -> bool:
        return all(c.rigid for c in self.maps)


class _Drawing:
    def __init__(self, result: Result, trace: Trace, step: int) -> None:
        self.result, self.trace, self.step = result, trace, step
        self.real = result.trace is not None  # or else it is a CTI
        self.worst = "violates" if self.real else "breaks"
        self.prop = property_of(result)
        self.now = Naming.of(trace, step)
        self.before = Naming.of(trace, max(0, step - 1))
        self.boxes: dict[Element, _Box] = {}
        self.edges: list[_Edge] = []
        changed = trace.changes(step - 1) if step else []
        self.changed = {(c.component, c.key) for c in changed}
        self.reason: Reason | None = None
        if step == len(trace.events):
            self.reason = reason_of(trace, self.prop)
        self.read: set[tuple[Component, Key]] = set()
        if self.reason is not None and self.prop.kind != "sometimes":
            self.read = {(r.component, r.key) for r in self.reason.reads}

    @cached_property
    def _bundles(self) -> list[_Bundle]:
        found: dict[tuple[Component, ...], _Bundle] = {}
        for component in self.trace.machine.system.components:
            maps = tuple(self.now.together(component))
            group = self.now.group_of(component)
            if component.keys and not isinstance(component.keys[0], OptOf):
                found[maps] = _Bundle(group.name if group else component.name, maps, bool(group))
        return list(found.values())

    @cached_property
    def _boxed(self) -> set[Any]:
        """The sorts whose elements are boxes: they have entries, or something leads to them."""
        first = {b.keys[0] for b in self._changing}
        return {s for s in first | self._led_to if _is_sort(s)}

    @cached_property
    def _slots(self) -> set[Any]:
        """The sorts that tell the entries of a table apart; what is said of one is a box apart."""
        later = {k for b in self._changing for k in b.keys[1:] if _is_sort(k)}
        leading = {b.keys[0] for b in self._changing if _leads(b)}
        return {s for s in later - leading - self._led_to if not _is_actor(s)}

    @cached_property
    def _changing(self) -> list[_Bundle]:
        return [b for b in self._bundles if not b.rigid]

    @cached_property
    def _led_to(self) -> set[Any]:
        """The sorts of values, the locals of procedures apart."""
        values = {_target(c.value) for b in self._changing for c in b.maps if not c.local}
        return {s for s in values if _is_sort(s)}

    def graph(self) -> Graph:
        import networkx as nx

        for bundle in self._changing:
            self._draw(bundle)
        if not any(e.mark == self.worst for e in self.edges):
            self._mark_actors()
        self._name_the_step()
        for bundle in self._bundles:
            if bundle.rigid and len(bundle.keys) == 1:
                self._connect(bundle)
        graph: Graph = nx.MultiDiGraph(title=self._title(), caption=self._caption())
        for element, box in sorted(self.boxes.items(), key=lambda item: self._place(item[0])):
            label = "\n".join([self._name(element), *dict.fromkeys(box.lines)])
            look = {} if box.mark is None else {"mark": box.mark}
            rank, kind = self._rank(element[0]), self._kind(element[0])
            graph.add_node(self._id(element), label=label, kind=kind, rank=rank, **look)
        for edge in self.edges:
            look = {} if edge.mark is None else {"mark": edge.mark}
            graph.add_edge(self._id(edge.source), self._id(edge.target), label=edge.label, **look)
        return graph

    # What the maps say.

    def _draw(self, bundle: _Bundle) -> None:
        for key in self.trace.machine.scope.combinations(bundle.keys):
            source = (bundle.keys[0], key[0])
            cells = {(c, key) for c in bundle.maps}
            changed, read = bool(cells & self.changed), bool(cells & self.read)
            boxed = self._boxed - self._slots
            leads = [c for c in bundle.maps if _target(c.value) in boxed]
            if leads and bundle.keys[0] in self._boxed and (len(key) > 1 or not bundle.grouped):
                self._entry(bundle, leads, source, key, changed=changed, read=read)
            elif bundle.keys[0] in self._boxed:
                self._lines(bundle, source, key, changed=changed, read=read)

    def _entry(
        self,
        bundle: _Bundle,
        leads: list[Component],
        source: Element,
        key: Key,
        *,
        changed: bool,
        read: bool,
    ) -> None:
        new, old = ([*self._targets(n, leads, key)] for n in (self.now, self.before))
        if read and len(key) == 1 and _is_actor(source[0]):
            read = False  # such as cr3: it only says which tables the claim is about
            self._context.append(len(self.edges))
        mark = self.worst if read else "changed" if changed else None
        for target in new:
            self._edge(source, target, self._label(self.now, bundle, key, target), mark)
        if not new and (read or not self._blank(self.now, bundle, key)):
            self._edge(source, _NOTHING, self._label(self.now, bundle, key, None), mark)
        for target in old:
            if target not in new:
                label = self._label(self.before, bundle, key, target)
                self._edge(source, target, label, "removed")

    def _edge(self, source: Element, target: Element, label: str, mark: str | None) -> None:
        self.edges.append(_Edge(source, target, label, mark))
        self.boxes.setdefault(source, _Box())
        end = self.boxes.setdefault(target, _Box())
        if mark == self.worst and target is not _NOTHING:
            end.emphasise(mark)

    def _targets(self, naming: Naming, leads: list[Component], key: Key) -> Iterator[Element]:
        for component in leads:
            value, sort = naming.machine.cell(naming.state, component, key), component.value
            if not isinstance(sort, OptOf) or value != naming.machine.scope[sort.base]:
                yield _target(sort), value

    def _blank(self, naming: Naming, bundle: _Bundle, key: Key) -> bool:
        """Every bit of an entry is clear."""
        for c in bundle.maps:
            value = naming.machine.cell(naming.state, c, key)
            none = naming.machine.scope[c.value.base] if isinstance(c.value, OptOf) else 0
            if value != none:
                return False
        return True

    def _label(self, naming: Naming, bundle: _Bundle, key: Key, target: Element | None) -> str:
        rest = naming.key(bundle.keys[1:], key[1:])
        if not bundle.grouped:
            text = bundle.name + (f"[{rest}]" if rest else "")
            return text if target else f"{text} none"
        entry = naming.entry(bundle.maps[0], key)
        if entry is None:
            parts = ((c, naming.content(c, key)) for c in bundle.maps)
            entry = " ".join(f"{c.name.rpartition('.')[2]}:{v}" for c, v in parts if v != "no")
        if target is not None:
            entry = entry.removesuffix(naming.value(*target)).rstrip()
        return f"[{rest}] {entry}" if rest else entry

    def _lines(
        self, bundle: _Bundle, source: Element, key: Key, *, changed: bool, read: bool
    ) -> None:
        """What is said about one element becomes lines in its box."""
        concerned = changed or read
        if bundle.grouped and not (concerned or self._busy(source)):
            return  # the locals of a procedure that nobody is in
        box = self.boxes.setdefault(source, _Box()) if concerned else None
        for component in bundle.maps:
            text = self._line(component, key, always=(component, key) in self.changed | self.read)
            if text:
                self._said.setdefault(source, []).append(text)
        if box is not None and changed:
            box.emphasise("changed")

    @cached_property
    def _said(self) -> dict[Element, list[str]]:
        return {}

    def _line(self, component: Component, key: Key, *, always: bool) -> str:
        value = self.trace.machine.cell(self.now.state, component, key)
        rest = self.now.key(component.keys[1:], key[1:])
        shown = self.now.content(component, key)
        if component.value is BOOL and rest and value:
            return f"{component.name}: {rest}"
        name = component.name + (f"[{rest}]" if rest else "")
        if component.value is BOOL or _is_position(component) or rest:
            return f"{name}: {shown}" if value or always else ""
        return f"{name}: {shown}"

    def _busy(self, actor: Element) -> bool:
        """The actor is inside a procedure."""
        machine = self.trace.machine
        return any(
            machine.cell(self.now.state, c, (actor[1],))
            for b in self._bundles
            for c in b.maps
            if _is_position(c) and c.keys == (actor[0],)
        )

    @cached_property
    def _context(self) -> list[int]:
        """The edges from actors that the claim reads."""
        return []

    def _mark_actors(self) -> None:
        """No entry of a table violates the property: what is said of actors and frames does."""
        for number in self._context:
            self.edges[number].mark = self.worst
        for component, key in self.read:
            if not component.rigid and component.keys and component.keys[0] in self._boxed:
                self.boxes.setdefault((component.keys[0], key[0]), _Box()).emphasise(self.worst)

    def _name_the_step(self) -> None:
        """Elements that the claim fails at are shown; every box says what there is to say."""
        for variable, index in (self.reason.witness if self.reason else {}).items():
            if variable.sort in self._boxed:
                self.boxes.setdefault((variable.sort, index), _Box())
        for element, box in self.boxes.items():
            box.lines += self._said.get(element, [])

    def _connect(self, bundle: _Bundle) -> None:
        """Fixed maps: from an actor to what is shown, else only between what is shown."""
        for (index,) in self.trace.machine.scope.combinations(bundle.keys):
            source = (bundle.keys[0], index)
            if bundle.keys[0] in self._slots:
                continue
            actor = _is_actor(bundle.keys[0])
            leads = [c for c in bundle.maps if _is_sort(_target(c.value))]
            for target in self._targets(self.now, leads, (index,)):
                if target in self.boxes and (actor or source in self.boxes):
                    if source not in self.boxes:
                        self.boxes[source] = _Box(list(self._said.get(source, [])))
                    self.edges.append(_Edge(source, target, bundle.name))

    # Names and places.

    def _title(self) -> str:
        word = "REACHED" if self.prop.kind == "sometimes" else str(self.result.verdict).upper()
        if not self.real:
            word = f"NOT PROVED for any size ({NOT_REACHED})"
        return f"{self.result.design} :: {self.prop.name}  {word}"

    def _caption(self) -> str:
        lines = ["The initial state."]
        if self.step:
            event = self.trace.events[self.step - 1]
            lines = [f"Step {self.step}: {call(self.before, event)}"]
        if not self.real:
            lines[0] = f"{lines[0].replace(' 1', '', 1)}, from a state that is {NOT_REACHED}."
        lines.append(self.prop.summary)
        if self.reason is not None and self.reason.witness:
            verb = "Shown" if self.prop.kind == "sometimes" else "Fails"
            verb = verb if self.real else "Would fail"
            named = ", ".join(f"{k} = {v}" for k, v in self.now.witness(self.reason.witness))
            lines.append(f"{verb} at {named}.")
        return "\n".join(lines)

    def _name(self, element: Element) -> str:
        return "nothing" if element is _NOTHING else self.now.value(*element)

    def _id(self, element: Element) -> str:
        return "nothing" if element is _NOTHING else f"{element[0].__name__}{element[1]}"

    def _place(self, element: Element) -> tuple[int, str, int]:
        return self._rank(element[0]), getattr(element[0], "__name__", "~"), element[1]

    def _rank(self, sort: Any) -> int:
        name = getattr(sort, "__name__", "")
        if sort is None or name == "Frame":
            return _LAST
        if _is_actor(sort) or name in _ADDRESSES or sort in self._slots:
            return 0
        if name in _TABLES:
            return 1 + _TABLES.index(name)
        return _OTHER + self._heights.get(sort, 0)

    @cached_property
    def _heights(self) -> dict[Any, int]:
        """How many maps lead to a sort, one behind the other."""
        heights = dict.fromkeys(self._boxed, 0)
        for _ in self._boxed:
            for bundle in self._changing:
                for c in bundle.maps:
                    source, target = c.keys[0], _target(c.value)
                    if source in heights and target in heights:
                        heights[target] = max(heights[target], heights[source] + 1)
        return heights

    def _kind(self, sort: Any) -> str:
        name = getattr(sort, "__name__", "")
        if sort is None or name in _ADDRESSES or sort in self._slots:
            return "address"
        leads = any(b.keys[0] is sort and _leads(b) for b in self._changing)
        return _KINDS.get(name, "table" if leads or name in _TABLES else "frame")


def _target(sort: Any) -> Any:
    """The sort of the elements that a value names."""
    return sort.base if isinstance(sort, OptOf) else sort


def _is_sort(sort: Any) -> bool:
    return sort is not BOOL and not issubclass(sort, Enumeration)


def _is_actor(sort: Any) -> bool:
    return getattr(sort, "__name__", "") in ACTORS


def _leads(bundle: _Bundle) -> bool:
    return any(_is_sort(_target(c.value)) for c in bundle.maps)


def _is_position(component: Component) -> bool:
    """The map says where actors stand in a procedure."""
    values = getattr(component.value, "values", ())
    return component.name.endswith(".at") and values[:1] == ("IDLE",)
