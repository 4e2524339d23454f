"""The layers ``model <- properties <- proofs <- mapproof``, and the solver in its place."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("model", "properties", "proofs", "mapproof")


class Import(NamedTuple):
    """One imported name: ``from .state import State`` is ``mapproof.model.state.State``."""

    target: str
    relative: bool
    line: int

    @property
    def layer(self) -> str | None:
        """The layer that the name belongs to, if it is ours."""
        head, *rest = self.target.split(".")
        if head != "mapproof":
            return head if head in LAYERS else None
        return rest[0] if rest and rest[0] in LAYERS else head


class Source(NamedTuple):
    """One file of a layer."""

    path: Path
    tree: ast.Module

    @property
    def layer(self) -> str:
        return self.path.parts[0]

    @property
    def module(self) -> str:
        """The name that it is imported by."""
        parts = self.path.with_suffix("").parts
        prefix = () if self.layer == "mapproof" else ("mapproof",)
        return ".".join(prefix + parts[: -1 if parts[-1] == "__init__" else None])

    @property
    def package(self) -> list[str]:
        """What its relative imports start from."""
        parts = self.module.split(".")
        return parts if self.path.name == "__init__.py" else parts[:-1]

    def imports(self) -> Iterator[Import]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, False, node.lineno)
            elif isinstance(node, ast.ImportFrom):
                base = self.package[: len(self.package) - node.level + 1] if node.level else []
                stem = [*base, *filter(None, [node.module])]
                for alias in node.names:
                    yield Import(".".join([*stem, alias.name]), node.level > 0, node.lineno)


def source(path: str, text: str) -> Source:
    return Source(Path(path), ast.parse(text, path))


@cache
def sources() -> tuple[Source, ...]:
    """Every file of every layer; links are not followed, so each file comes once."""
    return tuple(
        source(str(path.relative_to(ROOT)), path.read_text("utf-8"))
        for layer in LAYERS
        for path in sorted((ROOT / layer).rglob("*.py"))
    )


def wrong_imports(file: Source) -> list[str]:
    """What the import rules object to in one file."""
    wrong: list[str] = []
    for name in file.imports():
        where = f"{file.path}:{name.line}: {name.target}"
        if name.target.split(".")[0] == "z3" and file.path.parts[:2] != ("model", "language"):
            wrong.append(f"{where}: only model/language imports the solver")
        if name.layer is None:
            continue
        if LAYERS.index(name.layer) > LAYERS.index(file.layer):
            wrong.append(f"{where}: {file.layer} is below {name.layer}")
        elif name.relative != (name.layer == file.layer):
            wrong.append(f"{where}: relative inside a folder, absolute across folders")
    return wrong


def prints(file: Source) -> list[str]:
    """Where one file prints."""
    return [
        f"{file.path}:{node.lineno}: engines return values, only reports print"
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Name) and node.id == "print"
    ]


def test_every_layer_was_read() -> None:
    assert {file.layer for file in sources()} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_import_direction(layer: str) -> None:
    assert [w for file in sources() if file.layer == layer for w in wrong_imports(file)] == []


@pytest.mark.parametrize("layer", LAYERS[:-1])
def test_nothing_below_the_product_prints(layer: str) -> None:
    assert [p for file in sources() if file.layer == layer for p in prints(file)] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("model/a.py", "from mapproof.properties import b"),
        ("model/a.py", "from ..properties import b"),
        ("model/a.py", "from mapproof import Design"),
        ("model/a/b.py", "import mapproof"),
        ("model/a/b.py", "from mapproof.model.c import D"),
        ("properties/a.py", "def f():\n    import mapproof.proofs.b"),
        ("proofs/ledger/a.py", "from ... import cli"),
        ("proofs/a.py", "from ..model import b"),
        ("proofs/a.py", "from z3 import Solver"),
        ("mapproof/a.py", "from .model import b"),
        ("mapproof/a.py", "import z3"),
        ("model/machine/a.py", "import z3.z3util"),
    ],
)
def test_wrong_imports_are_seen(path: str, text: str) -> None:
    assert len(wrong_imports(source(path, text))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("model/__init__.py", "from .language import b"),
        ("model/a/b.py", "from ..c import D\nfrom . import e"),
        ("model/language/a.py", "import z3"),
        ("properties/a.py", "from mapproof.model.b import C\nfrom .d import E"),
        ("mapproof/__init__.py", "from mapproof.proofs import a\nfrom .cli import main"),
        ("mapproof/a.py", "import networkx, z3x"),
    ],
)
def test_right_imports_pass(path: str, text: str) -> None:
    assert wrong_imports(source(path, text)) == []


def needs_solver(file: Source) -> bool:
    """Whether the file imports z3 as soon as it is imported itself."""
    top = ast.Module([n for n in file.tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
    return any(i.target.split(".")[0] == "z3" for i in file._replace(tree=top).imports())


def test_designs_properties_and_the_concrete_reading_do_without_the_solver() -> None:
    modules = [f.module for f in sources() if f.layer in LAYERS[:2] and not needs_solver(f)]
    assert "mapproof.model.designs" in modules
    program = (
        "import sys\n"
        "from importlib import import_module\n"
        "for name in sys.argv[1:]:\n"
        "    import_module(name)\n"
        "    if 'z3' in sys.modules:\n"
        "        sys.exit(f'{name} imports z3')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *modules],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
