"""KAISER: shadow page tables, as posted in autumn 2017 and as repaired.

Every process has a kernel PGD and, 4 KiB beside it, a shadow PGD that is loaded while user code
runs.  User-half entries of both lead to the same tables; the kernel half of the shadow has tables
of its own, filled by ``kaiser_add_mapping()`` alone.  What lies under one top-level entry is folded
into one table page: the arguments are about top-level entries and leaves.  The page that a
user-half entry leads to belongs to the process for good; freeing and reusing table pages needs the
TLB, which this machine does not have yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    Scope,
    Step,
    Update,
    assumption,
    forall,
    given,
    ite,
    operation,
    some,
)
from ..machine.cpu import Cpus, Mode
from ..machine.entries import EMPTY, Entry
from ..machine.geometry import X86_64_4L
from ..machine.sorts import Cpu, Frame, Mm, Pgd, PgdSlot, Pte, PteSlot, Va
from ..machine.tables import Folded, walk


class Owner(Enumeration):
    """Who owns a frame.  ENTRY: what the CPU needs before CR3 is switched (entry text, IDT, GDT,
    TSS, entry stacks); KERNEL: any other kernel data."""

    FREE: Owner
    USER: Owner
    KERNEL: Owner
    ENTRY: Owner


class PgdUse(Enumeration):
    """What a page that may hold a PGD is used for: the two halves of an order-1 pair, a single-page
    PGD (kexec, EFI), or something that is no page table at all."""

    KERNEL: PgdUse
    SHADOW: PgdUse
    SINGLE: PgdUse
    OTHER: PgdUse


class TableUse(Enumeration):
    """Whose entries a last-level table page holds."""

    USER: TableUse
    KERNEL: TableUse
    SHADOW: TableUse


class SetPgd(Locals):
    """The locals of the set_pgd() that a CPU is in."""

    mm: Map[Cpu, Mm]
    root: Map[Cpu, Pgd]
    slot: Map[Cpu, PgdSlot]
    table: Map[Cpu, Pte]


# The standard machine of a finite scope: top-level slots are, in turn, user half, direct map and
# vmalloc; tables and PGD pages are numbered without gaps.

_REGIONS = ("user", "direct map", "vmalloc")


def _region(slot: int) -> str:
    return _REGIONS[slot % len(_REGIONS)]


def _direct_map(scope: Scope, table: int, slot: int) -> int | None:
    """Frames lie one after the other in the tables of the direct map."""
    tables = [
        _table(scope, "kernel", i) for i in range(scope[PgdSlot]) if _region(i) == "direct map"
    ]
    if table not in tables:
        return None
    frame = tables.index(table) * scope[PteSlot] + slot
    return frame if frame < scope[Frame] else None


def _table(scope: Scope, use: str, slot: int, mm: int = 0) -> int:
    """The number of a table page; of user slots each process has its own."""
    user = [s for s in range(scope[PgdSlot]) if _region(s) == "user"]
    kernel = [s for s in range(scope[PgdSlot]) if _region(s) != "user"]
    if use == "user":
        return len(user) * mm + user.index(slot) if slot in user else 0
    first = len(user) * scope[Mm] + (len(kernel) if use == "shadow" else 0)
    return first + kernel.index(slot) if slot in kernel else 0


def tables_needed(slots: int, mms: int) -> int:
    """How many table pages a machine with so many top-level slots and processes has."""
    user = sum(_region(i) == "user" for i in range(slots))
    return user * mms + 2 * (slots - user)


def _pgd_use(scope: Scope, page: int) -> int:
    """Pairs first, then pages of other uses: an even single-page PGD, something else beside it."""
    return page % 2 if page < 2 * scope[Mm] else 2 + page % 2


def _table_use(scope: Scope, table: int) -> int:
    user = [s for s in range(scope[PgdSlot]) if _region(s) == "user"]
    kernel = scope[PgdSlot] - len(user)
    first = len(user) * scope[Mm]
    return 0 if table < first else 1 if table < first + kernel else 2


class Kaiser(Folded, Cpus):
    """The state of KAISER: tables, CPUs, frame owners, and where everything lies.

    in_set_pgd: a set_pgd() of a user slot is between its two writes.  page_table_lock: the lock is
    held; preempt_off: the CPU holds a spinlock and cannot be preempted.  added: history, the
    addresses that were handed to kaiser_add_mapping().  kernel_pgd, shadow_pgd: the pair of each
    process.  beside[p, q]: q is the page at p | 0x1000.  user_table, kernel_table, shadow_table: the
    table page under a slot.  direct_map: the frame that an entry of the kernel's tables maps 1:1
    since boot.  entry: the frame belongs to entry code.
    """

    owner: Map[Frame, Owner]
    in_set_pgd: Map[Mm, Bool]
    page_table_lock: Map[Mm, Bool]
    preempt_off: Map[Cpu, Bool]
    added: Map[Va, Bool]
    set_pgd: SetPgd

    kernel_pgd: Fun[Mm, Pgd] = given(lambda scope, m: 2 * m)
    shadow_pgd: Fun[Mm, Pgd] = given(lambda scope, m: 2 * m + 1)
    beside: Fun[tuple[Pgd, Pgd], Bool] = given(lambda scope, p, q: q == p | 1)
    page_use: Fun[Pgd, PgdUse] = given(_pgd_use)
    user_half: Fun[PgdSlot, Bool] = given(lambda scope, i: _region(i) == "user")
    user_table: Fun[tuple[Mm, PgdSlot], Pte] = given(lambda sc, m, i: _table(sc, "user", i, m))
    kernel_table: Fun[PgdSlot, Pte] = given(lambda scope, i: _table(scope, "kernel", i))
    shadow_table: Fun[PgdSlot, Pte] = given(lambda scope, i: _table(scope, "shadow", i))
    table_use: Fun[Pte, TableUse] = given(_table_use)
    pgd_index: Fun[Va, PgdSlot] = given(lambda scope, va: va % scope[PgdSlot])
    pte_index: Fun[Va, PteSlot] = given(lambda scope, va: va // scope[PgdSlot])
    direct_map: Fun[tuple[Pte, PteSlot], Opt[Frame]] = given(_direct_map)
    entry: Fun[Frame, Bool] = given(lambda scope, f: f < max(1, scope[Frame] // 2))

    def is_user(self, va: Va) -> Bool:
        """``va < TASK_SIZE_MAX``."""
        return self.user_half[self.pgd_index[va]]

    def known_page(self, va: Va) -> Opt[Frame]:
        """The frame that is known a priori: ``__pa(va)`` of an address in the direct map."""
        return self.direct_map[self.kernel_table[self.pgd_index[va]], self.pte_index[va]]

    @classmethod
    def show_element(
        cls, sort: Any, index: int, look: Callable[..., int], scope: Mapping[Any, int]
    ) -> str | None:
        if sort is PgdSlot:
            return f"[{_real_slot(index)}]"
        if sort is Va:
            slot, pte = _real_slot(index % scope[PgdSlot]), index // scope[PgdSlot]
            return X86_64_4L.show_va(X86_64_4L.address(slot, 0, 0, pte))
        if sort is Pgd:
            return _pgd_name(scope, index)
        if sort is Pte:
            return _table_name(scope, index)
        return None


class Repaired(Kaiser):
    """KAISER as repaired: set_pgd() holds page_table_lock, the interface takes known pages only.  What
    was first posted gives no such promises."""


def _real_slot(slot: int) -> int:
    """The slot of a 4-level machine that an abstract slot stands for."""
    region = X86_64_4L.region(_region(slot))
    return X86_64_4L.pgd_slots(region)[slot // len(_REGIONS)]


def _pgd_name(scope: Mapping[Any, int], page: int) -> str:
    if page < 2 * scope[Mm]:
        return f"{('PGD', 'shadow PGD')[page % 2]} of mm{page // 2}"
    return ("single-page PGD", "page beside it")[page % 2]


def _table_name(scope: Mapping[Any, int], table: int) -> str:
    user = [s for s in range(scope[PgdSlot]) if _region(s) == "user"]
    kernel = [s for s in range(scope[PgdSlot]) if _region(s) != "user"]
    if table < len(user) * scope[Mm]:
        return f"user table of mm{table // len(user)}"
    rest = table - len(user) * scope[Mm]
    if rest >= 2 * len(kernel):
        return f"spare table {rest}"
    which = "kernel" if rest < len(kernel) else "shadow"
    return f"{which} {_region(kernel[rest % len(kernel)])} table"


# What every machine looks like, of any size.


@assumption
def pgds_are_pairs(s: Kaiser, m: Mm, n: Mm) -> Bool:
    """PGDs are order-1 allocations, one per process (PGD_ALLOCATION_ORDER, arch/x86/mm/pgtable.c)."""
    kernel, shadow = s.kernel_pgd[m], s.shadow_pgd[m]
    return (
        (s.page_use[kernel] == PgdUse.KERNEL)
        & (s.page_use[shadow] == PgdUse.SHADOW)
        & (kernel == s.kernel_pgd[n]).implies(m == n)
        & (shadow == s.shadow_pgd[n]).implies(m == n)
    )


@assumption
def beside_a_pgd(s: Kaiser, m: Mm, p: Pgd, q: Pgd) -> Bool:
    """Beside a kernel PGD lies its own shadow; beside a single page never a page of a pair, because
    pairs are aligned to 8 KiB."""
    beside_kernel = s.beside[s.kernel_pgd[m], q] == (q == s.shadow_pgd[m])
    single = (s.page_use[p] == PgdUse.SINGLE) & s.beside[p, q]
    pair = (s.page_use[q] == PgdUse.KERNEL) | (s.page_use[q] == PgdUse.SHADOW)
    return beside_kernel & single.implies(~pair)


@assumption
def tables_are_distinct(s: Kaiser, m: Mm, n: Mm, i: PgdSlot, j: PgdSlot) -> Bool:
    """Each user slot of each process, and each kernel slot of both halves, has a table of its own; a
    user slot has no kernel's table."""
    user = (s.table_use[s.user_table[m, i]] == TableUse.USER) & (
        (s.user_half[j] & (s.user_table[m, i] == s.user_table[n, j])).implies((m == n) & (i == j))
    )
    kernel = (
        (s.table_use[s.kernel_table[i]] == TableUse.KERNEL)
        & (s.table_use[s.shadow_table[i]] == TableUse.SHADOW)
        & ((~s.user_half[j] & (s.kernel_table[i] == s.kernel_table[j])).implies(i == j))
        & ((~s.user_half[j] & (s.shadow_table[i] == s.shadow_table[j])).implies(i == j))
    )
    no_kernel = (s.table_use[s.kernel_table[i]] == TableUse.USER) & (
        s.table_use[s.shadow_table[i]] == TableUse.USER
    )
    return s.user_half[i].implies(user & no_kernel) & (~s.user_half[i]).implies(kernel)


@assumption
def addresses_are_distinct(s: Kaiser, a: Va, b: Va) -> Bool:
    """Two addresses differ in some index."""
    return ((s.pgd_index[a] == s.pgd_index[b]) & (s.pte_index[a] == s.pte_index[b])).implies(a == b)


@assumption
def direct_map_is_one_to_one(s: Kaiser, t: Pte, u: Pte, i: PteSlot, j: PteSlot) -> Bool:
    """The direct map lies in the kernel's tables and maps each frame once."""
    a, b = s.direct_map[t, i], s.direct_map[u, j]
    same = a.is_some & b.is_some & (a.value == b.value)
    return a.is_some.implies(s.table_use[t] == TableUse.KERNEL) & same.implies((t == u) & (i == j))


ASSUMPTIONS = (
    pgds_are_pairs,
    beside_a_pgd,
    tables_are_distinct,
    addresses_are_distinct,
    direct_map_is_one_to_one,
)

# Flags as in pgtable_types.h.  KAISER takes G out of the default kernel mappings and sets it on the
# pages that both halves map.
_PAGE_TABLE = Entry(present=TRUE, writable=TRUE, user=TRUE)
KERNPG_TABLE = Entry(present=TRUE, writable=TRUE)
PAGE_USER = Entry(present=TRUE, writable=TRUE, user=TRUE)
PAGE_KERNEL = Entry(present=TRUE, writable=TRUE, nx=TRUE)
PAGE_SHADOW = Entry(present=TRUE, writable=TRUE, nx=TRUE, global_=TRUE)


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_init()")
def boot(s: Kaiser) -> Step:
    """Kernel halves are linked, the direct map is there, user halves and shadow leaves are empty."""

    def linked(p: Pgd, i: PgdSlot) -> Bool:
        use = s.page_use[p]
        return ((use == PgdUse.KERNEL) | (use == PgdUse.SHADOW)) & ~s.user_half[i]

    def kernel_half(p: Pgd, i: PgdSlot) -> Entry:
        kernel = s.page_use[p] == PgdUse.KERNEL
        return KERNPG_TABLE.but(table=some(ite(kernel, s.kernel_table[i], s.shadow_table[i])))

    return Step(
        when=TRUE,
        then=[
            *s.pgd.fill_entries(lambda p, i: EMPTY),
            *s.pgd.fill_entries(kernel_half, linked),
            *s.pte.fill_entries(lambda t, j: EMPTY),
            *s.pte.fill_entries(
                lambda t, j: PAGE_KERNEL.but(leaf=s.direct_map[t, j]),
                lambda t, j: s.direct_map[t, j].is_some,
            ),
            s.owner.fill(lambda f: ite(s.entry[f], Owner.ENTRY, Owner.FREE)),
            s.in_set_pgd.fill(lambda m: FALSE),
            s.page_table_lock.fill(lambda m: FALSE),
            s.preempt_off.fill(lambda cpu: FALSE),
            s.added.fill(lambda va: FALSE),
            s.mode.fill(lambda cpu: Mode.KERNEL),
            s.cr3.fill(lambda cpu: s.kernel_pgd[s.loaded_mm[cpu]]),
        ],
    )


# CPUs.


@operation(kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off()")
def switch_mm(s: Kaiser, cpu: Cpu, m: Mm) -> Step:
    """The scheduler picks a task of another process."""
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & ~s.preempt_off[cpu],
        then=[s.loaded_mm.set(cpu, m), s.cr3.set(cpu, s.kernel_pgd[m])],
    )


@operation(kernel="arch/x86/entry/calling.h: SWITCH_USER_CR3")
def return_to_user(s: Kaiser, cpu: Cpu) -> Step:
    """Exit to ring 3 on the shadow; not while the CPU holds a spinlock."""
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & ~s.preempt_off[cpu],
        then=[s.mode.set(cpu, Mode.USER), s.cr3.set(cpu, s.shadow_pgd[s.loaded_mm[cpu]])],
    )


@operation(kernel="arch/x86/entry/calling.h: SWITCH_KERNEL_CR3")
def enter_kernel(s: Kaiser, cpu: Cpu) -> Step:
    """A system call, interrupt or fault."""
    return Step(
        when=s.mode[cpu] == Mode.USER,
        then=[s.mode.set(cpu, Mode.KERNEL), s.cr3.set(cpu, s.kernel_pgd[s.loaded_mm[cpu]])],
    )


def _runs(s: Kaiser, cpu: Cpu, m: Mm) -> Bool:
    return (s.mode[cpu] == Mode.KERNEL) & (s.loaded_mm[cpu] == m)


def _lock(s: Kaiser, cpu: Cpu, m: Mm) -> list[Update]:
    """``spin_lock(&mm->page_table_lock)``: it also keeps the CPU from being preempted."""
    return [s.page_table_lock.set(m, TRUE), s.preempt_off.set(cpu, TRUE)]


def _unlock(s: Kaiser, cpu: Cpu, m: Mm) -> list[Update]:
    return [s.page_table_lock.set(m, FALSE), s.preempt_off.set(cpu, FALSE)]


def _begin(s: Kaiser, cpu: Cpu, m: Mm, i: PgdSlot) -> list[Update]:
    """The first write of a set_pgd() is done, the second is not."""
    return [s.in_set_pgd.set(m, TRUE), s.set_pgd.mm.set(cpu, m), s.set_pgd.slot.set(cpu, i)]


def _end(s: Kaiser, m: Mm) -> list[Update]:
    return [s.in_set_pgd.set(m, FALSE)]


def user_entry(s: Kaiser, m: Mm, i: PgdSlot) -> Entry:
    """What the shadow's PGD has for a linked user slot."""
    return _PAGE_TABLE.but(table=some(s.user_table[m, i]))


def _table_is_empty(s: Kaiser, m: Mm, i: PgdSlot) -> Bool:
    return forall(PteSlot, lambda j: s.pte.none(s.user_table[m, i], j))


# set_pgd() of user-half entries, as repaired: the shadow first, under page_table_lock.

pgd_populate = Procedure(
    "pgd_populate",
    kernel="arch/x86/include/asm/pgtable_64.h: native_set_pgd(), kaiser_set_shadow_pgd()",
    doc="Link the table of a user slot: the shadow's entry, then the kernel's with NX.",
)


@pgd_populate.step
def write_shadow(s: Kaiser, cpu: Cpu, m: Mm, i: PgdSlot) -> Step:
    """Under page_table_lock, write the shadow's entry."""
    empty = s.user_half[i] & s.pgd.none(s.kernel_pgd[m], i)
    return Step(
        when=_runs(s, cpu, m) & ~s.page_table_lock[m] & empty,
        then=[
            *_lock(s, cpu, m),
            *_begin(s, cpu, m, i),
            *s.pgd.set_entry(s.shadow_pgd[m], i, user_entry(s, m, i)),
        ],
    )


@pgd_populate.step
def write_kernel(s: Kaiser, cpu: Cpu) -> Step:
    """Write the kernel's entry, with NX, and drop the lock."""
    m, i = s.set_pgd.mm[cpu], s.set_pgd.slot[cpu]
    entry = user_entry(s, m, i).but(nx=TRUE)
    return Step(
        when=TRUE,
        then=[
            *s.pgd.set_entry(s.kernel_pgd[m], i, entry),
            *_end(s, m),
            *_unlock(s, cpu, m),
        ],
    )


def _pgd_clear(doc: str, *, mirrored: bool = True, left_behind: Entry = EMPTY) -> Procedure:
    """pgd_clear(): whether it clears the shadow, and what it writes into the kernel's entry."""
    procedure = Procedure(
        "pgd_clear",
        kernel="arch/x86/include/asm/pgtable_64.h: native_pgd_clear(), kaiser_set_shadow_pgd()",
        doc=doc,
    )

    def clear_shadow(s: Kaiser, cpu: Cpu, m: Mm, i: PgdSlot) -> Step:
        """Under page_table_lock, zero the shadow's entry; the table below is empty by now."""
        linked = s.user_half[i] & s.pgd.present[s.kernel_pgd[m], i] & _table_is_empty(s, m, i)
        shadow = s.pgd.clear(s.shadow_pgd[m], i) if mirrored else []
        return Step(
            when=_runs(s, cpu, m) & ~s.page_table_lock[m] & linked,
            then=[*_lock(s, cpu, m), *_begin(s, cpu, m, i), *shadow],
        )

    def clear_kernel(s: Kaiser, cpu: Cpu) -> Step:
        """Write the kernel's entry and drop the lock."""
        m, i = s.set_pgd.mm[cpu], s.set_pgd.slot[cpu]
        return Step(
            when=TRUE,
            then=[
                *s.pgd.set_entry(s.kernel_pgd[m], i, left_behind),
                *_end(s, m),
                *_unlock(s, cpu, m),
            ],
        )

    procedure.step(clear_shadow)
    procedure.step(clear_kernel)
    return procedure


pgd_clear = _pgd_clear("Unlink a user slot: the shadow's entry, then the kernel's become zero.")
# K-02: NX was OR-ed into the value even when the value was zero ("kaiser: do not set _PAGE_NX on
# pgd_none", H. Dickins, 5 Sep 2017).
pgd_clear_with_nx = _pgd_clear(
    "Unlink a user slot; NX is added to the kernel's zero entry, too.", left_behind=Entry(nx=TRUE)
)
pgd_clear_kernel_only = _pgd_clear(
    "Unlink a user slot in the kernel's PGD; nobody tells the shadow.", mirrored=False
)


# set_pgd() as first posted: the kernel's entry, later a copy; no lock spans the two writes.

pgd_populate_v1 = Procedure(
    "pgd_populate",
    kernel="arch/x86/include/asm/pgtable_64.h: native_set_pgd()",
    doc="Link the table of a user slot: the kernel's entry with NX, then a copy for the shadow.",
)


@pgd_populate_v1.step(to="copy_to_shadow")
def write_kernel_first(s: Kaiser, cpu: Cpu, m: Mm, i: PgdSlot) -> Step:
    """Write the kernel's entry."""
    empty = s.user_half[i] & s.pgd.none(s.kernel_pgd[m], i)
    entry = user_entry(s, m, i).but(nx=TRUE)
    return Step(
        when=_runs(s, cpu, m) & empty,
        then=[*_begin(s, cpu, m, i), *s.pgd.set_entry(s.kernel_pgd[m], i, entry)],
    )


@pgd_populate_v1.step
def copy_to_shadow(s: Kaiser, cpu: Cpu) -> Step:
    """Copy it, whenever this CPU is back in the kernel."""
    m, i = s.set_pgd.mm[cpu], s.set_pgd.slot[cpu]
    return Step(
        when=_runs(s, cpu, m),
        then=[*s.pgd.set_entry(s.shadow_pgd[m], i, user_entry(s, m, i)), *_end(s, m)],
    )


pgd_clear_v1 = Procedure(
    "pgd_clear",
    kernel="arch/x86/include/asm/pgtable_64.h: native_pgd_clear()",
    doc="Unlink a user slot: the kernel's entry, then the shadow's.",
)


@pgd_clear_v1.step(to="clear_shadow_later")
def clear_kernel_first(s: Kaiser, cpu: Cpu, m: Mm, i: PgdSlot) -> Step:
    """Zero the kernel's entry."""
    linked = s.user_half[i] & s.pgd.present[s.kernel_pgd[m], i] & _table_is_empty(s, m, i)
    return Step(
        when=_runs(s, cpu, m) & linked,
        then=[*_begin(s, cpu, m, i), *s.pgd.clear(s.kernel_pgd[m], i)],
    )


@pgd_clear_v1.step
def clear_shadow_later(s: Kaiser, cpu: Cpu) -> Step:
    """Zero the shadow's, whenever this CPU is back in the kernel."""
    m, i = s.set_pgd.mm[cpu], s.set_pgd.slot[cpu]
    return Step(when=_runs(s, cpu, m), then=[*s.pgd.clear(s.shadow_pgd[m], i), *_end(s, m)])


# Top-level tables of a single page: kexec and EFI link low addresses to kernel tables, without US.


def _low_entry(s: Kaiser, k: PgdSlot) -> Entry:
    return KERNPG_TABLE.but(table=some(s.kernel_table[k]))


def _free_low_slot(s: Kaiser, p: Pgd, i: PgdSlot, k: PgdSlot) -> Bool:
    single = s.page_use[p] == PgdUse.SINGLE
    return single & s.user_half[i] & ~s.user_half[k] & s.pgd.none(p, i)


@operation(kernel="arch/x86/platform/efi/efi_64.c: efi_call_phys_prolog(), set_pgd() without US")
def set_low_pgd(s: Kaiser, p: Pgd, i: PgdSlot, k: PgdSlot) -> Step:
    """Link a low slot of a single-page PGD; without US nothing is mirrored."""
    return Step(when=_free_low_slot(s, p, i, k), then=s.pgd.set_entry(p, i, _low_entry(s, k)))


@operation(kernel="arch/x86/platform/efi/efi_64.c: efi_call_phys_epilog()")
def clear_low_pgd(s: Kaiser, p: Pgd, i: PgdSlot) -> Step:
    """Unlink it again; without US nothing is mirrored."""
    linked = (s.page_use[p] == PgdUse.SINGLE) & s.user_half[i] & s.pgd.present[p, i]
    return Step(when=linked, then=s.pgd.clear(p, i))


# K-01: every write to a user-half slot was mirrored, whatever the PGD was.
set_low_pgd_mirrored = Procedure(
    "set_low_pgd",
    kernel="arch/x86/include/asm/pgtable_64.h: native_set_pgd() without a test for US",
    doc="Link a low slot of a single-page PGD, mirrored to the page beside it first.",
)


@set_low_pgd_mirrored.step
def write_beside(s: Kaiser, cpu: Cpu, p: Pgd, i: PgdSlot, k: PgdSlot) -> Step:
    """Write the entry to p | 0x1000."""
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & _free_low_slot(s, p, i, k),
        then=[
            s.set_pgd.root.set(cpu, p),
            s.set_pgd.slot.set(cpu, i),
            s.set_pgd.table.set(cpu, s.kernel_table[k]),
            *s.pgd.fill_entries(
                lambda q, j: _low_entry(s, k), lambda q, j: s.beside[p, q] & (j == i)
            ),
        ],
    )


@set_low_pgd_mirrored.step
def write_own(s: Kaiser, cpu: Cpu) -> Step:
    """Write the entry itself."""
    entry = KERNPG_TABLE.but(table=some(s.set_pgd.table[cpu]))
    return Step(
        when=s.mode[cpu] == Mode.KERNEL,
        then=s.pgd.set_entry(s.set_pgd.root[cpu], s.set_pgd.slot[cpu], entry),
    )


# User pages and kernel pages.


@operation(kernel="mm/memory.c: do_anonymous_page(), set_pte_at()")
def map_user_page(s: Kaiser, cpu: Cpu, va: Va, f: Frame) -> Step:
    """Map a free frame at a user address, in the table that both halves share."""
    m = s.loaded_mm[cpu]
    top = s.pgd.entry(s.kernel_pgd[m], s.pgd_index[va])
    table, j = top.table.value, s.pte_index[va]
    ready = s.is_user(va) & top.present & s.pte.none(table, j)
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & ready & (s.owner[f] == Owner.FREE),
        then=[*s.pte.set_entry(table, j, PAGE_USER.but(leaf=some(f))), s.owner.set(f, Owner.USER)],
    )


@operation(kernel="mm/memory.c: zap_pte_range()")
def unmap_user_page(s: Kaiser, cpu: Cpu, va: Va) -> Step:
    """Unmap a user page and free its frame."""
    m = s.loaded_mm[cpu]
    top = s.pgd.entry(s.kernel_pgd[m], s.pgd_index[va])
    table, j = top.table.value, s.pte_index[va]
    mapped = s.is_user(va) & top.present & s.pte.present[table, j]
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & mapped,
        then=[*s.pte.clear(table, j), s.owner.set(s.pte.leaf[table, j].value, Owner.FREE)],
    )


def _kernel_leaf(s: Kaiser, va: Va) -> tuple[Pte, PteSlot]:
    return s.kernel_table[s.pgd_index[va]], s.pte_index[va]


@operation(kernel="mm/vmalloc.c: vmap_pte_range()")
def vmap_page(s: Kaiser, va: Va, f: Frame) -> Step:
    """Map a free frame for kernel data outside the direct map."""
    table, j = _kernel_leaf(s, va)
    return Step(
        when=~s.is_user(va) & s.pte.none(table, j) & (s.owner[f] == Owner.FREE),
        then=[
            *s.pte.set_entry(table, j, PAGE_KERNEL.but(leaf=some(f))),
            s.owner.set(f, Owner.KERNEL),
        ],
    )


@operation(kernel="mm/vmalloc.c: vunmap_pte_range()")
def vunmap_page(s: Kaiser, va: Va) -> Step:
    """Unmap it and free the frame."""
    table, j = _kernel_leaf(s, va)
    frame = s.pte.leaf[table, j].value
    mapped = ~s.is_user(va) & s.known_page(va).is_none & s.pte.present[table, j]
    return Step(
        when=mapped & (s.owner[frame] == Owner.KERNEL),
        then=[*s.pte.clear(table, j), s.owner.set(frame, Owner.FREE)],
    )


# The interface.


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_add_mapping()", name="kaiser_add_mapping")
def kaiser_add_mapping_v1(s: Kaiser, cpu: Cpu, va: Va, writable: Bool, user: Bool) -> Step:
    """Any address, the physical page as the old tables have it, any flags."""
    m = s.loaded_mm[cpu]
    old = walk(s, s.kernel_pgd[m], va)
    top = s.pgd.entry(s.shadow_pgd[m], s.pgd_index[va])
    entry = Entry(present=TRUE, writable=writable, user=user, global_=TRUE, leaf=old.frame)
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & old.present & top.present,
        then=[*s.pte.set_entry(top.table.value, s.pte_index[va], entry), s.added.set(va, TRUE)],
    )


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_add_mapping()")
def kaiser_add_mapping(s: Kaiser, cpu: Cpu, va: Va) -> Step:
    """Only a kernel address, only an entry page known a priori, at its 1:1 address, fixed flags."""
    page = s.known_page(va)
    table, j = s.shadow_table[s.pgd_index[va]], s.pte_index[va]
    allowed = ~s.is_user(va) & page.is_some & (s.owner[page.value] == Owner.ENTRY)
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & allowed & s.pte.none(table, j),
        then=[*s.pte.set_entry(table, j, PAGE_SHADOW.but(leaf=page)), s.added.set(va, TRUE)],
    )


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_remove_mapping()")
def kaiser_remove_mapping(s: Kaiser, cpu: Cpu, va: Va) -> Step:
    """Clear a leaf of the shadow's kernel half; its tables are never freed."""
    table, j = s.shadow_table[s.pgd_index[va]], s.pte_index[va]
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & ~s.is_user(va) & s.pte.present[table, j],
        then=s.pte.clear(table, j),
    )
