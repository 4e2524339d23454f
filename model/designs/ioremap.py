"""ioremap() and iounmap(), in the order of Linux 6.1 and in the other one."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu
from ..operations import ioremap as op
from ..operations.ioremap import Ioremap, IoremapInOrder
from ..operations.memtype import Mapper, Range, ranges_overlap_themselves

ioremap = Design(
    name="ioremap",
    state=Ioremap,
    init=op.boot,
    operations=[op.fill_tlb, op.purge],
    procedures=[op.ioremap, op.iounmap],
    assumptions=[ranges_overlap_themselves, *op.ASSUMPTIONS],
    scope={Cpu: 1, Mapper: 2, Range: 1},
    doc="""ioremap() and iounmap(), as merged: a range is mapped with the type that it is reserved with,
and given back before it is unmapped.""",
    source="arch/x86/mm/ioremap.c and arch/x86/mm/pat/memtype.c of Linux 6.1",
)


ioremap_huge_size = ioremap.but(
    name="ioremap-huge-size", scope={Cpu: 1, Mapper: 1, Range: 2}
).replacing(
    op.ioremap,
    op.ioremap_up_to_the_bit,
    name="ioremap-huge-size",
    doc="""ioremap, of addresses with an encryption bit, which is dropped from the start of the range
before its size is computed from its end (defect C-07).""",
)

ioremap_unmapped_first = Design(
    name="ioremap-unmapped-first",
    state=IoremapInOrder,
    init=op.boot,
    operations=[op.fill_tlb, op.purge],
    procedures=[op.ioremap, op.iounmap_in_order],
    assumptions=[ranges_overlap_themselves, *op.ASSUMPTIONS],
    scope={Cpu: 1, Mapper: 2, Range: 1},
    doc="ioremap() and iounmap() in the other order: unmapped and flushed first, given back then.",
    source="what the invariant asks for; not proposed by anybody",
)

ioremap_freed_first = ioremap_unmapped_first.replacing(
    op.iounmap_in_order,
    op.iounmap,
    name="ioremap-freed-first",
    doc="The order of Linux 6.1, held to an invariant without a window (defect C-09).",
)
