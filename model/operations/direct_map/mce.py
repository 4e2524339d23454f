"""set_mce_nospec() and clear_mce_nospec(): a page with a memory error leaves the direct map."""

from __future__ import annotations

from ...language import FALSE, TRUE, Bool, Operation, Step, operation
from ...machine.sorts import Frame
from .frames import Call, DirectMap, Owner, Request, Rules


@operation(kernel="arch/x86/kernel/cpu/mce/core.c: uc_decode_notifier()")
def memory_failure_done(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: others may ask for the page again."""
    return Step(
        when=(s.call[f] == Call.POISON) & s.answered(Request.MCE, f),
        then=[s.call.set(f, Call.IDLE)],
    )


def mce(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """owner: the page is taken when its owner is done with it; nobody has it then, or the driver of
    persistent memory, who knows."""

    def may_take(s: DirectMap, f: Frame) -> Bool:
        if not rules.owner:
            return s.owner[f] != Owner.ABSENT
        unused = ((s.owner[f] == Owner.FREE) | (s.owner[f] == Owner.USER)) & s.is_unused(f)
        return s.idle(f) & (unused | (s.owner[f] == Owner.DEVICE))

    @operation(kernel="arch/x86/mm/pat/set_memory.c: set_mce_nospec(), set_memory_np()")
    def set_mce_nospec(s: DirectMap, f: Frame) -> Step:
        """P goes, and every CPU is asked to flush."""
        held = [s.call.set(f, Call.POISON)] if rules.owner else []
        return Step(
            when=may_take(s, f) & ~s.poisoned[f] & s.is_split(f),
            then=[
                s.poisoned.set(f, TRUE),
                s.leaf.present.set(f, FALSE),
                s.ask(Request.MCE, f),
                *held,
            ],
        )

    @operation(kernel="drivers/nvdimm/pmem.c: pmem_clear_poison(), clear_mce_nospec()")
    def clear_mce_nospec(s: DirectMap, f: Frame) -> Step:
        """Persistent memory is written anew, and P comes back."""
        clear = s.poisoned[f] & (s.owner[f] == Owner.DEVICE) & s.answered(Request.MCE, f)
        return Step(
            when=clear & s.idle(f),
            then=[s.poisoned.set(f, FALSE), s.leaf.present.set(f, TRUE)],
        )

    done = [memory_failure_done] if rules.owner else []
    return [set_mce_nospec, clear_mce_nospec, *done]
