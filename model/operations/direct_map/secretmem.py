"""memfd_secret(): a page leaves the direct map before its user has it (secretmem has it in full)."""

from __future__ import annotations

from ...language import FALSE, TRUE, Bool, Operation, Step, operation
from ...machine.sorts import Frame
from .frames import Call, DirectMap, Owner, Request, Rules, Sleep


def _tasks_run(s: DirectMap) -> Bool:
    return s.sleep.now != Sleep.FROZEN


@operation(kernel="mm/secretmem.c: secretmem_fault()")
def secretmem_fault(s: DirectMap, f: Frame) -> Step:
    """A user touches his file: allocate a page, zeroed."""
    return Step(
        when=s.is_available(f) & _tasks_run(s),
        then=[s.owner.set(f, Owner.SECRET), s.call.set(f, Call.SECRET_FAULT)],
    )


@operation(kernel="mm/memory.c: finish_fault()")
def finish_fault(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the user gets his entry."""
    flushed = (s.call[f] == Call.SECRET_FLUSH) & s.answered(Request.CALL, f)
    return Step(when=flushed & _tasks_run(s), then=[s.user.set(f, TRUE), s.call.set(f, Call.IDLE)])


@operation(kernel="arch/x86/entry/entry_64.S: user code")
def user_write(s: DirectMap, f: Frame) -> Step:
    """The user writes his secret."""
    his = (s.owner[f] == Owner.SECRET) & s.user[f]
    return Step(when=his & _tasks_run(s), then=[s.secret.set(f, TRUE)])


@operation(kernel="mm/secretmem.c: secretmem_free_folio(), set_direct_map_default_noflush()")
def secretmem_free_folio(s: DirectMap, f: Frame) -> Step:
    """The file is gone: the page comes back into the direct map, by which it is zeroed."""
    return Step(
        when=(s.owner[f] == Owner.SECRET) & s.idle(f) & s.is_unused(f),
        then=[*s.show(f), s.call.set(f, Call.SECRET_ZERO)],
    )


@operation(kernel="mm/secretmem.c: folio_zero_segment()")
def zero_and_put(s: DirectMap, f: Frame) -> Step:
    """Zero it, and give it back."""
    return Step(
        when=(s.call[f] == Call.SECRET_ZERO) & s.leaf.present[f],
        then=[
            s.secret.set(f, FALSE),
            s.owner.set(f, Owner.FREE),
            s.call.set(f, Call.IDLE),
        ],
    )


def secretmem(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """alias: areas that had the page are purged before it leaves the direct map."""

    @operation(kernel="mm/secretmem.c: set_direct_map_invalid_noflush(), flush_tlb_kernel_range()")
    def set_direct_map_invalid(s: DirectMap, f: Frame) -> Step:
        """Clear its leaf, and ask every CPU to flush."""
        alone = s.has_no_area(f) if rules.alias else TRUE
        return Step(
            when=(s.call[f] == Call.SECRET_FAULT) & s.is_split(f) & alone & _tasks_run(s),
            then=[*s.hide(f), s.ask(Request.CALL, f), s.call.set(f, Call.SECRET_FLUSH)],
        )

    return [
        secretmem_fault,
        set_direct_map_invalid,
        finish_fault,
        user_write,
        secretmem_free_folio,
        zero_and_put,
    ]
