"""kmap() beside supervisor protection keys.

What it checks: an address that kmap() returned works in every thread (promise 8 of docs/keys.md).
Why it matters: that is what kmap() promises; whoever was given the address has no bracket to open.
Kernel precedent: the review of "[PATCH V8 41/44] kmap: Ensure kmap works for devmap pages" (1 March
2022); V9 and V10 leave kmap() of protected pages unsupported.
Smallest counterexample: kmap(), then another thread runs (pks-kmap-bracket).
Not covered: who is told that kmap() is not for such pages, which ``pgmap_pointers`` has.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.pks_kmap import PksKmap


@always
def kmap_works_in_every_thread(s: PksKmap, cpu: Cpu, f: Frame) -> Bool:
    """An address that kmap() returned can be used by every thread."""
    return (s.kmapped[f] & ~s.in_irq[cpu]).implies(s.can_access(cpu, f))


@sometimes
def kmap_is_used(s: PksKmap, f: Frame) -> Bool:
    """Somebody uses kmap()."""
    return s.kmapped[f]
