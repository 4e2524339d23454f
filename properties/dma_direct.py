"""Keys, owners and memory types of the pages of DMA buffers in guests.

What it checks: a page is shared only while it is a buffer's, or leaked; a buffer is shared as a whole
when a driver has it; free pages and the kernel's own, page tables and instructions among them, are
private; a call converts pages of its own buffer, each once; the memory type of a leaf is the one that is
reserved, and write-back for free pages.  Invariants 1, 2 and 8 of encryption, 6 of cacheability.
Why it matters: the host can read and write what is shared; a page table that it can write is the end of
all other promises.
Kernel precedent: "dma-direct: don't over-decrypt memory"; "dma-direct: use the correct size for
dma_set_encrypted()"; "dma-direct: Leak pages on dma_set_decrypted() failure", from memory.
Smallest counterexample: free a buffer of two pages, of which one is encrypted (dma-direct-wrong-size).
Not covered: swiotlb, atomic pools, buffers that are mapped again by vmap(); TLBs (see enc_pgtable).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, ite, sometimes, step
from mapproof.model.machine.entries import CacheType
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.dma_direct import (
    DECRYPT,
    ENCRYPT,
    Buffer,
    DmaDirect,
    Use,
    dma_direct_alloc,
    dma_direct_free,
    has,
)
from mapproof.model.operations.enc_pgtable import Key


@always
def only_buffers_are_shared(s: DmaDirect, f: Frame) -> Bool:
    """A page that the host can read is a buffer's, or is leaked."""
    lost = (s.use[f] == Use.BUFFER) | (s.use[f] == Use.LEAKED)
    return (s.leaf[f] == Key.SHARED).implies(lost)


@always
def kernel_pages_are_private(s: DmaDirect, f: Frame) -> Bool:
    """The kernel's own data, its page tables and its instructions are private."""
    return (s.use[f] == Use.KERNEL).implies(s.leaf[f] == Key.PRIVATE)


@always
def free_dma_pages_are_private(s: DmaDirect, f: Frame) -> Bool:
    """A free page is private."""
    return (s.use[f] == Use.FREE).implies(s.leaf[f] == Key.PRIVATE)


@always
def buffers_are_shared(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """What a driver has is shared as a whole, and belongs to this buffer."""
    shared = (s.leaf[f] == Key.SHARED) & (s.use[f] == Use.BUFFER) & (s.of[f] == b)
    return (has(s, b) & s.covers[b, f]).implies(shared)


@always
def buffers_have_their_pages(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """Pages are of a buffer exactly while it is allocated; who is in a call has it allocated."""
    allocated = (s.use[f] == Use.BUFFER) & (s.of[f] == b)
    running = ~(dma_direct_alloc.idle(s, b) & dma_direct_free.idle(s, b))
    both = dma_direct_alloc.idle(s, b) | dma_direct_free.idle(s, b)
    return (allocated == (s.held[b] & s.covers[b, f])) & running.implies(s.held[b]) & both


@always
def types_are_the_reserved_ones(s: DmaDirect, f: Frame) -> Bool:
    """The leaves of a page have the memory type that is reserved for it, whatever was converted and
    whatever failed."""
    return s.type[f] == s.tracked[f]


@always
def free_dma_pages_are_write_back(s: DmaDirect, f: Frame) -> Bool:
    """Nothing is reserved of a free page, or of the kernel's own: they are write-back."""
    own = (s.use[f] == Use.FREE) | (s.use[f] == Use.KERNEL)
    return own.implies(s.tracked[f] == CacheType.WB)


@always
def buffers_have_one_type(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """All pages of a buffer have the type that its driver wants, which is write-back but while he has
    it."""
    wanted = ite(s.combining[b], CacheType.WC, CacheType.WB)
    mine = s.held[b] & s.covers[b, f]
    return mine.implies(s.type[f] == wanted) & s.combining[b].implies(has(s, b))


@step
def calls_convert_their_own_pages(old: DmaDirect, new: DmaDirect, f: Frame) -> Bool:
    """A page is shared by the call that allocates its buffer, and made private by the one that frees it;
    so each call converts a page once."""
    b = old.of[f]
    shared = (old.leaf[f] == Key.PRIVATE) & dma_direct_alloc.at(old, b, DECRYPT)
    private = (old.leaf[f] == Key.SHARED) & dma_direct_free.at(old, b, ENCRYPT)
    own = (old.use[f] == Use.BUFFER) & (shared | private)
    return (old.leaf[f] != new.leaf[f]).implies(own)


@step
def leaked_dma_pages_stay(old: DmaDirect, new: DmaDirect, f: Frame) -> Bool:
    """A page that is leaked is nobody's for ever."""
    return (old.use[f] == Use.LEAKED).implies(new.use[f] == Use.LEAKED)


@step
def pages_are_leaked_by_failures(old: DmaDirect, new: DmaDirect, f: Frame) -> Bool:
    """A page is leaked when a conversion of its buffer fails."""
    b = old.of[f]
    leaked = (old.use[f] != Use.LEAKED) & (new.use[f] == Use.LEAKED)
    running = dma_direct_alloc.at(old, b, DECRYPT) | dma_direct_free.at(old, b, ENCRYPT)
    return leaked.implies((old.use[f] == Use.BUFFER) & running)


@sometimes
def a_driver_has_a_buffer(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """A driver has a buffer of more than one page, write-combining."""
    more = s.covers[b, f] & ~s.starts[b, f]
    return has(s, b) & more & (s.type[f] == CacheType.WC)


@sometimes
def a_buffer_is_in_the_middle(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """A buffer is given back, and one page of it is private again."""
    first = exists(Frame, lambda g: s.starts[b, g] & (s.leaf[g] == Key.PRIVATE))
    running = dma_direct_free.at(s, b, ENCRYPT)
    return running & first & s.covers[b, f] & (s.leaf[f] == Key.SHARED)


@sometimes
def a_buffer_is_private_again(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """The first page of a buffer is private, and it is about to be freed."""
    running = dma_direct_free.at(s, b, ENCRYPT)
    return running & s.starts[b, f] & (s.leaf[f] == Key.PRIVATE)


@sometimes
def a_page_beside_a_buffer_is_in_use(s: DmaDirect, b: Buffer, f: Frame) -> Bool:
    """A page of the block that a buffer does not fill is the kernel's."""
    beside = s.block[b, f] & ~s.covers[b, f]
    return has(s, b) & beside & (s.use[f] == Use.KERNEL)


@sometimes
def a_shared_page_is_leaked(s: DmaDirect, f: Frame) -> Bool:
    """A page is leaked that the host can read."""
    return (s.use[f] == Use.LEAKED) & (s.leaf[f] == Key.SHARED)
