"""What proves the parts of a design, for the proof of the whole.

A part is smaller than the whole, and so is the scope at which lemmas are looked for.  What is found
says nothing of the whole yet, where other operations write the same maps.  It is offered there, and
proved again, cell by cell, like a lemma of an author: the cell of a step that only one part has is
likely to follow from what it followed from in that part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mapproof.model.language import nodes
from mapproof.model.language.design import Design
from mapproof.model.language.errors import DesignError
from mapproof.model.language.property import Property

from .induction import Induction, Prover, induction
from .inference import Inference
from .lemma import Lemma
from .obligations import Obligation


@dataclass
class Hints:
    """lemmas: what proves claims of parts; hypotheses: what a transition's cell of a claim followed
    from there, by their names."""

    lemmas: list[Lemma] = field(default_factory=list)
    hypotheses: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def likely(self, cell: Obligation) -> frozenset[str]:
        """Names of invariants from which a cell of the whole is likely to follow: what it followed from
        in a part, or, of an event of several parts, what the claim followed from in all its cells."""
        name = cell.prop.name
        found = self.hypotheses.get((cell.transition.name, name))
        if found is not None:
            return found
        return frozenset().union(*(h for (_, p), h in self.hypotheses.items() if p == name))


def hints_of_parts(
    design: Design[Any],
    prover: Callable[[Design[Any]], Prover],
    timeout: float,
    progress: Callable[[str], None] = lambda _: None,
) -> Hints:
    """What proves claims of the design in its parts alone; nothing if it has no parts.  ``timeout`` is
    for the inference of each part."""
    hints = Hints()
    taken = {p.name for p in (*design.properties, *design.lemmas)}
    fresh = (n for i in count(1) if (n := f"lemma_{i}") not in taken)
    known = set(design.system().components)
    by_clause: dict[nodes.Node, Lemma] = {}
    for part in design.made_of:
        claims = [p for p in design.properties if p.kind != "sometimes" and _is_about(p, part)]
        alone = part.but(name=part.name, properties=claims)
        proof = _proof(alone, claims, prover, timeout, progress)
        needed = {*(c.name for c in claims), *(n for c in claims for n in proof.uses(c.name))}
        names: dict[str, str] = {}
        for p in proof.proved:
            if p.name not in needed or not nodes.components_of(p.closed()) <= known:
                continue
            if isinstance(p, Lemma):
                lemma = by_clause.get(p.clause) or Lemma(p.clause, next(fresh))
                by_clause[p.clause] = lemma
                names[p.name] = lemma.name
            else:
                names[p.name] = p.name
        for cell in proof.proofs.values():
            if cell.cell.prop.name in names:
                key = cell.cell.transition.name, names[cell.cell.prop.name]
                used = (names[n] for n in cell.hypotheses if n in names)
                hints.hypotheses[key] = hints.hypotheses.get(key, frozenset()).union(used)
    hints.lemmas += by_clause.values()
    return hints


def _is_about(prop: Property[Any], part: Design[Any]) -> bool:
    return issubclass(part.state, prop.state) and nodes.components_of(prop.closed()) <= set(
        part.system().components
    )


def _proof(
    part: Design[Any],
    claims: Sequence[Property[Any]],
    prover: Callable[[Design[Any]], Prover],
    timeout: float,
    progress: Callable[[str], None],
) -> Induction:
    """The induction that proves most of the claims in the part alone."""
    hints = hints_of_parts(part, prover, timeout, progress)
    lemmas = [*part.lemmas, *hints.lemmas]
    at_work = prover(part).given(hints.likely)
    proof = induction(part, claims, lemmas, at_work, progress, last=0)
    if not proof.failures:
        return proof
    try:
        inference = Inference(part, [*claims, *lemmas], timeout)
    except DesignError:  # no machine at such a scope
        return proof
    inference.settle()
    standing = [p for p in claims if p in inference.claims]
    helping = [p for p in lemmas if p in inference.claims]
    return induction(part, standing, helping, at_work, progress, inferred=inference)
