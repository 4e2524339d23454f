"""MKTME as proposed: every page has a KeyID, and lines of different KeyIDs are different to the caches.

The series was posted from 2018 to 2019 (K. Shutemov, A. Schofield) and never merged.  page_ext has the
KeyID of a page, and there is a direct map for each KeyID, so that page_address() follows the KeyID.  The
allocator flushes a page for an encrypted VMA by its old address, changes the KeyID, then clears it by
the new one; a page that is freed is flushed and gets KeyID 0.  encrypt_mprotect() drops the pages of a
VMA before the VMA gets another KeyID; a key is programmed when no VMA has it.
"""

from __future__ import annotations

from ..language import (
    FALSE,
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
    Update,
    forall,
    ite,
    operation,
    some,
)
from ..machine.sorts import Frame
from .enc_pgtable import Rounds


class KeyId(Sort):
    """A KeyID: the upper bits of a physical address."""


class Vma(Sort):
    """``struct vm_area_struct`` of one page of anonymous memory."""


class Use(Enumeration):
    """Whose a page is: the allocator's, the kernel's with KeyID 0, a VMA's from its allocation until it
    is freed."""

    FREE: Use
    KERNEL: Use
    ANON: Use


class Walk(Locals):
    """The locals of a fault and of a zap: the page; how often caches were flushed."""

    page: Map[Vma, Frame]
    flushes: Map[Vma, Rounds]


class KeyIds(State):
    """zero: KeyID 0.  use: of a page.  keyid: page_keyid().  dirty: a cache has a dirty line of a page
    with that KeyID.  memory: the KeyID that what memory has was written with.  vma_keyid: of a VMA.
    pte: its page, leaf: the KeyID in its leaf.  programmed: flips whenever PCONFIG programs a key."""

    zero: Fun[tuple[()], KeyId]
    use: Map[Frame, Use]
    keyid: Map[Frame, KeyId]
    dirty: Map[tuple[Frame, KeyId], Bool]
    memory: Map[Frame, KeyId]
    vma_keyid: Map[Vma, KeyId]
    pte: Map[Vma, Opt[Frame]]
    leaf: Map[Vma, KeyId]
    programmed: Map[KeyId, Bool]
    walk: Walk

    def flush(self, f: Frame, whether: Bool) -> list[Update]:
        """clflush_cache_range(page_address()): the line of the KeyID that the page has now."""
        key = self.keyid[f]
        done = self.dirty[f, key] & whether
        return [
            self.memory.set(f, ite(done, key, self.memory[f])),
            self.dirty.set((f, key), self.dirty[f, key] & ~whether),
        ]

    def counted(self, v: Vma, whether: Bool) -> Update:
        """One more flush in this call."""
        more = ite(self.walk.flushes[v] == Rounds.NONE, Rounds.ONCE, Rounds.MORE)
        return self.walk.flushes.set(v, ite(whether, more, self.walk.flushes[v]))


class Mktme(KeyIds):
    """The same, where pages have KeyID 0 while they are free, as the series had it from its third
    version on."""


class MktmeKept(KeyIds):
    """The same, where free pages keep the KeyID that they had, as the second version was to have it."""


@operation(kernel="arch/x86/mm/mktme.c: mktme_init()")
def boot(s: KeyIds) -> Step:
    """Every page is free and has KeyID 0, and so has every VMA."""
    return Step(
        when=TRUE,
        then=[
            s.use.fill(lambda f: Use.FREE),
            s.keyid.fill(lambda f: s.zero[()]),
            s.dirty.fill(lambda f, k: FALSE),
            s.memory.fill(lambda f: s.zero[()]),
            s.vma_keyid.fill(lambda v: s.zero[()]),
            s.pte.fill(lambda v: NONE),
            s.programmed.fill(lambda k: FALSE),
        ],
    )


def rests(s: KeyIds, v: Vma) -> Bool:
    """Nobody has the mmap_lock of the VMA's process."""
    return fault.idle(s, v) & zap.idle(s, v)


# The machine, and the rest of the kernel.


@operation(kernel="Intel SDM vol. 3, section 11.4: cache control; MKTME specification")
def evict(s: KeyIds, f: Frame, k: KeyId) -> Step:
    """A dirty line leaves the cache: it is encrypted with its key, whatever memory had."""
    return Step(when=s.dirty[f, k], then=[s.dirty.set((f, k), FALSE), s.memory.set(f, k)])


@operation(kernel="mm/page_alloc.c: alloc_pages()")
def alloc_pages(s: KeyIds, f: Frame) -> Step:
    """The kernel takes a page for itself, with KeyID 0."""
    return Step(when=s.use[f] == Use.FREE, then=[s.use.set(f, Use.KERNEL)])


@operation(kernel="mm/page_alloc.c: prep_new_page(), with a KeyID", name="alloc_pages")
def alloc_pages_prepared(s: KeyIds, f: Frame) -> Step:
    """The kernel takes a page for itself, flushed and with KeyID 0 from now on, if it had another."""
    return Step(
        when=s.use[f] == Use.FREE,
        then=[
            s.use.set(f, Use.KERNEL),
            *s.flush(f, s.keyid[f] != s.zero[()]),
            s.keyid.set(f, s.zero[()]),
        ],
    )


@operation(kernel="mm/page_alloc.c: free_pages()")
def free_pages(s: KeyIds, f: Frame) -> Step:
    """The kernel gives a page of its own back; its lines stay."""
    return Step(when=s.use[f] == Use.KERNEL, then=[s.use.set(f, Use.FREE)])


@operation(kernel="include/linux/mm.h: page_address()")
def kernel_store(s: KeyIds, f: Frame) -> Step:
    """The kernel writes to a page of its own, by page_address()."""
    return Step(when=s.use[f] == Use.KERNEL, then=[s.dirty.set((f, s.keyid[f]), TRUE)])


@operation(kernel="arch/x86/entry/entry_64.S: user code")
def user_store(s: KeyIds, v: Vma) -> Step:
    """A user writes to his page, with the KeyID of the leaf."""
    page = s.pte[v]
    return Step(when=page.is_some, then=[s.dirty.set((page.value, s.leaf[v]), TRUE)])


@operation(kernel="mm/memory.c: access_process_vm(), copy_to_user_page()")
def store_by_direct_map(s: KeyIds, v: Vma) -> Step:
    """The kernel writes to a user's page by page_address(), with the KeyID of the page."""
    page = s.pte[v]
    key = s.keyid[page.value]
    return Step(when=page.is_some, then=[s.dirty.set((page.value, key), TRUE)])


# VMAs and their pages.


def _fault(*, flushes: bool = True, early: bool = True) -> Procedure:
    """flushes: lines of the old KeyID are flushed.  early: before the KeyID changes."""
    procedure = Procedure(
        "do_anonymous_page",
        kernel="mm/memory.c: do_anonymous_page(); arch/x86/mm/mktme.c: __prep_encrypted_page()",
        doc="Allocate a page for a VMA, give it the KeyID, clear it, map it.",
    )

    @procedure.step(to="prep")
    def alloc_page_vma(s: KeyIds, v: Vma, f: Frame) -> Step:
        """A free page."""
        return Step(
            when=s.pte[v].is_none & zap.idle(s, v) & (s.use[f] == Use.FREE),
            then=[
                s.use.set(f, Use.ANON),
                s.walk.page.set(v, f),
                s.walk.flushes.set(v, Rounds.NONE),
            ],
        )

    def clflush_cache_range(s: KeyIds, v: Vma) -> Step:
        """Lines of the KeyID that page_address() leads to, if the VMA has another."""
        f = s.walk.page[v]
        other = (s.keyid[f] != s.vma_keyid[v]) if flushes else FALSE
        return Step(when=TRUE, then=[*s.flush(f, other), s.counted(v, other)])

    def set_keyid(s: KeyIds, v: Vma) -> Step:
        """lookup_page_ext(page)->keyid."""
        return Step(when=TRUE, then=[s.keyid.set(s.walk.page[v], s.vma_keyid[v])])

    prep = (clflush_cache_range, set_keyid)
    first, last = prep if early else reversed(prep)
    procedure.step(at="prep", to="prep_last")(first)
    procedure.step(at="prep_last", to="clear")(last)

    @procedure.step(at="clear", to="set_pte")
    def clear_highpage(s: KeyIds, v: Vma) -> Step:
        """Zeros, with the KeyID that the page has."""
        f = s.walk.page[v]
        return Step(when=TRUE, then=[s.dirty.set((f, s.keyid[f]), TRUE)])

    @procedure.step(at="set_pte")
    def set_pte_at(s: KeyIds, v: Vma) -> Step:
        """The leaf, with vm_page_prot, which has the KeyID of the VMA."""
        return Step(
            when=TRUE,
            then=[s.pte.set(v, some(s.walk.page[v])), s.leaf.set(v, s.vma_keyid[v])],
        )

    return procedure


def _zap(*, flushes: bool = True, resets: bool = True) -> Procedure:
    """flushes: a page that is freed is flushed.  resets: it gets KeyID 0 again."""
    procedure = Procedure(
        "zap_page_range",
        kernel="mm/memory.c: zap_page_range(); arch/x86/mm/mktme.c: free_encrypted_page()",
        doc="Unmap the page of a VMA, flush it, give it KeyID 0 and free it.",
    )

    @procedure.step
    def zap_pte_range(s: KeyIds, v: Vma) -> Step:
        """The leaf goes, TLBs are flushed (see gather)."""
        page = s.pte[v]
        return Step(
            when=page.is_some & fault.idle(s, v),
            then=[
                s.walk.page.set(v, page.value),
                s.walk.flushes.set(v, Rounds.NONE),
                s.pte.set(v, NONE),
            ],
        )

    @procedure.step
    def clflush_page(s: KeyIds, v: Vma) -> Step:
        """Lines of the KeyID that the page has, if that is not 0."""
        f = s.walk.page[v]
        encrypted = (s.keyid[f] != s.zero[()]) if flushes else FALSE
        return Step(when=TRUE, then=[*s.flush(f, encrypted), s.counted(v, encrypted)])

    @procedure.step
    def reset_keyid(s: KeyIds, v: Vma) -> Step:
        """lookup_page_ext(page)->keyid = 0."""
        zeroed = s.keyid.set(s.walk.page[v], s.zero[()])
        return Step(when=TRUE, then=[zeroed] if resets else [])

    @procedure.step
    def free_page(s: KeyIds, v: Vma) -> Step:
        """The page is the allocator's."""
        return Step(when=TRUE, then=[s.use.set(s.walk.page[v], Use.FREE)])

    return procedure


fault = _fault()
zap = _zap()
ALLOC, PREP, PREP_LAST, CLEAR, SET_PTE = fault.steps
ZAP, CLFLUSH, RESET, FREE = zap.steps

# page_address() follows the KeyID: behind the change it is another line.
fault_flushing_late = _fault(early=False)
fault_without_flush = _fault(flushes=False)
zap_without_flush = _zap(flushes=False)
zap_keeping_keyid = _zap(flushes=False, resets=False)


@operation(kernel="arch/x86/mm/mktme.c: mprotect_set_encrypt(), A. Schofield's encrypt_mprotect()")
def encrypt_mprotect(s: KeyIds, v: Vma, k: KeyId) -> Step:
    """A VMA gets another KeyID when its page is gone."""
    return Step(when=rests(s, v) & s.pte[v].is_none, then=[s.vma_keyid.set(v, k)])


# What dropping the pages is there for.
@operation(
    kernel="mm/mprotect.c: change_pte_range(), with a KeyID in newprot", name="encrypt_mprotect"
)
def encrypt_mprotect_in_place(s: KeyIds, v: Vma, k: KeyId) -> Step:
    """A VMA gets another KeyID, and its leaf as well."""
    return Step(when=rests(s, v), then=[s.vma_keyid.set(v, k), s.leaf.set(v, k)])


@operation(kernel="arch/x86/include/asm/intel_pconfig.h: mktme_key_program(); percpu_ref_is_zero()")
def mktme_key_program(s: KeyIds, k: KeyId) -> Step:
    """PCONFIG programs a key that no VMA has."""
    unused = forall(Vma, lambda v: s.vma_keyid[v] != k)
    return _program(s, k, unused)


# What encrypt_count is there for.
@operation(
    kernel="arch/x86/include/asm/intel_pconfig.h: mktme_key_program()", name="mktme_key_program"
)
def mktme_key_program_anytime(s: KeyIds, k: KeyId) -> Step:
    """PCONFIG programs a key."""
    return _program(s, k, TRUE)


def _program(s: KeyIds, k: KeyId, allowed: Bool) -> Step:
    return Step(when=allowed & (k != s.zero[()]), then=[s.programmed.set(k, ~s.programmed[k])])


# Where free pages keep their KeyID, they may have lines of it.
@operation(
    kernel="arch/x86/include/asm/intel_pconfig.h: mktme_key_program(), after wbinvd_on_all_cpus()",
    name="mktme_key_program",
)
def mktme_key_program_flushed(s: KeyIds, k: KeyId) -> Step:
    """All caches are written back, then PCONFIG programs a key that no VMA has."""
    unused = forall(Vma, lambda v: s.vma_keyid[v] != k)
    return Step(
        when=unused & (k != s.zero[()]),
        then=[
            s.memory.fill(lambda f: k, lambda f: s.dirty[f, k]),
            s.dirty.fill(lambda f, j: FALSE, lambda f, j: j == k),
            s.programmed.set(k, ~s.programmed[k]),
        ],
    )


OPERATIONS = (
    evict,
    alloc_pages,
    free_pages,
    kernel_store,
    user_store,
    store_by_direct_map,
    encrypt_mprotect,
    mktme_key_program,
)
