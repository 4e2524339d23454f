"""Text of modules and BPF: read-only in the direct map as well, and VM_FLUSH_RESET_PERMS at the end."""

from __future__ import annotations

from ...language import FALSE, Operation, Step, operation
from ...machine.sorts import Frame
from .frames import Call, DirectMap, Owner, Request, Rules


@operation(kernel="kernel/module/strict_rwx.c: module_enable_ro(), set_memory_ro()")
def module_enable_ro(s: DirectMap, f: Frame) -> Step:
    """A module gets a page; CPA makes its leaf read-only, when lazily unmapped aliases are purged, and
    asks every CPU to flush."""
    return Step(
        when=s.is_available(f) & s.is_split(f) & s.has_no_area(f),
        then=[
            s.owner.set(f, Owner.TEXT),
            s.leaf.writable.set(f, FALSE),
            s.ask(Request.CALL, f),
            s.call.set(f, Call.TEXT_LOAD),
        ],
    )


@operation(kernel="arch/x86/mm/pat/set_memory.c: cpa_flush()")
def module_loaded(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the module can run."""
    return Step(
        when=(s.call[f] == Call.TEXT_LOAD) & s.answered(Request.CALL, f),
        then=[s.call.set(f, Call.IDLE)],
    )


@operation(kernel="mm/vmalloc.c: vm_remove_mappings(), set_area_direct_map()")
def vm_remove_mappings(s: DirectMap, f: Frame) -> Step:
    """The module goes: its leaf is cleared, and every CPU is asked to flush."""
    return Step(
        when=(s.owner[f] == Owner.TEXT) & s.idle(f),
        then=[*s.hide(f), s.ask(Request.CALL, f), s.call.set(f, Call.TEXT_RESET)],
    )


@operation(kernel="mm/vmalloc.c: vm_remove_mappings(), set_direct_map_default_noflush()")
def reset_and_free(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the leaf is as it was, and the page is freed."""
    return Step(
        when=(s.call[f] == Call.TEXT_RESET) & s.answered(Request.CALL, f),
        then=[*s.show(f), s.owner.set(f, Owner.FREE), s.call.set(f, Call.IDLE)],
    )


def text(_: Rules) -> list[Operation[DirectMap, ...]]:
    """The same under any rules: it purges and flushes anyway."""
    return [module_enable_ro, module_loaded, vm_remove_mappings, reset_and_free]
