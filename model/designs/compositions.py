"""Two systems on one machine."""

from __future__ import annotations

from ..language.compose import AtOnce, together
from ..operations import hotplug, ldt, vmalloc, vmalloc_pae
from ..operations import lazy_purge as lazily
from ..operations import pageattr as types
from ..operations import pcid_kernel as pcids
from ..operations import pti_global as globals_
from ..operations import pti_pae as halves
from ..operations import pti_upper as upper
from ..operations.cacheability_purge import TypedAreas
from ..operations.hotplug_isolation import IsolatedHotplug, add_memory_mirrored
from ..operations.pae_isolation import IsolatedPae
from ..operations.pcid_global import PcidGlobals
from . import lazy_purge, pageattr, pcid_kernel, pti_global, pti_pae, pti_upper
from .hotplug import hotplug_x86_64
from .ldt import ldt_pti
from .vmalloc_pae import vmalloc_pae_2019


class LdtOnPae(ldt.Ldt, vmalloc_pae.Pae):
    """Processes of 32-bit PAE with an LDT of their own and copies of init_mm's vmalloc entries: they
    are the same processes, on the same CPUs, and come and go under pgd_lock."""


LDT_ON_PAE = [
    AtOnce(ldt.switch_mm, vmalloc.switch_mm),
    AtOnce(ldt.fork, vmalloc_pae.fork, {"m": "child"}),
    AtOnce(ldt.fork_without_ldt, vmalloc_pae.fork, {"m": "child"}),
    AtOnce(ldt.exit_mm, vmalloc.exit_mm),
]

ldt_pae = together(
    ldt_pti,
    vmalloc_pae_2019,
    LdtOnPae,
    name="ldt-pae",
    at_once=LDT_ON_PAE,
    geometry="i386-pae",
    doc="""The LDT under page table isolation together with the synchronisation of the vmalloc area, on
32-bit PAE: processes come, go and are switched to for both.""",
)
hotplug_isolation = together(
    hotplug_x86_64,
    pti_upper.pti_upper,
    IsolatedHotplug,
    name="hotplug-isolation",
    at_once=[
        AtOnce(hotplug.fork, upper.pgd_alloc),
        AtOnce(hotplug.exit_mm, upper.pgd_free),
    ],
    doc="""Memory hotplug under page table isolation: what is added is in the kernel tables of every
process and in the user tables of none, and every process has what entry code needs.""",
)

hotplug_isolation_mirrored = hotplug_isolation.replacing(
    hotplug.add_memory,
    add_memory_mirrored,
    name="hotplug-isolation-mirrored",
    doc="hotplug-isolation, but the push writes an entry to the user tables as well.",
)

isolation_vmalloc_pae = together(
    vmalloc_pae_2019,
    pti_pae.pti_pae,
    IsolatedPae,
    name="isolation-vmalloc-pae",
    at_once=[
        AtOnce(vmalloc_pae.fork, halves.pgd_alloc),
        AtOnce(vmalloc.exit_mm, halves.pgd_free),
    ],
    without=[halves.vmap, halves.vunmap, halves.vmalloc_sync_one],
    geometry="i386-pae",
    doc="""Page table isolation and the vmalloc area on 32-bit PAE: the purge and faults synchronise the
kernel PMD pages that isolation gives to every process, with an LDT of its own in them.""",
)

isolation_vmalloc_pae_too_far = isolation_vmalloc_pae.replacing(
    vmalloc_pae.purge_with_sync,
    vmalloc_pae.purge_too_far,
    name="isolation-vmalloc-pae-too-far",
    doc="isolation-vmalloc-pae, but the purge goes on behind the vmalloc area (defect V-04).",
)

pcid_global = together(
    pti_global.pti_global,
    pcid_kernel.pcid_kernel,
    PcidGlobals,
    name="pcid-global",
    at_once=[AtOnce(globals_.flush_kernel_range, pcids.flush_kernel_range)],
    without=[pcids.fill_tlb],
    doc="""Global kernel pages and others under several PCIDs: a flush reaches global entries and those
of the loaded identifier, and leaves the others to the switches that come.""",
)

pcid_global_loaded_only = together(
    pti_global.pti_global,
    pcid_kernel.pcid_kernel,
    PcidGlobals,
    name="pcid-global-loaded-only",
    without=[pcids.fill_tlb, pcids.flush_kernel_range],
    doc="""pcid-global, but a flush is what the global bit alone needs: entries of identifiers that are
not loaded stay, and come back with a context switch.""",
)

pcid_global_invlpg = together(
    pti_global.pti_global_invlpg,
    pcid_kernel.pcid_kernel,
    PcidGlobals,
    name="pcid-global-invlpg",
    at_once=[AtOnce(globals_.flush_kernel_range_not_global, pcids.flush_kernel_range)],
    without=[pcids.fill_tlb],
    doc="pcid-global, but INVLPG leaves global entries, and context switches keep them (defect T-08).",
)

cacheability_purge = together(
    pageattr.pageattr,
    lazy_purge.lazy_purge,
    TypedAreas,
    name="cacheability-purge",
    at_once=[
        AtOnce(types.vmap, lazily.vmap),
        AtOnce(types.vunmap, lazily.vunmap),
        AtOnce(types.fill_area_tlb, lazily.fill_area_tlb),
    ],
    without=[types.purge_at_once],
    doc="""set_memory_*() of pages whose vmap areas are unmapped lazily, while purges flush and free
those areas: no translation of an old type outlives a change, whoever flushes it.""",
)

cacheability_areas_forgotten = cacheability_purge.replacing(
    types.set_memory,
    types.set_memory_without_purge,
    name="cacheability-areas-forgotten",
    doc="cacheability-purge, but CPA leaves lazily unmapped areas to the purge (C-01-purge).",
)

cacheability_purge_too_early = cacheability_purge.replacing(
    lazily.purge,
    lazily.purge_without_waiting,
    name="cacheability-purge-too-early",
    doc="""cacheability-purge, but the purge frees its ranges before all CPUs have flushed them:
vm_unmap_aliases() does not look at ranges that are free.""",
)
