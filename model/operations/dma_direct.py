"""dma_direct_alloc() in a guest: buffers that the host can read, of pages that nobody else has.

All pages of a buffer are shared with the host before its driver has it, and private again before the
allocator has them.  A conversion may fail after any page; then nobody knows which pages the host has,
and the buffer is leaked.  set_memory_decrypted() changes one page after the other here, each with all
of its leaves and flushed (``enc_pgtable`` has that).  Drivers may have a buffer write-combining too.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Procedure,
    Sort,
    State,
    Step,
    Update,
    assumption,
    forall,
    operation,
)
from ..machine.entries import CacheType
from ..machine.sorts import Frame
from .enc_pgtable import Key


class Buffer(Sort):
    """What dma_direct_alloc() may return: an address and a size."""


class Use(Enumeration):
    """Whose a page is: the allocator's; the kernel's own (data, a page table, instructions); that of a
    buffer, from its allocation on; nobody's any more."""

    FREE: Use
    KERNEL: Use
    BUFFER: Use
    LEAKED: Use


class DmaDirect(State):
    """covers: the pages that a buffer has.  block: those of the smallest power of two that it fits in.
    starts: its first page.  leaf, type: what the leaves of a page say.  tracked: the memory type that is
    reserved.  of: the buffer that a page was allocated for last.  held: somebody has it allocated.
    combining: its driver has it write-combining."""

    covers: Fun[tuple[Buffer, Frame], Bool]
    block: Fun[tuple[Buffer, Frame], Bool]
    starts: Fun[tuple[Buffer, Frame], Bool]
    use: Map[Frame, Use]
    of: Map[Frame, Buffer]
    held: Map[Buffer, Bool]
    combining: Map[Buffer, Bool]
    leaf: Map[Frame, Key]
    type: Map[Frame, CacheType]
    tracked: Map[Frame, CacheType]


@assumption
def buffers_start_within(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """A buffer has the page that it starts with."""
    return s.starts[b, f].implies(s.covers[b, f])


@assumption
def buffers_fit_into_their_block(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """A buffer's pages are of its block."""
    return s.covers[b, f].implies(s.block[b, f])


@operation(kernel="arch/x86/mm/mem_encrypt.c: mem_encrypt_init()")
def boot(s: DmaDirect) -> Step:
    """Every page is free, private and write-back."""
    return Step(
        when=TRUE,
        then=[
            s.use.fill(lambda f: Use.FREE),
            s.held.fill(lambda b: FALSE),
            s.combining.fill(lambda b: FALSE),
            s.leaf.fill(lambda f: Key.PRIVATE),
            s.type.fill(lambda f: CacheType.WB),
            s.tracked.fill(lambda f: CacheType.WB),
        ],
    )


@operation(kernel="mm/page_alloc.c: alloc_pages()")
def alloc_pages(s: DmaDirect, f: Frame) -> Step:
    """The kernel takes a page for itself."""
    return Step(when=s.use[f] == Use.FREE, then=[s.use.set(f, Use.KERNEL)])


@operation(kernel="mm/page_alloc.c: free_pages()")
def free_pages(s: DmaDirect, f: Frame) -> Step:
    """The kernel gives a page of its own back."""
    return Step(when=s.use[f] == Use.KERNEL, then=[s.use.set(f, Use.FREE)])


def has(s: DmaDirect, b: Buffer) -> Bool:
    """A driver has the buffer, and is in no call about it."""
    return s.held[b] & dma_direct_alloc.idle(s, b) & dma_direct_free.idle(s, b)


def _set_type(s: DmaDirect, b: Buffer, new: CacheType) -> Step:
    """Reservation and leaves of all pages of a buffer."""
    combining = new == CacheType.WC

    def covered(f: Frame) -> Bool:
        return s.covers[b, f]

    return Step(
        when=has(s, b) & (s.combining[b] != combining),
        then=[
            s.tracked.fill(lambda f: new, covered),
            s.type.fill(lambda f: new, covered),
            s.combining.set(b, combining),
        ],
    )


@operation(kernel="arch/x86/mm/pat/set_memory.c: set_memory_wc(); sound/core/memalloc.c")
def set_memory_wc(s: DmaDirect, b: Buffer) -> Step:
    """A driver has its buffer write-combining (in one step, see pageattr)."""
    return _set_type(s, b, CacheType.WC)


@operation(kernel="arch/x86/mm/pat/set_memory.c: set_memory_wb(); sound/core/memalloc.c")
def set_memory_wb(s: DmaDirect, b: Buffer) -> Step:
    """The driver puts it back."""
    return _set_type(s, b, CacheType.WB)


def _gone(s: DmaDirect, b: Buffer, use: Use) -> list[Update]:
    """The driver does not have the buffer, and its pages are the allocator's, or nobody's."""
    return [s.use.fill(lambda f: use, lambda f: s.covers[b, f]), s.held.set(b, FALSE)]


def _extent(s: DmaDirect, b: Buffer, f: Frame, name: str) -> Bool:
    if name == "first":
        return s.starts[b, f]
    return s.block[b, f] if name == "block" else s.covers[b, f]


def _convert(
    procedure: Procedure, at: str, key: Key, last: Use | None, extent: str, failed: Use
) -> None:
    """The conversion of the pages of a buffer, one by one.  last: whose they are then, if not the
    driver's.  extent: of which pages.  failed: whose the buffer's pages are when it fails."""

    @procedure.step(at=at, to=at)
    def change_page(s: DmaDirect, b: Buffer, f: Frame) -> Step:
        """One page is changed, with all of its leaves; its memory type stays."""
        left = _extent(s, b, f, extent) & (s.leaf[f] != key)
        return Step(when=left, then=[s.leaf.set(f, key)])

    @procedure.step(at=at, to=Procedure.DONE)
    def changed(s: DmaDirect, b: Buffer) -> Step:
        """No page is left."""
        done = forall(Frame, lambda f: _extent(s, b, f, extent).implies(s.leaf[f] == key))
        return Step(when=done, then=[] if last is None else _gone(s, b, last))

    @procedure.step(at=at, to=Procedure.DONE)
    def fails(s: DmaDirect, b: Buffer) -> Step:
        """A page cannot be changed, or the host says no."""
        return Step(when=TRUE, then=_gone(s, b, failed))


def _alloc(*, extent: str = "covers", failed: Use = Use.LEAKED) -> Procedure:
    procedure = Procedure(
        "dma_direct_alloc",
        kernel="kernel/dma/direct.c: dma_direct_alloc(), dma_set_decrypted()",
        doc="Allocate the pages of a buffer and share them with the host.",
    )

    @procedure.step(to="set_decrypted")
    def dma_direct_alloc_pages(s: DmaDirect, b: Buffer) -> Step:
        """All of its pages are free."""
        free = forall(Frame, lambda f: s.covers[b, f].implies(s.use[f] == Use.FREE))
        return Step(
            when=~s.held[b] & free,
            then=[
                s.held.set(b, TRUE),
                s.use.fill(lambda f: Use.BUFFER, lambda f: s.covers[b, f]),
                s.of.fill(lambda f: b, lambda f: s.covers[b, f]),
            ],
        )

    _convert(procedure, "set_decrypted", Key.SHARED, None, extent, failed)
    return procedure


def _free(
    *, extent: str = "covers", failed: Use = Use.LEAKED, write_back: bool = True
) -> Procedure:
    """write_back: drivers put back the memory type before."""
    procedure = Procedure(
        "dma_direct_free",
        kernel="kernel/dma/direct.c: dma_direct_free(), dma_set_encrypted()",
        doc="Make the pages of a buffer private, and free them.",
    )

    @procedure.step(to="set_encrypted")
    def begin(s: DmaDirect, b: Buffer) -> Step:
        """A driver gives back a buffer, with the memory type that it got it with."""
        put_back = ~s.combining[b] if write_back else TRUE
        return Step(when=s.held[b] & dma_direct_alloc.idle(s, b) & put_back, then=[])

    _convert(procedure, "set_encrypted", Key.PRIVATE, Use.FREE, extent, failed)
    return procedure


dma_direct_alloc = _alloc()
dma_direct_free = _free()
DECRYPT = dma_direct_alloc.steps[1]
ENCRYPT = dma_direct_free.steps[1]

# S-11: the size was rounded up to a power of two, whatever had been allocated.
alloc_rounding_up = _alloc(extent="block")
# S-11-size: the number of pages was taken for one of bytes, which are less than a page.
free_by_number_of_pages = _free(extent="first")
# What the rule of leaking is there against.
alloc_freeing_on_failure = _alloc(failed=Use.FREE)
free_on_failure = _free(failed=Use.FREE)
free_write_combining = _free(write_back=False)
