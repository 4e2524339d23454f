"""The LDT under page table isolation: two slots for each process, changed under CPUs that use them.

The processor reads the LDT by virtual address while the user tables are loaded, so the pages of a
process's LDT are mapped at a fixed place there.  write_ldt() maps the new one in the slot that is not
in use, publishes it, has every CPU that runs the process load it, and only then unmaps, flushes and
frees the old one.  An LDT is one page here.  Entries of the TLB are by process (each has its PCIDs);
those of a process that a CPU does not run are dropped when it runs it next, if they are behind.
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
    Update,
    forall,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Mm


class Slot(Enumeration):
    """``ldt->slot``: which half of the LDT's addresses."""

    FIRST: Slot
    SECOND: Slot


class Write(Locals):
    """The locals of a process's write_ldt(), which ldt_usr_sem keeps to one at a time: the slot that
    it fills, the one it empties with its page, CPUs whose answers are missing."""

    new: Map[Mm, Slot]
    old: Map[Mm, Opt[Slot]]
    page: Map[Mm, Frame]
    waits_for: Map[tuple[Mm, Cpu], Bool]


class Ldt(State):
    """on_list: the process exists, and is on ``pgd_list``.  page: what a process's tables map at the
    slot.  user_entry: its user tables have the top-level entry (PGD slot 272; on PAE one PMD
    entry).  published: ``context.ldt``.  ldtr: the slot that a CPU's LDTR points to.
    switching: between the new CR3 and the new LDTR, with interrupts off.
    tlb, behind: what a CPU has cached of a process, and whether it must flush that before it runs it."""

    on_list: Map[Mm, Bool]
    page: Map[tuple[Mm, Slot], Opt[Frame]]
    user_entry: Map[Mm, Bool]
    published: Map[Mm, Opt[Slot]]
    free: Map[Frame, Bool]
    loaded_mm: Map[Cpu, Mm]
    switching: Map[Cpu, Bool]
    ldtr: Map[Cpu, Opt[Slot]]
    tlb: Map[tuple[Cpu, Mm, Slot], Opt[Frame]]
    behind: Map[tuple[Cpu, Mm], Bool]
    write: Write

    def unused(self, m: Mm) -> Bool:
        """No CPU runs the process."""
        return forall(Cpu, lambda cpu: self.loaded_mm[cpu] != m)

    def answered(self, m: Mm) -> Bool:
        """All CPUs have answered the process's last request."""
        return forall(Cpu, lambda cpu: ~self.write.waits_for[m, cpu])


@operation(kernel="arch/x86/mm/init.c")
def boot(s: Ldt) -> Step:
    """Processes that run are alive; nobody has an LDT."""
    return Step(
        when=TRUE,
        then=[
            s.on_list.fill(lambda m: ~s.unused(m)),
            s.page.fill(lambda m, slot: NONE),
            s.user_entry.fill(lambda m: FALSE),
            s.published.fill(lambda m: NONE),
            s.free.fill(lambda f: TRUE),
            s.switching.fill(lambda cpu: FALSE),
            s.ldtr.fill(lambda cpu: NONE),
            s.tlb.fill(lambda cpu, m, slot: NONE),
            s.behind.fill(lambda cpu, m: FALSE),
        ],
    )


# CPUs.


@operation(kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off(), load_new_mm_cr3()")
def switch_mm(s: Ldt, cpu: Cpu, m: Mm) -> Step:
    """CR3 gets the tables of another process; what is behind is flushed."""
    stale = s.behind[cpu, m]
    return Step(
        when=s.on_list[m] & ~s.switching[cpu],
        then=[
            s.loaded_mm.set(cpu, m),
            s.switching.set(cpu, TRUE),
            s.tlb.fill(lambda c, n, slot: NONE, lambda c, n, slot: (c == cpu) & (n == m) & stale),
            s.behind.set((cpu, m), FALSE),
        ],
    )


@operation(kernel="arch/x86/kernel/ldt.c: switch_ldt(), load_mm_ldt()")
def switch_ldt(s: Ldt, cpu: Cpu) -> Step:
    """LDTR gets the LDT that is published, last of all."""
    return Step(
        when=s.switching[cpu],
        then=[s.switching.set(cpu, FALSE), s.ldtr.set(cpu, s.published[s.loaded_mm[cpu]])],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: Ldt, cpu: Cpu, slot: Slot) -> Step:
    """The CPU caches where an LDT is."""
    m = s.loaded_mm[cpu]
    mapped = s.user_entry[m] & s.page[m, slot].is_some
    return Step(when=mapped, then=[s.tlb.set((cpu, m, slot), s.page[m, slot])])


# write_ldt().

write_ldt = Procedure(
    "write_ldt",
    kernel="arch/x86/kernel/ldt.c: write_ldt()",
    doc="Install a new LDT and take the old one away, under ldt_usr_sem.",
)


def _fill_slot(s: Ldt, m: Mm, slot: Slot, f: Frame) -> list[Update]:
    return [s.page.set((m, slot), some(f)), s.free.set(f, FALSE)]


@write_ldt.step
def map_ldt_struct(s: Ldt, m: Mm, f: Frame) -> Step:
    """Map the new LDT, read-only, in the slot that is not in use."""
    first = s.published[m] == some(Slot.FIRST)
    slot = ite(first, Slot.SECOND, Slot.FIRST)
    old = s.published[m]
    return Step(
        when=s.on_list[m] & ~s.unused(m) & s.free[f],
        then=[
            s.write.new.set(m, slot),
            s.write.old.set(m, old),
            s.write.page.set(m, s.page[m, old.value].value),
            *_fill_slot(s, m, slot, f),
        ],
    )


@write_ldt.step
def map_ldt_struct_to_user(s: Ldt, m: Mm) -> Step:
    """Of a process's first LDT, copy the top-level entry to the user tables."""
    first = s.write.old[m].is_none
    return Step(when=TRUE, then=[s.user_entry.set(m, s.user_entry[m] | first)])


@write_ldt.step
def install_ldt(s: Ldt, m: Mm) -> Step:
    """Publish it (store-release)."""
    return Step(when=TRUE, then=[s.published.set(m, some(s.write.new[m]))])


@write_ldt.step
def send_reload(s: Ldt, m: Mm) -> Step:
    """Ask all CPUs that run the process to load it."""
    asked = s.write.waits_for.fill(lambda n, cpu: s.loaded_mm[cpu] == m, lambda n, cpu: n == m)
    return Step(when=TRUE, then=[asked])


@write_ldt.step
def unmap_ldt_struct(s: Ldt, m: Mm) -> Step:
    """When all have answered, clear the old slot, and have it flushed."""
    old = s.write.old[m]
    return Step(
        when=s.answered(m),
        then=[
            s.page.fill(lambda n, slot: NONE, lambda n, slot: (n == m) & (old == some(slot))),
            s.behind.fill(lambda cpu, n: TRUE, lambda cpu, n: n == m),
            s.write.waits_for.fill(lambda n, cpu: s.loaded_mm[cpu] == m, lambda n, cpu: n == m),
        ],
    )


@write_ldt.step
def free_ldt_struct(s: Ldt, m: Mm) -> Step:
    """When all have flushed, free the old LDT."""
    page, had = s.write.page[m], s.write.old[m].is_some
    return Step(when=s.answered(m), then=[s.free.fill(lambda f: TRUE, lambda f: had & (f == page))])


@operation(kernel="arch/x86/kernel/ldt.c: flush_ldt()")
def flush_ldt(s: Ldt, cpu: Cpu, m: Mm) -> Step:
    """The request to load the LDT arrives, whenever interrupts come through."""
    asked = write_ldt.at(s, m, write_ldt.steps[4]) & s.write.waits_for[m, cpu]
    running = s.loaded_mm[cpu] == m
    return Step(
        when=asked & ~s.switching[cpu],
        then=[
            s.ldtr.set(cpu, ite(running, s.published[m], s.ldtr[cpu])),
            s.write.waits_for.set((m, cpu), FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func()")
def flush_tlb(s: Ldt, cpu: Cpu, m: Mm) -> Step:
    """The request to flush arrives; a CPU that runs another process by now is behind."""
    asked = write_ldt.at(s, m, write_ldt.steps[5]) & s.write.waits_for[m, cpu]
    running = s.loaded_mm[cpu] == m
    return Step(
        when=asked & ~s.switching[cpu],
        then=[
            s.tlb.fill(lambda c, n, slot: NONE, lambda c, n, slot: (c == cpu) & (n == m) & running),
            s.behind.set((cpu, m), s.behind[cpu, m] & ~running),
            s.write.waits_for.set((m, cpu), FALSE),
        ],
    )


# Processes.


@operation(kernel="arch/x86/kernel/ldt.c: ldt_dup_context()")
def fork(s: Ldt, m: Mm, child: Mm, f: Frame) -> Step:
    """A child gets a copy of the LDT, in the first slot."""
    new = s.on_list[m] & s.published[m].is_some & ~s.on_list[child]
    return Step(
        when=new & s.free[f],
        then=[
            s.on_list.set(child, TRUE),
            *_fill_slot(s, child, Slot.FIRST, f),
            s.user_entry.set(child, TRUE),
            s.published.set(child, some(Slot.FIRST)),
        ],
    )


@operation(kernel="kernel/fork.c: mm_init()")
def fork_without_ldt(s: Ldt, child: Mm) -> Step:
    """A child of a process without an LDT."""
    return Step(when=~s.on_list[child], then=[s.on_list.set(child, TRUE)])


@operation(kernel="arch/x86/kernel/ldt.c: ldt_arch_exit_mmap(), destroy_context_ldt()")
def exit_mm(s: Ldt, m: Mm) -> Step:
    """The last user is gone: the tables of the LDT and the LDT are freed.  Its ctx_id is never used
    again, so that every CPU flushes before it runs a process on these PCIDs."""
    owned = s.page[m, Slot.FIRST], s.page[m, Slot.SECOND]
    return Step(
        when=s.on_list[m] & s.unused(m) & write_ldt.idle(s, m),
        then=[
            s.on_list.set(m, FALSE),
            s.page.fill(lambda n, slot: NONE, lambda n, slot: n == m),
            s.user_entry.set(m, FALSE),
            s.published.set(m, NONE),
            s.behind.fill(lambda cpu, n: TRUE, lambda cpu, n: n == m),
            s.free.fill(lambda f: TRUE, lambda f: (owned[0] == some(f)) | (owned[1] == some(f))),
        ],
    )
