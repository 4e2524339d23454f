"""Systems are explained in a screen each."""

from __future__ import annotations

import pytest
from click import unstyle

from mapproof.catalog import Catalog
from mapproof.explain import explanation, listing
from mapproof.explain_system import LINES, names
from mapproof.explain_system import explanation as system_of

CATALOG = Catalog()


@pytest.mark.parametrize("name", ["pti", "vmalloc", "kaiser", *names(CATALOG)])
def test_a_system_fits_a_screen(name: str) -> None:
    said = system_of(CATALOG, name)
    assert said is not None
    lines = unstyle(said).splitlines()
    assert lines[0] == f"{name}  (system)"
    assert len(lines) <= LINES + 5
    assert max(map(len, lines)) <= 80
    assert any("counterexample" in line for line in lines)


def test_what_a_system_has() -> None:
    said = unstyle(explanation(CATALOG, "pageattr"))
    for part in (
        "set_memory_uc(), set_memory_wc()",  # what it does
        "arch/x86/mm/pat/set_memory.c:",  # kernel functions
        "pageattr-primary-flush",  # designs
        "tlbs_have_the_tracked_type: So has every TLB entry",  # invariants
        "smallest counterexample: C-00",
        "remap_pfn_range",  # its operations
    ):
        assert part in said
    assert said.splitlines()[-1].strip().endswith("'mapproof explain --all pageattr': design")
    assert "pageattr  (design)" in unstyle(explanation(CATALOG, "pageattr", everything=True))


def test_a_property_tells_what_broke_it() -> None:
    said = unstyle(explanation(CATALOG, "tlbs_have_the_tracked_type"))
    assert "broken by C-01 (pageattr-primary-flush): set_memory.memtype_reserve" in said


def test_every_system_is_listed() -> None:
    lines = unstyle(listing(CATALOG, ("systems",))).splitlines()[1:]
    assert {line.split()[0] for line in lines} == {*names(CATALOG)}
    assert all(len(line.split()) > 1 for line in lines)  # a sentence for each
