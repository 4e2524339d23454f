"""Everything that edits the direct map, at once: as it is, and under three rules."""

from __future__ import annotations

from ..language import Design, Part
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..operations.direct_map.aliases import ALIASES
from ..operations.direct_map.cpa import cpa
from ..operations.direct_map.frames import MACHINE, Architected, DirectMap, Region, Rules, boot
from ..operations.direct_map.mce import mce
from ..operations.direct_map.secretmem import secretmem
from ..operations.direct_map.vmap import vmap

SYSTEMS = (
    (vmap, "vmap areas, which are unmapped lazily."),
    (cpa, "Memory types of drivers' pages: set_memory_uc(), set_memory_wb()."),
    (secretmem, "Pages of memfd_secret()."),
    (mce, "Pages with memory errors: set_mce_nospec()."),
)


def _parts(rules: Rules) -> list[Part]:
    """Every system, keeping these rules; its claims are in properties/direct_map_*.py."""
    return [
        Part(
            name=system.__name__,
            family=f"direct_map_{system.__name__}",
            operations=system(rules),
            doc=doc,
        )
        for system, doc in SYSTEMS
    ]


direct_map_today = Design(
    name="direct-map-today",
    state=DirectMap,
    init=boot,
    operations=[*MACHINE, *ALIASES],
    parts=_parts(Rules(owner=False, alias=False, flush=False)),
    scope={Cpu: 1, Frame: 1, Region: 1, Va: 1, Mm: 1},
    doc="""Everything that edits the direct map, on one machine, as it was merged or posted: each system
does what it does without a look at the others.""",
    source="Linux 6.1.192; XPFO and PKS as posted",
)

direct_map_architected = direct_map_today.but(
    name="direct-map-architected",
    state=Architected,
    parts=_parts(Rules()),
    doc="""The same systems under three rules: who is not recorded as the owner of a page does not edit
its leaf or read it; a page leaves the allocator's hands, and its leaf changes, when no other alias is
left; an edit is over when every CPU has answered.""",
    source="docs/direct-map.md",
)
