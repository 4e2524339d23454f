"""Lemmas for a design that is made of others: those that each part needs when it is alone.

A part is smaller than the whole, and so is the scope at which lemmas are looked for.  What is found
says nothing of the whole yet, where other operations write the same maps; it is offered there, and
proved again, cell by cell, like a lemma of an author.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property

from .induction import Induction, Prover, induction
from .inference import Inference
from .lemma import Lemma


def lemmas_of_parts(
    design: Design[Any],
    prover: Callable[[Design[Any]], Prover],
    timeout: float,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Lemma]:
    """Lemmas that prove claims of the design in one of its parts alone, those of all parts; none if
    it has no parts.  ``timeout`` is for the inference of each part."""
    taken = {p.name for p in (*design.properties, *design.lemmas)}
    names = (n for i in count(1) if (n := f"lemma_{i}") not in taken)
    known = set(design.system().components)
    found: dict[nodes.Node, Lemma] = {}
    for part in design.parts:
        claims = [p for p in design.properties if p.kind != "sometimes" and _is_about(p, part)]
        alone = part.but(name=part.name, properties=claims)
        clauses = [lemma.clause for lemma in lemmas_of_parts(alone, prover, timeout, progress)]
        proof = _proof(alone, claims, prover(alone), timeout, progress)
        used = {name for claim in claims for name in proof.uses(claim.name)}
        clauses += (p.clause for p in proof.proved if isinstance(p, Lemma) and p.name in used)
        for clause in clauses:
            if nodes.components_of(clause) <= known and clause not in found:
                found[clause] = Lemma(clause, next(names))
    return list(found.values())


def _is_about(prop: Property[Any], part: Design[Any]) -> bool:
    return issubclass(part.state, prop.state) and nodes.components_of(prop.closed()) <= set(
        part.system().components
    )


def _proof(
    part: Design[Any],
    claims: list[Property[Any]],
    prover: Prover,
    timeout: float,
    progress: Callable[[str], None],
) -> Induction:
    """The induction that proves most of the claims in the part alone."""
    lemmas = list(part.lemmas)
    proof = induction(part, claims, lemmas, prover, progress, last=0)
    if not proof.failures:
        return proof
    try:
        inference = Inference(part, [*claims, *lemmas], timeout)
    except DesignError:  # no machine at such a scope
        return proof
    inference.settle()
    standing = [p for p in claims if p in inference.claims]
    helping = [p for p in lemmas if p in inference.claims]
    return induction(part, standing, helping, prover, progress, inferred=inference)
