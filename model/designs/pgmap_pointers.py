"""Early checks and late faults for pointers to protected pages."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame, Task
from ..operations import pgmap_pointers as op
from ..operations.pgmap_pointers import PgmapChecks, PgmapFaults

pgmap_early = Design(
    name="pgmap-early",
    state=PgmapChecks,
    init=op.boot,
    operations=[
        op.kmap_local_page,
        op.kunmap_local,
        op.kmap,
        op.page_address,
        op.forget,
        op.use,
    ],
    scope={Task: 2, Frame: 2},
    doc="""Pointers to protected pages, checked in kmap() and in page_address(), by threads that keep
them to themselves.""",
    source="""V8 of the PKS series for kmap(); I. Weiny, 1 March 2022, for page_address(): 'it may be
worth putting a call' there""",
)

pgmap_early_in_kmap = pgmap_early.replacing(
    op.page_address,
    op.page_address_unchecked,
    name="pgmap-early-in-kmap",
    doc="pgmap-early, but only kmap() has a check, as in V8 (defect M-03).",
)

pgmap_early_always = pgmap_early.replacing(
    op.page_address,
    op.page_address_always_checked,
    name="pgmap-early-always",
    doc="pgmap-early, but the check of page_address() does not ask for brackets.",
)

pgmap_late = pgmap_early.but(
    name="pgmap-late",
    state=PgmapFaults,
    operations=[
        op.kmap_local_page,
        op.kunmap_local,
        op.kmap_unchecked,
        op.page_address_unchecked,
        op.forget,
        op.use,
    ],
    doc="Pointers to protected pages, without any check, by threads that keep them to themselves.",
    source="V9 and V10 of the PKS series",
)

pgmap_late_passed = pgmap_late.but(
    name="pgmap-late-passed",
    operations=[*pgmap_late.operations, op.pass_pointer],
    doc="pgmap-late, and a thread may give its pointer to another one.",
)
