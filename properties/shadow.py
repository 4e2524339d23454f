"""What the shadow page tables may map.

What it checks: every page that a shadow PGD reaches is one that user mode may have, at the address
where the kernel has it; the interface that fills the shadow is used on kernel addresses only, by
kernel code, and with the flags that pages of both halves have.
Why it matters: the shadow is what user code runs on; a page too many there can be read by Meltdown,
and a second physical page at a kernel address means that the kernel and its entry code disagree.
Kernel precedent: review of "[PATCH 00/23] KAISER: unmap most of the kernel from userspace page
tables", L. Torvalds, 1 November 2017.
Smallest counterexample: kaiser_add_mapping() of any page of the direct map (kaiser-v1).
Not covered: TLB contents, large leaves in the shadow, completeness (that all entry code is mapped).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, forall, sometimes, step
from mapproof.model.machine.cpu import Mode
from mapproof.model.machine.sorts import Cpu, Mm, Pte, PteSlot, Va
from mapproof.model.machine.tables import walk
from mapproof.model.operations.kaiser import (
    PAGE_KERNEL,
    PAGE_SHADOW,
    PAGE_USER,
    Kaiser,
    Owner,
    Repaired,
    TableUse,
)


@always
def shadow_maps_only_allowed(s: Kaiser, m: Mm, va: Va) -> Bool:
    """The shadow maps user pages in the user half, and in the kernel half only entry pages."""
    found = walk(s, s.shadow_pgd[m], va).frame
    owner = s.owner[found.value]
    user = s.is_user(va).implies(owner == Owner.USER)
    kernel = (~s.is_user(va)).implies(owner == Owner.ENTRY)
    return found.is_some.implies(user & kernel)


@always
def same_address_same_page(s: Kaiser, m: Mm, va: Va) -> Bool:
    """Where the shadow maps a kernel address, the kernel maps it too, to the same physical page."""
    shadow, kernel = walk(s, s.shadow_pgd[m], va), walk(s, s.kernel_pgd[m], va)
    return (~s.is_user(va) & shadow.present).implies(shadow.frame == kernel.frame)


@always
def interface_used_on_kernel_addresses(s: Kaiser, va: Va) -> Bool:
    """Nobody hands a user address to kaiser_add_mapping()."""
    return s.added[va].implies(~s.is_user(va))


@always
def shadow_kernel_half_is_supervisor(s: Kaiser, m: Mm, va: Va) -> Bool:
    """No leaf of the shadow's kernel half has US: upper levels are not relied on to take it away."""
    top = s.pgd.entry(s.shadow_pgd[m], s.pgd_index[va])
    leaf = s.pte.entry(top.table.value, s.pte_index[va])
    return (~s.is_user(va) & top.present & leaf.present).implies(~leaf.user)


@always
def leaves_have_the_flags_of_their_table(s: Repaired, t: Pte, j: PteSlot) -> Bool:
    """A present leaf has fixed flags: of user tables US, of the kernel's NX, of the shadow's NX and G,
    because both halves map what the shadow's tables map."""
    leaf = s.pte.entry(t, j)
    fits = leaf.leaf.is_some
    for use, flags in (
        (TableUse.USER, PAGE_USER),
        (TableUse.KERNEL, PAGE_KERNEL),
        (TableUse.SHADOW, PAGE_SHADOW),
    ):
        same = s.pte.same(leaf, flags, except_for=("leaf",))
        fits = fits & (s.table_use[t] == use).implies(same)
    return leaf.present.implies(fits)


@step
def the_shadow_changes_in_the_kernel(old: Repaired, new: Repaired, t: Pte, j: PteSlot) -> Bool:
    """While every CPU runs user code, nobody changes what the shadow maps of the kernel."""
    nobody = forall(Cpu, lambda cpu: old.mode[cpu] == Mode.USER)
    same = old.pte.same(old.pte.entry(t, j), new.pte.entry(t, j))
    return (nobody & (old.table_use[t] == TableUse.SHADOW)).implies(same)


@sometimes
def interface_in_use(s: Kaiser, va: Va) -> Bool:
    """Somebody has called kaiser_add_mapping()."""
    return s.added[va]


@sometimes
def entry_page_in_use_by_user_mode(s: Kaiser, cpu: Cpu, va: Va) -> Bool:
    """User code runs on a shadow that has an entry page."""
    found = walk(s, s.shadow_pgd[s.loaded_mm[cpu]], va)
    return (s.mode[cpu] == Mode.USER) & ~s.is_user(va) & found.present


@sometimes
def user_page_in_use_by_user_mode(s: Kaiser, cpu: Cpu, va: Va) -> Bool:
    """User code runs on a shadow that has one of its pages."""
    found = walk(s, s.shadow_pgd[s.loaded_mm[cpu]], va)
    return (s.mode[cpu] == Mode.USER) & s.is_user(va) & found.present


@sometimes
def kernel_data_outside_the_shadow(s: Kaiser, m: Mm, va: Va) -> Bool:
    """The kernel maps data of its own that the shadow does not have."""
    kernel, shadow = walk(s, s.kernel_pgd[m], va), walk(s, s.shadow_pgd[m], va)
    return kernel.present & (s.owner[kernel.frame.value] == Owner.KERNEL) & ~shadow.present
