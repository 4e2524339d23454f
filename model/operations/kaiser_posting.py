"""Steps of the KAISER series as posted on 10 November 2017, where they differ from the repaired ones."""

from __future__ import annotations

from ..language import FALSE, TRUE, Procedure, Step
from ..machine.sorts import Cpu
from . import kaiser
from .kaiser import Kaiser, user_entry

# K-03: the branch that adds NX was guarded by the opposite of what its comment said, so that with a
# folded p4d level the kernel's copy of a user entry stayed executable.
pgd_populate_without_nx = Procedure(
    "pgd_populate",
    kernel="arch/x86/include/asm/pgtable_64.h: native_set_p4d(), 10 Nov 2017",
    doc="Link the table of a user slot: the shadow's entry, then the kernel's without NX.",
)
pgd_populate_without_nx.step(kaiser.write_shadow.operation.function)


@pgd_populate_without_nx.step
def write_kernel(s: Kaiser, cpu: Cpu) -> Step:
    """Write the kernel's entry as it is, and drop the lock."""
    m, i = s.set_pgd.mm[cpu], s.set_pgd.slot[cpu]
    return Step(
        when=TRUE,
        then=[
            *s.pgd.set_entry(s.kernel_pgd[m], i, user_entry(s, m, i)),
            s.in_set_pgd.set(m, FALSE),
            s.page_table_lock.set(m, FALSE),
            s.preempt_off.set(cpu, FALSE),
        ],
    )
