"""The tests of the readings notice what goes wrong: mistakes are planted in the engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mapproof.model.language import bounded, concrete, nodes
from mapproof.model.language.nodes import Node
from mapproof.model.language.operation import Procedure, Transition
from mapproof.model.language.solver import Outcome
from mapproof.proofs import obligations, search, second

from . import test_language
from .test_readings import CHECKS, run

Plant = Callable[[pytest.MonkeyPatch], None]


def swapped(node: Node) -> Node:
    """The quantifier taken for the other one."""
    other = {"forall": "exists", "exists": "forall"}.get(node.op, node.op)
    return Node(other, node.sort, node.args, node.data)


def concrete_quantifiers_swapped(patch: pytest.MonkeyPatch) -> None:
    real = concrete.Machine._code

    def code(self: Any, node: Node, *more: Any) -> Any:
        return real(self, swapped(node), *more)

    patch.setattr(concrete.Machine, "_code", code)


def concrete_guard_ignored(patch: pytest.MonkeyPatch) -> None:
    real = concrete.Machine._code

    def code(self: Any, node: Node, *more: Any) -> Any:
        return 1 if node.op == "is_some" else real(self, node, *more)

    patch.setattr(concrete.Machine, "_code", code)


def bounded_first_write_wins(patch: pytest.MonkeyPatch) -> None:
    real = bounded.Encoder.written

    def written(self: Any, state: Any, updates: Any, *more: Any) -> Any:
        return real(self, state, updates[::-1], *more)

    patch.setattr(bounded.Encoder, "written", written)


def bounded_writes_are_read(patch: pytest.MonkeyPatch) -> None:
    real = bounded.Encoder.written

    def written(self: Any, state: Any, updates: Any, env: Any, when: int, base: Any) -> Any:
        for update in updates:
            base = real(self, state, (update,), env, when, base)
            state = real(self, state, (update,), env, 1, state)
        return base

    patch.setattr(bounded.Encoder, "written", written)


def bounded_none_is_the_first_element(patch: pytest.MonkeyPatch) -> None:
    real = bounded.Encoder.constant

    def constant(self: Any, sort: Any, index: int) -> Any:
        none = isinstance(sort, nodes.OptOf) and index == self.scope[sort.base]
        return real(self, sort, 0 if none else index)

    patch.setattr(bounded.Encoder, "constant", constant)


def unbounded_writes_forgotten(patch: pytest.MonkeyPatch) -> None:
    def after(node: Node, _: Transition) -> Node:
        return nodes.rewrite_reads(node, lambda component, _, keys: nodes.read(component, keys, 0))

    patch.setattr(obligations, "after", after)


def unbounded_names_captured(patch: pytest.MonkeyPatch) -> None:
    def under_binder(node: Node, mapping: Mapping[Node, Node]) -> Node:
        return nodes.close(node.op, node.data, nodes.substitute(node.args[0], dict(mapping)))

    patch.setattr(nodes, "_under_binder", under_binder)


def only_the_start_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(obligations.Obligation, "trivial", property(lambda cell: not cell.initial))


def second_solver_agrees_to_everything(patch: pytest.MonkeyPatch) -> None:
    def solve_text(text: str, milliseconds: int) -> Outcome:
        return Outcome("unsat")

    patch.setattr(second, "solve_text", solve_text)


def steps_that_change_nothing_sliced_away(patch: pytest.MonkeyPatch) -> None:
    def slice_(system: Any, properties: Any) -> Any:
        return system.sliced(*(p.closed() for p in properties))

    patch.setattr(search, "sliced_for", slice_)


def procedures_side_by_side(patch: pytest.MonkeyPatch) -> None:
    real = Procedure.transitions

    def transitions(self: Procedure, _: Any) -> Any:
        return real(self, ())

    patch.setattr(Procedure, "transitions", transitions)


PLANTED: list[tuple[Plant, str]] = [
    (concrete_quantifiers_swapped, "concrete"),
    (concrete_guard_ignored, "concrete"),
    (procedures_side_by_side, "concrete"),
    (bounded_first_write_wins, "bounded"),
    (bounded_writes_are_read, "bounded"),
    (bounded_none_is_the_first_element, "bounded"),
    (steps_that_change_nothing_sliced_away, "search"),
    (unbounded_writes_forgotten, "cells"),
    (only_the_start_checked, "cells"),
    (second_solver_agrees_to_everything, "cells"),
    (only_the_start_checked, "induction"),
]


@pytest.mark.parametrize(("plant", "check"), PLANTED)
def test_a_planted_mistake_is_noticed(
    plant: Plant, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run(*CHECKS[check], shrink=False)


def test_a_captured_name_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the design written for it: random designs come to it once in some hundred."""
    unbounded_names_captured(monkeypatch)
    with pytest.raises(AssertionError):
        test_language.test_a_key_is_not_captured(test_language.raise_linked_from)
