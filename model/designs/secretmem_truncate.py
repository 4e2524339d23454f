"""The size of a secret file, as merged and as it was."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Task
from ..operations import secretmem_truncate as op
from ..operations.secretmem import Index
from ..operations.secretmem_truncate import SizedFiles

secretmem_truncate = Design(
    name="secretmem-truncate",
    state=SizedFiles,
    init=op.boot,
    procedures=[op.secretmem_fault, op.secretmem_setattr],
    scope={Task: 2, Index: 1},
    doc="""The size of a secret file, as merged: it is set once, from 0, with the invalidate lock, so
that the direct map is never used to zero a page that has left it.""",
    source="mm/secretmem.c of Linux 6.1.192",
)

secretmem_truncate_any = secretmem_truncate.replacing(
    op.secretmem_setattr,
    op.secretmem_setattr_any,
    name="secretmem-truncate-any",
    doc="secretmem-truncate, but a file that has a size and pages can get another (defect D-05).",
)

secretmem_truncate_unlocked = secretmem_truncate.replacing(
    op.secretmem_setattr,
    op.secretmem_setattr_unlocked,
    name="secretmem-truncate-unlocked",
    doc="secretmem-truncate, but ftruncate() does not keep faults out (D-05-race).",
)
