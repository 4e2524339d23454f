"""What there is to check: built-in designs, the library of properties, and users' files.

Nothing is registered anywhere.  A module-level Design in ``mapproof.model.designs`` is a built-in
design, a module-level property in ``mapproof.properties`` belongs to the library, and a library
property applies to every design whose state is, or extends, the state that it is about.
"""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import import_module, resources
from itertools import compress
from pathlib import Path
from types import ModuleType
from typing import Any

from mapproof.model.language import Design, DesignError, Part, Property, State

from .loading import UserFile, load, suggestion, told_plainly

DESIGNS = "mapproof.model.designs"
LIBRARY = "mapproof.properties"
LIST_DESIGNS = "'mapproof list designs' lists all"


@dataclass(frozen=True)
class Target:
    """A design to check; ``only`` names the properties to report (all if empty), ``steps`` the length of
    the longest run that is expected to violate one of them: 0 if none is."""

    design: Design[Any]
    only: tuple[str, ...] = ()
    file: UserFile | None = None
    steps: int = 0


class Catalog:
    """Finds designs and properties; imports no more than it is asked for."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[UserFile, dict[str, Design[Any]]]] = {}

    # Built in.

    @cached_property
    def designs(self) -> dict[str, Design[Any]]:
        """Every built-in design by name, with the library's properties attached."""
        found: dict[str, Design[Any]] = {}
        for name in _submodules(DESIGNS):
            for design in _designs_in(import_module(name)):
                if found.setdefault(design.name, design) is not design:
                    raise DesignError(f"two built-in designs are called {design.name}")
        return {name: attached(design, self.library) for name, design in found.items()}

    @cached_property
    def library(self) -> tuple[Property[Any], ...]:
        """Every library property, by module."""
        modules = (import_module(name) for name in _submodules(LIBRARY))
        return tuple(prop for module in modules for prop in _properties_in(module))

    def _library_for(self, design: Design[Any]) -> list[Property[Any]]:
        """The library, without modules that say nothing of what the design's state is made of.

        A module about a state class mentions, in its imports, the module that defines the class.
        """
        homes = {c.__module__ for c in design.state.__mro__ if issubclass(c, State)} - {
            State.__module__
        }
        stems = {home.rpartition(".")[2] for home in homes}
        found: list[Property[Any]] = []
        for name, words in self._library_words.items():
            if not words or stems & words:
                found += _properties_in(import_module(name))
        return found

    @cached_property
    def _library_words(self) -> dict[str, frozenset[str]]:
        """The words of each module of the library; none where its source is not at hand."""
        folder, found = resources.files(LIBRARY), dict[str, frozenset[str]]()
        for name in _submodules(LIBRARY):
            source = folder / f"{name.rpartition('.')[2]}.py"
            text = source.read_text("utf-8") if source.is_file() else ""
            found[name] = frozenset(re.findall(r"\w+", text))
        return found

    def design_named(self, name: str) -> Design[Any]:
        """The built-in design of that name, with the library's properties attached.

        Raises DesignError, listing names like it, if there is none.
        """
        stem = name.replace("-", "_")

        def unlikely(module: str) -> bool:
            return not stem.startswith(module.rpartition(".")[2])

        for module in sorted(_submodules(DESIGNS), key=unlikely):  # mostly the first has it
            for design in _designs_in(import_module(module)):
                if design.name == name:
                    return attached(design, self._library_for(design))
        hint = suggestion(name, self.designs)
        raise DesignError(f"there is no design {name} ({LIST_DESIGNS}){hint}")

    def built_in(self, name: str) -> Design[Any] | None:
        """The built-in design of that name, if there is one."""
        try:
            return self.design_named(name)
        except DesignError:
            return None

    # Targets.

    def targets(self, texts: Iterable[str]) -> list[Target]:
        """The designs that targets name, each once, in order.

        Raises DesignError if one of them names nothing.
        """
        found: dict[int, Target] = {}
        for text in texts:
            for target in self._target(text):
                known = found.get(id(target.design))
                found[id(target.design)] = target if known is None else _both(known, target)
        return list(found.values())

    def target(self, text: str) -> Target:
        """The one design that a target names.  Raises DesignError if there are more, or none."""
        found = self.targets([text])
        if len(found) > 1:
            names = ", ".join(f"{text}::{t.design.name}" for t in found[:4])
            raise DesignError(f"{text} has {len(found)} designs: name one of them, such as {names}")
        return found[0]

    @staticmethod
    def is_place(text: str) -> bool:
        """The target is a file or a folder, which may have several designs."""
        head = text.partition("::")[0]
        return head.endswith(".py") or "/" in head or head in (".", "..")

    def _target(self, text: str) -> list[Target]:
        head, *rest = text.split("::")
        if not head or not all(rest):
            raise DesignError(f"the target {text!r} has an empty part: write design::property")
        path = Path(head)
        if self.is_place(head):
            return self._in_path(text, path, rest)
        try:
            design = self._builtin(head)
        except DesignError:
            if path.is_dir():
                return self._in_path(text, path, rest)
            raise
        if len(rest) > 1:
            raise DesignError(f"the target {text} has too many parts: write design::property")
        return [_selected(design, rest, None)]

    def _builtin(self, name: str) -> Design[Any]:
        # The same name must give the same object, so that targets are merged.
        known = self._named.get(name)
        if known is None:
            known = self._named[name] = self.design_named(name)
        return known

    @cached_property
    def _named(self) -> dict[str, Design[Any]]:
        return {}

    def _in_path(self, text: str, path: Path, rest: Sequence[str]) -> list[Target]:
        if path.is_dir():
            if rest:
                raise DesignError(f"{text}: {path} is a folder: write file.py::design")
            return self._in_folder(path)
        if not path.exists():
            raise DesignError(f"{path}: there is no such file")
        file, designs = self._in_file(path)
        if not rest:
            if not designs:
                raise DesignError(
                    f"{path}: there is no design in this file: write one at module level, "
                    "NAME = Design(name=..., state=..., init=..., operations=[...])"
                )
            return [Target(d, (), file) for d in designs.values()]
        name, *names = rest
        if len(names) > 1:
            raise DesignError(f"the target {text} has too many parts: file.py::design::property")
        available = designs | self._imported(file, designs)
        if name not in available:
            if any(name == p.name for d in designs.values() for p in d.properties):
                wanted = f"{path}::{next(iter(designs))}::{name}"
                raise DesignError(f"{path} has no design {name}: of the property, write {wanted}")
            raise DesignError(
                f"{path} has no design {name}, it has {', '.join(available) or 'none'}"
                + suggestion(name, available)
            )
        return [_selected(available[name], names, file)]

    def _in_folder(self, folder: Path) -> list[Target]:
        found: list[Target] = []
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).parts
            if any(p.startswith((".", "_")) or p == "site-packages" for p in parts):
                continue
            if _mentions_a_design(path):
                file, designs = self._in_file(path)
                found.extend(Target(d, (), file) for d in designs.values())
        if not found:
            raise DesignError(f"{folder}: no file in this folder has a design")
        return found

    def _in_file(self, path: Path) -> tuple[UserFile, dict[str, Design[Any]]]:
        place = path.resolve()
        known = self._files.get(place)
        if known is None:
            known = self._files[place] = self._read(load(path))
        return known

    def _read(self, file: UserFile) -> tuple[UserFile, dict[str, Design[Any]]]:
        elsewhere = {id(d) for m in _other_modules(file) for d in _designs_in(m)}
        mine = [d for d in _designs_in(file.module) if id(d) not in elsewhere]
        return file, self._by_name(file, mine)

    def _imported(self, file: UserFile, mine: dict[str, Design[Any]]) -> dict[str, Design[Any]]:
        """Designs that the file imports from elsewhere and does not shadow."""
        every = [d for d in _designs_in(file.module) if d.name not in mine]
        return self._by_name(file, every)

    def _by_name(self, file: UserFile, designs: list[Design[Any]]) -> dict[str, Design[Any]]:
        used = {id(p) for d in designs for p in (*d.properties, *d.lemmas, *d.assumptions)}
        loose = [p for p in _properties_in(file.module) if id(p) not in used]
        found: dict[str, Design[Any]] = {}
        for design in designs:
            if design.name in found:
                raise DesignError(f"{file.path}: two designs are called {design.name}: rename one")
            with told_plainly(file):
                found[design.name] = attached(design, (*loose, *self.library))
        return found


def attached(design: Design[Any], library: Iterable[Property[Any]]) -> Design[Any]:
    """The design with the library properties about its state, its own ones first.

    Raises DesignError if two of them have one name.
    """
    own = list(design.properties)
    fitting = [p for p in library if applies(p, design) and p not in own]
    every = [*own, *fitting]
    names = [p.name for p in every]
    for prop in every:
        if names.count(prop.name) > 1:
            raise DesignError(
                f"the design {design.name} has two properties called {prop.name}: rename its own"
            )
    lemmas = [lemma for lemma in design.lemmas if lemma not in every]
    claimed = {id(claim) for part in design.parts for claim in part.claims}
    free = [p for p in fitting if id(p) not in claimed]
    parts = [_with_family(part, free) for part in design.parts]
    return replace(design, properties=every, lemmas=lemmas, parts=parts)


def _with_family(part: Part, library: Iterable[Property[Any]]) -> Part:
    """The part with the library properties of its family among its claims."""
    family = f"{LIBRARY}.{(part.family or part.name).replace('-', '_')}"
    own = [p for p in library if p.function.__module__ == family]
    return replace(part, claims=[*part.claims, *own]) if own else part


def applies(prop: Property[Any], design: Design[Any]) -> bool:
    """The property is about this design's state, or about one that it extends."""
    return prop.state is not State and issubclass(design.state, prop.state)


def _both(a: Target, b: Target) -> Target:
    """Two selections from one design; without names it is all of it."""
    only = (*a.only, *b.only) if a.only and b.only else ()
    return replace(a, only=tuple(dict.fromkeys(only)))


def _selected(design: Design[Any], names: Sequence[str], file: UserFile | None) -> Target:
    known = [p.name for p in design.properties]
    for name in names:
        if name not in known:
            raise DesignError(
                f"{design.name} has no property {name}, it has {', '.join(known) or 'none'}"
                + suggestion(name, known)
            )
    return Target(design, tuple(names), file)


@cache
def _submodules(package: str) -> tuple[str, ...]:
    found = pkgutil.iter_modules(import_module(package).__path__, f"{package}.")
    return tuple(info.name for info in found)


def _designs_in(module: ModuleType) -> list[Design[Any]]:
    """The module-level designs, each once, in the order of their definition."""
    values: list[Any] = list({id(v): v for v in vars(module).values()}.values())
    return list(compress(values, (isinstance(v, Design) for v in values)))


def _properties_in(module: ModuleType) -> list[Property[Any]]:
    """The module-level properties that are the module's own; assumptions are none."""
    values: Iterable[Any] = vars(module).values()
    return [
        v
        for v in {id(v): v for v in values}.values()
        if isinstance(v, Property)
        and v.function.__module__ == module.__name__
        and v.kind != "assumption"
    ]


def _other_modules(file: UserFile) -> list[ModuleType]:
    """Where a design that the file has may come from: built-in ones, and files beside it."""
    folder = file.path.resolve().parent
    found: list[ModuleType] = []
    for name, module in list(sys.modules.items()):
        where = getattr(module, "__file__", None)
        beside = (
            where is not None
            and not name.startswith(("mapproof", "_mapproof_"))
            and Path(where).is_relative_to(folder)
            and "site-packages" not in Path(where).parts
        )
        if name.startswith(f"{DESIGNS}.") or beside:
            found.append(module)
    return found


def _mentions_a_design(path: Path) -> bool:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DesignError(f"{path}: cannot read it: {error.strerror}") from None
    return b"mapproof" in text and b"design" in text.lower()
