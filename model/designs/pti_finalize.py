"""The second round of cloning entry text, for every process and for init_mm alone."""

from __future__ import annotations

from ..language import Design
from ..machine.halves import Slot, Word
from ..machine.sorts import Mm
from ..operations import pti_finalize as op
from ..operations.pti_finalize import Clones

pti_finalize = Design(
    name="pti-finalize",
    state=Clones,
    init=op.boot,
    operations=[
        op.pti_init,
        op.pgd_alloc,
        op.pgd_free,
        op.map_ldt_struct_to_user,
        op.pti_finalize,
    ],
    assumptions=[op.the_ldt_has_a_slot_of_its_own],
    scope={Mm: 2, Slot: 3, Word: 2},
    geometry="i386-pae",
    doc="""Cloning entry text on i386 with PAE, with a second round that reaches every process: the
repair of A-02, which is to go through pgd_list.""",
    source="arch/x86/mm/pti.c of Linux 6.1, with the loop added; not merged",
)

pti_finalize_init_mm_only = pti_finalize.replacing(
    op.pti_finalize,
    op.pti_finalize_init_mm_only,
    name="pti-finalize-init-mm-only",
    doc="pti-finalize as in Linux 6.1: the second round reaches init_mm only (defect A-02).",
).but(name="pti-finalize-init-mm-only", source="arch/x86/mm/pti.c of Linux 6.1")
