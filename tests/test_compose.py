"""Compositions: what they share is one map, what is one event is one step."""

from __future__ import annotations

import pytest

from mapproof.model.designs.compositions import LdtOnPae, ldt_pae
from mapproof.model.designs.ldt import ldt_pti
from mapproof.model.designs.pti_global import pti_global
from mapproof.model.designs.vmalloc_pae import vmalloc_pae_2019
from mapproof.model.language import DesignError
from mapproof.model.language.compose import AtOnce, together
from mapproof.model.operations import ldt, vmalloc_pae


def test_common_components_are_there_once() -> None:
    names = [c.name for c in ldt_pae.system().components]
    assert len(names) == len(set(names))
    parts = [{c.name for c in d.system().components} for d in (ldt_pti, vmalloc_pae_2019)]
    assert set(names) == parts[0] | parts[1]
    assert parts[0] & parts[1] == {"on_list", "loaded_mm"}


def test_one_event_is_one_step_with_the_writes_of_both() -> None:
    fork = next(t for t in ldt_pae.system().transitions if t.name == "fork_without_ldt")
    assert [p.name for p in fork.parameters] == ["child"]
    written = {u.component.name for u in fork.updates}
    assert {"on_list", "pmd.present"} <= written


def test_a_state_has_to_inherit_from_both() -> None:
    with pytest.raises(DesignError, match="has to inherit from Globals"):
        together(ldt_pti, pti_global, LdtOnPae, name="wrong", doc="")


def test_parameters_of_one_name_have_one_sort() -> None:
    pair = AtOnce(ldt.switch_ldt, vmalloc_pae.fork, {"m": "cpu"})
    with pytest.raises(DesignError, match="cpu is a Cpu in one and a Mm in the other"):
        pair.joint(LdtOnPae)
