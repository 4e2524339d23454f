"""set_memory_decrypted() and set_memory_encrypted(): a driver's page is shared with the hypervisor.

The order is SEV's: the leaf, the flush, then the hypervisor is told (sev, snp, tdx have others).
"""

from __future__ import annotations

from ...language import FALSE, TRUE, Bool, Operation, Step, operation
from ...machine.sorts import Frame
from .cpa import may_change
from .frames import Call, DirectMap, Request, Rules


@operation(kernel="arch/x86/mm/mem_encrypt_amd.c: amd_enc_status_change_finish()")
def enc_status_change_finish(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: tell the hypervisor, and return."""
    decrypt, encrypt = s.call[f] == Call.DECRYPT, s.call[f] == Call.ENCRYPT
    return Step(
        when=(decrypt | encrypt) & s.answered(Request.CALL, f),
        then=[s.host.set(f, decrypt), s.call.set(f, Call.IDLE)],
    )


@operation(kernel="kernel/dma/direct.c: dma_set_decrypted(), dma_direct_alloc()")
def conversion_fails(s: DirectMap, f: Frame) -> Step:
    """The hypervisor refuses: nobody knows what the page is, and its driver keeps it."""
    return Step(
        when=(s.call[f] == Call.DECRYPT) & s.answered(Request.CALL, f),
        then=[s.call.set(f, Call.IDLE)],
    )


def encryption(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """alias: see may_change()."""

    def convert(s: DirectMap, f: Frame, shared: Bool, call: Call) -> Step:
        return Step(
            when=may_change(s, f, rules) & (s.leaf.shared[f] != shared),
            then=[
                s.leaf.shared.set(f, shared),
                s.ask(Request.CALL, f),
                s.call.set(f, call),
            ],
        )

    @operation(kernel="arch/x86/mm/pat/set_memory.c: __set_memory_enc_pgtable()")
    def set_memory_decrypted(s: DirectMap, f: Frame) -> Step:
        """The leaf becomes shared, and every CPU is asked to flush."""
        return convert(s, f, TRUE, Call.DECRYPT)

    @operation(kernel="arch/x86/mm/pat/set_memory.c: __set_memory_enc_pgtable()")
    def set_memory_encrypted(s: DirectMap, f: Frame) -> Step:
        """The leaf becomes private, and every CPU is asked to flush."""
        return convert(s, f, FALSE, Call.ENCRYPT)

    return [set_memory_decrypted, set_memory_encrypted, enc_status_change_finish, conversion_fails]
