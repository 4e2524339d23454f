"""How much of the kernel image user tables have at the end of boot."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame
from ..operations import kernel_text as op
from ..operations.kernel_text import KernelText

pti_kernel_text = Design(
    name="pti-kernel-text",
    state=KernelText,
    init=op.boot,
    operations=[
        op.pti_init,
        op.free_initmem,
        op.mark_rodata_ro,
        op.allocate,
        op.pti_finalize,
    ],
    scope={Frame: 6},
    doc="""The kernel image in user tables: entry text, and where there are no PCIDs all text and
read-only data, after what was freed between them has been unmapped; text becomes global at its link
address only, which is the repair of A-04.""",
    source="arch/x86/mm/pti.c: pti_clone_kernel_text(), and init_64.c: mark_rodata_ro() of Linux 6.1, "
    "with set_memory_global() that looks for no alias; that is not merged",
)

pti_kernel_text_global_alias = pti_kernel_text.replacing(
    op.pti_finalize,
    op.pti_finalize_with_alias,
    name="pti-kernel-text-global-alias",
    doc="""pti-kernel-text as in Linux 6.1: set_memory_global() makes the direct-map alias of text
global, which user tables do not have (defect A-04).""",
).but(
    name="pti-kernel-text-global-alias",
    source="arch/x86/mm/pti.c and pat/set_memory.c of Linux 6.1",
)

pti_kernel_text_alias_stays = pti_kernel_text.replacing(
    op.mark_rodata_ro,
    op.mark_rodata_ro_with_alias,
    name="pti-kernel-text-alias-stays",
    doc="pti-kernel-text, but what is freed between the sections stays mapped (defect P-09).",
)
