"""Secret pages among all who use pages, and what each veto is there against."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import secretmem as memory
from ..operations import secretmem_uses as op
from ..operations.secretmem import Index
from ..operations.secretmem_uses import SecretUses

secretmem_uses = Design(
    name="secretmem-uses",
    state=SecretUses,
    init=op.boot,
    operations=[
        memory.fill_tlb,
        memory.allocate,
        memory.write_data,
        memory.free_page,
        op.memfd_secret,
        op.mmap,
        op.mmap_private,
        op.secretmem_fault,
        op.user_write,
        op.munmap,
        op.copy_from_user,
        op.secretmem_release,
        op.get_user_pages,
        op.read,
        op.copy_on_write,
        op.migrate_pages,
        op.shrink_folio_list,
        op.pass_by,
        op.core_dump,
    ],
    scope={Cpu: 1, Frame: 2, Va: 1, Index: 1},
    doc="""memfd_secret() with all that it refuses, as merged: GUP, read(), private areas, migration,
reclaim, core dumps.""",
    source="mm/secretmem.c, mm/gup.c, mm/vmscan.c, mm/migrate.c, fs/coredump.c of Linux 6.1.192",
)

ALONE = {Cpu: 1, Frame: 1, Va: 1, Index: 1}

secretmem_uses_gup = secretmem_uses.but(name="secretmem-uses-gup", scope=ALONE).replacing(
    op.get_user_pages,
    op.get_user_pages_of_any,
    name="secretmem-uses-gup",
    doc="secretmem-uses, but GUP gives pages to futexes, splice, ptrace (D-23-gup).",
)

secretmem_uses_read = secretmem_uses.but(name="secretmem-uses-read", scope=ALONE).replacing(
    op.read,
    op.generic_file_read,
    name="secretmem-uses-read",
    doc="secretmem-uses, but the file can be read (D-23-read).",
)

secretmem_uses_private = secretmem_uses.but(name="secretmem-uses-private", scope=ALONE).replacing(
    op.mmap_private,
    op.mmap_private_allowed,
    name="secretmem-uses-private",
    doc="secretmem-uses, but private areas are allowed (D-23-private).",
)

secretmem_uses_migrates = secretmem_uses.but(name="secretmem-uses-migrates", scope=ALONE).replacing(
    op.migrate_pages,
    op.migrate_copy,
    name="secretmem-uses-migrates",
    doc="secretmem-uses, but pages migrate (D-23-migrate).",
)

secretmem_uses_evictable = secretmem_uses.but(
    name="secretmem-uses-evictable", scope=ALONE
).replacing(
    op.memfd_secret,
    op.memfd_secret_evictable,
    name="secretmem-uses-evictable",
    doc="secretmem-uses, but reclaim drops pages, which are never dirty (D-23-evict).",
)

# One of the two vetoes of core dumps is enough.
secretmem_uses_dumped = secretmem_uses.replacing(
    op.mmap,
    op.mmap_dumped,
    name="secretmem-uses-dumped",
    doc="secretmem-uses, but areas have no VM_DONTDUMP; GUP refuses core dumps all the same.",
)

secretmem_uses_dumped_by_gup = secretmem_uses_dumped.but(
    name="secretmem-uses-dumped-by-gup", scope=ALONE
).replacing(
    op.core_dump,
    op.core_dump_by_gup,
    name="secretmem-uses-dumped-by-gup",
    doc="secretmem-uses-dumped, but GUP refuses no core dump either (D-23-dump).",
)
