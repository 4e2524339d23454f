"""Secret pages that were in a vmap area before."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Task, Va
from ..operations import secretmem_vmap as op
from ..operations.secretmem_vmap import SecretAreas

secretmem_vmap = Design(
    name="secretmem-vmap",
    state=SecretAreas,
    init=op.boot,
    operations=[
        op.allocate,
        op.vmap,
        op.vunmap,
        op.free_page,
        op.purge_at_once,
        op.fill_area_tlb,
        op.flush_lazy_areas,
        op.free_secret,
    ],
    procedures=[op.secretmem_fault],
    scope={Cpu: 1, Frame: 1, Task: 1, Va: 1},
    doc="""Secret pages and vmap areas, with vm_unmap_aliases() before a page leaves the direct map, as
where a memory type changes; Linux 6.1 does not call it here.""",
    source="mm/secretmem.c, arch/x86/mm/pat/set_memory.c, mm/vmalloc.c of Linux 6.1.192, as read",
)

secretmem_vmap_merged = secretmem_vmap.replacing(
    op.secretmem_fault,
    op.secretmem_fault_merged,
    name="secretmem-vmap-merged",
    doc="secretmem-vmap as merged: nobody flushes lazily unmapped areas (hypothesis D-14).",
)
