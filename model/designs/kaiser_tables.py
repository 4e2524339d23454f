"""Pages of KAISER's shadow tables, kept for good and freed too early."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, PmdSlot, Pte, PteSlot, Va
from ..operations import kaiser_tables as op
from ..operations.kaiser_tables import ShadowTables

kaiser_tables = Design(
    name="kaiser-tables",
    state=ShadowTables,
    init=op.boot,
    operations=[
        op.allocate,
        op.write,
        op.free,
        op.add_table,
        op.add_mapping,
        op.remove_mapping,
        op.fill_pmd_cache,
    ],
    scope={Cpu: 1, PmdSlot: 2, PteSlot: 2, Pte: 3, Va: lambda n: n[PmdSlot] * n[PteSlot]},
    doc="""The shadow tables of kernel addresses as in the later KAISER series and its backports: what
is removed is cleared, and table pages are never freed.""",
    source="arch/x86/mm/kaiser.c of the 4.4 and 4.9 stable kernels",
)

kaiser_tables_freed = kaiser_tables.replacing(
    op.remove_mapping,
    op.remove_mapping_and_table,
    name="kaiser-tables-freed",
    doc="kaiser-tables, but a table that becomes empty is freed without any flush (defect K-07).",
)
