"""What a CPU does with generations: context switch, lazy mode, the interrupt that asks it to flush."""

from __future__ import annotations

from ..language import FALSE, NONE, TRUE, Bool, Procedure, Step, forall, operation, some
from ..machine.sorts import Cpu, Frame, Mm
from ..machine.tlb import Asid, drop_tagged
from .tlb_gen import Extent, TlbGen, munmap, reclaim


@operation(kernel="arch/x86/mm/tlb.c: enter_lazy_tlb(); kernel/sched/core.c: context_switch()")
def enter_lazy_tlb(s: TlbGen, cpu: Cpu) -> Step:
    """A kernel thread runs, on the tables of the process before."""
    runs = s.current_mm[cpu].is_some & switch_mm.idle(s, cpu)
    free_to_go = munmap.idle(s, cpu) & reclaim.idle(s, cpu)
    return Step(
        when=runs & free_to_go,
        then=[s.current_mm.set(cpu, NONE), s.is_lazy.set(cpu, TRUE)],
    )


# Context switch, with interrupts off.


def _switch_mm(
    doc: str,
    *,
    indicates: bool = True,
    late: bool = False,
    after_cr3: bool = False,
    lazy_until_read: bool = False,
) -> Procedure:
    """indicates: loaded_mm becomes LOADED_MM_SWITCHING; late: only as CR3 is written.  after_cr3: the
    count is read then.  lazy_until_read: is_lazy is cleared after the count was read."""
    procedure = Procedure("switch_mm", kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off()", doc=doc)
    early = indicates and not late
    read = FALSE if after_cr3 else TRUE

    def begin(s: TlbGen, cpu: Cpu, m: Mm) -> Step:
        """A user task is next; the CPU is not lazy any more."""
        same = s.loaded_mm[cpu] == some(m)
        return Step(
            when=(m != s.init_mm[()]) & (~same | s.current_mm[cpu].is_none),
            then=[
                s.switch.next.set(cpu, m),
                s.is_lazy.set(cpu, s.is_lazy[cpu] & same if lazy_until_read else FALSE),
            ],
        )

    def read_tlb_gen(s: TlbGen, cpu: Cpu) -> Step:
        """The process is loaded still: flush its identifier if it is behind."""
        a = s.asid[cpu]
        return Step(
            when=s.loaded_mm[cpu] == some(s.switch.next[cpu]),
            then=[
                s.switch.asid.set(cpu, a),
                s.switch.flush.set(cpu, ~s.is_current(cpu, a)),
                *s.catch_up(cpu, a, read),
            ],
        )

    def indicate_switching(s: TlbGen, cpu: Cpu) -> Step:
        """loaded_mm becomes LOADED_MM_SWITCHING."""
        return Step(
            when=s.loaded_mm[cpu] != some(s.switch.next[cpu]),
            then=[s.loaded_mm.set(cpu, NONE)] if early else [],
        )

    def join_mask(s: TlbGen, cpu: Cpu) -> Step:
        """Remote flushes for the process before stop, those for the next one start."""
        return Step(
            when=TRUE,
            then=[
                s.mask.set((s.cr3[cpu], cpu), FALSE),
                s.mask.set((s.switch.next[cpu], cpu), TRUE),
            ],
        )

    def choose_new_asid(s: TlbGen, cpu: Cpu, a: Asid) -> Step:
        """Read the count; take the process's identifier, flushing it if it is behind, or another one."""
        m = s.switch.next[cpu]
        known = s.ctx[cpu, a] == some(m)
        return Step(
            when=TRUE,
            then=[
                s.switch.asid.set(cpu, a),
                s.switch.flush.set(cpu, ~known | ~s.is_current(cpu, a)),
                s.ctx.set((cpu, a), some(m)),
                *s.catch_up(cpu, a, read),
            ],
        )

    def load_new_mm_cr3(s: TlbGen, cpu: Cpu) -> Step:
        """Load CR3; without the no-flush bit the identifier's entries go."""
        a, flush = s.switch.asid[cpu], s.switch.flush[cpu]
        switching = [s.loaded_mm.set(cpu, NONE)] if late else []
        return Step(
            when=TRUE,
            then=[
                s.cr3.set(cpu, s.switch.next[cpu]),
                s.asid.set(cpu, a),
                drop_tagged(s.tlb, lambda c, b, va: (c == cpu) & (b == a) & flush),
                *switching,
            ],
        )

    def write_loaded_mm(s: TlbGen, cpu: Cpu) -> Step:
        """loaded_mm tells what is in CR3."""
        a, flush = s.switch.asid[cpu], s.switch.flush[cpu]
        count = s.catch_up(cpu, a, flush) if after_cr3 else []
        awake = [s.is_lazy.set(cpu, FALSE)] if lazy_until_read else []
        return Step(
            when=TRUE,
            then=[s.loaded_mm.set(cpu, some(s.switch.next[cpu])), *count, *awake],
        )

    def switch_to(s: TlbGen, cpu: Cpu) -> Step:
        """The task is current; interrupts come through again."""
        return Step(when=TRUE, then=[s.current_mm.set(cpu, some(s.switch.next[cpu]))])

    procedure.step(to="look")(begin)
    procedure.step(at="look", to="load_new_mm_cr3")(read_tlb_gen)
    procedure.step(at="look", to="join_mask")(indicate_switching)
    procedure.step(join_mask)
    procedure.step(choose_new_asid)
    procedure.step(load_new_mm_cr3)
    procedure.step(write_loaded_mm)
    procedure.step(switch_to)
    return procedure


switch_mm = _switch_mm("Run a task: join its process's mask, read its count, then load CR3.")
# 4012e77a903d: loaded_mm was the process before until CR3 had been written.
switch_without_indicating = _switch_mm(
    "Run a task; loaded_mm is the process before until CR3 is written.", indicates=False
)
# fea4e317f9e7: it was said when the count had been read, before CR3 is written.
switch_indicating_late = _switch_mm(
    "Run a task; that CR3 changes is said when the count has been read.", late=True
)
switch_reading_after_cr3 = _switch_mm(
    "Run a task; the count is read when CR3 has been loaded.", after_cr3=True
)
switch_lazy_until_read = _switch_mm(
    "Run a task; the CPU is lazy until it has read the count.", lazy_until_read=True
)


# The interrupt.


def _asks(s: TlbGen, by: Cpu, cpu: Cpu) -> tuple[Bool, Bool]:
    """A request waits for the CPU, which has interrupts on; it is one of reclaim's."""
    batched = ~reclaim.idle(s, by)
    f = s.request.frame[by]
    waits = (batched | ~munmap.idle(s, by)) & s.sent[f] & s.waits_for[f, cpu]
    return waits & switch_mm.idle(s, cpu), batched


def _flush_tlb_func(s: TlbGen, cpu: Cpu, by: Cpu, *, partial: bool, count: bool) -> Step:
    """partial: only what is one behind, and the last, may be flushed in part.  count: a request without
    a count is not taken for an old one."""
    a, f = s.asid[cpu], s.request.frame[by]
    waits, batched = _asks(s, by, cpu)
    loaded = s.loaded_mm[cpu]
    mine = batched | (loaded == some(s.request.mm[by]))
    reached = ~s.due[cpu, a, f]
    old = ~batched & reached if count else batched | reached
    due = mine & (loaded != some(s.init_mm[()])) & ~old & ~s.is_current(cpu, a)
    last = ~s.behind[cpu, a] & forall(Frame, lambda g: (g == f) | ~s.due[cpu, a, g])
    one = ~batched & (s.request.extent[by] == Extent.PAGE) & (last if partial else TRUE)
    return Step(
        when=waits & ~(s.is_lazy[cpu] & mine),
        then=[
            drop_tagged(
                s.tlb,
                lambda c, b, va: (c == cpu) & (b == a) & due & (~one | (va == s.request.va[by])),
            ),
            *s.catch_up(cpu, a, due),
            s.waits_for.set((f, cpu), FALSE),
        ],
    )


_FLUSH = "arch/x86/mm/tlb.c: flush_tlb_func()"


@operation(kernel=_FLUSH)
def flush_tlb_func(s: TlbGen, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: nothing to do if the count is reached; one page, if the CPU is one behind and
    the request is the last; else everything.  The count is the process's then."""
    return _flush_tlb_func(s, cpu, by, partial=True, count=True)


@operation(kernel=_FLUSH, name="flush_tlb_func")
def flush_in_part(s: TlbGen, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU flushes what is asked for, however far it is behind."""
    return _flush_tlb_func(s, cpu, by, partial=False, count=True)


# 8f1d56f64f8d: a batched request says 0, which every identifier has reached.
@operation(kernel=_FLUSH, name="flush_tlb_func")
def flush_by_count_only(s: TlbGen, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: nothing to do if the count is reached, and the count of none always is."""
    return _flush_tlb_func(s, cpu, by, partial=True, count=False)


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func(), leave_mm(), choose_new_asid()")
def leave_mm(s: TlbGen, cpu: Cpu, by: Cpu, a: Asid) -> Step:
    """The IPI arrives, and the CPU has become lazy meanwhile: it goes to init_mm."""
    init = s.init_mm[()]
    waits, batched = _asks(s, by, cpu)
    mine = batched | (s.loaded_mm[cpu] == some(s.request.mm[by]))
    fresh = s.ctx[cpu, a] != some(init)
    return Step(
        when=waits & s.is_lazy[cpu] & mine,
        then=[
            s.mask.set((s.cr3[cpu], cpu), FALSE),
            s.is_lazy.set(cpu, FALSE),
            s.cr3.set(cpu, init),
            s.asid.set(cpu, a),
            s.loaded_mm.set(cpu, some(init)),
            s.ctx.set((cpu, a), some(init)),
            *s.catch_up(cpu, a, fresh),
            drop_tagged(s.tlb, lambda c, b, va: (c == cpu) & (b == a) & fresh),
            s.waits_for.set((s.request.frame[by], cpu), FALSE),
        ],
    )
