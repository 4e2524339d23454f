"""memfd_secret(), as merged, and what its order, locks and checks are there against."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm, Task
from ..operations import secretmem as op
from ..operations.secretmem import Index, Secretmem, SecretmemNoWindow

secretmem = Design(
    name="secretmem",
    state=Secretmem,
    init=op.boot,
    operations=[
        op.fill_tlb,
        op.allocate,
        op.write_data,
        op.free_page,
        op.do_kernel_range_flush,
        op.memfd_secret,
        op.user_write,
        op.munmap,
        op.secretmem_release,
    ],
    procedures=[op.secretmem_fault, op.evict],
    scope={Cpu: 1, Task: 2, Mm: 1, Index: 1, Frame: 2},
    doc="""memfd_secret(), as merged: a page leaves the direct map before it enters the page cache, all
CPUs flush it before a user has it, and it comes back and is zeroed before it is free.""",
    source="mm/secretmem.c of Linux 6.1.192",
)

# One task shows what most of these break.
ALONE = dict.fromkeys((Cpu, Task, Mm, Index, Frame), 1)

secretmem_anywhere = secretmem.replacing(
    op.memfd_secret,
    op.memfd_secret_anywhere,
    name="secretmem-anywhere",
    doc="secretmem, but also where the direct map cannot be changed (defect D-04).",
)

secretmem_charged_by_mm = secretmem.replacing(
    op.munmap,
    op.munmap_uncharges,
    name="secretmem-charged-by-mm",
    doc="secretmem, but what is charged is given back with the mapping (defect D-06).",
)

secretmem_freed_early = secretmem.but(name="secretmem-freed-early", scope=ALONE).replacing(
    op.secretmem_fault,
    op.secretmem_fault_freed_early,
    name="secretmem-freed-early",
    doc="secretmem, but a page that is given up is freed and then mapped (defect D-15).",
)

secretmem_unlocked = secretmem.replacing(
    op.secretmem_fault,
    op.secretmem_fault_unlocked,
    name="secretmem-unlocked",
    doc="secretmem, but a second fault maps the page without waiting for the first (D-03-lock).",
)

secretmem_early_flush = secretmem.but(name="secretmem-early-flush", scope=ALONE).replacing(
    op.secretmem_fault,
    op.secretmem_fault_early_flush,
    name="secretmem-early-flush",
    doc="secretmem, but all CPUs flush before the race for the page cache (D-10-race).",
)

secretmem_not_remapped = secretmem.but(name="secretmem-not-remapped", scope=ALONE).replacing(
    op.evict,
    op.evict_without_default,
    name="secretmem-not-remapped",
    doc="secretmem, but the page of a file that is gone is freed without its leaf (D-15-evict).",
)

secretmem_not_zeroed = secretmem.but(name="secretmem-not-zeroed", scope=ALONE).replacing(
    op.evict,
    op.evict_without_zeroing,
    name="secretmem-not-zeroed",
    doc="secretmem, but the page of a file that is gone is freed with what is in it (D-16-zero).",
)

# The merged order, held to the invariant without a window.
secretmem_window = secretmem.but(
    name="secretmem-window",
    state=SecretmemNoWindow,
    doc="""secretmem, which zeroes a page after it has put it back into the direct map (D-16), held to
having no secret there at all.""",
)

secretmem_zeroed_first = secretmem_window.replacing(
    op.evict,
    op.evict_zeroed_first,
    name="secretmem-zeroed-first",
    doc="""secretmem, but a page is zeroed by a mapping that one CPU has for itself, before it comes back
into the direct map.""",
)
