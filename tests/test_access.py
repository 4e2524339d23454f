"""Accesses to memory in designs: proved for tables of any size, refuted with a replayed run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from mapproof.model.language import (
    FALSE,
    TRUE,
    Bool,
    Design,
    Step,
    Var,
    always,
    operation,
    some,
)
from mapproof.model.language.concrete import Machine
from mapproof.model.language.nodes import Node, var
from mapproof.model.machine import tables
from mapproof.model.machine.access import (
    Access,
    Controls,
    KeyRights,
    Kind,
    Pdptes,
    access,
    load_cr3,
)
from mapproof.model.machine.entries import Entry, ProtectionKey
from mapproof.model.machine.sorts import Cpu, Frame, Pgd, Pmd, PmdSlot, Va
from mapproof.proofs.check import Options, check
from mapproof.proofs.verdict import Verdict


class Memory(tables.X86_64):
    """One address space whose user entries come and go, and whether CR4.SMEP is set."""

    smep: Var[Bool]


@operation
def boot(s: Memory) -> Step:
    return Step(
        when=TRUE,
        then=[
            s.smep.become(TRUE),
            *s.pmd.fill_entries(lambda t, i: Entry(present=TRUE, leaf=s.pmd.leaf[t, i])),
        ],
    )


@operation
def map_huge_user_page(s: Memory, table: Pmd, slot: PmdSlot, f: Frame) -> Step:
    entry = Entry(present=TRUE, writable=TRUE, user=TRUE, leaf=some(f))
    return Step(when=TRUE, then=s.pmd.set_entry(table, slot, entry))


@operation
def disable_smep(s: Memory) -> Step:
    return Step(when=TRUE, then=[s.smep.become(FALSE)])


def of(s: Memory, root: Pgd, va: Va, kind: Kind, user: Bool) -> Access:
    return access(s, root, va, kind, user, Controls(smep=s.smep.now))


@always
def user_mode_reaches_user_pages_only(s: Memory, root: Pgd, va: Va) -> Bool:
    made = of(s, root, va, Kind.READ, TRUE)
    return made.translated.implies(made.rights.user)


@always
def the_kernel_runs_no_user_page(s: Memory, root: Pgd, va: Va) -> Bool:
    made = of(s, root, va, Kind.FETCH, FALSE)
    return made.translated.implies(~made.rights.user)


@always
def smep_stays_on(s: Memory) -> Bool:
    return s.smep.now


memory = Design(
    name="memory",
    state=Memory,
    init=boot,
    operations=[map_huge_user_page],
    properties=[user_mode_reaches_user_pages_only, the_kernel_runs_no_user_page],
    lemmas=[smep_stays_on],
)
careless = memory.but(name="careless", operations=[map_huge_user_page, disable_smep])


def test_claims_about_accesses_are_proved_for_any_size() -> None:
    results = {r.property: r.verdict for r in check(memory, Options(timeout=30))}
    assert set(results.values()) == {Verdict.PROVED}


def test_claims_about_accesses_are_refuted() -> None:
    only = ["the_kernel_runs_no_user_page"]
    (result,) = check(careless, Options(timeout=30, depth=3, only=only))
    assert result.verdict is Verdict.VIOLATED
    assert result.trace is not None


# Single accesses, where the emulator's own limits (tests/mmu_oracle.py) leave something to say, and
# what it does not have.


def evaluated(
    state_class: type, entries: Sequence[tuple[str, tuple[int, ...], dict[str, int]]], node: Node
) -> int:
    """The value of a term over variables, all of them the first element, with these entries."""

    def start(s: Memory) -> Step:
        return Step(when=TRUE)

    start.__annotations__["s"] = state_class
    design = Design(name="one", state=state_class, init=operation(start))
    machine = Machine(design.system(), design.scope_at({sort: 2 for sort in design.sorts}))
    values = {}
    for component, key, place in machine.layout.cells():
        none = machine.scope[component.value] - 1 if hasattr(component.value, "base") else 0
        group, _, field = component.name.partition(".")
        given = [bits for name, at, bits in entries if (name, at) == (group, key)]
        values[place] = given[0].get(field, none) if given else none
    state = bytes(values[place] for place in range(machine.layout.size))
    return machine.evaluate(node, state, None, dict.fromkeys(node.variables, 0))


ROOT, VA, CPU = Pgd(var(Pgd, "root")), Va(var(Va, "va")), Cpu(var(Cpu, "cpu"))
TABLE = {"present": 1, "writable": 1, "user": 1, "table": 0}
LEAF = {"present": 1, "writable": 1, "user": 1, "leaf": 0}


def test_an_access_that_faults_at_a_1_gib_page_does_not_mark_it() -> None:
    s = tables.X86_64(0)
    made = access(s, ROOT, VA, Kind.WRITE, TRUE)
    (stage,) = (at for at in made.stages if at.hop.level.name == "pud")
    for writable in (0, 1):
        entries = [("pgd", (0, 0), TABLE), ("pud", (0, 0), {**LEAF, "writable": writable})]
        for term in (made.translated, made.accessed(stage), made.dirty(stage)):
            assert evaluated(tables.X86_64, entries, term.node) == writable


def test_pae_top_level_entries_count_when_they_are_loaded() -> None:
    s = Pdptes(0)
    stale = access(s, CPU, VA, Kind.READ, TRUE, top=s.pdpte)
    leaf = ("pmd", (0, 0), LEAF)
    in_memory = ("pgd", (0, 0), {"present": 1, "table": 0})
    in_register = ("pdpte", (0, 0), {"present": 1, "table": 0})
    assert evaluated(Pdptes, [leaf, in_memory], stale.translated.node) == 0
    assert evaluated(Pdptes, [leaf, in_register], stale.translated.node) == 1
    assert [u.component.name for u in load_cr3(s, CPU, ROOT).then] == [
        component.name for component in s.pdpte.components()
    ]


def test_a_supervisor_key_forbids_data_accesses_of_the_kernel_only() -> None:
    s = tables.X86_64(0)

    def closed(key: ProtectionKey) -> KeyRights:
        return KeyRights(key == ProtectionKey.K0, FALSE)

    entries = [("pgd", (0, 0), TABLE), ("pud", (0, 0), {**LEAF, "user": 0})]
    for kind, pks in product((Kind.READ, Kind.WRITE, Kind.FETCH), (TRUE, FALSE)):
        made = access(s, ROOT, VA, kind, FALSE, Controls(pks=pks, supervisor_keys=closed))
        forbidden = pks is TRUE and kind is not Kind.FETCH
        assert evaluated(tables.X86_64, entries, made.translated.node) == (not forbidden)
        assert evaluated(tables.X86_64, entries, made.error_code.key.node) == forbidden


def test_flags_do_not_help_an_implicit_access() -> None:
    s = tables.X86_64(0)
    entries = [("pgd", (0, 0), TABLE), ("pud", (0, 0), LEAF)]
    for implicit in (TRUE, FALSE):
        controls = Controls(smap=TRUE, ac=TRUE)
        made = access(s, ROOT, VA, Kind.READ, FALSE, controls, implicit=implicit)
        expected = implicit is FALSE
        assert evaluated(tables.X86_64, entries, made.translated.node) == expected


def test_what_a_design_does_not_use_is_not_in_its_terms() -> None:
    made = access(tables.X86_64(0), ROOT, VA, Kind.READ, TRUE)
    names = {c.name for c in made.translated.node.components}
    assert not any(name.endswith((".key", ".reserved", ".dirty", ".writable")) for name in names)
    assert made.error_code.key.node is FALSE.node
    assert made.error_code.reserved.node is FALSE.node
