"""README and ARCHITECTURE say what the program does."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from mapproof.catalog import Catalog
from mapproof.cli import main

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
REGENERATE = "MAPPROOF_REGENERATE"
CONSOLE = re.compile(r"```console\n\$ mapproof ([^\n]*)\n(.*?)```", re.DOTALL)


def masked(text: str) -> str:
    """The text without times and versions."""
    return re.sub(r"\b(cvc5|z3) \d[\d.]*", r"\1 #", re.sub(r"\d+\.\d+ s\b", "# s", text))


def example() -> str:
    """The design file that the README shows."""
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def run(arguments: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "example.py").write_text(example(), encoding="utf-8")
    monkeypatch.chdir(folder)
    return CliRunner().invoke(main, shlex.split(arguments)).stdout


def test_readme_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = README.read_text(encoding="utf-8")
    sessions = CONSOLE.findall(text)
    assert sessions
    said = {arguments: run(arguments, tmp_path, monkeypatch) for arguments, _ in sessions}
    if os.environ.get(REGENERATE):
        text = CONSOLE.sub(lambda m: f"```console\n$ mapproof {m[1]}\n{said[m[1]]}```", text)
        README.write_text(text, encoding="utf-8")
        sessions = CONSOLE.findall(text)
    for arguments, shown in sessions:
        assert masked(shown) == masked(said[arguments]), (
            f"'mapproof {arguments}' prints something else than README.md shows; if that is right, "
            f"run {REGENERATE}=1 pytest tests/test_docs.py and review the difference"
        )


def test_readme_picture(tmp_path: Path) -> None:
    """The picture in docs/ is the one that ``make demo`` draws."""
    drawn, kept = tmp_path / "kaiser-v1.svg", ROOT / "docs" / "kaiser-v1.svg"
    done = CliRunner().invoke(main, ["review", "kaiser-v1", "kaiser-v2", "--graph", str(drawn)])
    assert done.exit_code == 0, done.output
    assert str(drawn) in done.stdout.replace("\n", "")
    if os.environ.get(REGENERATE):
        kept.write_bytes(drawn.read_bytes())
    assert drawn.read_bytes() == kept.read_bytes(), f"run {REGENERATE}=1 pytest tests/test_docs.py"


@pytest.mark.parametrize(
    "page", ["isolation.md", "cacheability.md", "keys.md", "direct-map-removal.md", "encryption.md"]
)
def test_every_promise_has_a_property(page: str) -> None:
    """What a page about systems names are systems and properties that exist."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    systems, promises, _ = re.split(r"^## |^Windows ", text, maxsplit=2, flags=re.MULTILINE)
    for system in re.findall(r"^\| (`[^|]*`) \|", systems, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", system):
            assert (ROOT / "model" / "operations" / f"{name}.py").is_file(), name
    known = {prop.name for prop in Catalog().library}
    rows = [line.rpartition(" | ")[2] for line in promises.splitlines() if line.startswith("| ")]
    named = {name for row in rows[1:] for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 20
    assert named <= known, named - known


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md"])
def test_every_path_exists(page: str) -> None:
    """Files and folders that the page names are there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:model|properties|proofs|mapproof|tests|docs)/[\w./-]*)`", text)
    named += re.findall(r"\]\(((?:docs)/[\w./-]+)\)", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
    modules = {path.name for path in ROOT.glob("*/**/*.py") if ".venv" not in path.parts}
    assert [name for name in re.findall(r"`(\w+\.py)`", text) if name not in modules] == []
