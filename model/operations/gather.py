"""mmu_gather: tables that are unlinked first, and freed when nobody can be in them any more.

Two kinds of readers do not hold the lock: the processor, which follows its paging-structure caches, and
software that walks with interrupts off (``lockless_pages_from_mm()``).  A flush drives out the first; it
may be a hypercall, so that it says nothing of interrupts.  The second are waited for: tables of a batch
are freed by RCU, and a table for which there is no batch is freed after an IPI to everybody.
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
    Update,
    forall,
    operation,
    some,
)
from ..machine.psc import PmdCache
from ..machine.sorts import Cpu, PmdSlot, Pte


class Gather(Locals):
    """The locals of free_pgtables(): the table, and CPUs that have not flushed or not answered."""

    table: Map[Cpu, Pte]
    flush: Map[tuple[Cpu, Cpu], Bool]
    sync: Map[tuple[Cpu, Cpu], Bool]

    def ask_to_flush(self, by: Cpu) -> Update:
        """tlb_table_invalidate()."""
        return self.flush.fill(lambda b, c: TRUE, lambda b, c: b == by)


class Tables(PmdCache):
    """link: the PMD entries.  taken: the page is a table, or on its way to be freed.  walks: the table
    that a lockless walker is in, with interrupts off.  queued: call_rcu() has the table; grace: a CPU
    has not passed a quiescent state since."""

    link: Map[PmdSlot, Opt[Pte]]
    taken: Map[Pte, Bool]
    walks: Map[Cpu, Opt[Pte]]
    queued: Map[Pte, Bool]
    grace: Map[tuple[Pte, Cpu], Bool]
    gather: Gather


@operation(kernel="mm/mmu_gather.c: tlb_gather_mmu()")
def boot(s: Tables) -> Step:
    """The process has no tables."""
    return Step(
        when=TRUE,
        then=[
            s.pmd_cache.fill(lambda cpu, i: NONE),
            s.link.fill(lambda i: NONE),
            s.taken.fill(lambda t: FALSE),
            s.walks.fill(lambda cpu: NONE),
            s.queued.fill(lambda t: FALSE),
        ],
    )


@operation(kernel="mm/memory.c: __pte_alloc(), pmd_install()")
def populate(s: Tables, i: PmdSlot, t: Pte) -> Step:
    """A free page becomes a table."""
    return Step(
        when=s.link[i].is_none & ~s.taken[t],
        then=[s.link.set(i, some(t)), s.taken.set(t, TRUE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.3: caches for paging structures")
def fill_pmd_cache(s: Tables, cpu: Cpu, i: PmdSlot) -> Step:
    """A CPU remembers where a PMD entry leads."""
    return Step(when=s.link[i].is_some, then=[s.pmd_cache.set((cpu, i), s.link[i])])


@operation(kernel="mm/gup.c: lockless_pages_from_mm(), gup_pmd_range()")
def walk(s: Tables, cpu: Cpu, i: PmdSlot) -> Step:
    """With interrupts off, a walker reads a PMD entry and goes on in the table."""
    return Step(when=s.walks[cpu].is_none & s.link[i].is_some, then=[s.walks.set(cpu, s.link[i])])


@operation(kernel="mm/gup.c: lockless_pages_from_mm(), local_irq_restore()")
def end_walk(s: Tables, cpu: Cpu) -> Step:
    """It is done; interrupts come through again."""
    return Step(when=s.walks[cpu].is_some, then=[s.walks.set(cpu, NONE)])


@operation(
    kernel="arch/x86/mm/tlb.c: flush_tlb_func(); arch/x86/kernel/kvm.c: kvm_flush_tlb_multi()"
)
def flush_tlb(s: Tables, cpu: Cpu, by: Cpu) -> Step:
    """A CPU is flushed; a hypervisor may do it while interrupts are off."""
    return Step(
        when=~free_pgtables.idle(s, by) & s.gather.flush[by, cpu],
        then=[
            s.pmd_cache.fill(lambda c, i: NONE, lambda c, i: c == cpu),
            s.gather.flush.set((by, cpu), FALSE),
        ],
    )


@operation(kernel="mm/mmu_gather.c: tlb_remove_table_smp_sync()")
def answer_sync(s: Tables, cpu: Cpu, by: Cpu) -> Step:
    """The IPI that does nothing arrives: no walk was under way at that moment."""
    asked = ~free_pgtables.idle(s, by) & s.gather.sync[by, cpu]
    return Step(when=asked & s.walks[cpu].is_none, then=[s.gather.sync.set((by, cpu), FALSE)])


@operation(kernel="kernel/rcu/tree.c: rcu_report_qs_rdp()")
def pass_quiescent_state(s: Tables, cpu: Cpu, t: Pte) -> Step:
    """A CPU with interrupts on is in no walk."""
    waits = s.queued[t] & s.grace[t, cpu]
    return Step(when=waits & s.walks[cpu].is_none, then=[s.grace.set((t, cpu), FALSE)])


@operation(kernel="mm/mmu_gather.c: tlb_remove_table_rcu(), __tlb_remove_table_free()")
def free_after_grace_period(s: Tables, t: Pte) -> Step:
    """When every CPU has passed one, the table is free for anyone."""
    over = forall(Cpu, lambda cpu: ~s.grace[t, cpu])
    return Step(when=s.queued[t] & over, then=[s.queued.set(t, FALSE), s.taken.set(t, FALSE)])


def _free_pgtables(
    doc: str, *, flush_batch: bool = True, flush_one: bool = True, sync_one: bool = True
) -> Procedure:
    """What is done before a batch is given to RCU, and before a table without a batch is freed."""
    procedure = Procedure(
        "free_pgtables",
        kernel="mm/memory.c: free_pgtables(); mm/mmu_gather.c: tlb_remove_table()",
        doc=doc,
    )

    def unlink(s: Tables, cpu: Cpu, i: PmdSlot) -> Step:
        """Clear the PMD entry, under its lock."""
        return Step(
            when=s.link[i].is_some,
            then=[
                s.gather.table.set(cpu, s.link[i].value),
                s.gather.flush.fill(lambda b, c: FALSE, lambda b, c: b == cpu),
                s.gather.sync.fill(lambda b, c: FALSE, lambda b, c: b == cpu),
                s.link.set(i, NONE),
            ],
        )

    def tlb_table_flush(s: Tables, cpu: Cpu) -> Step:
        """The table is in a batch, which is full or the last: have all CPUs flush."""
        return Step(when=TRUE, then=[s.gather.ask_to_flush(cpu)] if flush_batch else [])

    def call_rcu(s: Tables, cpu: Cpu) -> Step:
        """When all have, leave the batch to RCU."""
        t = s.gather.table[cpu]
        flushed = forall(Cpu, lambda c: ~s.gather.flush[cpu, c])
        return Step(
            when=flushed,
            then=[s.queued.set(t, TRUE), s.grace.fill(lambda u, c: TRUE, lambda u, c: u == t)],
        )

    def no_batch(s: Tables, cpu: Cpu) -> Step:
        """There is no page for a batch (GFP_NOWAIT): have all CPUs flush for the one table."""
        return Step(when=TRUE, then=[s.gather.ask_to_flush(cpu)] if flush_one else [])

    def tlb_remove_table_sync_one(s: Tables, cpu: Cpu) -> Step:
        """When all have, interrupt them all."""
        flushed = forall(Cpu, lambda c: ~s.gather.flush[cpu, c])
        ask = s.gather.sync.fill(lambda b, c: TRUE, lambda b, c: b == cpu)
        return Step(when=flushed, then=[ask] if sync_one else [])

    def tlb_remove_table_one(s: Tables, cpu: Cpu) -> Step:
        """When all have answered, the table is free for anyone."""
        answered = forall(Cpu, lambda c: ~s.gather.sync[cpu, c])
        return Step(when=answered, then=[s.taken.set(s.gather.table[cpu], FALSE)])

    procedure.step(to="tlb_remove_table")(unlink)
    procedure.step(at="tlb_remove_table", to="call_rcu")(tlb_table_flush)
    procedure.step(to=Procedure.DONE)(call_rcu)
    procedure.step(at="tlb_remove_table", to="sync")(no_batch)
    procedure.step(at="sync", to="tlb_remove_table_one")(tlb_remove_table_sync_one)
    procedure.step(tlb_remove_table_one)
    return procedure


free_pgtables = _free_pgtables("munmap() frees a table: flush, then wait for lockless walkers.")
# T-04: batches were left to RCU, which waits for software only.
free_without_batch_flush = _free_pgtables(
    "munmap() frees a table; a batch goes to RCU without a flush.", flush_batch=False
)
# T-05: so was a table without a batch, after an IPI that flushes nothing.
free_without_single_flush = _free_pgtables(
    "munmap() frees a table; without a batch nothing is flushed.", flush_one=False
)
# T-12: a flush was taken for an IPI, which it is not where a hypervisor does it.
free_without_sync = _free_pgtables(
    "munmap() frees a table; without a batch nobody waits for walkers.", sync_one=False
)
