"""memfd_secret(): pages of a file that the kernel takes out of its direct map before a user sees them.

A fault allocates a zeroed page, charges it, clears its leaf of the direct map and puts it into the page
cache, locked; then one page of the direct map is flushed on every CPU, and only then does the user get
an entry.  Who loses the race for the page cache puts his page back into the direct map and looks again.
The page comes back when the file is gone: into the direct map, zeroed by it, to the allocator.  A page
of a file, by inode and index, is as if it had a file of its own.
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
from ..machine.sorts import Cpu, Frame, Mm, Task


class Index(Sort):
    """A page of a file: the inode, and the index in its page cache."""


class Owner(Enumeration):
    """Whose a page is: the allocator's, the kernel's for whatever use, a secret file's (also while a
    fault prepares it)."""

    FREE: Owner
    KERNEL: Owner
    SECRET: Owner


class Contents(Enumeration):
    """What is in a page: zeros, data of the kernel's, what users of a secret file wrote."""

    ZERO: Contents
    DATA: Contents
    SECRET: Contents


class Flushes(Enumeration):
    """How often a fault has asked all CPUs to flush."""

    NEVER: Flushes
    ONCE: Flushes
    AGAIN: Flushes


class Fault(Locals):
    """The locals of a fault: the process, the page of the file, the page of memory, CPUs that have not
    answered.  flushes: history, for claims about costs."""

    mm: Map[Task, Mm]
    index: Map[Task, Index]
    page: Map[Task, Frame]
    waits_for: Map[tuple[Task, Cpu], Bool]
    flushes: Map[Task, Flushes]


class Evict(Locals):
    """The local of an eviction: the page that it is at."""

    page: Map[Task, Frame]


class DirectMap(State):
    """present: the leaf of a page in the direct map is P and RW; tlb: a CPU has cached it so."""

    owner: Map[Frame, Owner]
    contents: Map[Frame, Contents]
    present: Map[Frame, Bool]
    tlb: Map[tuple[Cpu, Frame], Bool]


class SecretFiles(DirectMap):
    """open: somebody has the file open or mapped.  cache: the page cache; locked: the page lock.
    charged: the page counts against RLIMIT_MEMLOCK.  pte: entries of processes.
    can_set: the architecture can change single pages of its direct map."""

    open: Map[Index, Bool]
    cache: Map[Index, Opt[Frame]]
    locked: Map[Frame, Bool]
    charged: Map[Frame, Bool]
    pte: Map[tuple[Mm, Index], Opt[Frame]]
    can_set: Fun[tuple[()], Bool]
    fault: Fault
    evict: Evict

    def answered(self, t: Task) -> Bool:
        """Every CPU has flushed for that task."""
        return forall(Cpu, lambda cpu: ~self.fault.waits_for[t, cpu])


class Secretmem(SecretFiles):
    """The same, for claims about a page that is zeroed by the direct map."""


class SecretmemNoWindow(SecretFiles):
    """The same, for the claim that a secret is never in the direct map, not even to be zeroed."""


def boot_direct_map(s: DirectMap) -> list[Update]:
    """Pages are free and mapped, and have anything but secrets in them."""
    return [
        s.owner.fill(lambda f: Owner.FREE),
        s.contents.fill(lambda f: Contents.DATA),
        s.present.fill(lambda f: TRUE),
        s.tlb.fill(lambda cpu, f: FALSE),
    ]


@operation(kernel="mm/secretmem.c: secretmem_init()")
def boot(s: SecretFiles) -> Step:
    """No file exists."""
    return Step(
        when=TRUE,
        then=[
            *boot_direct_map(s),
            s.open.fill(lambda i: FALSE),
            s.cache.fill(lambda i: NONE),
            s.locked.fill(lambda f: FALSE),
            s.charged.fill(lambda f: FALSE),
            s.pte.fill(lambda m, i: NONE),
            s.fault.waits_for.fill(lambda t, cpu: FALSE),
        ],
    )


# The machine, and the rest of the kernel.


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: DirectMap, cpu: Cpu, f: Frame) -> Step:
    """A CPU caches a page of the direct map, needed or not."""
    return Step(when=s.present[f], then=[s.tlb.set((cpu, f), TRUE)])


@operation(kernel="mm/page_alloc.c: __alloc_pages()")
def allocate(s: DirectMap, f: Frame) -> Step:
    """The kernel takes a free page."""
    return Step(when=s.owner[f] == Owner.FREE, then=[s.owner.set(f, Owner.KERNEL)])


@operation(kernel="arch/x86/lib/memcpy_64.S: memcpy()")
def write_data(s: DirectMap, f: Frame) -> Step:
    """The kernel writes to a page of its own by the direct map."""
    return Step(
        when=(s.owner[f] == Owner.KERNEL) & s.present[f],
        then=[s.contents.set(f, Contents.DATA)],
    )


@operation(kernel="mm/page_alloc.c: __free_pages()")
def free_page(s: DirectMap, f: Frame) -> Step:
    """The kernel gives a page of its own back."""
    return Step(when=s.owner[f] == Owner.KERNEL, then=[s.owner.set(f, Owner.FREE)])


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: SecretFiles, cpu: Cpu, t: Task) -> Step:
    """The IPI arrives: the CPU drops what it has of that page of the direct map."""
    return Step(
        when=s.fault.waits_for[t, cpu],
        then=[s.tlb.set((cpu, s.fault.page[t]), FALSE), s.fault.waits_for.set((t, cpu), FALSE)],
    )


# Files and their users.


def _open(s: SecretFiles, i: Index, allowed: Bool) -> Step:
    return Step(
        when=allowed & ~s.open[i] & s.cache[i].is_none,
        then=[s.open.set(i, TRUE)],
    )


@operation(kernel="mm/secretmem.c: memfd_secret(), can_set_direct_map()")
def memfd_secret(s: SecretFiles, i: Index) -> Step:
    """A new file, where single pages can be taken out of the direct map."""
    return _open(s, i, s.can_set[()])


# D-04: arm64 maps its direct map with blocks, and set_direct_map_invalid_noflush() does nothing then.
@operation(
    kernel="mm/secretmem.c: memfd_secret() before 532b53cebe58",
    name="memfd_secret",
)
def memfd_secret_anywhere(s: SecretFiles, i: Index) -> Step:
    """A new file, whatever the architecture can do."""
    return _open(s, i, TRUE)


@operation(kernel="arch/x86/entry/entry_64.S: user code")
def user_write(s: SecretFiles, m: Mm, i: Index) -> Step:
    """A user writes his secret."""
    entry = s.pte[m, i]
    return Step(when=entry.is_some, then=[s.contents.set(entry.value, Contents.SECRET)])


@operation(kernel="mm/memory.c: zap_pte_range()")
def munmap(s: SecretFiles, m: Mm, i: Index) -> Step:
    """A process unmaps the page, or exits; the page stays in the file."""
    return Step(when=s.pte[m, i].is_some, then=[s.pte.set((m, i), NONE)])


# D-06: pages were charged as the mm's locked memory, by mmap() and munmap().
@operation(kernel="mm/mmap.c: munmap() of a VM_LOCKED area", name="munmap")
def munmap_uncharges(s: SecretFiles, m: Mm, i: Index) -> Step:
    """A process unmaps the page, and is charged for it no more."""
    entry = s.pte[m, i]
    return Step(
        when=entry.is_some, then=[s.pte.set((m, i), NONE), s.charged.set(entry.value, FALSE)]
    )


@operation(kernel="mm/secretmem.c: secretmem_release(), secretmem_unaccount_all_folios()")
def secretmem_release(s: SecretFiles, i: Index) -> Step:
    """The last user of the file is gone, no area maps it: all that was charged for it is given back."""
    unmapped = forall(Mm, lambda m: s.pte[m, i].is_none)
    no_fault = forall(Task, lambda t: secretmem_fault.idle(s, t) | (s.fault.index[t] != i))
    return Step(
        when=s.open[i] & unmapped & no_fault,
        then=[
            s.open.set(i, FALSE),
            s.charged.fill(lambda f: FALSE, lambda f: s.cache[i] == some(f)),
        ],
    )


def _secretmem_fault(
    *, waits_for_lock: bool = True, flushes_early: bool = False, frees_early: bool = False
) -> Procedure:
    """waits_for_lock: who finds the page waits until nobody has it locked.  flushes_early: the flush
    comes before the page cache.  frees_early: a page that is given up is freed, then put back into the
    direct map."""
    procedure = Procedure(
        "secretmem_fault",
        kernel="mm/secretmem.c: secretmem_fault(); mm/memory.c: __do_fault(), finish_fault()",
        doc="Find the page of the file or make one without an alias, then map it.",
    )

    def free(s: SecretFiles, t: Task) -> Update:
        return s.owner.set(s.fault.page[t], Owner.FREE)

    @procedure.step(to="lookup")
    def begin(s: SecretFiles, t: Task, m: Mm, i: Index) -> Step:
        """A process touches a page of a file that it maps."""
        return Step(
            when=s.open[i],
            then=[
                s.fault.mm.set(t, m),
                s.fault.index.set(t, i),
                s.fault.flushes.set(t, Flushes.NEVER),
            ],
        )

    @procedure.step(at="lookup", to="finish_fault")
    def find_lock_page(s: SecretFiles, t: Task) -> Step:
        """The page is in the page cache: lock it, when whoever has it locked is done."""
        found = s.cache[s.fault.index[t]]
        unlocked = ~s.locked[found.value] if waits_for_lock else TRUE
        return Step(
            when=found.is_some & unlocked,
            then=[s.fault.page.set(t, found.value), s.locked.set(found.value, TRUE)],
        )

    @procedure.step(at="lookup", to="account")
    def alloc_page(s: SecretFiles, t: Task, f: Frame) -> Step:
        """It is not: allocate a page, zeroed by the direct map."""
        absent = s.cache[s.fault.index[t]].is_none
        return Step(
            when=absent & (s.owner[f] == Owner.FREE),
            then=[
                s.fault.page.set(t, f),
                s.owner.set(f, Owner.SECRET),
                s.contents.set(f, Contents.ZERO),
            ],
        )

    @procedure.step(at="lookup", to=Procedure.DONE)
    def give_up(s: SecretFiles, t: Task) -> Step:
        """No memory, or the page cache has failed before."""
        return Step(when=TRUE)

    @procedure.step(at="account", to="invalid")
    def account_folio(s: SecretFiles, t: Task) -> Step:
        """Charge the page."""
        return Step(when=TRUE, then=[s.charged.set(s.fault.page[t], TRUE)])

    @procedure.step(at="account", to=Procedure.DONE)
    def over_limit(s: SecretFiles, t: Task) -> Step:
        """RLIMIT_MEMLOCK: free the page, SIGBUS."""
        return Step(when=TRUE, then=[free(s, t)])

    @procedure.step(at="invalid", to="flush" if flushes_early else "insert")
    def set_direct_map_invalid(s: SecretFiles, t: Task) -> Step:
        """Clear the leaf, where the architecture can; CPUs may still have it cached."""
        f = s.fault.page[t]
        return Step(when=TRUE, then=[s.present.set(f, s.present[f] & ~s.can_set[()])])

    @procedure.step(at="invalid", to=Procedure.DONE)
    def split_fails(s: SecretFiles, t: Task) -> Step:
        """No memory to split a large page: give back what was charged, free the page."""
        return Step(when=TRUE, then=[s.charged.set(s.fault.page[t], FALSE), free(s, t)])

    @procedure.step(at="insert", to="finish_fault" if flushes_early else "flush")
    def add_to_page_cache_lru(s: SecretFiles, t: Task) -> Step:
        """Mark the page up to date and insert it, locked."""
        f, i = s.fault.page[t], s.fault.index[t]
        return Step(
            when=s.cache[i].is_none & (s.answered(t) if flushes_early else TRUE),
            then=[s.cache.set(i, some(f)), s.locked.set(f, TRUE)],
        )

    @procedure.step(at="insert", to="undo")
    def insert_fails(s: SecretFiles, t: Task) -> Step:
        """-EEXIST as somebody else was faster, or another error: give back what was charged."""
        answered = s.answered(t) if flushes_early else TRUE
        return Step(when=answered, then=[s.charged.set(s.fault.page[t], FALSE)])

    def set_direct_map_default(s: SecretFiles, t: Task) -> Step:
        """Set the leaf; nothing needs to be split, so that this cannot fail."""
        return Step(when=TRUE, then=[s.present.set(s.fault.page[t], TRUE)])

    def put_page(s: SecretFiles, t: Task) -> Step:
        """Free the page; look again when it is given up."""
        return Step(when=TRUE, then=[free(s, t)])

    undo = (set_direct_map_default, put_page)
    first, last = reversed(undo) if frees_early else undo
    procedure.step(at="undo", to="undo_last")(first)
    procedure.step(at="undo_last", to="lookup")(last)

    @procedure.step(at="flush", to="insert" if flushes_early else "finish_fault")
    def flush_tlb_kernel_range(s: SecretFiles, t: Task) -> Step:
        """Ask every CPU, this one as well, to flush one page of the direct map."""
        more = ite(s.fault.flushes[t] == Flushes.NEVER, Flushes.ONCE, Flushes.AGAIN)
        return Step(
            when=TRUE,
            then=[
                s.fault.waits_for.fill(lambda by, cpu: TRUE, lambda by, cpu: by == t),
                s.fault.flushes.set(t, more),
            ],
        )

    @procedure.step(at="finish_fault", to="unlock_page")
    def finish_fault(s: SecretFiles, t: Task) -> Step:
        """When all have answered, the fault returns the locked page, and the core maps it."""
        key = (s.fault.mm[t], s.fault.index[t])
        return Step(when=s.answered(t), then=[s.pte.set(key, some(s.fault.page[t]))])

    @procedure.step(at="unlock_page", to=Procedure.DONE)
    def unlock_page(s: SecretFiles, t: Task) -> Step:
        """Whoever waits for the page may have it."""
        return Step(when=TRUE, then=[s.locked.set(s.fault.page[t], FALSE)])

    return procedure


secretmem_fault = _secretmem_fault()

(
    BEGIN,
    LOOKUP,
    ALLOC,
    GIVE_UP,
    ACCOUNT,
    OVER_LIMIT,
    INVALID,
    SPLIT_FAILS,
    INSERT,
    INSERT_FAILS,
    UNDO,
    UNDO_LAST,
    FLUSH,
    FINISH,
    UNLOCK,
) = secretmem_fault.steps

# D-15: somebody else's page was not in the direct map, until it was put back.
secretmem_fault_freed_early = _secretmem_fault(frees_early=True)
# The page lock is what a second fault waits for, until the flush of the first is over.
secretmem_fault_unlocked = _secretmem_fault(waits_for_lock=False)
# D-10-race: a fault that loses the race would have flushed for nothing.
secretmem_fault_early_flush = _secretmem_fault(flushes_early=True)


def _evict(*, default: bool = True, zero: bool = True, window: bool = True) -> Procedure:
    """Whether the page comes back into the direct map, is zeroed, and is zeroed by the direct map."""
    procedure = Procedure(
        "evict",
        kernel="mm/truncate.c: truncate_inode_pages_final(); mm/secretmem.c: secretmem_free_folio()",
        doc="Take a page out of a file that is gone, put it back into the direct map, free it.",
    )

    @procedure.step(to="free_folio")
    def truncate_inode_pages(s: SecretFiles, t: Task, i: Index) -> Step:
        """Nobody has the file any more: its page leaves the page cache."""
        return Step(
            when=~s.open[i] & s.cache[i].is_some,
            then=[s.evict.page.set(t, s.cache[i].value), s.cache.set(i, NONE)],
        )

    def set_direct_map_default(s: SecretFiles, t: Task) -> Step:
        """Set the leaf."""
        return Step(when=TRUE, then=[s.present.set(s.evict.page[t], TRUE)] if default else [])

    def folio_zero_segment(s: SecretFiles, t: Task) -> Step:
        """Zero the page, by the direct map or by a mapping of this CPU's."""
        cleared = s.contents.set(s.evict.page[t], Contents.ZERO)
        return Step(when=TRUE, then=[cleared] if zero else [])

    free_folio = (set_direct_map_default, folio_zero_segment)
    first, last = free_folio if window else reversed(free_folio)
    procedure.step(at="free_folio", to="free_folio_last")(first)
    procedure.step(at="free_folio_last", to="put_page")(last)

    @procedure.step(at="put_page")
    def put_page(s: SecretFiles, t: Task) -> Step:
        """The allocator gets the page."""
        return Step(when=TRUE, then=[s.owner.set(s.evict.page[t], Owner.FREE)])

    return procedure


evict = _evict()

TRUNCATE, FREE_FOLIO, FREE_FOLIO_LAST, FREE_PUT = evict.steps

# What secretmem_free_folio() is there for: the page is the kernel's again, and nobody reads the secret.
evict_without_default = _evict(default=False)
evict_without_zeroing = _evict(zero=False)
# D-16: zeroed by a mapping of this CPU's alone (as text_poke() has one), and only then mapped.
evict_zeroed_first = _evict(window=False)


def is_private(s: SecretFiles, t: Task) -> Bool:
    """The task has a page that nobody else has seen: it prepares it, or gives it up again."""
    before = secretmem_fault.at(s, t, ACCOUNT) | secretmem_fault.at(s, t, INVALID)
    after = secretmem_fault.at(s, t, UNDO) | secretmem_fault.at(s, t, UNDO_LAST)
    return before | secretmem_fault.at(s, t, INSERT) | after


def is_locking(s: SecretFiles, t: Task) -> Bool:
    """The task has a page of the page cache locked."""
    mapping = secretmem_fault.at(s, t, FINISH) | secretmem_fault.at(s, t, UNLOCK)
    return secretmem_fault.at(s, t, FLUSH) | mapping
