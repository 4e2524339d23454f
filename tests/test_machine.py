"""The walk through page tables of each geometry, against a plain Python walk over dictionaries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapproof.model.language import FALSE, TRUE, Bool, Design, Step, always, operation
from mapproof.model.language.concrete import Machine
from mapproof.model.language.nodes import var
from mapproof.model.machine import tables
from mapproof.model.machine.entries import (
    _LETTERS,  # pyright: ignore[reportPrivateUsage]
    CacheType,
    selected_type,
)
from mapproof.model.machine.geometry import Geometry, PageBit, memory_type
from mapproof.model.machine.sorts import Frame, Pgd, Va
from mapproof.model.machine.tables import LEVELS, walk

STATES: list[Any] = [
    tables.X86_64,
    tables.X86_64La57,
    tables.I386Pae,
    tables.I386,
    tables.Folded,
]
SIZE = 2  # of every sort: two table pages a level, two slots each


def machine_for(state: Any) -> Machine:
    def boot(s: Any) -> Step:
        return Step(when=TRUE)

    def anything(s: Any, root: Pgd, va: Va) -> Bool:
        return TRUE

    boot.__annotations__["s"] = state
    anything.__annotations__["s"] = state
    design: Any = Design(
        name="tables", state=state, init=operation(boot), properties=[always(anything)]
    )
    return Machine(design.system(), design.scope_at({Frame: 4}))


MACHINES = {state.__name__: (state, machine_for(state)) for state in STATES}


def plain_walk(
    state: dict[str, Any], names: list[str], root: int, va: int, geometry: Geometry
) -> Any:
    """(frame, writable, user, nx) or None, by the manual: AND of RW and US, OR of NX, where entries
    have these bits."""
    table, writable, user, nx = root, True, True, False
    for name in names:
        slot = state[f"{name}_index"][va]
        entry = {field: values[table, slot] for field, values in state[name].items()}
        if not entry["present"]:
            return None
        if geometry.level(name).rights:
            writable, user = writable and bool(entry["writable"]), user and bool(entry["user"])
            nx = nx or (bool(entry["nx"]) and geometry.has_nx)
        if entry.get("leaf") is not None:
            return entry["leaf"], writable, user, nx
        if entry.get("table") is None:
            return None
        table = entry["table"]
    return None


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=60, derandomize=True, deadline=None)
@given(data=st.data())
def test_walk(name: str, data: st.DataObject) -> None:
    state_class, machine = MACHINES[name]
    layout = machine.layout
    cells = list(layout.cells())
    # Mostly present, so that walks get somewhere.
    values = [
        data.draw(st.sampled_from([0, 1, 1, 1]))
        if component.name.endswith("present")
        else data.draw(st.integers(0, machine.scope[component.value] - 1))
        for component, _, _ in cells
    ]
    plain: dict[str, Any] = {}
    for (component, key, _), value in zip(cells, values, strict=True):
        group, _, field = component.name.partition(".")
        shown = (
            None
            if hasattr(component.value, "base") and value == machine.scope[component.value] - 1
            else value
        )
        if field:
            plain.setdefault(group, {}).setdefault(field, {})[key] = shown
        else:
            plain.setdefault(group, {})[key[0]] = shown
    names = [level for level in LEVELS if level in plain]
    root, va = var(Pgd, "root"), var(Va, "va")
    found = walk(state_class(0), Pgd(root), Va(va))
    for r in range(machine.scope[Pgd]):
        for v in range(machine.scope[Va]):
            env = {root: r, va: v}

            def value_of(term: Any, env: Any = env) -> int:
                return machine.evaluate(term.node, bytes(values), None, env)

            expected = plain_walk(plain, names, r, v, state_class.GEOMETRY)
            assert bool(value_of(found.present)) is (expected is not None)
            if expected is not None:
                got = [value_of(found.frame.value)]
                got += [value_of(t) for t in (found.writable, found.user, found.nx)]
                assert tuple(got) == tuple(int(x) for x in expected)


def test_entries_are_shown_as_the_kernel_prints_them() -> None:
    level = tables.X86_64(0).pte
    values = {name: "no" for name in _LETTERS} | {"cache": "WB", "key": "K0", "leaf": "none"}
    assert level.show_entry(values) == "empty"
    values |= {"present": "yes", "nx": "yes", "cache": "UC_MINUS", "leaf": "pfn:0x3a00"}
    assert level.show_entry(values) == "P NX UC- pfn:0x3a00"
    values |= {"key": "K3", "reserved": "yes"}
    assert level.show_entry(values) == "P NX RSVD K3 UC- pfn:0x3a00"


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("slot", range(8))
def test_three_bits_select_a_memory_type(slot: int, large: bool) -> None:
    """The term agrees with what the bits of an entry in memory select."""
    pat = PageBit.PAT_LARGE if large else PageBit.PAT
    bits = {pat: slot >> 2 & 1, PageBit.PCD: slot >> 1 & 1, PageBit.PWT: slot & 1}
    word = sum(bit.mask for bit, is_set in bits.items() if is_set)
    name = memory_type(word, large=large).replace("UC-", "UC_MINUS")
    term = selected_type(*(TRUE if is_set else FALSE for is_set in bits.values()))
    assert term.node == getattr(CacheType, name).node
