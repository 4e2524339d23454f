"""Secret pages and the rest of the kernel.

What it checks: the kernel never goes to a page by an address that is not in the direct map; a page stays
in its file as long as that is open; what a user has mapped is in no direct map and no TLB; each of the
uses that there are was refused.  Invariants 1, 3 and 4 of direct-map removal.
Why it matters: the kernel would crash, or a secret be lost or copied to where nobody expects it.
Kernel precedent: secretmem_aops, secretmem_fops, secretmem_mmap(); vma_is_secretmem() in mm/gup.c.
Smallest counterexample: a file that can be read (secretmem-uses-read).
Not covered: races of these uses with faults and truncation (secretmem, secretmem_gup); hibernation
(secretmem_hibernation); areas that a user registers with devices.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.secretmem import Contents, Index, Owner
from mapproof.model.operations.secretmem_uses import SecretUses, Use


@always
def the_kernel_reaches_what_it_goes_to(s: SecretUses, f: Frame) -> Bool:
    """The kernel has never faulted at a page of the direct map."""
    return ~s.oops[f]


@always
def mapped_pages_have_no_alias(s: SecretUses, va: Va, cpu: Cpu) -> Bool:
    """What a user has mapped is a page of the file, neither in the direct map nor in a TLB."""
    f = s.page(va)
    gone = ~s.present[f] & ~s.tlb[cpu, f]
    return s.entry[va].implies(s.mapped[va] & s.cache[s.index[va]].is_some & gone)


@always
def pages_of_files_have_no_alias(s: SecretUses, i: Index, f: Frame, cpu: Cpu) -> Bool:
    """So it is while nobody has it mapped; the file is open."""
    gone = (s.owner[f] == Owner.SECRET) & ~s.present[f] & ~s.tlb[cpu, f]
    return (s.cache[i] == some(f)).implies(gone & s.open[i])


@always
def pages_are_in_one_file(s: SecretUses, i: Index, j: Index) -> Bool:
    """A page is in one file."""
    return (s.cache[i].is_some & (s.cache[i] == s.cache[j])).implies(i == j)


@always
def areas_are_shared(s: SecretUses, va: Va) -> Bool:
    """An area of a secret file is shared, and of a file that exists."""
    return s.mapped[va].implies(~s.private[va] & s.open[s.index[va]])


@always
def files_are_unevictable(s: SecretUses, i: Index) -> Bool:
    """Reclaim takes nothing from a secret file."""
    return ~s.evictable[i]


@step
def files_keep_their_pages(s: SecretUses, new: SecretUses, i: Index) -> Bool:
    """As long as a file is open its page is the same one, with what a user has written."""
    f = s.cache[i].value
    lost = (s.contents[f] == Contents.SECRET) & (new.contents[f] != Contents.SECRET)
    same = (new.cache[i] == s.cache[i]) & ~lost
    return (s.open[i] & new.open[i] & s.cache[i].is_some).implies(same)


@step
def new_pages_are_zeroed(s: SecretUses, new: SecretUses, i: Index) -> Bool:
    """A page that enters a file is zeroed."""
    entered = s.cache[i].is_none & new.cache[i].is_some
    return entered.implies(new.contents[new.cache[i].value] == Contents.ZERO)


@sometimes
def everybody_is_refused(s: SecretUses, va: Va) -> Bool:
    """A user has a secret, and each of the uses was refused."""
    some_of = s.refused[Use.GUP] & s.refused[Use.READ] & s.refused[Use.COPY_ON_WRITE]
    others = s.refused[Use.MIGRATION] & s.refused[Use.RECLAIM] & s.refused[Use.CORE_DUMP]
    return s.entry[va] & (s.contents[s.page(va)] == Contents.SECRET) & some_of & others


@sometimes
def a_secret_is_given_away(s: SecretUses, va: Va, f: Frame) -> Bool:
    """A user has a secret, and the kernel a page that can be a copy of it."""
    secret = s.entry[va] & (s.contents[s.page(va)] == Contents.SECRET)
    return secret & (s.owner[f] == Owner.KERNEL) & (s.contents[f] == Contents.DATA)


@sometimes
def a_secret_outlives_its_area(s: SecretUses, i: Index, f: Frame) -> Bool:
    """A secret is in the file, and nobody maps it."""
    kept = (s.cache[i] == some(f)) & (s.contents[f] == Contents.SECRET)
    return kept & s.unmapped(i)


@sometimes
def a_page_was_freed(s: SecretUses, f: Frame, cpu: Cpu) -> Bool:
    """A page is free again, zeroed, and in a TLB."""
    zeroed = s.contents[f] == Contents.ZERO
    return (s.owner[f] == Owner.FREE) & s.tlb[cpu, f] & zeroed
