"""Pages of memfd_secret().

What it checks: from before a user has an entry until the file gives it up, no leaf of the direct map
and no TLB leads to a secret page; pages that are not secret are mapped; nobody else gets a page with a
secret in it; pages of open files are charged; a page costs one flush of all CPUs, and finding it none.
Invariants 1, 2, 3 and 8 of direct-map removal.
Why it matters: what reads memory by the kernel's addresses, on purpose or in speculation, must not find
what a user has hidden; and whoever gets the page next takes it for granted that it is mapped.
Kernel precedent: 1507f51255c9 ("mm: introduce memfd_secret system call to create 'secret'
memory areas").
Smallest counterexample: a fault that maps a page which another has just inserted and not yet flushed
(secretmem-unlocked).
Not covered: entries of users in TLBs, lazily unmapped areas (secretmem_vmap), references of GUP
(secretmem_gup), pages that are split (direct_map_split), swap and migration, which are refused.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Mm, Task
from mapproof.model.operations.secretmem import (
    FINISH,
    FLUSH,
    FREE_FOLIO,
    FREE_FOLIO_LAST,
    FREE_PUT,
    INSERT,
    INVALID,
    UNDO,
    UNDO_LAST,
    UNLOCK,
    Contents,
    DirectMap,
    Flushes,
    Index,
    Owner,
    SecretFiles,
    Secretmem,
    SecretmemNoWindow,
    evict,
    is_locking,
    is_private,
    secretmem_fault,
)


@always
def mapped_secrets_have_no_alias(s: SecretFiles, m: Mm, i: Index) -> Bool:
    """What a user has mapped is not in the direct map."""
    entry = s.pte[m, i]
    return entry.is_some.implies(~s.present[entry.value])


@always
def mapped_secrets_are_in_no_tlb(s: SecretFiles, cpu: Cpu, m: Mm, i: Index) -> Bool:
    """No CPU has cached the direct map's leaf of what a user has mapped."""
    entry = s.pte[m, i]
    return entry.is_some.implies(~s.tlb[cpu, entry.value])


@always
def secrets_have_no_alias(s: SecretFiles, cpu: Cpu, i: Index, f: Frame) -> Bool:
    """A page of a file that a user has written to, mapped or not, is neither in the direct map nor in a
    TLB."""
    written = (s.cache[i] == some(f)) & (s.contents[f] == Contents.SECRET)
    return written.implies(~s.present[f] & ~s.tlb[cpu, f])


@always
def no_secret_has_an_alias(s: SecretmemNoWindow, cpu: Cpu, f: Frame) -> Bool:
    """A page with a secret in it, in the file or on its way to the allocator, is neither in the direct
    map nor in a TLB."""
    return (s.contents[f] == Contents.SECRET).implies(~s.present[f] & ~s.tlb[cpu, f])


@always
def other_pages_are_mapped(s: DirectMap, f: Frame) -> Bool:
    """A page that is free or the kernel's is in the direct map."""
    return (s.owner[f] != Owner.SECRET).implies(s.present[f])


@always
def others_get_no_secret(s: DirectMap, f: Frame) -> Bool:
    """A page that is free or the kernel's has no secret in it."""
    return (s.contents[f] == Contents.SECRET).implies(s.owner[f] == Owner.SECRET)


@always
def pages_of_open_files_are_charged(s: SecretFiles, i: Index, f: Frame) -> Bool:
    """As long as a file can be used, its pages are charged."""
    return (s.open[i] & (s.cache[i] == some(f))).implies(s.charged[f])


@always
def only_secret_pages_are_charged(s: SecretFiles, f: Frame) -> Bool:
    """Nobody is charged for a page that is free or the kernel's."""
    return s.charged[f].implies(s.owner[f] == Owner.SECRET)


@always
def cached_pages_are_flushed(s: SecretFiles, cpu: Cpu, i: Index, f: Frame) -> Bool:
    """A page of the page cache that nobody has locked has no alias."""
    ready = (s.cache[i] == some(f)) & ~s.locked[f]
    return ready.implies(~s.present[f] & ~s.tlb[cpu, f])


@always
def cached_pages_are_out_of_the_direct_map(s: SecretFiles, i: Index, f: Frame) -> Bool:
    """A page of the page cache, locked or not, is the file's and not in the direct map."""
    return (s.cache[i] == some(f)).implies((s.owner[f] == Owner.SECRET) & ~s.present[f])


@always
def pages_have_one_index(s: SecretFiles, i: Index, j: Index) -> Bool:
    """A page is in one file, at one index."""
    return (s.cache[i].is_some & (s.cache[i] == s.cache[j])).implies(i == j)


@always
def users_map_the_page_cache(s: SecretFiles, m: Mm, i: Index) -> Bool:
    """What a user has mapped is the page of an open file."""
    entry = s.pte[m, i]
    return entry.is_some.implies(s.open[i] & (s.cache[i] == entry))


@always
def faults_are_of_open_files(s: SecretFiles, t: Task) -> Bool:
    """A task in a fault has the file mapped, and what a file is opened for can be done."""
    return secretmem_fault.idle(s, t) | s.open[s.fault.index[t]]


@always
def files_are_where_the_direct_map_can_be_set(s: SecretFiles, i: Index) -> Bool:
    """A file exists only where pages can be taken out of the direct map."""
    return s.open[i].implies(s.can_set[()])


@always
def new_pages_are_private(s: SecretFiles, t: Task, i: Index) -> Bool:
    """A page that a fault prepares, or gives up, is zeroed, unlocked and in no file."""
    f = s.fault.page[t]
    new = (s.owner[f] == Owner.SECRET) & (s.contents[f] == Contents.ZERO) & ~s.locked[f]
    return is_private(s, t).implies(new & (s.cache[i] != some(f)))


@always
def new_pages_have_one_task(s: SecretFiles, a: Task, b: Task) -> Bool:
    """No two tasks prepare or evict one page, and nobody prepares a page that another evicts."""
    faults = is_private(s, a) & is_private(s, b) & (s.fault.page[a] == s.fault.page[b])
    evicts = ~evict.idle(s, a) & ~evict.idle(s, b) & (s.evict.page[a] == s.evict.page[b])
    both = is_private(s, a) & ~evict.idle(s, b) & (s.fault.page[a] == s.evict.page[b])
    return (faults | evicts).implies(a == b) & ~both


@always
def new_pages_leave_the_direct_map(s: SecretFiles, t: Task) -> Bool:
    """A page that a fault prepares is mapped until it is charged, then not, until it is given up."""
    f, inserting = s.fault.page[t], secretmem_fault.at(s, t, INSERT)
    out = inserting | secretmem_fault.at(s, t, UNDO)
    return is_private(s, t).implies(s.present[f] == ~out)


@always
def new_pages_are_charged(s: SecretFiles, t: Task) -> Bool:
    """A page is charged before it leaves the direct map, and when it is given up no more."""
    charged = secretmem_fault.at(s, t, INVALID) | secretmem_fault.at(s, t, INSERT)
    return is_private(s, t).implies(s.charged[s.fault.page[t]] == charged)


@always
def faults_map_the_page_that_they_lock(s: SecretFiles, t: Task) -> Bool:
    """A fault that has found or inserted the page has it locked until it is mapped."""
    f = s.fault.page[t]
    return is_locking(s, t).implies(s.locked[f] & (s.cache[s.fault.index[t]] == some(f)))


@always
def pages_are_locked_by_one_task(s: SecretFiles, a: Task, b: Task) -> Bool:
    """Two faults have two pages locked."""
    both = is_locking(s, a) & is_locking(s, b) & (s.fault.page[a] == s.fault.page[b])
    return both.implies(a == b)


@always
def locked_pages_have_a_task(s: SecretFiles, f: Frame) -> Bool:
    """A locked page is in a file that is open: somebody is in a fault for it."""
    return s.locked[f].implies(exists(Task, lambda t: is_locking(s, t) & (s.fault.page[t] == f)))


@always
def pages_are_not_used_before_the_flush(s: SecretFiles, t: Task, m: Mm) -> Bool:
    """Until the CPUs have been asked, the page that a fault has inserted is zeroed and unmapped."""
    f = s.fault.page[t]
    unused = (s.contents[f] == Contents.ZERO) & s.pte[m, s.fault.index[t]].is_none
    early = secretmem_fault.at(s, t, FLUSH)
    waits = exists(Cpu, lambda cpu: s.fault.waits_for[t, cpu])
    return (early | waits).implies(unused)


@always
def who_has_answered_has_no_entry(s: SecretFiles, t: Task, cpu: Cpu) -> Bool:
    """A CPU that need not flush for a fault has no entry of its page; others are waited for."""
    mapping = secretmem_fault.at(s, t, FINISH) | secretmem_fault.at(s, t, UNLOCK)
    waits = s.fault.waits_for[t, cpu]
    gone = (mapping & ~waits).implies(~s.tlb[cpu, s.fault.page[t]])
    return gone & waits.implies(secretmem_fault.at(s, t, FINISH))


@always
def evicted_pages_are_nowhere(s: SecretFiles, t: Task, i: Index) -> Bool:
    """A page that is evicted is in no file, uncharged and unlocked."""
    f = s.evict.page[t]
    alone = (s.owner[f] == Owner.SECRET) & ~s.locked[f] & ~s.charged[f]
    return evict.idle(s, t) | (alone & (s.cache[i] != some(f)))


@always
def evicted_pages_come_back(s: SecretFiles, t: Task) -> Bool:
    """An evicted page is mapped and zeroed when it is freed."""
    f = s.evict.page[t]
    ready = s.present[f] & (s.contents[f] == Contents.ZERO)
    return evict.at(s, t, FREE_PUT).implies(ready)


@always
def pages_are_mapped_to_be_zeroed(s: Secretmem, t: Task) -> Bool:
    """The kernel zeroes a page by the direct map when it is there."""
    return evict.at(s, t, FREE_FOLIO_LAST).implies(s.present[s.evict.page[t]])


@always
def pages_are_zeroed_to_be_mapped(s: SecretmemNoWindow, t: Task) -> Bool:
    """A page comes back into the direct map when it is zeroed."""
    return evict.at(s, t, FREE_FOLIO_LAST).implies(s.contents[s.evict.page[t]] == Contents.ZERO)


@always
def closed_files_are_not_charged(s: SecretFiles, i: Index, f: Frame) -> Bool:
    """A page of a file that nobody has open is charged to nobody, and not locked."""
    left = ~s.open[i] & (s.cache[i] == some(f))
    return left.implies(~s.charged[f] & ~s.locked[f])


@always
def a_fault_flushes_at_most_once(s: SecretFiles, t: Task) -> Bool:
    """A fault asks all CPUs to flush at most once."""
    asked = secretmem_fault.at(s, t, FINISH) | secretmem_fault.at(s, t, UNLOCK)
    never, again = s.fault.flushes[t] == Flushes.NEVER, s.fault.flushes[t] == Flushes.AGAIN
    return secretmem_fault.idle(s, t) | never | (asked & ~again)


@always
def who_loses_the_race_has_not_flushed(s: SecretFiles, t: Task) -> Bool:
    """A fault that gives its page up has interrupted no CPU: flushes are of pages that stay."""
    lost = secretmem_fault.at(s, t, UNDO) | secretmem_fault.at(s, t, UNDO_LAST)
    return lost.implies(s.fault.flushes[t] == Flushes.NEVER)


@step
def leaves_change_one_at_a_time(s: DirectMap, new: DirectMap, f: Frame, g: Frame) -> Bool:
    """A step takes one page out of the direct map, or puts one in, and no other changes."""
    both = (s.present[f] != new.present[f]) & (s.present[g] != new.present[g])
    return both.implies(f == g)


@step
def users_get_pages_that_are_flushed(
    s: SecretFiles, new: SecretFiles, m: Mm, i: Index, cpu: Cpu
) -> Bool:
    """When a user gets an entry, no CPU has the page in its TLB any more."""
    entry = new.pte[m, i]
    return (s.pte[m, i].is_none & entry.is_some).implies(~s.tlb[cpu, entry.value])


@step
def secrets_stay_where_they_are(s: SecretFiles, new: SecretFiles, i: Index, f: Frame) -> Bool:
    """As long as a file is open, its page is the same one."""
    return (s.open[i] & (s.cache[i] == some(f))).implies(new.cache[i] == some(f))


@sometimes
def a_secret_is_used(s: SecretFiles, m: Mm, i: Index, f: Frame) -> Bool:
    """A user has written to a page, which is charged and nobody's to touch."""
    mapped = (s.pte[m, i] == some(f)) & ~s.locked[f] & s.charged[f]
    return mapped & (s.contents[f] == Contents.SECRET)


@sometimes
def an_entry_outlives_the_leaf(s: SecretFiles, t: Task, cpu: Cpu) -> Bool:
    """Between the leaf and the flush a CPU still has the page of a fault, which is in the page cache."""
    return secretmem_fault.at(s, t, FINISH) & s.tlb[cpu, s.fault.page[t]]


@sometimes
def a_race_is_lost(s: SecretFiles, t: Task) -> Bool:
    """A fault puts its page back, since another has inserted one."""
    return secretmem_fault.at(s, t, UNDO_LAST) & s.cache[s.fault.index[t]].is_some


@sometimes
def a_page_is_found_without_a_flush(s: SecretFiles, t: Task) -> Bool:
    """A fault has mapped a page and flushed nothing."""
    return secretmem_fault.at(s, t, UNLOCK) & (s.fault.flushes[t] == Flushes.NEVER)


@sometimes
def a_page_costs_a_flush(s: SecretFiles, t: Task) -> Bool:
    """A fault has mapped a page and had all CPUs flush it."""
    return secretmem_fault.at(s, t, UNLOCK) & (s.fault.flushes[t] == Flushes.ONCE)


@sometimes
def a_secret_waits_for_its_file(s: SecretFiles, i: Index, f: Frame) -> Bool:
    """No process maps a page any more, and its secret is still in the file."""
    kept = s.open[i] & (s.cache[i] == some(f)) & (s.contents[f] == Contents.SECRET)
    return kept & ~exists(Mm, lambda m: s.pte[m, i].is_some)


@sometimes
def a_secret_is_about_to_be_zeroed(s: SecretFiles, t: Task) -> Bool:
    """A file is gone, and its page has the secret in it; once zeroed it can be seen again."""
    leaving = evict.at(s, t, FREE_FOLIO) | evict.at(s, t, FREE_FOLIO_LAST)
    return leaving & (s.contents[s.evict.page[t]] == Contents.SECRET)


@sometimes
def a_page_comes_back(s: SecretFiles, t: Task, cpu: Cpu) -> Bool:
    """A page that was secret is mapped, zeroed and in a TLB before it is freed."""
    f = s.evict.page[t]
    return evict.at(s, t, FREE_PUT) & s.present[f] & s.tlb[cpu, f]


@sometimes
def a_page_is_used_by_the_kernel(s: DirectMap, f: Frame) -> Bool:
    """The kernel has written to a page of its own."""
    return (s.owner[f] == Owner.KERNEL) & (s.contents[f] == Contents.DATA)
