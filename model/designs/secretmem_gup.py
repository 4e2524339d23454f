"""GUP beside memfd_secret(), as of Linux 6.1.192, and as it was."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import secretmem_gup as op
from ..operations.secretmem_gup import GupSecrets

secretmem_gup = Design(
    name="secretmem-gup",
    state=GupSecrets,
    init=op.boot,
    operations=[
        op.mmap,
        op.zap_pte,
        op.map_file_page,
        op.prepare_secret_page,
        op.insert_secret_page,
        op.do_kernel_range_flush,
        op.map_secret_page,
        op.user_write,
        op.lru_add_drain,
        op.remove_from_file,
        op.secretmem_free_folio,
        op.put_page,
        op.get_user_pages,
        op.unpin_user_page,
    ],
    procedures=[op.gup_pte_range],
    scope={Cpu: 1, Va: 1, Frame: 1},
    doc="""GUP and secret pages, as merged: the slow walk refuses their areas; the fast one, with a
reference, refuses pages whose mapping is a secret file's, and then looks at the entry again.""",
    source="mm/gup.c, include/linux/secretmem.h of Linux 6.1.192",
)

secretmem_gup_lru = secretmem_gup.replacing(
    op.gup_pte_range,
    op.gup_pte_range_lru,
    name="secretmem-gup-lru",
    doc="secretmem-gup, but only pages with PG_lru are asked for their file (defect D-02).",
)

secretmem_gup_null = secretmem_gup.replacing(
    op.gup_pte_range,
    op.gup_pte_range_null,
    name="secretmem-gup-null",
    doc="secretmem-gup, but a mapping that is NULL is looked into (defect D-03).",
)

secretmem_gup_once = secretmem_gup.replacing(
    op.gup_pte_range,
    op.gup_pte_range_once,
    name="secretmem-gup-once",
    doc="secretmem-gup, but the entry is not looked at again (D-02-recheck).",
)

secretmem_gup_slow = secretmem_gup.replacing(
    op.get_user_pages,
    op.get_user_pages_of_any,
    name="secretmem-gup-slow",
    doc="secretmem-gup, but the slow walk does not ask what area it is in (D-02-slow).",
)

secretmem_gup_broadcast = secretmem_gup.replacing(
    op.insert_secret_page,
    op.insert_with_broadcast,
    name="secretmem-gup-broadcast",
    doc="secretmem-gup, but a flush waits for no CPU that has interrupts off (hypothesis D-18).",
)
