"""Compositions: what parts share is one map, what is one event is one step; each can break the other."""

from __future__ import annotations

import pytest

from mapproof.catalog import Catalog
from mapproof.model.designs.compositions import LDT_ON_PAE, LdtOnPae, ldt_pae
from mapproof.model.designs.ldt import ldt_pti
from mapproof.model.designs.pti_global import pti_global
from mapproof.model.designs.vmalloc_pae import vmalloc_pae_2019
from mapproof.model.language import DesignError, nodes
from mapproof.model.language.compose import AtOnce, together
from mapproof.model.operations import ldt, vmalloc_pae
from mapproof.proofs.check import Options, check
from mapproof.proofs.composed import hints_of_parts
from mapproof.proofs.induction import Prover, induction
from mapproof.proofs.obligations import obligations, to_solve
from mapproof.proofs.verdict import Verdict

# What each composition shares, apart from what its parts agree on from the start (rigid maps).  That
# all of it is proved is in test_designs, as for every design; the slips are in the ledger.
SHARED = {
    "isolation-vmalloc-pae": {"pmd.present", "pmd.table", "pmd.leaf", "in_use", "on_list"},
    "ldt-pae": {"on_list", "loaded_mm"},
    "cacheability-purge": {"area", "page", "area_tlb"},
    "pcid-global": {
        "kernel_tlb",
        "user_tlb",
        "kernel",
        "user",
        "mode",
        "asid",
        "free",
        "user_flush",
    },
    "hotplug-isolation": {"reference", "copy", "on_list", "pgd_lock"},
}


@pytest.mark.parametrize("name", SHARED)
def test_what_parts_share_is_there_once(name: str) -> None:
    whole = Catalog().design_named(name)
    names = [c.name for c in whole.system().components]
    assert len(names) == len(set(names))
    first, second = ({c.name for c in part.system().components} for part in whole.made_of)
    assert set(names) == first | second
    assert SHARED[name] <= first & second


@pytest.mark.parametrize("name", SHARED)
def test_every_property_of_the_parts_is_asked(name: str) -> None:
    whole = Catalog().design_named(name)
    for part in whole.made_of:
        asked = {p.name for p in Catalog().design_named(part.name).properties}
        assert asked <= {p.name for p in whole.properties}


@pytest.mark.parametrize("name", SHARED)
def test_steps_that_touch_nothing_of_a_claim_need_no_solver(name: str) -> None:
    whole = Catalog().design_named(name)
    for claim in (p for p in whole.properties if p.kind != "sometimes"):
        about = nodes.components_of(claim.closed())
        for cell in to_solve(obligations(whole, [claim])):
            written = {u.component for u in cell.transition.updates}
            assert cell.initial or written & about, cell.name


def test_what_proves_a_part_proves_the_whole() -> None:
    """Without its author's lemmas the synchronisation needs some, found at its own scope; with LDTs on
    the same processes they still do."""
    whole = Catalog().design_named("ldt-pae")
    parts = [part.but(name=part.name, lemmas=()) for part in whole.made_of]
    whole = whole.but(name="ldt-pae", lemmas=(), made_of=parts)
    claims = [p for p in whole.properties if p.kind != "sometimes"]
    assert induction(whole, claims, [], Prover(whole.system(), 60.0), last=0).failures
    hints = hints_of_parts(whole, lambda design: Prover(design.system(), 60.0), 30.0)
    assert hints.lemmas
    prover = Prover(whole.system(), 60.0).given(hints.likely)
    assert not induction(whole, claims, hints.lemmas, prover, last=0).failures


def test_hints_prove_nothing_by_themselves() -> None:
    """What holds in a part and not in the whole is not believed: CPA that forgets areas is a part that
    is right by itself about leaves, and wrong about areas with purges or without."""
    wrong = Catalog().design_named("cacheability-areas-forgotten")
    only = ("area_entries_have_the_tracked_type", "areas_have_the_tracked_type")
    verdicts = {r.property: r.verdict for r in check(wrong, Options(only=only))}
    assert verdicts == dict(zip(only, (Verdict.VIOLATED, Verdict.PROVED), strict=True))


def test_a_switch_for_one_part_alone_breaks_the_other() -> None:
    """LDTR is left behind where a context switch is that of the page tables only."""
    wrong = together(
        ldt_pti,
        vmalloc_pae_2019,
        LdtOnPae,
        name="wrong",
        at_once=[pair for pair in LDT_ON_PAE if pair.first is not ldt.switch_mm],
        without=[ldt.switch_mm],
        doc="",
    )
    wrong = wrong.but(name="wrong", properties=ldt_claims())
    (result,) = check(wrong, Options(lemmas="given", only=("ldtr_points_to_a_mapped_slot",)))
    assert result.trace is not None
    assert result.trace.events[-1].transition.name == "switch_mm"
    assert result.depth == 7


def ldt_claims() -> list[object]:
    names = ("ldtr_points_to_a_mapped_slot",)
    return [Catalog().design_named("ldt-pti").property_named(name) for name in names]


def test_one_event_is_one_step_with_the_writes_of_both() -> None:
    fork = next(t for t in ldt_pae.system().transitions if t.name == "fork_without_ldt")
    assert [p.name for p in fork.parameters] == ["child"]
    written = {u.component.name for u in fork.updates}
    assert {"on_list", "pmd.present"} <= written


def test_what_is_said_in_full_by_one_part_is_left_out_of_the_other() -> None:
    whole = Catalog().design_named("pcid-global")
    names = [o.name for o in whole.operations]
    assert names.count("fill_tlb") == 1
    assert names.count("enter_kernel") == 1  # one operation of both parts
    assert [p.name for p in whole.procedures] == ["release"]


def test_a_state_has_to_inherit_from_both() -> None:
    with pytest.raises(DesignError, match="has to inherit from Globals"):
        together(ldt_pti, pti_global, LdtOnPae, name="wrong", doc="")


def test_what_is_left_out_has_to_be_there() -> None:
    with pytest.raises(DesignError, match="neither design has the operation map_kernel_page"):
        together(
            ldt_pti,
            vmalloc_pae_2019,
            LdtOnPae,
            name="wrong",
            without=[op for op in pti_global.operations if op.name == "map_kernel_page"],
            doc="",
        )


def test_parameters_of_one_name_have_one_sort() -> None:
    pair = AtOnce(ldt.switch_ldt, vmalloc_pae.fork, {"m": "cpu"})
    with pytest.raises(DesignError, match="cpu is a Cpu in one and a Mm in the other"):
        pair.joint(LdtOnPae)
