"""Memory hotplug under page table isolation: every process has two tables, of which one gets the entry.

set_p4d() writes the user tables too, of user addresses; kernel addresses it has to leave alone there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..language import Update
from ..machine.sorts import Mm, P4dSlot
from .hotplug import Hotplug, adding_memory
from .pti_upper import Upper


class IsolatedHotplug(Hotplug, Upper):
    """Processes on one pgd_list, whose kernel tables are those that memory hotplug fills: reference,
    copy, on_list and pgd_lock are common."""


def _mirrored(s: IsolatedHotplug, m: Mm, i: P4dSlot) -> Sequence[Update]:
    return [s.user.set((m, i), s.reference[i])]


# What pgdp_maps_userspace() in __pti_set_user_pgtbl() is there against.
add_memory_mirrored = adding_memory(more=_mirrored)
