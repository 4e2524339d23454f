"""Secret pages and vmap areas.

What it checks: no area, and no entry that a CPU has cached of one, mapped or unmapped lazily, leads to
a page that a user has.  Invariant 1 of direct-map removal, for vmap.
Why it matters: an address of the kernel's that nobody uses any more still reads the secret, in
speculation if not otherwise.
Kernel precedent: vm_unmap_aliases() in change_page_attr_set_clr(), which
set_direct_map_invalid_noflush() does not pass.
Smallest counterexample: a page that was in an area is freed and becomes secret (secretmem-vmap-merged).
Not covered: vmap blocks (vmap_blocks), the purge in full (lazy_purge), the direct map (secretmem).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Task, Va
from mapproof.model.operations.secretmem import Owner
from mapproof.model.operations.secretmem_vmap import (
    FINISH,
    INVALID,
    SecretAreas,
    secretmem_fault,
)
from mapproof.model.operations.vmalloc import Area


@always
def secrets_are_in_no_area(s: SecretAreas, va: Va, f: Frame) -> Bool:
    """No vmap area maps a page that a user has."""
    return s.used[f].implies(s.page[va] != some(f))


@always
def secrets_are_in_no_area_entry(s: SecretAreas, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """No CPU has an entry of an area, mapped or not, that leads to a page that a user has."""
    return s.used[f].implies(s.area_tlb[cpu, va] != some(f))


@always
def users_have_secret_pages(s: SecretAreas, f: Frame) -> Bool:
    """What a user has is a page of a secret file."""
    return s.used[f].implies(s.owner[f] == Owner.SECRET)


@always
def areas_map_pages_of_the_kernel(s: SecretAreas, va: Va) -> Bool:
    """An area that is in use, and no other, maps a page, which is the kernel's."""
    mapped = s.page[va].is_some
    kernel = s.owner[s.page[va].value] == Owner.KERNEL
    return (mapped == (s.area[va] == Area.BUSY)) & mapped.implies(kernel)


@always
def area_entries_are_of_areas(s: SecretAreas, cpu: Cpu, va: Va) -> Bool:
    """A CPU has cached of an area what it maps, or what it mapped if it waits for the purge."""
    entry, area = s.area_tlb[cpu, va], s.area[va]
    good = (area == Area.LAZY) | ((area == Area.BUSY) & (entry == s.page[va]))
    return entry.is_some.implies(good)


@always
def faults_prepare_secret_pages(s: SecretAreas, t: Task, u: Task) -> Bool:
    """A fault prepares a page that no user has yet, and no other fault does."""
    f = s.fault.page[t]
    both = ~secretmem_fault.idle(s, t) & ~secretmem_fault.idle(s, u) & (s.fault.page[u] == f)
    new = (s.owner[f] == Owner.SECRET) & ~s.used[f]
    return (secretmem_fault.idle(s, t) | new) & both.implies(t == u)


@always
def areas_are_flushed_before_a_page_is_secret(s: SecretAreas, t: Task, cpu: Cpu, va: Va) -> Bool:
    """A CPU that has answered has no entry of an area for the page, until a user has it."""
    asked = secretmem_fault.at(s, t, INVALID) | secretmem_fault.at(s, t, FINISH)
    waits = s.fault.waits_for[t, cpu]
    gone = s.area_tlb[cpu, va] != some(s.fault.page[t])
    return (asked & ~waits).implies(gone) & waits.implies(secretmem_fault.at(s, t, INVALID))


@step
def entries_go_with_a_flush(old: SecretAreas, new: SecretAreas, cpu: Cpu, va: Va) -> Bool:
    """An entry of an area is gone only when the area was unmapped before."""
    gone = old.area_tlb[cpu, va].is_some & new.area_tlb[cpu, va].is_none
    return gone.implies(old.area[va] == Area.LAZY)


@sometimes
def a_free_page_is_in_a_tlb(s: SecretAreas, cpu: Cpu, va: Va, f: Frame) -> Bool:
    """A page is free, and a CPU still reaches it by an area that was unmapped lazily."""
    return (s.owner[f] == Owner.FREE) & (s.area_tlb[cpu, va] == some(f))


@sometimes
def a_user_has_a_page_that_was_in_an_area(s: SecretAreas, va: Va, f: Frame) -> Bool:
    """A user has a page, and an area waits for its purge."""
    return s.used[f] & (s.area[va] == Area.LAZY)


@sometimes
def an_area_is_used(s: SecretAreas, cpu: Cpu, va: Va) -> Bool:
    """A CPU has an entry of an area that is in use."""
    return (s.area[va] == Area.BUSY) & (s.area_tlb[cpu, va] == s.page[va])
