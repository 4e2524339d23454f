"""get_user_pages_fast(): the kernel takes a reference to a process's page, to read it by its address."""

from __future__ import annotations

from ...language import FALSE, TRUE, Operation, Step, operation
from ...machine.sorts import Frame
from .frames import DirectMap, Owner, Rules


@operation(kernel="mm/gup.c: unpin_user_page()")
def unpin_user_page(s: DirectMap, f: Frame) -> Step:
    """The reference is dropped."""
    return Step(when=s.pinned[f], then=[s.pinned.set(f, FALSE)])


def gup(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """owner: only pages that their owner lets others read."""

    @operation(kernel="mm/gup.c: gup_pte_range(), gup_fast_folio_allowed()")
    def get_user_pages_fast(s: DirectMap, f: Frame) -> Step:
        """A page that a process maps, but for those of secret files."""
        may = s.owner[f] == Owner.USER
        if not rules.owner:
            may = may | (s.owner[f] == Owner.XPFO)
        return Step(when=s.user[f] & may & ~s.pinned[f], then=[s.pinned.set(f, TRUE)])

    return [get_user_pages_fast, unpin_user_page]
