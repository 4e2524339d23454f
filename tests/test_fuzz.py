"""The engines do not contradict each other on random designs; planted mistakes are found that way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mapproof.model.language import Scope, bounded, nodes
from mapproof.model.language.nodes import Node
from mapproof.proofs import cache, certified_any_size, finite, induction, obligations, pdr
from mapproof.proofs.cache import Cache, CachedPool, Mode
from mapproof.proofs.obligations import Obligation
from mapproof.proofs.worker import shared

from . import agreement
from .agreement import Contradiction, Tally, compare_many, drawn, simpler

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def solvers(tmp_path: Path) -> Iterator[CachedPool]:
    """Solvers whose answers are kept from design to design, so that a wrong key would show."""
    kept = Cache(tmp_path)
    yield CachedPool(shared(), kept, Mode.ON)
    kept.close()


def compared(seeds: Iterable[int], solvers: CachedPool) -> Tally:
    tally = Tally()
    for _ in compare_many(seeds, solvers, tally):
        pass
    return tally


def test_the_engines_agree(solvers: CachedPool) -> None:
    tally = compared(range(10_000, 10_045), solvers)
    assert tally.designs > 40
    assert {(engine, verdict[:3]) for _, _, engine, verdict in tally.pairs} == {
        ("bounded search", "run"),
        ("bounded search", "no "),
        ("at the scope", "run"),
        ("at the scope", "pro"),
        ("any size", "pro"),
        ("inferred lemmas", "pro"),
    }


def test_a_quantifier_inside_the_key_of_a_map(solvers: CachedPool) -> None:
    """A design that inference once could not read: a choice under a binder, inside an atom."""
    assert compared([1402], solvers).designs == 1


@pytest.mark.slow
def test_the_engines_agree_on_many_designs(solvers: CachedPool) -> None:
    assert compared(range(2_200), solvers).designs >= 2_000


def test_simpler_designs_are_designs() -> None:
    """What a contradiction is reduced by: one thing less at a time, and still a design."""
    made = drawn(13)
    assert made is not None
    smaller = list(simpler(*made))
    assert len(smaller) > 5
    assert all(isinstance(scope, Scope) and design.system() for design, scope in smaller)


# Mistakes, each with the seeds among which it has to be found: not from 0 on, to save time.


def start_not_proved(patch: pytest.MonkeyPatch) -> None:
    def grid(*arguments: Any) -> list[Obligation]:
        return [cell for cell in real(*arguments) if not cell.initial] or real(*arguments)

    real = obligations.grid
    patch.setattr(certified_any_size, "grid", grid)
    patch.setattr(induction, "obligations", lambda d, p: grid(d.name, d.system(), p))


def invariants_assumed_at_the_start(patch: pytest.MonkeyPatch) -> None:
    def text(cell: Obligation, *arguments: Any) -> str:
        return real(replace(cell, initial=False), *arguments)

    real = Obligation.text
    patch.setattr(Obligation, "text", text)


def lemmas_not_proved(patch: pytest.MonkeyPatch) -> None:
    def needed(claims: Any, _: Any, cells: Any, __: Any) -> list[Obligation]:
        return [cell for claim in claims for cell in cells[claim.name]]

    patch.setattr(induction, "_needed", needed)
    patch.setattr(induction.Induction, "uses", lambda *_: ())


def answers_kept_by_the_name_of_the_design(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cache, "key_of", lambda solver, text, _: solver + text.partition("\n")[0])


def prover_believed_too_soon(patch: pytest.MonkeyPatch) -> None:
    """The finite-scope prover stops early, and only the start of its invariant is confirmed."""

    def push(self: Any) -> Any:
        if len(self.acts) < 3:
            return real_push(self)
        clauses = {tuple(sorted(-x for x in k)) for frame in self.frames for k in frame}
        return pdr.Invariant(self.atoms, tuple(sorted(clauses)), 1)

    real_push, real_scripts = pdr._Pdr._push, finite.scripts
    patch.setattr(pdr._Pdr, "_push", push)
    patch.setattr(finite, "scripts", lambda *a: list(real_scripts(*a))[:1])


def codes_without_a_value(patch: pytest.MonkeyPatch) -> None:
    def choice(self: Any, size: int) -> Any:
        bits = [self.circuit.input() for _ in range((size - 1).bit_length())]
        codes = ([b ^ 1 ^ (i >> k & 1) for k, b in enumerate(bits)] for i in range(size))
        return tuple(map(self.circuit.all, codes)), bits

    patch.setattr(bounded.Encoder, "choice", choice)


def step_that_stays_taken_for_trivial(patch: pytest.MonkeyPatch) -> None:
    def trivial(cell: Obligation) -> bool:
        met: tuple[Node, ...] = (nodes.TRUE_NODE, cell.prop.closed())
        return cell.transition.when == nodes.FALSE_NODE or cell.goal in met

    patch.setattr(Obligation, "trivial", property(trivial))


def names_captured(patch: pytest.MonkeyPatch) -> None:
    def under_binder(node: Node, mapping: Mapping[Node, Node]) -> Node:
        return nodes.close(node.op, node.data, nodes.substitute(node.args[0], dict(mapping)))

    patch.setattr(nodes, "_under_binder", under_binder)


PLANTED: list[tuple[Plant, range]] = [
    (start_not_proved, range(60)),
    (invariants_assumed_at_the_start, range(60)),
    (lemmas_not_proved, range(60)),
    (answers_kept_by_the_name_of_the_design, range(60)),
    (prover_believed_too_soon, range(45, 150)),
    (codes_without_a_value, range(35, 150)),
    (step_that_stays_taken_for_trivial, range(35, 150)),
    (names_captured, range(60, 180)),
]


@pytest.mark.parametrize(("plant", "seeds"), PLANTED)
def test_a_planted_mistake_is_found(
    plant: Plant, seeds: range, solvers: CachedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    monkeypatch.setattr(agreement, "shrunk", lambda design, scope, *_: (design, scope))
    with pytest.raises(Contradiction) as found:
        compared(seeds, solvers)
    assert not isinstance(found.value.error, TypeError)  # the mistake still fits what it replaces
