"""The wheel is what a user installs: its contents, its command, its types."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("model", "properties", "proofs")
DATA = ("py.typed", "*.schema.json", "*.toml")

# One worker runs this file, so that the wheel is built once.
pytestmark = pytest.mark.xdist_group("packaging")

CONSUMER = """\
# pyright: strict
import mapproof
import mapproof.model
import mapproof.proofs
import mapproof.properties

print(mapproof.model, mapproof.properties, mapproof.proofs)
right: str = mapproof.__version__
wrong: int = mapproof.__version__
"""
WRONG_LINE = 1 + CONSUMER.splitlines().index("wrong: int = mapproof.__version__")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs one command away from the repository, with nothing on the path that could hide a gap."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        command, cwd=cwd, env=environment, check=False, capture_output=True, text=True, timeout=300
    )


def ok(*command: str | Path, cwd: Path) -> str:
    """The output of a command that has to succeed."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that was built from it."""
    scratch = tmp_path_factory.mktemp("dist")
    tree = scratch / "tree"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in (*FOLDERS, "mapproof"):
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tree)
    ok(sys.executable, "-m", "build", "--no-isolation", "--outdir", scratch, tree, cwd=scratch)
    return scratch


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """The interpreter of a fresh environment with the wheel; borrowing our dependencies."""
    prefix = wheel.parent / "venv"
    ok(sys.executable, "-m", "venv", "--without-pip", prefix, cwd=wheel.parent)
    python = prefix / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    ok(*pip, "install", "--no-deps", "--no-index", wheel, cwd=wheel.parent)
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(ok(python, "-c", query, cwd=wheel.parent).strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_wheel_holds_every_file_once(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT) if folder == "mapproof" else "mapproof" / path.relative_to(ROOT))
        for folder in (*FOLDERS, "mapproof")
        for pattern in ("*.py", *DATA)
        for path in (ROOT / folder).rglob(pattern)
    }
    names = [n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n]
    assert sorted(names) == sorted(expected)


def test_wheel_contents(wheel: Path) -> None:
    config = ("--config", ROOT / "pyproject.toml")
    ok(sys.executable, "-m", "check_wheel_contents", *config, wheel, cwd=wheel.parent)


def test_command_runs(python: Path) -> None:
    version = ok(python, "-c", "import mapproof; print(mapproof.__version__)", cwd=python.parent)
    for command in ([python.parent / "mapproof"], [python, "-m", "mapproof"]):
        assert version.strip() in ok(*command, "--version", cwd=python.parent)


@pytest.mark.parametrize("folder", FOLDERS)
def test_bare_import_says_what_to_write(folder: str) -> None:
    done = run(sys.executable, "-c", f"import {folder}", cwd=ROOT)
    assert f"import this package as 'mapproof.{folder}', not '{folder}'" in done.stderr


@pytest.mark.parametrize(
    ("checker", "option"), [("mypy", "--python-executable"), ("pyright", "--pythonpath")]
)
def test_types_reach_the_user(python: Path, tmp_path: Path, checker: str, option: str) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    strict = ["--strict"] if checker == "mypy" else []
    done = run(sys.executable, "-m", checker, *strict, option, python, "consumer.py", cwd=tmp_path)
    errors = re.findall(r"consumer\.py:(\d+).* error: ", done.stdout)
    assert errors == [str(WRONG_LINE)], done.stdout + done.stderr


@pytest.mark.slow
def test_source_distribution_installs_on_a_fresh_machine(dist: Path, tmp_path: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    ok(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    bin_ = tmp_path / "venv" / "bin"
    ok(bin_ / "python", "-m", "pip", "install", "--quiet", archive, cwd=tmp_path)
    ok(bin_ / "mapproof", "--version", cwd=tmp_path)
