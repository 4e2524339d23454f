"""GUP and pages of memfd_secret(): the slow walk refuses the area, the fast one looks at the page.

GUP-fast has no lock and no VMA.  When it has a reference to what an entry led to, it asks whether
page->mapping is a secret file's, then looks at the entry again.  The page may leave its file meanwhile,
or be so new that it is in none yet.  The walk has interrupts off, so the flush of the direct map that a
fault of a secret page waits for ends only after walks that began before it.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    forall,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Va


class Page(Enumeration):
    """What a page is: free; prepared for a secret file, in it, out of it again; in another file, and
    out of it."""

    FREE: Page
    NEW: Page
    SECRET: Page
    LEAVING: Page
    FILE: Page
    TRUNCATED: Page


class Mapping(Enumeration):
    """What page->mapping is: NULL, a secret file's, another one's."""

    NULL: Mapping
    SECRET: Mapping
    OTHER: Mapping


class Walk(Locals):
    """The locals of gup_pte_range() and page_is_secretmem()."""

    va: Map[Cpu, Va]
    page: Map[Cpu, Frame]
    mapping: Map[Cpu, Mapping]


class GupSecrets(State):
    """page: what a page is; written: a user has written his secret to it.  lru: PG_lru, set when a batch
    is drained.  flush_owed: the fault that inserted the page waits for the CPU.  secret_vma:
    the area is a secret file's; maps: the entries.  held: the page that a CPU has a reference to;
    returned: GUP gave it to its caller."""

    page: Map[Frame, Page]
    written: Map[Frame, Bool]
    lru: Map[Frame, Bool]
    flush_owed: Map[tuple[Frame, Cpu], Bool]
    secret_vma: Map[Va, Bool]
    maps: Map[Va, Opt[Frame]]
    held: Map[Cpu, Opt[Frame]]
    returned: Map[Cpu, Bool]
    walk: Walk

    def mapping(self, f: Frame) -> Mapping:
        """page->mapping."""
        other = ite(self.page[f] == Page.FILE, Mapping.OTHER, Mapping.NULL)
        return ite(self.page[f] == Page.SECRET, Mapping.SECRET, other)

    def not_held(self, f: Frame) -> Bool:
        """No CPU has a reference."""
        return forall(Cpu, lambda cpu: self.held[cpu] != some(f))

    def unmapped(self, f: Frame) -> Bool:
        """No entry leads to it."""
        return forall(Va, lambda va: self.maps[va] != some(f))


@operation(kernel="kernel/fork.c: mm_init()")
def boot(s: GupSecrets) -> Step:
    """All pages are free, nothing is mapped or held."""
    return Step(
        when=TRUE,
        then=[
            s.page.fill(lambda f: Page.FREE),
            s.written.fill(lambda f: FALSE),
            s.lru.fill(lambda f: FALSE),
            s.flush_owed.fill(lambda f, cpu: FALSE),
            s.secret_vma.fill(lambda va: FALSE),
            s.maps.fill(lambda va: NONE),
            s.held.fill(lambda cpu: NONE),
            s.returned.fill(lambda cpu: FALSE),
        ],
    )


# Areas, and faults in them.


@operation(kernel="mm/mmap.c: mmap_region(); mm/secretmem.c: secretmem_mmap()")
def mmap(s: GupSecrets, va: Va) -> Step:
    """An area that nothing is mapped in becomes one of another kind of file."""
    return Step(when=s.maps[va].is_none, then=[s.secret_vma.set(va, ~s.secret_vma[va])])


@operation(kernel="mm/memory.c: zap_pte_range()")
def zap_pte(s: GupSecrets, va: Va) -> Step:
    """An entry is cleared."""
    return Step(when=s.maps[va].is_some, then=[s.maps.set(va, NONE)])


@operation(kernel="mm/filemap.c: filemap_fault(); mm/memory.c: finish_fault()")
def map_file_page(s: GupSecrets, va: Va, f: Frame) -> Step:
    """A page of an ordinary file is read and mapped."""
    usable = s.maps[va].is_none & ~s.secret_vma[va] & (s.page[f] == Page.FREE)
    return Step(
        when=usable, then=[s.page.set(f, Page.FILE), s.lru.set(f, TRUE), s.maps.set(va, some(f))]
    )


@operation(kernel="mm/secretmem.c: secretmem_fault(), alloc_page()")
def prepare_secret_page(s: GupSecrets, f: Frame) -> Step:
    """A fault of a secret file allocates a page, which is in no file yet."""
    return Step(
        when=s.page[f] == Page.FREE,
        then=[s.page.set(f, Page.NEW), s.lru.set(f, FALSE)],
    )


def _insert(s: GupSecrets, f: Frame, owed: Bool) -> Step:
    return Step(
        when=s.page[f] == Page.NEW,
        then=[
            s.page.set(f, Page.SECRET),
            s.flush_owed.fill(lambda g, cpu: owed, lambda g, cpu: g == f),
        ],
    )


@operation(kernel="mm/secretmem.c: secretmem_fault(), add_to_page_cache_lru()")
def insert_secret_page(s: GupSecrets, f: Frame) -> Step:
    """It enters the page cache and a batch for the LRU; every CPU is asked to flush."""
    return _insert(s, f, TRUE)


# D-18: a flush that the hardware broadcasts (TLBI, INVLPGB) waits for no walk.
@operation(
    kernel="mm/secretmem.c: secretmem_fault(), where a flush interrupts nobody",
    name="insert_secret_page",
)
def insert_with_broadcast(s: GupSecrets, f: Frame) -> Step:
    """It enters the page cache; the flush is over without an interrupt."""
    return _insert(s, f, FALSE)


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: GupSecrets, cpu: Cpu, f: Frame) -> Step:
    """The IPI arrives, at a CPU with interrupts on."""
    return Step(
        when=s.flush_owed[f, cpu] & gup_pte_range.idle(s, cpu),
        then=[s.flush_owed.set((f, cpu), FALSE)],
    )


@operation(kernel="mm/memory.c: finish_fault()")
def map_secret_page(s: GupSecrets, va: Va, f: Frame) -> Step:
    """When all have flushed, a page of a secret file is mapped; later faults find it flushed."""
    flushed = forall(Cpu, lambda cpu: ~s.flush_owed[f, cpu])
    usable = s.maps[va].is_none & s.secret_vma[va] & (s.page[f] == Page.SECRET)
    return Step(when=usable & flushed, then=[s.maps.set(va, some(f))])


@operation(kernel="arch/x86/entry/entry_64.S: user code")
def user_write(s: GupSecrets, va: Va) -> Step:
    """A user writes his secret."""
    return Step(
        when=s.maps[va].is_some & s.secret_vma[va],
        then=[s.written.set(s.maps[va].value, TRUE)],
    )


@operation(kernel="mm/swap.c: lru_add_drain(), __pagevec_lru_add_fn()")
def lru_add_drain(s: GupSecrets, f: Frame) -> Step:
    """A batch is drained: its page has PG_lru."""
    return Step(when=s.page[f] == Page.SECRET, then=[s.lru.set(f, TRUE)])


# Pages that leave their file.


@operation(kernel="mm/truncate.c: truncate_inode_pages_range()")
def remove_from_file(s: GupSecrets, f: Frame) -> Step:
    """A page that is not mapped leaves its file: page->mapping is NULL."""
    secret, other = s.page[f] == Page.SECRET, s.page[f] == Page.FILE
    flushed = forall(Cpu, lambda cpu: ~s.flush_owed[f, cpu])
    return Step(
        when=(secret | other) & s.unmapped(f) & flushed,
        then=[s.page.set(f, ite(secret, Page.LEAVING, Page.TRUNCATED))],
    )


@operation(kernel="mm/secretmem.c: secretmem_free_folio()")
def secretmem_free_folio(s: GupSecrets, f: Frame) -> Step:
    """A page that has left a secret file is zeroed, whoever else has a reference."""
    return Step(when=s.page[f] == Page.LEAVING, then=[s.written.set(f, FALSE)])


@operation(kernel="mm/filemap.c: filemap_free_folio(); mm/swap.c: put_page()")
def put_page(s: GupSecrets, f: Frame) -> Step:
    """The last reference goes: of a page that has left its file, or never was in one."""
    secret = ((s.page[f] == Page.LEAVING) & ~s.written[f]) | (s.page[f] == Page.NEW)
    return Step(
        when=(secret | (s.page[f] == Page.TRUNCATED)) & s.not_held(f),
        then=[s.page.set(f, Page.FREE), s.lru.set(f, FALSE)],
    )


# GUP.


def _get_user_pages(s: GupSecrets, cpu: Cpu, va: Va, allowed: Bool) -> Step:
    free = gup_pte_range.idle(s, cpu) & s.held[cpu].is_none
    return Step(
        when=free & s.maps[va].is_some & allowed,
        then=[s.held.set(cpu, s.maps[va]), s.returned.set(cpu, TRUE)],
    )


@operation(kernel="mm/gup.c: check_vma_flags(), follow_page(); mm/gup.c: get_dump_page()")
def get_user_pages(s: GupSecrets, cpu: Cpu, va: Va) -> Step:
    """The slow walk, under mmap_lock, of an area that is no secret file's; core dumps use it as well."""
    return _get_user_pages(s, cpu, va, ~s.secret_vma[va])


# Why check_vma_flags() and follow_page() ask vma_is_secretmem().
@operation(kernel="mm/gup.c: check_vma_flags() without vma_is_secretmem()", name="get_user_pages")
def get_user_pages_of_any(s: GupSecrets, cpu: Cpu, va: Va) -> Step:
    """The slow walk, of any area."""
    return _get_user_pages(s, cpu, va, TRUE)


@operation(kernel="mm/gup.c: unpin_user_page()")
def unpin_user_page(s: GupSecrets, cpu: Cpu) -> Step:
    """The caller of GUP is done with the page."""
    return Step(when=s.returned[cpu], then=[s.held.set(cpu, NONE), s.returned.set(cpu, FALSE)])


def _gup_pte_range(
    *, asks_lru: bool = False, asks_null: bool = True, looks_again: bool = True
) -> Procedure:
    """asks_lru: a page without PG_lru is not looked at.  asks_null: nor is one without a mapping.
    looks_again: the page is kept if the entry is the same."""
    procedure = Procedure(
        "gup_pte_range",
        kernel="mm/gup.c: gup_pte_range(); include/linux/secretmem.h: page_is_secretmem()",
        doc="Find a page, take a reference, ask whether it is secret, look again.",
    )

    @procedure.step(to="try_grab_folio")
    def read_pte(s: GupSecrets, cpu: Cpu, va: Va) -> Step:
        """With interrupts off, look at an entry."""
        return Step(
            when=s.maps[va].is_some & s.held[cpu].is_none,
            then=[s.walk.va.set(cpu, va), s.walk.page.set(cpu, s.maps[va].value)],
        )

    @procedure.step(at="try_grab_folio", to="read_mapping")
    def try_grab_folio(s: GupSecrets, cpu: Cpu) -> Step:
        """Take a reference, unless the page is free."""
        f = s.walk.page[cpu]
        return Step(when=s.page[f] != Page.FREE, then=[s.held.set(cpu, some(f))])

    @procedure.step(at="try_grab_folio", to=Procedure.DONE)
    def give_up(s: GupSecrets, cpu: Cpu) -> Step:
        """The page is free."""
        return Step(when=s.page[s.walk.page[cpu]] == Page.FREE)

    @procedure.step(at="read_mapping", to="compare_mapping")
    def read_mapping(s: GupSecrets, cpu: Cpu) -> Step:
        """Read page->mapping."""
        f = s.walk.page[cpu]
        asked = s.lru[f] if asks_lru else TRUE
        return Step(when=asked, then=[s.walk.mapping.set(cpu, s.mapping(f))])

    if asks_lru:

        @procedure.step(at="read_mapping", to="look_again")
        def not_on_lru(s: GupSecrets, cpu: Cpu) -> Step:
            """A page without PG_lru is taken to be none of a secret file."""
            return Step(when=~s.lru[s.walk.page[cpu]])

    def is_mapping(s: GupSecrets, cpu: Cpu) -> Bool:
        m = s.walk.mapping[cpu]
        there = m != Mapping.NULL if asks_null else TRUE
        return there & (m == s.mapping(s.walk.page[cpu]))

    @procedure.step(at="compare_mapping", to="read_a_ops")
    def same_mapping(s: GupSecrets, cpu: Cpu) -> Step:
        """It is a file's, and still the same."""
        return Step(when=is_mapping(s, cpu))

    @procedure.step(at="compare_mapping", to="look_again")
    def no_mapping(s: GupSecrets, cpu: Cpu) -> Step:
        """It is NULL, or another one now: not secret."""
        return Step(when=~is_mapping(s, cpu))

    @procedure.step(at="read_a_ops", to=Procedure.DONE)
    def is_secretmem(s: GupSecrets, cpu: Cpu) -> Step:
        """The file is a secret one: give the page back."""
        secret = s.walk.mapping[cpu] == Mapping.SECRET
        return Step(when=secret, then=[s.held.set(cpu, NONE)])

    @procedure.step(at="read_a_ops", to="look_again")
    def is_not_secretmem(s: GupSecrets, cpu: Cpu) -> Step:
        """The file is another one."""
        return Step(when=s.walk.mapping[cpu] == Mapping.OTHER)

    @procedure.step(at="look_again", to=Procedure.DONE)
    def keep(s: GupSecrets, cpu: Cpu) -> Step:
        """The entry is the same: return the page."""
        same = s.maps[s.walk.va[cpu]] == some(s.walk.page[cpu])
        return Step(when=same if looks_again else TRUE, then=[s.returned.set(cpu, TRUE)])

    @procedure.step(at="look_again", to=Procedure.DONE)
    def gup_put_folio(s: GupSecrets, cpu: Cpu) -> Step:
        """The entry has changed: give the page back."""
        same = s.maps[s.walk.va[cpu]] == some(s.walk.page[cpu])
        return Step(when=~same if looks_again else FALSE, then=[s.held.set(cpu, NONE)])

    return procedure


gup_pte_range = _gup_pte_range()

READ_PTE, GRAB, GIVE_UP, READ_MAPPING, COMPARE, NO_MAPPING, READ_A_OPS, OTHER, KEEP, PUT = (
    gup_pte_range.steps
)

# D-02: secret pages were taken to have PG_lru, which they get some time after they are mapped.
gup_pte_range_lru = _gup_pte_range(asks_lru=True)
# D-03: a page that has left its file has no mapping to look into.
gup_pte_range_null = _gup_pte_range(asks_null=False)
# A page that had no file yet when it was asked for one.
gup_pte_range_once = _gup_pte_range(looks_again=False)
