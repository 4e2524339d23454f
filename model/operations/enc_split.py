"""A page of a large one changes its encryption bit: the split, and the table that it needs.

The new table is a page of the allocator, so it is private, and the entry that leads to it says so:
hardware reads a table with the key that the entry has, which has to be the one that the kernel wrote it
with.  All leaves in it have the bit of the large leaf until the one is changed.  A large page is given
one call at a time (``cpa_lock``); flushes are in ``enc_pgtable`` and ``split``.
"""

from __future__ import annotations

from ..language import (
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    Sort,
    State,
    Step,
    assumption,
    ite,
    operation,
    some,
)
from ..machine.sorts import Frame
from .enc_pgtable import Key


class LargePage(Sort):
    """A large page of the direct map."""


class Use(Enumeration):
    """A page of the allocator; the kernel's, private; shared with the host; a page table."""

    FREE: Use
    DATA: Use
    SHARED: Use
    TABLE: Use


class Cpa(Locals):
    """The locals of a call: the page, the key that is wanted, the new table."""

    page: Map[LargePage, Frame]
    want: Map[LargePage, Key]
    base: Map[LargePage, Frame]


class EncSplit(State):
    """within: the pages of a large page.  shared_at_boot: it was shared as a whole by then; reserved: a
    page of such a one.  large: the bit of its leaf, while it has one.  table: where the small leaves are
    afterwards; entry: the bit of the entry that leads there.  pte: the bit of a small leaf."""

    within: Fun[tuple[LargePage, Frame], Bool]
    shared_at_boot: Fun[LargePage, Bool]
    reserved: Fun[Frame, Bool]
    use: Map[Frame, Use]
    large: Map[LargePage, Opt[Key]]
    table: Map[LargePage, Opt[Frame]]
    entry: Map[LargePage, Key]
    pte: Map[tuple[LargePage, Frame], Key]
    cpa: Cpa

    def leaf(self, p: LargePage, f: Frame) -> Key:
        """The bit that a page of a large page is mapped with."""
        return ite(self.large[p].is_some, self.large[p].value, self.pte[p, f])

    def key(self, f: Frame) -> Key:
        """The key that a page is used with."""
        return ite(self.use[f] == Use.SHARED, Key.SHARED, Key.PRIVATE)


@assumption
def large_pages_are_disjoint(s: EncSplit, p: LargePage, q: LargePage, f: Frame) -> Bool:
    """A page is of one large page."""
    return (s.within[p, f] & s.within[q, f]).implies(p == q)


@assumption
def large_pages_are_shared_as_a_whole(s: EncSplit, p: LargePage, f: Frame) -> Bool:
    """What is shared at boot is reserved: large pages of swiotlb."""
    return s.within[p, f].implies(s.reserved[f] == s.shared_at_boot[p])


@operation(kernel="arch/x86/mm/init_64.c: kernel_physical_mapping_init()")
def boot(s: EncSplit) -> Step:
    """All is mapped by large pages, some of which are shared."""
    shared = s.shared_at_boot
    return Step(
        when=TRUE,
        then=[
            s.large.fill(lambda p: some(ite(shared[p], Key.SHARED, Key.PRIVATE))),
            s.table.fill(lambda p: NONE),
            s.use.fill(lambda f: ite(s.reserved[f], Use.SHARED, Use.FREE)),
        ],
    )


@operation(kernel="mm/page_alloc.c: alloc_pages()")
def alloc_pages(s: EncSplit, f: Frame) -> Step:
    """The kernel takes a free page."""
    return Step(when=s.use[f] == Use.FREE, then=[s.use.set(f, Use.DATA)])


@operation(kernel="mm/page_alloc.c: free_pages()")
def free_pages(s: EncSplit, f: Frame, p: LargePage) -> Step:
    """The kernel gives a private page back, which is not being converted."""
    idle = set_memory_enc.idle(s, p) | (s.cpa.page[p] != f)
    ready = s.within[p, f] & (s.use[f] == Use.DATA) & idle
    return Step(when=ready, then=[s.use.set(f, Use.FREE)])


def _set_memory_enc(
    *, table_flags: Key = Key.PRIVATE, keeps_others: bool = True, private: bool = True
) -> Procedure:
    """table_flags: the bit of the entry that leads to the table.  keeps_others: new leaves have the bit
    of the large one.  private: the table is a page of the allocator's."""
    procedure = Procedure(
        "set_memory_enc",
        kernel="arch/x86/mm/pat/set_memory.c: __change_page_attr(), __split_large_page()",
        doc="Split the large page that a page is in, if it is not split yet, and change its leaf.",
    )

    @procedure.step(to="look")
    def begin(s: EncSplit, p: LargePage, f: Frame, want: Key) -> Step:
        """An owner has his page converted."""
        owned = (s.use[f] == Use.DATA) | (s.use[f] == Use.SHARED)
        return Step(
            when=s.within[p, f] & owned & (s.key(f) != want),
            then=[s.cpa.page.set(p, f), s.cpa.want.set(p, want)],
        )

    @procedure.step(at="look", to="fill")
    def alloc_table(s: EncSplit, p: LargePage, f: Frame) -> Step:
        """There is a large leaf: get a page for a table."""
        usable = (s.use[f] == Use.FREE) if private else (s.use[f] == Use.SHARED)
        return Step(
            when=s.large[p].is_some & usable,
            then=[s.use.set(f, Use.TABLE), s.cpa.base.set(p, f)],
        )

    @procedure.step(at="look", to=Procedure.DONE)
    def no_memory(s: EncSplit, p: LargePage) -> Step:
        """There is no page for a table."""
        return Step(when=s.large[p].is_some)

    @procedure.step(at="look", to="change")
    def is_split(s: EncSplit, p: LargePage) -> Step:
        """There is a table."""
        return Step(when=s.large[p].is_none)

    @procedure.step(at="fill", to="populate")
    def split_set_pte(s: EncSplit, p: LargePage) -> Step:
        """The small leaves get the bit of the large one."""
        bit = s.large[p].value if keeps_others else s.cpa.want[p]
        return Step(when=TRUE, then=[s.pte.fill(lambda q, f: bit, lambda q, f: q == p)])

    @procedure.step(at="populate", to="change")
    def set_pmd_pte(s: EncSplit, p: LargePage) -> Step:
        """The entry leads to the table, with _KERNPG_TABLE."""
        return Step(
            when=TRUE,
            then=[
                s.table.set(p, some(s.cpa.base[p])),
                s.entry.set(p, table_flags),
                s.large.set(p, NONE),
            ],
        )

    @procedure.step(at="change", to=Procedure.DONE)
    def set_pte_atomic(s: EncSplit, p: LargePage) -> Step:
        """The leaf gets the bit that is wanted, and the owner uses the page so."""
        f, want = s.cpa.page[p], s.cpa.want[p]
        return Step(
            when=TRUE,
            then=[
                s.pte.set((p, f), want),
                s.use.set(f, ite(want == Key.SHARED, Use.SHARED, Use.DATA)),
            ],
        )

    return procedure


set_memory_enc = _set_memory_enc()
BEGIN, ALLOC, NO_MEMORY, IS_SPLIT, FILL, POPULATE, CHANGE = set_memory_enc.steps
# _KERNPG_TABLE has the C-bit; leaves that were not given keep theirs; a table is nobody else's.
set_memory_plain_tables = _set_memory_enc(table_flags=Key.SHARED)
set_memory_whole = _set_memory_enc(keeps_others=False)
set_memory_shared_tables = _set_memory_enc(private=False)
