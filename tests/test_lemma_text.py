"""Inferred lemmas as source: it means what was inferred, and can be pasted into the design's file."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import permutations, product
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapproof.catalog import Catalog
from mapproof.lemma_text import Page, Written, with_names, written
from mapproof.model.designs.vmalloc_pae import vmalloc_pae_2019
from mapproof.model.language import Bool, Design, Property, always, forall
from mapproof.model.language.concrete import Machine
from mapproof.model.language.nodes import Node, eq, negate, nodes_of, show, substitute, var
from mapproof.model.machine.sorts import Cpu, Mm, Pmd, PmdSlot
from mapproof.model.operations.vmalloc import Area
from mapproof.model.operations.vmalloc_pae import Pae, purge_with_sync
from mapproof.proofs.check import Options, check
from mapproof.proofs.lemma import Lemma
from mapproof.proofs.samples import uninterpreted
from mapproof.proofs.verdict import Result

from .random_designs import designs_with_scopes

DESIGNS = Catalog().designs
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
QUICK = ("kpt", "vmalloc", "kaiser-v1")


@cache
def inferred(name: str) -> tuple[list[Result], Page]:
    """What is proved of a design with nothing given."""
    bare = DESIGNS[name].but(name=name, lemmas=[])
    return with_names(bare, check(bare, Options(lemmas="infer", timeout=200)))


def pasted(page: Page, space: dict[str, Any]) -> list[Property[Any]]:
    """The source, run in a module of its own."""
    exec(compile(page.text, "<pasted>", "exec", dont_inherit=True), space)
    assert [p.name for p in space["INFERRED"]] == [f.name for f in page.functions]
    return list(space["INFERRED"])


def normal(clause: frozenset[Node]) -> tuple[str, ...]:
    """A clause up to the names of variables, the order of literals and the sides of equalities."""
    variables = sorted({v for x in clause for v in x.free}, key=repr)
    sorts = list(dict.fromkeys(v.sort for v in variables))
    every = [permutations([v for v in variables if v.sort is s]) for s in sorts]
    texts = []
    for choice in product(*every):
        mapping = {
            v: var(v.sort, f"{v.sort.__name__}{i}") for part in choice for i, v in enumerate(part)
        }
        texts.append(tuple(sorted(show(turned(substitute(x, mapping))) for x in clause)))
    return min(texts)


def turned(literal: Node) -> Node:
    if literal.op == "not":
        return negate(turned(literal.args[0]))
    return eq(*sorted(literal.args, key=repr)) if literal.op == "eq" else literal


def clauses(node: Node) -> list[frozenset[Node]]:
    """The clauses of a term."""
    if node.op == "not" and node.args[0].op in ("and", "or"):
        inner = node.args[0]
        parts = [clauses(negate(a)) for a in inner.args]
        conjunction = inner.op == "or"
    elif node.op in ("and", "or"):
        parts, conjunction = [clauses(a) for a in node.args], node.op == "and"
    else:
        return [frozenset((node,))]
    if conjunction:
        return [c for part in parts for c in part]
    return [frozenset().union(*choice) for choice in product(*parts)]


def assert_same(function: Property[Any], meant: Written) -> None:
    said = Counter(normal(c) for c in clauses(function.body()))
    assert said == Counter(normal(c) for x in meant.lemmas for c in clauses(x.clause))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n.startswith(QUICK) else pytest.mark.slow) for n in DESIGNS],
)
def test_what_is_pasted_proves_the_claims(name: str) -> None:
    results, page = inferred(name)
    assert {x.clause for r in results for x in r.inferred} == {
        x.clause for f in page.functions for x in f.lemmas
    }
    if not page.functions:
        assert not any(r.inferred for r in results)
        return
    lemmas = pasted(page, {})
    for function, meant in zip(lemmas, page.functions, strict=True):
        assert_same(function, meant)
    design = DESIGNS[name].but(name=name, lemmas=lemmas)
    again = check(design, Options(lemmas="given"))
    assert [(r.property, r.verdict) for r in again] == [(r.property, r.verdict) for r in results]
    used = {n for r in results for n in r.lemmas} - {p.name for p in design.properties}
    assert used == {f.name for f in page.functions}


@pytest.mark.parametrize("name", ["kpt", "vmalloc-pae-2019", "vmalloc-x86-64"])
def test_it_looks_like_what_an_author_writes(name: str) -> None:
    _, page = inferred(name)
    names = [f.name for f in page.functions]
    assert len(set(names)) == len(names)
    known = {p.name for p in DESIGNS[name].properties}
    assert not known & set(names)
    for function in page.functions:
        tree = ast.parse(function.text).body[0]
        assert isinstance(tree, ast.FunctionDef)
        assert all(len(line) <= 80 for line in function.text.split("\n"))
        doc = ast.get_docstring(tree)
        assert doc is not None
        assert doc.startswith(("If ", "At all times "))
        assert doc.endswith(".")
    assert page == inferred(name)[1]


def test_a_lemma_of_kpt() -> None:
    _, page = inferred("kpt")
    assert (
        page.text
        == '''\
from mapproof import Bool, always
from mapproof.model.operations.kpt import Kpt, Mm, UserPage


@always
def same_userpage_if_same_um(
    s: Kpt, m: Mm, u: UserPage, n: Mm, v: UserPage
) -> Bool:
    """If um[m, u] and um[n, v] lead to the same frame, then u is v."""
    um = s.um[m, u]
    um2 = s.um[n, v]
    return (um.is_some & um2.is_some & (um.value == um2.value)).implies(u == v)


INFERRED = (
    same_userpage_if_same_um,
)'''
    )


# Lemmas of any form, which are taken from properties.


def lemmas_of(*properties: Property[Any]) -> list[Lemma]:
    return [Lemma(p.body(), f"lemma_{i}") for i, p in enumerate(properties)]


@always
def unlocked(s: Pae) -> Bool:
    return ~s.pgd_lock.now | s.vmap_purge_lock.now


@always
def unheld(s: Pae, m: Mm) -> Bool:
    return s.vmap_purge_lock.now | (s.pmd_of[m] == s.init_pmd[()])


@always
def together(s: Pae, a: Cpu, b: Cpu) -> Bool:
    return s.pgd_lock.now.implies(purge_with_sync.idle(s, a) | ~purge_with_sync.idle(s, b))


@always
def waiting(s: Pae, cpu: Cpu) -> Bool:
    first = purge_with_sync.steps[1]
    return purge_with_sync.at(s, cpu, first).implies(s.area[s.purge.slot[cpu]] == Area.LAZY)


@always
def waiting_locked(s: Pae, c: Cpu) -> Bool:
    return purge_with_sync.at(s, c, purge_with_sync.steps[1]).implies(s.pgd_lock.now)


@always
def reference(s: Pae, p: Pmd, i: PmdSlot) -> Bool:
    linked = s.pmd.table[s.init_pmd[()], i] == s.pmd.table[p, i]
    return forall(Mm, lambda m: ~s.on_list[m] | (s.pmd_of[m] != p)).implies(linked)


def test_forms() -> None:
    everything = lemmas_of(unlocked, unheld, together, waiting, waiting_locked, reference)
    design: Design[Any] = vmalloc_pae_2019
    page = written(design, everything)
    for function, meant in zip(pasted(page, {}), page.functions, strict=True):
        assert_same(function, meant)
    assert "return (~s.vmap_purge_lock.now).implies(" in page.text
    assert "purge_with_sync.idle(s, cpu)" in page.text
    assert "s.init_pmd[()]" in page.text
    assert "forall(Mm, lambda m: " in page.text
    merged = next(f for f in page.functions if len(f.lemmas) > 1)
    assert [x.name for x in merged.lemmas] == ["lemma_3", "lemma_4"]
    assert "purge_with_sync.at(s, cpu, purge_with_sync.steps[1])" in merged.text
    assert merged.name == "area_lazy_and_pgd_lock_at_sync_one"


def test_two_actors_at_the_same_place() -> None:
    where = purge_with_sync.position
    a, b = var(Cpu, "a"), var(Cpu, "b")
    same = eq(
        Node("read", where.value, (a,), (where, 0)), Node("read", where.value, (b,), (where, 0))
    )
    page = written(vmalloc_pae_2019, [Lemma(same, "lemma_1")])
    (function,) = pasted(page, {})
    machine = Machine(uninterpreted(vmalloc_pae_2019.system()), vmalloc_pae_2019.scope_at())
    assert agree(machine, same, function.body(), Random(0))


def agree(machine: Machine, one: Node, other: Node, random: Random) -> bool:
    """Two terms have the same value for all elements, up to the names of variables, in some states."""
    first, second = (Lemma(n, "").closed() for n in (one, other))
    sizes = [machine.scope[c.value] for c, _, _ in machine.layout.cells()]
    states = (machine.freeze([random.randrange(n) for n in sizes]) for _ in range(200))
    return all(machine.evaluate(first, s) == machine.evaluate(second, s) for s in states)


@settings(max_examples=300, deadline=None, suppress_health_check=SLOW)
@given(designs_with_scopes(2000), st.randoms(use_true_random=False))
def test_whatever_terms_a_lemma_has(drawn: Any, random: Random) -> None:
    design, scope, *_ = drawn
    claims = [p for p in design.properties if p.kind == "always"]
    page = written(design.but(name="d", properties=[]), lemmas_of(*claims))
    assert "import" not in page.text.replace("from mapproof import", "").replace(
        "to be imported", ""
    )
    space: dict[str, Any] = {s.__name__: s for s in (*design.sorts, design.state)}
    space |= {p.name: p for p in design.procedures}
    terms = nodes_of(*(p.body() for p in claims))
    used = [s for n in terms for s in (n.sort, *(v.sort for v in n.free))]
    space |= {s.__name__: s for s in map(base_of, used) if isinstance(s, type)}
    functions = pasted(page, space)
    machine = Machine(replace(uninterpreted(design.system()), axioms=()), scope)
    for function, meant in zip(functions, page.functions, strict=True):
        bodies = [lemma.closed() for lemma in meant.lemmas]
        sizes = [scope[c.value] for c, _, _ in machine.layout.cells()]
        for _ in range(60):
            state = machine.freeze([random.randrange(n) for n in sizes])
            every = all(machine.evaluate(b, state) for b in bodies)
            assert bool(machine.evaluate(function.closed(), state)) == every


def base_of(sort: Any) -> Any:
    return getattr(sort, "base", sort)


def test_nothing_inferred_gives_no_functions() -> None:
    assert written(vmalloc_pae_2019, []).functions == ()
