"""What a CPU may have cached of the page tables: translations, by PCID or global.

A CPU may fill its TLB at any time, speculation included, from the tables that CR3 leads to, and may
forget any entry at any time (Intel SDM vol. 3, section 4.10.2.3 and 4.10.3.1); what must not happen
is that it keeps one.  So each tag and address has room for one entry, a fill replaces it, and
nothing forgets by itself: a claim about every entry is about each of them alone.  PCIDs come in
pairs, one for each half of a page-table pair, hence a kernel and a user TLB.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import NONE, Bool, Map, Opt, Sort, State, Update
from .sorts import Cpu, Frame, Va


class Asid(Sort):
    """A pair of PCIDs of a CPU, one for each half (``TLB_NR_DYN_ASIDS`` of them)."""


class TwoPcids(State):
    """The TLB of a CPU that uses one PCID for the kernel's tables and one for the shadow."""

    kernel_tlb: Map[tuple[Cpu, Va], Opt[Frame]]
    user_tlb: Map[tuple[Cpu, Va], Opt[Frame]]


class Tlb(State):
    """The TLB of a CPU that uses a pair of PCIDs for each of its last processes."""

    kernel_tlb: Map[tuple[Cpu, Asid, Va], Opt[Frame]]
    user_tlb: Map[tuple[Cpu, Asid, Va], Opt[Frame]]


class GlobalTlb(Tlb):
    """Beside those, entries of global pages, which are used under every PCID (section 4.10.2.4)."""

    global_tlb: Map[tuple[Cpu, Va], Opt[Frame]]


def drop(tlb: Map[tuple[Cpu, Va], Opt[Frame]], where: Callable[[Cpu, Va], Bool]) -> Update:
    """Invalidate the entries where the condition holds."""
    return tlb.fill(lambda cpu, va: NONE, where)


def drop_tagged(
    tlb: Map[tuple[Cpu, Asid, Va], Opt[Frame]], where: Callable[[Cpu, Asid, Va], Bool]
) -> Update:
    """Invalidate the entries where the condition holds."""
    return tlb.fill(lambda cpu, asid, va: NONE, where)
