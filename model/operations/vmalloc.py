"""What the vmalloc area needs on every machine: ranges, table pages, processes on pgd_list.

``vmalloc_pae`` and ``vmalloc_x86_64`` say what their processes share of it and what they copy.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    State,
    Step,
    Update,
    Var,
    forall,
    given,
    operation,
)
from ..machine.entries import EMPTY, Entry, LargeDirectory, Leaves
from ..machine.sorts import Cpu, Mm, Pmd, PmdSlot, Pte, PteSlot


class Area(Enumeration):
    """The state of an address range: free, in use, or unmapped and waiting for the purge that makes
    it free again (``struct vmap_area``)."""

    FREE: Area
    BUSY: Area
    LAZY: Area


KERNEL_TABLE = Entry(present=TRUE, writable=TRUE)
KERNEL_PAGE = Entry(present=TRUE, writable=TRUE, nx=TRUE, global_=TRUE)


class KernelTables(State):
    """PMD entries of the kernel's addresses.  in_use: the PTE page is allocated; on_list: the process is
    on ``pgd_list``; boot_mm: the first process."""

    pmd: LargeDirectory[Pmd, PmdSlot, Pte]
    in_use: Map[Pte, Bool]
    on_list: Map[Mm, Bool]
    boot_mm: Fun[tuple[()], Mm] = given(lambda scope: 0)


class Kernel(KernelTables):
    """What both machines have.  loaded_mm: the process whose tables a CPU runs on."""

    pte: Leaves[Pte, PteSlot]
    loaded_mm: Map[Cpu, Mm]
    pgd_lock: Var[Bool]


def boot_kernel(s: Kernel) -> list[Update]:
    """Nothing is mapped; one process runs everywhere."""
    return [
        *s.pmd.fill_entries(lambda p, i: EMPTY),
        *s.pte.fill_entries(lambda t, j: EMPTY),
        s.in_use.fill(lambda t: FALSE),
        s.on_list.fill(lambda m: m == s.boot_mm[()]),
        s.loaded_mm.fill(lambda cpu: s.boot_mm[()]),
        s.pgd_lock.become(FALSE),
    ]


@operation(kernel="arch/x86/mm/pgtable.c: pgd_dtor()")
def exit_mm(s: Kernel, m: Mm) -> Step:
    """Under pgd_lock, leave pgd_list; no CPU runs on the tables any more."""
    unused = forall(Cpu, lambda cpu: s.loaded_mm[cpu] != m)
    return Step(when=s.on_list[m] & ~s.pgd_lock.now & unused, then=[s.on_list.set(m, FALSE)])


@operation(kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off()")
def switch_mm(s: Kernel, cpu: Cpu, m: Mm) -> Step:
    """The scheduler picks a task of another process."""
    return Step(when=s.on_list[m], then=[s.loaded_mm.set(cpu, m)])
