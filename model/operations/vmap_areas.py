"""Ranges of the vmap area: what they map, and what CPUs have cached of them."""

from __future__ import annotations

from ..language import NONE, Map, Opt, State, Update
from ..machine.sorts import Cpu, Frame, Va
from .vmalloc import Area


class VmapAreas(State):
    """area: of a range, which is one page here; page: what it maps; area_tlb: what CPUs have of it."""

    area: Map[Va, Area]
    page: Map[Va, Opt[Frame]]
    area_tlb: Map[tuple[Cpu, Va], Opt[Frame]]

    def boot_areas(self) -> list[Update]:
        """Every range is free."""
        return [
            self.area.fill(lambda va: Area.FREE),
            self.page.fill(lambda va: NONE),
            self.area_tlb.fill(lambda cpu, va: NONE),
        ]
