"""The vsyscall page under page table isolation."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Va
from ..operations import vsyscall as op
from ..operations.vsyscall import Vsyscall

pti_vsyscall = Design(
    name="pti-vsyscall",
    state=Vsyscall,
    init=op.boot,
    operations=[op.map_vsyscall, op.pti_init],
    scope={Va: 3},
    doc="""The vsyscall page, as merged: its PTE is copied to the user tables, and US is set on the
way to it in both.""",
    source="arch/x86/mm/pti.c: pti_setup_vsyscall(), and vsyscall_64.c of Linux 6.1",
)
