"""Cloning the entry text, as merged and with the slips it had."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, PmdSlot, Va
from ..operations import pti_clone as op
from ..operations.pti_clone import Image

pti_clone = Design(
    name="pti-clone",
    state=Image,
    init=op.boot,
    operations=[op.mark_readonly],
    procedures=[op.clone],
    assumptions=[op.addresses_are_ordered, op.entry_text_is_a_range],
    scope={Cpu: 1, Va: 5, PmdSlot: 3, Frame: 2},
    doc="""Page table isolation at boot: entry text is cloned before user-mode helpers can run, and
again after mark_readonly() has split pages and taken write permission away; what is split off a large
page of it is global no longer, which is the repair of A-03.""",
    source="arch/x86/mm/pti.c of Linux 6.1, with set_memory_nonglobal() added; that is not merged",
)

pti_clone_leaves_global = pti_clone.replacing(
    op.clone,
    op.clone_leaving_global,
    name="pti-clone-leaves-global",
    doc="""pti-clone as in Linux 6.1: what was split off a large page of entry text stays global in the
kernel's tables, although the second round takes it out of the user tables (defect A-03).""",
).but(name="pti-clone-leaves-global", source="arch/x86/mm/pti.c of Linux 6.1")

pti_clone_hole_by_size = pti_clone.replacing(
    op.clone,
    op.clone_past_holes_by_size,
    name="pti-clone-hole-by-size",
    doc="pti-clone, but a hole is passed by its size, wherever the walk came into it (defect P-10).",
)

pti_clone_large_by_size = pti_clone.replacing(
    op.clone,
    op.clone_past_large_by_size,
    name="pti-clone-large-by-size",
    doc="pti-clone, but a large page is passed by its size (defect P-11).",
)

pti_clone_global_in_user = pti_clone.replacing(
    op.clone,
    op.clone_global_in_user_only,
    name="pti-clone-global-in-user",
    doc="pti-clone, but the global bit is set in one copy only (defect P-01).",
)

pti_clone_once = pti_clone.but(
    name="pti-clone-once",
    operations=[*pti_clone.operations, op.finalize_without_clone],
    doc="pti-clone, but the first process may start without the second round (defect P-12).",
)
