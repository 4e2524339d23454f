"""Everything that edits the direct map, at once: as it is, and under three rules."""

from __future__ import annotations

from ..language import Design, Part
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..operations.direct_map.aliases import ALIASES
from ..operations.direct_map.cpa import cpa
from ..operations.direct_map.devmap import devmap
from ..operations.direct_map.encryption import encryption
from ..operations.direct_map.frames import MACHINE, Architected, DirectMap, Region, Rules, boot
from ..operations.direct_map.gup import gup
from ..operations.direct_map.hibernation import hibernation
from ..operations.direct_map.hotplug import hotplug
from ..operations.direct_map.image import image
from ..operations.direct_map.kmap import kmap
from ..operations.direct_map.mce import mce
from ..operations.direct_map.pks import pks
from ..operations.direct_map.pti import pti
from ..operations.direct_map.secretmem import secretmem
from ..operations.direct_map.text import text
from ..operations.direct_map.vmap import vmap
from ..operations.direct_map.xpfo import xpfo

SYSTEMS = (
    (pti, "Page table isolation: the image's text in user tables."),
    (vmap, "Areas of vmap(), which are unmapped lazily."),
    (kmap, "Slots of kmap() on 32-bit kernels, which are flushed lazily."),
    (cpa, "Memory types of drivers' pages: set_memory_uc(), set_memory_wb()."),
    (encryption, "Pages that a driver shares with the hypervisor: set_memory_decrypted()."),
    (pks, "Protection keys of persistent memory, as posted."),
    (devmap, "Persistent memory in the direct map: memremap_pages()."),
    (hotplug, "Memory hotplug."),
    (image, "Freed pages of the kernel image: free_kernel_image_pages()."),
    (text, "Text of modules: set_memory_ro() and VM_FLUSH_RESET_PERMS."),
    (secretmem, "Pages of memfd_secret()."),
    (xpfo, "Pages of processes under XPFO, as posted."),
    (gup, "References to pages of processes: get_user_pages_fast()."),
    (mce, "Pages with memory errors: set_mce_nospec()."),
    (hibernation, "The image of memory."),
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

# Each rule, left out by every system that does not keep it today.

direct_map_without_owner = direct_map_today.but(
    name="direct-map-without-owner",
    parts=_parts(Rules(owner=False)),
    doc="""direct-map-architected, but memory errors, hibernation and GUP do not ask who has a page.""",
    source="docs/direct-map.md",
)

direct_map_without_alias = direct_map_today.but(
    name="direct-map-without-alias",
    parts=_parts(Rules(alias=False)),
    doc="""direct-map-architected, but a page leaves the allocator's hands with aliases that were
unmapped lazily, and anybody makes an alias of any page.""",
    source="docs/direct-map.md",
)

direct_map_without_flush = direct_map_today.but(
    name="direct-map-without-flush",
    parts=_parts(Rules(flush=False)),
    doc="""direct-map-architected, but XPFO and who frees the kernel image do not wait until every CPU
has flushed.""",
    source="docs/direct-map.md",
)
