"""vmap blocks, and three versions of vm_unmap_aliases()."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Va
from ..operations import vmap_blocks as op
from ..operations.vmap_blocks import Block, VmapBlocks

vmap_blocks = Design(
    name="vmap-blocks",
    state=VmapBlocks,
    init=op.boot,
    operations=[op.new_vmap_block, op.vm_map_ram, op.fill_tlb, op.do_kernel_range_flush],
    procedures=[op.vb_free, op.vm_unmap_aliases],
    scope={Cpu: 2, Block: 1, Va: 2, Frame: 1},
    doc="""vmap blocks with a vm_unmap_aliases() that looks at every block with dirty slices, whether
all of them are or not.  This is no kernel's: see vmap-blocks-merged.""",
    source="mm/vmalloc.c; derived",
)

vmap_blocks_merged = vmap_blocks.replacing(
    op.vm_unmap_aliases,
    op.vm_unmap_aliases_alive,
    name="vmap-blocks-merged",
    doc="""vmap-blocks as merged since fc1e0d980037: a block that is all dirty is skipped, since it is
on the purge list, where vb_free() puts it a moment later (hypothesis V-18).""",
)

vmap_blocks_free_lists = vmap_blocks.replacing(
    op.vm_unmap_aliases,
    op.vm_unmap_aliases_free_lists,
    name="vmap-blocks-free-lists",
    doc="""vmap-blocks before fc1e0d980037, and still in 6.1: blocks without unused slices are on no
list that vm_unmap_aliases() walks (defect V-17).""",
)
