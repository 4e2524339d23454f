"""An image as the state of :mod:`mapproof.model.machine.snapshot`, column by column.

A column is made when a property asks for it: of the component ``x`` by the method ``read_x``.  What an
image cannot say is refused with the reason, which is what a report gives for a property that does not
apply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mapproof.model.language.nodes import Component
from mapproof.model.language.sparse import Count, Relation, Universe, Unreadable
from mapproof.model.machine.snapshot import Snapshot

from .record_facts import RecordFacts
from .relations import PlaceUniverse, Weighted
from .shadow_facts import ShadowFacts
from .table_facts import TableFacts

_KNOWN = frozenset(Snapshot().components())


class Facts(ShadowFacts, RecordFacts, TableFacts):
    """The state that an image shows."""

    def universe(self, sort: Any) -> Universe:
        name = sort.__name__
        if name not in self._universes:
            makers: dict[str, Callable[[], Universe]] = {
                "Va": lambda: PlaceUniverse(self.places),
                "Frame": lambda: self._frames,
                "Mm": lambda: Count(len(self.walk.spaces)),
                "Pgd": lambda: Count(len(self.image.roots)),
                "PgdSlot": lambda: Count(self.geometry.levels[0].entries),
                "Slot": lambda: Count(self._copies[2]),
                "Extent": lambda: Weighted(self._extents[1]),
            }
            if name not in makers:
                raise Unreadable(f"a snapshot has no {name}")
            self._universes[name] = makers[name]()
        return self._universes[name]

    def relation(self, component: Component) -> Relation:
        if component not in _KNOWN:  # another design's map may have the same name
            raise Unreadable(_unknown(component))
        maker = getattr(self, f"read_{component.name}", None)
        if maker is None and component.name.startswith("pgd."):
            return self.top_bits(component.name.removeprefix("pgd."))
        if maker is None:
            raise Unreadable(_unknown(component))
        made: Relation = maker()
        return made


def _unknown(component: Component) -> str:
    name = component.name
    if "tlb" in name or name.startswith("psc"):
        return "a snapshot does not show what TLBs hold"
    return f"a snapshot does not show {name}"
