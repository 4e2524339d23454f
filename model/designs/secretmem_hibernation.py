"""Hibernation beside memfd_secret(), with and without the question whether anybody has a file."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Task
from ..operations import secretmem_hibernation as op
from ..operations.secretmem import Index
from ..operations.secretmem_hibernation import Hibernation

secretmem_hibernation = Design(
    name="secretmem-hibernation",
    state=Hibernation,
    init=op.boot,
    operations=[op.memfd_secret, op.user_write, op.secretmem_release],
    procedures=[op.hibernate],
    scope={Task: 1, Index: 1},
    doc="""Hibernation that asks for secret files before it freezes processes, and when they are
frozen.""",
    source="a repair of kernel/power/hibernate.c of Linux 6.1.192, ours",
)

secretmem_hibernation_merged = secretmem_hibernation.replacing(
    op.hibernate,
    op.hibernate_asks_first,
    name="secretmem-hibernation-merged",
    doc="secretmem-hibernation as merged: it asks before it freezes, and not again (D-19).",
)

secretmem_hibernation_unasked = secretmem_hibernation.replacing(
    op.hibernate,
    op.hibernate_unasked,
    name="secretmem-hibernation-unasked",
    doc="secretmem-hibernation, but it never asks (D-19-veto).",
)

secretmem_hibernation_refcount = secretmem_hibernation.replacing(
    op.memfd_secret,
    op.memfd_secret_refcount,
    name="secretmem-hibernation-refcount",
    doc="secretmem-hibernation, but secretmem_users is a refcount_t (defect D-13).",
)
