"""User protection keys."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Task, Va
from ..operations import pkeys as op
from ..operations.pkeys import Pkey, Pkeys

pkeys = Design(
    name="pkeys",
    state=Pkeys,
    init=op.boot,
    operations=[
        op.fill_tlb,
        op.wrpkru,
        op.pkey_alloc,
        op.pkey_free,
        op.flush_tlb,
        op.switch_to,
        op.clone,
    ],
    procedures=[op.pkey_mprotect],
    scope={Cpu: 1, Task: 2, Pkey: 2, Va: 1},
    doc="""User protection keys of one process, as merged: PKRU goes with the thread, keys of pages are
changed with a flush, and nobody gives back a key that a page has.""",
    source="mm/mprotect.c, arch/x86/mm/pkeys.c and x86_pkru_load() of Linux 6.1",
)


pkeys_freed_in_use = pkeys.replacing(
    op.pkey_free,
    op.pkey_free_in_use,
    name="pkeys-freed-in-use",
    doc="pkeys, but a key is given back while pages have it, which the kernel does not refuse.",
)
