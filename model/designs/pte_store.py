"""Stores to page-table entries."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import pte_store as op
from ..operations.pte_store import Halves

pte_store = Design(
    name="pte-store",
    state=Halves,
    init=op.boot,
    operations=[op.walk, op.ptep_get_and_clear],
    procedures=[op.set_pte],
    scope={Cpu: 1, Va: 1, Frame: 2},
    doc="""Stores to page-table entries, as merged: one store, or two of which that of the present bit
comes last.""",
    source="9bc4f28af75a ('x86/mm: Use WRITE_ONCE when setting PTEs', hash from memory)",
)

pte_store_torn = pte_store.replacing(
    op.set_pte,
    op.set_pte_torn,
    name="pte-store-torn",
    doc="pte-store, but the present bit may be stored before the rest (defect T-13).",
)
