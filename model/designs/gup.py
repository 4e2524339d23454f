"""References of lockless walkers."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import gup as op
from ..operations.gup import Pinned

gup_fast = Design(
    name="gup-fast",
    state=Pinned,
    init=op.boot,
    operations=[op.map_page, op.zap_pte, op.put_page, op.allocate, op.unpin_user_page],
    procedures=[op.gup_pte_range],
    scope={Cpu: 1, Va: 2, Frame: 2},
    doc="""GUP-fast, as merged: a page that was found without a lock is kept only if its entry is the
same after a reference was taken.""",
    source="mm/gup.c of Linux 6.1",
)

gup_fast_no_recheck = gup_fast.replacing(
    op.gup_pte_range,
    op.gup_pte_range_once,
    name="gup-fast-no-recheck",
    doc="gup-fast, but the entry is not looked at again (a hypothesis, T-12-recheck).",
)
