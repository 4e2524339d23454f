"""PCIDs under page table isolation: a few address-space identifiers per CPU, each a pair of PCIDs.

A CPU keeps the entries of the last processes it ran.  Each process counts its flushes (tlb_gen), each
identifier remembers the process and the count that its entries are good for; here ``behind`` says that
the count is less than the process's.  Whoever unmaps a page counts, and asks the CPUs in mm_cpumask to
flush; a CPU that runs the process later sees the count and flushes then.  What cannot be reached, the
user PCID, is left to the exit path.  User tables are folded to one entry for each address.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Opt,
    Procedure,
    Step,
    forall,
    ite,
    operation,
    some,
)
from ..machine.cpu import Mode
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..machine.tlb import Asid, Tlb, drop_tagged


class Switch(Locals):
    """The locals of switch_mm_irqs_off(): next process, new identifier, whether to flush it."""

    next: Map[Cpu, Mm]
    asid: Map[Cpu, Asid]
    flush: Map[Cpu, Bool]


class Unmap(Locals):
    """The locals of the munmap() that a CPU is in: the process and the page."""

    mm: Map[Cpu, Mm]
    frame: Map[Cpu, Frame]


class Pcids(Tlb):
    """maps: the user tables of each process.  loaded_mm, asid: what CR3 has.  gathered: the page is in
    an mmu_gather, and was mapped there.  uncounted: its flush is not counted yet.  waits_for: nor
    answered by that CPU.  mask: mm_cpumask.  ctx: the process of an identifier.  behind: its
    ``tlb_gen`` is less than the process's.  user_flush: ``user_pcid_flush_mask``."""

    loaded_mm: Map[Cpu, Mm]
    asid: Map[Cpu, Asid]
    mode: Map[Cpu, Mode]
    maps: Map[tuple[Mm, Va], Opt[Frame]]
    free: Map[Frame, Bool]
    gathered: Map[tuple[Frame, Mm, Va], Bool]
    uncounted: Map[Frame, Bool]
    waits_for: Map[tuple[Frame, Cpu], Bool]
    mask: Map[tuple[Mm, Cpu], Bool]
    ctx: Map[tuple[Cpu, Asid], Opt[Mm]]
    behind: Map[tuple[Cpu, Asid], Bool]
    user_flush: Map[tuple[Cpu, Asid], Bool]
    switch: Switch
    unmap: Unmap

    def counts_late(self, m: Mm, va: Va, f: Frame) -> Bool:
        """Somebody has cleared the entry and is about to count the flush."""
        return self.gathered[f, m, va] & self.uncounted[f]

    def awaited(self, cpu: Cpu, m: Mm, va: Va, f: Frame) -> Bool:
        """Somebody has cleared the entry and waits for this CPU."""
        return self.gathered[f, m, va] & self.waits_for[f, cpu]

    def answered(self, f: Frame) -> Bool:
        """Nobody's flush of the page is missing."""
        return forall(Cpu, lambda cpu: ~self.waits_for[f, cpu])


@operation(kernel="arch/x86/mm/tlb.c: initialize_tlbstate_and_flush()")
def boot(s: Pcids) -> Step:
    """Nothing is mapped, nothing is cached; every CPU runs some process on some identifier."""
    return Step(
        when=TRUE,
        then=[
            s.kernel_tlb.fill(lambda cpu, a, va: NONE),
            s.user_tlb.fill(lambda cpu, a, va: NONE),
            s.mode.fill(lambda cpu: Mode.KERNEL),
            s.maps.fill(lambda m, va: NONE),
            s.free.fill(lambda f: TRUE),
            s.gathered.fill(lambda f, m, va: FALSE),
            s.uncounted.fill(lambda f: FALSE),
            s.waits_for.fill(lambda f, cpu: FALSE),
            s.mask.fill(lambda m, cpu: s.loaded_mm[cpu] == m),
            s.ctx.fill(lambda cpu, a: ite(s.asid[cpu] == a, some(s.loaded_mm[cpu]), NONE)),
            s.behind.fill(lambda cpu, a: FALSE),
            s.user_flush.fill(lambda cpu, a: FALSE),
        ],
    )


@operation(kernel="mm/memory.c: do_anonymous_page(), set_pte_at()")
def map_page(s: Pcids, m: Mm, va: Va, f: Frame) -> Step:
    """Map a free frame; an entry that was not present is in no TLB."""
    return Step(
        when=s.maps[m, va].is_none & s.free[f],
        then=[s.maps.set((m, va), some(f)), s.free.set(f, FALSE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: Pcids, cpu: Cpu, va: Va) -> Step:
    """The CPU caches a translation under the PCID in CR3, needed or not."""
    found, a = s.maps[s.loaded_mm[cpu], va], s.asid[cpu]
    user = s.mode[cpu] == Mode.USER
    return Step(
        when=found.is_some,
        then=[
            s.user_tlb.set((cpu, a, va), ite(user, found, s.user_tlb[cpu, a, va])),
            s.kernel_tlb.set((cpu, a, va), ite(user, s.kernel_tlb[cpu, a, va], found)),
        ],
    )


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_KERNEL_CR3")
def enter_kernel(s: Pcids, cpu: Cpu) -> Step:
    """A system call or interrupt; kernel entries are good, so CR3 has the no-flush bit."""
    return Step(when=s.mode[cpu] == Mode.USER, then=[s.mode.set(cpu, Mode.KERNEL)])


@operation(kernel="arch/x86/entry/calling.h: SWITCH_TO_USER_CR3_STACK")
def return_to_user(s: Pcids, cpu: Cpu) -> Step:
    """CR3 gets the user PCID, with the no-flush bit unless the mask has the identifier."""
    a = s.asid[cpu]
    due = s.user_flush[cpu, a]
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & switch_mm.idle(s, cpu),
        then=[
            s.mode.set(cpu, Mode.USER),
            drop_tagged(s.user_tlb, lambda c, b, va: (c == cpu) & (b == a) & due),
            s.user_flush.set((cpu, a), FALSE),
        ],
    )


# Context switch, with interrupts off.

switch_mm = Procedure(
    "switch_mm",
    kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off()",
    doc="Run another process: join its mask, read its count, then load CR3.",
)


@switch_mm.step
def join_mask(s: Pcids, cpu: Cpu, m: Mm) -> Step:
    """Remote flushes for the old process stop, those for the next one start."""
    return Step(
        when=s.mode[cpu] == Mode.KERNEL,
        then=[
            s.mask.set((s.loaded_mm[cpu], cpu), FALSE),
            s.mask.set((m, cpu), TRUE),
            s.switch.next.set(cpu, m),
        ],
    )


@switch_mm.step
def choose_new_asid(s: Pcids, cpu: Cpu, a: Asid) -> Step:
    """Take the process's identifier, flushing it if it is behind, or another one."""
    m = s.switch.next[cpu]
    flush = (s.ctx[cpu, a] != some(m)) | s.behind[cpu, a]
    return Step(
        when=TRUE,
        then=[
            s.switch.asid.set(cpu, a),
            s.switch.flush.set(cpu, flush),
            s.ctx.set((cpu, a), some(m)),
            s.behind.set((cpu, a), FALSE),
        ],
    )


@switch_mm.step
def load_new_mm_cr3(s: Pcids, cpu: Cpu) -> Step:
    """Load CR3; without the no-flush bit the kernel PCID is flushed, and the mask has the user's."""
    a, flush = s.switch.asid[cpu], s.switch.flush[cpu]
    return Step(
        when=TRUE,
        then=[
            s.loaded_mm.set(cpu, s.switch.next[cpu]),
            s.asid.set(cpu, a),
            drop_tagged(s.kernel_tlb, lambda c, b, va: (c == cpu) & (b == a) & flush),
            s.user_flush.set((cpu, a), s.user_flush[cpu, a] | flush),
        ],
    )


# munmap().

unmap = Procedure(
    "unmap",
    kernel="mm/memory.c: zap_pte_range(), tlb_flush_mmu(); arch/x86/mm/tlb.c: flush_tlb_mm_range()",
    doc="Unmap a page: clear its entry, count, ask whoever runs the process, free the frame.",
)


@unmap.step
def clear_pte(s: Pcids, cpu: Cpu, va: Va) -> Step:
    """Clear the entry; nobody has flushed it yet."""
    m = s.loaded_mm[cpu]
    f = s.maps[m, va].value
    return Step(
        when=(s.mode[cpu] == Mode.KERNEL) & s.maps[m, va].is_some,
        then=[
            s.unmap.mm.set(cpu, m),
            s.unmap.frame.set(cpu, f),
            s.maps.set((m, va), NONE),
            s.gathered.set((f, m, va), TRUE),
            s.uncounted.set(f, TRUE),
            s.waits_for.fill(lambda g, c: TRUE, lambda g, c: g == f),
        ],
    )


@unmap.step
def inc_mm_tlb_gen(s: Pcids, cpu: Cpu) -> Step:
    """Count: every identifier of the process is behind."""
    m = s.unmap.mm[cpu]
    return Step(
        when=TRUE,
        then=[
            s.behind.fill(lambda c, a: TRUE, lambda c, a: s.ctx[c, a] == some(m)),
            s.uncounted.set(s.unmap.frame[cpu], FALSE),
        ],
    )


@unmap.step
def send_flush(s: Pcids, cpu: Cpu) -> Step:
    """Ask the CPUs in the mask."""
    m, f = s.unmap.mm[cpu], s.unmap.frame[cpu]
    others = s.waits_for.fill(lambda g, c: FALSE, lambda g, c: (g == f) & ~s.mask[m, c])
    return Step(when=TRUE, then=[others])


@unmap.step
def free_page(s: Pcids, cpu: Cpu) -> Step:
    """When all have answered, the frame is free for anyone."""
    f = s.unmap.frame[cpu]
    done = s.gathered.fill(lambda g, m, va: FALSE, lambda g, m, va: g == f)
    return Step(when=s.answered(f), then=[s.free.set(f, TRUE), done])


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func(), invalidate_user_asid()")
def flush_tlb_func(s: Pcids, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives, whenever interrupts come through: a CPU that runs the process and is behind
    flushes the kernel PCID, and the mask has the user's."""
    a, f = s.asid[cpu], s.unmap.frame[by]
    due = (s.loaded_mm[cpu] == s.unmap.mm[by]) & s.behind[cpu, a]
    ready = (s.mode[cpu] == Mode.KERNEL) & switch_mm.idle(s, cpu)
    return Step(
        when=ready & unmap.at(s, by, unmap.steps[3]) & s.waits_for[f, cpu],
        then=[
            drop_tagged(s.kernel_tlb, lambda c, b, va: (c == cpu) & (b == a) & due),
            s.user_flush.set((cpu, a), s.user_flush[cpu, a] | due),
            s.behind.set((cpu, a), s.behind[cpu, a] & ~due),
            s.waits_for.set((f, cpu), FALSE),
        ],
    )
