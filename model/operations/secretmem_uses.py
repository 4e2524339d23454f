"""What the rest of the kernel would do with a secret page, and what keeps it from that.

A page that is not in the direct map is still a page of a file, mapped by a user.  Whoever in the kernel
takes it for an ordinary one reaches for it by its address in the direct map, and faults; or moves its
contents, or drops it.  Each such use has its own veto: a check in the walk, an operation that the file
does not have, a flag of the area or of the mapping.  A user may still give a copy away: write() reads by
the user's own address.  Faults and evictions are one step here (see secretmem for their order).
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Opt,
    Step,
    forall,
    operation,
    some,
)
from ..machine.sorts import Frame, Va
from .secretmem import Contents, DirectMap, Index, Owner, boot_direct_map


class Use(Enumeration):
    """Who is refused."""

    GUP: Use
    READ: Use
    COPY_ON_WRITE: Use
    MIGRATION: Use
    RECLAIM: Use
    CORE_DUMP: Use


class SecretUses(DirectMap):
    """index: the page of the file that an address maps.  mapped: the area exists; private: it is
    MAP_PRIVATE; dumped: it has no VM_DONTDUMP.  evictable: the mapping of the file has no
    AS_UNEVICTABLE.  cache, entry: the page cache, and what users have mapped.  oops: the kernel has
    faulted at an address of the direct map.  refused: history, a use that was refused."""

    index: Fun[Va, Index]
    mapped: Map[Va, Bool]
    private: Map[Va, Bool]
    dumped: Map[Va, Bool]
    open: Map[Index, Bool]
    evictable: Map[Index, Bool]
    cache: Map[Index, Opt[Frame]]
    entry: Map[Va, Bool]
    oops: Map[Frame, Bool]
    refused: Map[Use, Bool]

    def page(self, va: Va) -> Frame:
        """The page that a user has mapped there."""
        return self.cache[self.index[va]].value

    def unmapped(self, i: Index) -> Bool:
        """Nobody maps the page of the file."""
        return forall(Va, lambda va: (self.index[va] != i) | ~self.entry[va])


@operation(kernel="mm/secretmem.c: secretmem_init()")
def boot(s: SecretUses) -> Step:
    """No file exists."""
    return Step(
        when=TRUE,
        then=[
            *boot_direct_map(s),
            s.mapped.fill(lambda va: FALSE),
            s.private.fill(lambda va: FALSE),
            s.dumped.fill(lambda va: FALSE),
            s.open.fill(lambda i: FALSE),
            s.evictable.fill(lambda i: FALSE),
            s.cache.fill(lambda i: NONE),
            s.entry.fill(lambda va: FALSE),
            s.oops.fill(lambda f: FALSE),
            s.refused.fill(lambda use: FALSE),
        ],
    )


# What users do.


def _memfd_secret(s: SecretUses, i: Index, evictable: Bool) -> Step:
    return Step(
        when=~s.open[i],
        then=[s.open.set(i, TRUE), s.evictable.set(i, evictable)],
    )


@operation(kernel="mm/secretmem.c: secretmem_file_create(), mapping_set_unevictable()")
def memfd_secret(s: SecretUses, i: Index) -> Step:
    """A new file, whose pages reclaim leaves alone."""
    return _memfd_secret(s, i, FALSE)


# Why secretmem_file_create() calls mapping_set_unevictable().
@operation(
    kernel="mm/secretmem.c: secretmem_file_create() without AS_UNEVICTABLE", name="memfd_secret"
)
def memfd_secret_evictable(s: SecretUses, i: Index) -> Step:
    """A new file, like any other."""
    return _memfd_secret(s, i, TRUE)


def _mmap(s: SecretUses, va: Va, private: Bool, dumped: Bool) -> Step:
    return Step(
        when=s.open[s.index[va]] & ~s.mapped[va],
        then=[s.mapped.set(va, TRUE), s.private.set(va, private), s.dumped.set(va, dumped)],
    )


@operation(kernel="mm/secretmem.c: secretmem_mmap(), VM_SHARED and VM_DONTDUMP")
def mmap(s: SecretUses, va: Va) -> Step:
    """A shared area, which is in no core dump."""
    return _mmap(s, va, FALSE, FALSE)


@operation(kernel="mm/secretmem.c: secretmem_mmap() of a private area: -EINVAL")
def mmap_private(s: SecretUses, va: Va) -> Step:
    """MAP_PRIVATE is refused."""
    return Step(when=s.open[s.index[va]], then=[s.refused.set(Use.COPY_ON_WRITE, TRUE)])


# Why secretmem_mmap() asks for VM_SHARED.
@operation(
    kernel="mm/secretmem.c: secretmem_mmap() without a look at VM_SHARED", name="mmap_private"
)
def mmap_private_allowed(s: SecretUses, va: Va) -> Step:
    """A private area of the file."""
    return _mmap(s, va, TRUE, FALSE)


# Why secretmem_mmap() sets VM_DONTDUMP; GUP's veto holds without it.
@operation(kernel="mm/secretmem.c: secretmem_mmap() without VM_DONTDUMP", name="mmap")
def mmap_dumped(s: SecretUses, va: Va) -> Step:
    """A shared area like any other."""
    return _mmap(s, va, FALSE, TRUE)


@operation(kernel="mm/secretmem.c: secretmem_fault()")
def secretmem_fault(s: SecretUses, va: Va, f: Frame) -> Step:
    """A user touches a page: a zeroed one, out of the direct map and of all TLBs, becomes the file's."""
    i = s.index[va]
    fresh = s.cache[i].is_none & (s.owner[f] == Owner.FREE)
    found = s.cache[i] == some(f)
    return Step(
        when=s.mapped[va] & ~s.entry[va] & (fresh | found),
        then=[
            s.cache.set(i, some(f)),
            s.entry.set(va, TRUE),
            s.owner.set(f, Owner.SECRET),
            s.contents.fill(lambda g: Contents.ZERO, lambda g: (g == f) & fresh),
            s.present.set(f, FALSE),
            s.tlb.fill(lambda cpu, g: FALSE, lambda cpu, g: g == f),
        ],
    )


@operation(kernel="arch/x86/entry/entry_64.S: user code")
def user_write(s: SecretUses, va: Va) -> Step:
    """A user writes his secret, in a shared area."""
    return Step(
        when=s.entry[va] & ~s.private[va],
        then=[s.contents.set(s.page(va), Contents.SECRET)],
    )


@operation(kernel="mm/memory.c: zap_pte_range()")
def munmap(s: SecretUses, va: Va) -> Step:
    """The area goes."""
    return Step(when=s.mapped[va], then=[s.mapped.set(va, FALSE), s.entry.set(va, FALSE)])


@operation(kernel="lib/usercopy.c: copy_from_user(), by write() and the like")
def copy_from_user(s: SecretUses, va: Va, f: Frame) -> Step:
    """A user has the kernel read by his own address: what he gives away is a secret no more."""
    return Step(
        when=s.entry[va] & (s.owner[f] == Owner.KERNEL),
        then=[s.contents.set(f, Contents.DATA)],
    )


def _freed(s: SecretUses, i: Index) -> Step:
    f = s.cache[i].value
    return Step(
        when=s.cache[i].is_some,
        then=[
            s.cache.set(i, NONE),
            s.entry.fill(lambda va: FALSE, lambda va: s.index[va] == i),
            s.owner.set(f, Owner.FREE),
            s.contents.set(f, Contents.ZERO),
            s.present.set(f, TRUE),
        ],
    )


@operation(
    kernel="mm/secretmem.c: secretmem_release(); mm/truncate.c: truncate_inode_pages_final()"
)
def secretmem_release(s: SecretUses, i: Index) -> Step:
    """Nobody has the file any more: its page is zeroed and free."""
    unused = forall(Va, lambda va: (s.index[va] != i) | ~s.mapped[va])
    freed = _freed(s, i)
    return Step(
        when=s.open[i] & s.cache[i].is_some & unused,
        then=[*freed.then, s.open.set(i, FALSE)],
    )


# What the kernel does with pages, and is refused.


def _touch(s: SecretUses, f: Frame) -> Step:
    """The kernel goes to a page by page_address()."""
    return Step(when=TRUE, then=[s.oops.set(f, s.oops[f] | ~s.present[f])])


@operation(
    kernel="mm/gup.c: check_vma_flags(), follow_page(), for kernel/futex/core.c: get_futex_key(), "
    "fs/splice.c: vmsplice(), mm/process_vm_access.c, kernel/ptrace.c, direct I/O"
)
def get_user_pages(s: SecretUses, va: Va) -> Step:
    """GUP refuses the area: -EFAULT to all of these."""
    return Step(when=s.entry[va], then=[s.refused.set(Use.GUP, TRUE)])


# Why GUP asks vma_is_secretmem().
@operation(kernel="mm/gup.c: check_vma_flags() without vma_is_secretmem()", name="get_user_pages")
def get_user_pages_of_any(s: SecretUses, va: Va) -> Step:
    """GUP returns the page, and its caller reads it."""
    touch = _touch(s, s.page(va))
    return Step(when=s.entry[va], then=touch.then)


@operation(kernel="fs/read_write.c: vfs_read() of a file that has no read_iter: -EINVAL")
def read(s: SecretUses, i: Index) -> Step:
    """The file cannot be read, or spliced from."""
    return Step(when=s.cache[i].is_some, then=[s.refused.set(Use.READ, TRUE)])


# Why secretmem_fops has mmap and release only.
@operation(kernel="mm/filemap.c: generic_file_read_iter(), copy_page_to_iter()", name="read")
def generic_file_read(s: SecretUses, i: Index) -> Step:
    """The page is copied as that of any file."""
    touch = _touch(s, s.cache[i].value)
    return Step(when=s.cache[i].is_some, then=touch.then)


@operation(kernel="mm/memory.c: do_cow_fault(), copy_user_highpage()")
def copy_on_write(s: SecretUses, va: Va) -> Step:
    """A write to a private area copies the page first."""
    touch = _touch(s, s.page(va))
    return Step(when=s.entry[va] & s.private[va], then=touch.then)


@operation(kernel="mm/migrate.c: move_to_new_folio(); mm/secretmem.c: secretmem_migrate_folio()")
def migrate_pages(s: SecretUses, i: Index) -> Step:
    """The page does not migrate: -EBUSY."""
    return Step(when=s.cache[i].is_some, then=[s.refused.set(Use.MIGRATION, TRUE)])


# Why secretmem_aops has migrate_folio.
@operation(
    kernel="mm/migrate.c: fallback_migrate_folio(), folio_migrate_copy()", name="migrate_pages"
)
def migrate_copy(s: SecretUses, i: Index) -> Step:
    """The page is copied as that of any file."""
    touch = _touch(s, s.cache[i].value)
    return Step(when=s.cache[i].is_some, then=touch.then)


@operation(kernel="mm/vmscan.c: shrink_folio_list(), folio_evictable(); __remove_mapping()")
def shrink_folio_list(s: SecretUses, i: Index) -> Step:
    """Reclaim unmaps a page that is evictable and, as it is never dirty, drops it."""
    dropped = _freed(s, i)
    return Step(when=dropped.when & s.evictable[i], then=dropped.then)


@operation(kernel="mm/vmscan.c: check_move_unevictable_folios(), folio_evictable()")
def pass_by(s: SecretUses, i: Index) -> Step:
    """Reclaim puts the page back where it found it."""
    return Step(
        when=s.cache[i].is_some & ~s.evictable[i],
        then=[s.refused.set(Use.RECLAIM, TRUE)],
    )


@operation(kernel="fs/coredump.c: vma_dump_size(), dump_user_range(), get_dump_page()")
def core_dump(s: SecretUses, va: Va) -> Step:
    """The area is not dumped; if it were, GUP would refuse its pages."""
    return Step(when=s.entry[va], then=[s.refused.set(Use.CORE_DUMP, TRUE)])


# Without the two vetoes.
@operation(
    kernel="fs/coredump.c: dump_user_range() with a GUP that refuses nothing", name="core_dump"
)
def core_dump_by_gup(s: SecretUses, va: Va) -> Step:
    """Pages of areas that are dumped are read."""
    touch = _touch(s, s.page(va))
    return Step(when=s.entry[va] & s.dumped[va], then=touch.then)
