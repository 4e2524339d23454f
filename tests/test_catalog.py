"""What is found, and what belongs to what."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mapproof import Bool, DesignError, always, sometimes
from mapproof.catalog import Catalog, attached
from mapproof.model.designs.kpt import kpt
from mapproof.model.operations.kpt import Kpt, Mm
from mapproof.properties.kpt import P1

CATALOG = Catalog()


@pytest.mark.parametrize("name", list(CATALOG.designs))
def test_a_design_has_the_same_properties_however_it_is_found(name: str) -> None:
    alone = Catalog().design_named(name)
    assert [p.name for p in alone.properties] == [p.name for p in CATALOG.designs[name].properties]
    assert alone.properties


def test_one_design_does_not_load_the_others() -> None:
    program = (
        "import sys\n"
        "from mapproof.catalog import Catalog\n"
        "Catalog().design_named('kpt')\n"
        "print([m for m in sys.modules if 'kaiser' in m or 'vmalloc' in m])\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n"


class Extended(Kpt):
    """A state that adds to the benchmark's."""


@always
def own(s: Kpt, m: Mm) -> Bool:
    """A property of the author's."""
    return s.pgk[m] | ~s.pgk[m]


def test_library_properties_apply_to_states_that_extend_theirs() -> None:
    design = attached(kpt.but(name="mine", state=Extended, properties=[own]), [P1])
    assert [p.name for p in design.properties] == ["own", "P1"]


def test_a_listed_property_is_not_attached_twice() -> None:
    design = attached(kpt.but(name="mine", properties=[P1], lemmas=[P1]), [P1])
    assert (list(design.properties), list(design.lemmas)) == ([P1], [])


def test_two_properties_of_one_name_are_refused() -> None:
    other = sometimes(own.function)
    with pytest.raises(DesignError, match="the design kpt has two properties called own"):
        attached(kpt.but(name="kpt", properties=[own]), [other])


FILE = """\
from mapproof import Bool, always
from mapproof.model.designs.kpt import kpt, kpt_buggy
from mapproof.model.operations.kpt import Kpt, Mm

@always
def loose(s: Kpt, m: Mm) -> Bool:
    return s.pgk[m] | ~s.pgk[m]

@always
def helpful(s: Kpt, m: Mm) -> Bool:
    return s.pgk[m] | ~s.pgk[m]

mine = kpt.but(name="mine", lemmas=[*kpt.lemmas, helpful])
"""


def test_a_file_has_its_own_designs_and_loose_properties(tmp_path: Path) -> None:
    path = tmp_path / "d.py"
    path.write_text(FILE)
    (target,) = Catalog().targets([str(path)])
    assert target.design.name == "mine"
    names = [p.name for p in target.design.properties]
    assert names[:5] == ["loose", "P1", "P2", "SAFE", "DEEP"]


def test_a_design_that_a_file_imports_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "d.py"
    path.write_text(FILE)
    (target,) = Catalog().targets([f"{path}::kpt-buggy::P1"])
    assert (target.design.name, target.only) == ("kpt-buggy", ("P1",))


def test_targets_of_one_design_are_merged(tmp_path: Path) -> None:
    path = tmp_path / "d.py"
    path.write_text(FILE)
    one, other = Catalog().targets([f"{path}::mine::P1", "kpt::P2", f"{path}::mine::P2", "kpt"])
    assert (one.design.name, one.only) == ("mine", ("P1", "P2"))
    assert (other.design.name, other.only) == ("kpt", ())


def test_a_built_in_name_wins_over_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("kpt", "drafts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "d.py").write_text(FILE)
    found = Catalog().targets(["kpt", "drafts"])
    assert [target.design.name for target in found] == ["kpt", "mine"]
