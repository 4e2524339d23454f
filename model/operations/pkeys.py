"""User protection keys: PKRU of each thread, keys of a process, and pkey_mprotect().

Threads of one process share its pages and their keys, but each has its own PKRU, which it writes by
itself, without the kernel.  The kernel keeps the register with the thread over context switches, sets
it for pkey_alloc(), and copies it to a new thread.  A page changes its key in the leaf, and every CPU
has to flush the translation, which has the old one.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    Sort,
    State,
    Step,
    Var,
    forall,
    given,
    ite,
    operation,
    some,
)
from ..machine.access import KeyRights, Kind, forbidden_by_key
from ..machine.sorts import Cpu, Task, Va


class Pkey(Sort):
    """A protection key, bits 62:59 of the leaf of a user page."""


class Rights(Enumeration):
    """What the two bits of PKRU for one key leave: all, reading, nothing."""

    ALL: Rights
    READ: Rights
    NOTHING: Rights


class Mprotect(Locals):
    """The locals of do_mprotect_pkey(): CPUs whose answer is missing."""

    va: Map[Task, Va]
    waits_for: Map[tuple[Task, Cpu], Bool]


class Pkeys(State):
    """current: the thread of a CPU, all of one process.  alive: the thread exists.  pkru: the register.
    saved: ``thread.pkru`` of a thread that no CPU runs.  chosen: the rights that a thread was given and
    gave itself since.  allocated: ``pkey_allocation_map``.  leaf: the key of a page.  tlb: the key that
    a CPU has cached with the translation.  mmap_lock: somebody changes leaves.

    default: key 0, which every page has at first."""

    current: Map[Cpu, Task]
    alive: Map[Task, Bool]
    pkru: Map[tuple[Cpu, Pkey], Rights]
    saved: Map[tuple[Task, Pkey], Rights]
    chosen: Map[tuple[Task, Pkey], Rights]
    allocated: Map[Pkey, Bool]
    leaf: Map[Va, Pkey]
    tlb: Map[tuple[Cpu, Va], Opt[Pkey]]
    mmap_lock: Var[Bool]
    mprotect: Mprotect

    default: Fun[tuple[()], Pkey] = given(lambda scope: 0)

    def rights(self, rights: Rights) -> KeyRights:
        """The two bits."""
        return KeyRights(rights == Rights.NOTHING, rights != Rights.ALL)

    def can_access(self, cpu: Cpu, va: Va, kind: Kind) -> Bool:
        """A CPU in user mode can read or write a page by what it has cached."""
        entry = self.tlb[cpu, va]
        allowed = ~forbidden_by_key(self.rights(self.pkru[cpu, entry.value]), kind)
        return entry.is_some & allowed

    def is_off_cpu(self, t: Task) -> Bool:
        """No CPU runs the thread."""
        return forall(Cpu, lambda cpu: self.current[cpu] != t)

    def is_flushed(self, cpu: Cpu, va: Va) -> Bool:
        """No change of the page's key waits for the CPU."""
        return forall(
            Task,
            lambda t: (
                pkey_mprotect.idle(self, t)
                | (self.mprotect.va[t] != va)
                | ~self.mprotect.waits_for[t, cpu]
            ),
        )


def initial_rights(s: Pkeys, k: Pkey) -> Rights:
    """``init_pkru_value``: nothing but key 0."""
    return ite(k == s.default[()], Rights.ALL, Rights.NOTHING)


@operation(kernel="arch/x86/mm/pkeys.c: init_pkru_value; fs/exec.c: pkru_flush_thread()")
def boot(s: Pkeys) -> Step:
    """execve(): every page has key 0, and every CPU runs a thread with the initial rights."""
    return Step(
        when=forall(Cpu, Cpu, lambda a, b: (s.current[a] == s.current[b]).implies(a == b)),
        then=[
            s.alive.fill(lambda t: ~s.is_off_cpu(t)),
            s.pkru.fill(lambda cpu, k: initial_rights(s, k)),
            s.saved.fill(lambda t, k: initial_rights(s, k)),
            s.chosen.fill(lambda t, k: initial_rights(s, k)),
            s.allocated.fill(lambda k: k == s.default[()]),
            s.leaf.fill(lambda va: s.default[()]),
            s.tlb.fill(lambda cpu, va: NONE),
            s.mmap_lock.become(FALSE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: Pkeys, cpu: Cpu, va: Va) -> Step:
    """A CPU caches a translation and its key, needed or not."""
    return Step(when=TRUE, then=[s.tlb.set((cpu, va), some(s.leaf[va]))])


@operation(kernel="Intel SDM vol. 2: WRPKRU, in user mode")
def wrpkru(s: Pkeys, cpu: Cpu, k: Pkey, rights: Rights) -> Step:
    """A thread chooses its rights for a key."""
    t = s.current[cpu]
    return Step(when=TRUE, then=[s.pkru.set((cpu, k), rights), s.chosen.set((t, k), rights)])


@operation(kernel="mm/mprotect.c: pkey_alloc(); arch/x86/kernel/fpu/xstate.c")
def pkey_alloc(s: Pkeys, cpu: Cpu, k: Pkey, rights: Rights) -> Step:
    """A thread gets a key that is not allocated, with the rights that it asks for; other threads keep
    theirs."""
    t = s.current[cpu]
    return Step(
        when=~s.mmap_lock.now & ~s.allocated[k] & pkey_mprotect.idle(s, t),
        then=[
            s.allocated.set(k, TRUE),
            s.pkru.set((cpu, k), rights),
            s.chosen.set((t, k), rights),
        ],
    )


def _free(s: Pkeys, cpu: Cpu, k: Pkey, allowed: Bool) -> Step:
    mine = s.allocated[k] & (k != s.default[()]) & pkey_mprotect.idle(s, s.current[cpu])
    return Step(when=~s.mmap_lock.now & mine & allowed, then=[s.allocated.set(k, FALSE)])


@operation(kernel="mm/mprotect.c: pkey_free(), called as the manual page says")
def pkey_free(s: Pkeys, cpu: Cpu, k: Pkey) -> Step:
    """A key that no page has is given back."""
    return _free(s, cpu, k, forall(Va, lambda va: s.leaf[va] != k))


# What the kernel accepts as well; its comment says that a warning could be given.
@operation(kernel="mm/mprotect.c: pkey_free()", name="pkey_free")
def pkey_free_in_use(s: Pkeys, cpu: Cpu, k: Pkey) -> Step:
    """A key is given back, whatever page has it."""
    return _free(s, cpu, k, TRUE)


pkey_mprotect = Procedure(
    "pkey_mprotect",
    kernel="mm/mprotect.c: do_mprotect_pkey(), change_protection()",
    doc="Change the key of a page, and flush it everywhere.",
)


@pkey_mprotect.step
def change_pte_range(s: Pkeys, t: Task, cpu: Cpu, va: Va, k: Pkey) -> Step:
    """Under mmap_lock the leaf gets a key that is allocated."""
    return Step(
        when=(s.current[cpu] == t) & ~s.mmap_lock.now & s.allocated[k],
        then=[
            s.mmap_lock.become(TRUE),
            s.leaf.set(va, k),
            s.mprotect.va.set(t, va),
            s.mprotect.waits_for.fill(lambda u, c: TRUE, lambda u, c: u == t),
        ],
    )


@pkey_mprotect.step
def tlb_finish_mmu(s: Pkeys, t: Task, cpu: Cpu) -> Step:
    """When all CPUs have flushed the page, the system call returns."""
    answered = forall(Cpu, lambda c: ~s.mprotect.waits_for[t, c])
    return Step(when=(s.current[cpu] == t) & answered, then=[s.mmap_lock.become(FALSE)])


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func()")
def flush_tlb(s: Pkeys, cpu: Cpu, t: Task) -> Step:
    """The IPI arrives: the page is flushed."""
    va = s.mprotect.va[t]
    return Step(
        when=~pkey_mprotect.idle(s, t) & s.mprotect.waits_for[t, cpu],
        then=[s.tlb.set((cpu, va), NONE), s.mprotect.waits_for.set((t, cpu), FALSE)],
    )


@operation(kernel="arch/x86/kernel/process_64.c: x86_pkru_load()")
def switch_to(s: Pkeys, cpu: Cpu, t: Task) -> Step:
    """The register is kept for the old thread and loaded for the new one."""
    old = s.current[cpu]
    return Step(
        when=s.alive[t] & s.is_off_cpu(t),
        then=[
            s.current.set(cpu, t),
            s.saved.fill(lambda u, k: s.pkru[cpu, k], lambda u, k: u == old),
            s.pkru.fill(lambda c, k: s.saved[t, k], lambda c, k: c == cpu),
        ],
    )


@operation(kernel="arch/x86/kernel/process.c: copy_thread(), thread.pkru")
def clone(s: Pkeys, cpu: Cpu, child: Task) -> Step:
    """A new thread has the rights of the one that made it."""
    return Step(
        when=~s.alive[child] & pkey_mprotect.idle(s, s.current[cpu]),
        then=[
            s.alive.set(child, TRUE),
            s.saved.fill(lambda u, k: s.pkru[cpu, k], lambda u, k: u == child),
            s.chosen.fill(lambda u, k: s.chosen[s.current[cpu], k], lambda u, k: u == child),
        ],
    )
