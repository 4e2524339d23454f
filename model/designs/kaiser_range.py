"""Removal of a range from KAISER's shadow, whole and in part."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, PgdSlot, Va
from ..operations import kaiser_range as op
from ..operations.kaiser_range import Removal

kaiser_range = Design(
    name="kaiser-range",
    state=Removal,
    init=op.boot,
    operations=[op.add_mapping],
    procedures=[op.remove],
    assumptions=[op.addresses_are_ordered, op.the_range_is_one],
    scope={Cpu: 1, Va: lambda n: 10, PgdSlot: lambda n: 5},
    doc="""kaiser_remove_mapping() as in the later backports: a range that crosses a 512 GiB boundary is
removed slot by slot, each up to its own end.""",
    source="H. Dickins, 'kaiser: kaiser_remove_mapping() move along the pgd'",
)

kaiser_range_by_size = kaiser_range.replacing(
    op.remove,
    op.remove_by_size,
    name="kaiser-range-by-size",
    doc="kaiser-range, but the walk goes on PGDIR_SIZE further on, inside the next slot (K-07).",
)
