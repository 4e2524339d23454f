"""What operations cost: a quantity, the most that it comes to, and the claim that bounds it.

A bound is a property like any other, so every check of a design proves it or refutes it by a run.  With
it goes a ``sometimes`` whose run comes to as much, so that no smaller number would do; of a bound of 0,
one that shows the operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mapproof.model.language import Property
from mapproof.proofs.ledger import defects
from mapproof.properties import (
    direct_map_split,
    dma_direct,
    enc_pgtable,
    enc_split,
    guest_secret,
    kmap_local,
    map_exclusive_batch,
    mktme,
    pgmap,
    pkeys,
    pkmap,
    pks,
    secretmem,
    sev,
    sev_reuse,
    sme_encrypt,
    snp,
    tdx,
    xpfo,
)


@dataclass(frozen=True)
class Cost:
    """``quantity`` at most ``most`` times, for ``what``: as many ``steps`` as the run of ``reached``."""

    quantity: str
    what: str
    most: int
    bound: Property[Any]
    reached: Property[Any]
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.most} x {self.quantity}: {self.what}"

    @property
    def system(self) -> str:
        """The system that the bound is about."""
        return self.bound.function.__module__.rpartition(".")[2].replace("_", "-")

    @property
    def broken_by(self) -> list[str]:
        """Defects of the ledger that are about the bound."""
        return [d.id for d in defects().values() if d.property == self.bound.name]


FLUSH = "flush of all CPUs"
CACHES = "flush of caches"

COSTS = (
    Cost(
        "leaf demoted",
        "a change of one page (of 1 GiB, of 2 MiB)",
        2,
        direct_map_split.a_call_demotes_two_leaves_at_most,
        direct_map_split.a_call_demotes_two_leaves,
        ("change_page_attr.set_pud", "change_page_attr.set_pmd"),
    ),
    Cost(
        "leaf demoted",
        "a page that is put back",
        0,
        direct_map_split.restores_split_nothing,
        direct_map_split.a_page_comes_back,
    ),
    Cost(
        FLUSH,
        "a fault of a secret file",
        1,
        secretmem.a_fault_flushes_at_most_once,
        secretmem.a_page_costs_a_flush,
        ("secretmem_fault.flush_tlb_kernel_range",),
    ),
    Cost(
        FLUSH,
        "a fault that loses the race",
        0,
        secretmem.who_loses_the_race_has_not_flushed,
        secretmem.a_race_is_lost,
    ),
    Cost(
        FLUSH,
        "a populate of any number of pages",
        1,
        map_exclusive_batch.a_populate_flushes_once,
        map_exclusive_batch.two_pages_cost_a_flush,
        ("populate.flush_tlb_kernel_range",),
    ),
    Cost(
        FLUSH,
        "a fault, if the kernel can see the page",
        0,
        guest_secret.faults_flush_nothing,
        guest_secret.a_guest_has_a_secret,
    ),
    Cost(
        FLUSH,
        "xpfo_kmap()",
        0,
        xpfo.flushes_are_waited_for,
        xpfo.a_page_is_kmapped_again,
    ),
    Cost(
        FLUSH,
        "xpfo_kunmap(), if another task has the page kmapped",
        0,
        xpfo.only_the_last_kunmap_flushes,
        xpfo.a_kunmap_flushes_nothing,
    ),
    Cost(
        "other CPU that flushes",
        "an unmapping, a context switch",
        0,
        kmap_local.mappings_flush_one_cpu,
        kmap_local.a_thread_with_a_mapping_waits,
    ),
    Cost(
        "flush",
        "a CPU that was not asked to",
        0,
        pkmap.cpus_flush_when_asked,
        pkmap.an_unused_slot_is_in_a_tlb,
    ),
    Cost(
        "change of IA32_PKRS",
        "a bracket within a bracket",
        0,
        pks.the_first_opens_and_the_last_shuts,
        pks.a_thread_has_two_brackets,
    ),
    Cost(
        "flush of a page that has a device",
        "brackets, stray writes",
        0,
        pgmap.translations_go_by_request,
        pgmap.a_protected_page_is_used,
    ),
    Cost(
        "flush of a page that keeps its key",
        "changes of rights",
        0,
        pkeys.translations_go_for_a_key,
        pkeys.two_threads_differ,
    ),
    Cost(
        FLUSH,
        "a conversion to private or to shared, beside the purge of areas",
        2,
        enc_pgtable.conversions_flush_twice_at_most,
        enc_pgtable.keys_differ_during_a_change,
        ("set_memory_enc.cpa_flush_before", "set_memory_enc.cpa_flush_after"),
    ),
    Cost(
        FLUSH,
        "a conversion to private in TDX",
        1,
        tdx.to_private_needs_one_flush,
        tdx.a_page_is_accepted,
        ("set_memory_enc.cpa_flush_after",),
    ),
    Cost(
        CACHES,
        "a conversion with SME_COHERENT",
        0,
        sev.coherent_conversions_flush_no_caches,
        sev.a_dirty_line_is_dropped_later,
    ),
    Cost(
        CACHES,
        "a conversion in SNP",
        0,
        snp.no_caches_are_flushed,
        snp.a_page_is_validated_again,
    ),
    Cost(
        CACHES,
        "a page that is taken back from a guest, also with SME_COHERENT",
        1,
        sev_reuse.reclaiming_costs_a_flush,
        sev_reuse.a_device_writes_to_a_page_of_a_guest,
        ("sev_guest_memory_reclaimed.wbinvd_on_all_cpus",),
    ),
    Cost(
        CACHES,
        "a page that a guest validates, where the processor evicts nothing",
        1,
        sev_reuse.evictions_follow_the_validation,
        sev_reuse.a_guest_has_a_page_of_the_host,
        ("snp_set_memory_private.sev_evict_cache",),
    ),
    Cost(
        CACHES,
        "an allocation for an encrypted VMA, and again when it is freed",
        1,
        mktme.a_keyid_costs_one_flush_each_way,
        mktme.a_page_is_encrypted,
        ("do_anonymous_page.clflush_cache_range",),
    ),
    Cost(
        CACHES,
        "an allocation, if free pages keep their KeyID and it is another",
        1,
        mktme.a_change_of_keyid_costs_one_flush,
        mktme.a_page_is_encrypted,
        ("do_anonymous_page.clflush_cache_range",),
    ),
    Cost(
        CACHES,
        "an area that is encrypted in place, of any number of pages",
        1,
        sme_encrypt.an_area_costs_one_wbinvd,
        sme_encrypt.an_area_is_encrypted,
        ("sme_encrypt_execute.wbinvd",),
    ),
    Cost(
        "conversion of a page",
        "the allocation of a DMA buffer that has it",
        1,
        dma_direct.calls_convert_their_own_pages,
        dma_direct.a_shared_page_is_leaked,
        ("dma_direct_alloc.change_page",),
    ),
    Cost(
        "page table",
        "conversions of pages of a large one",
        1,
        enc_split.a_large_page_costs_one_table,
        enc_split.a_page_beside_others_is_shared,
        ("set_memory_enc.alloc_table",),
    ),
)


def rows() -> list[tuple[str, str]]:
    """Every cost: what, and how much at most."""
    return [(cost.system, str(cost)) for cost in COSTS]


def of(modules: Iterable[str]) -> Iterator[str]:
    """The costs of a system, whose operations are in these modules, a line each."""
    homes = {*modules}
    for cost in COSTS:
        if cost.bound.state.__module__ in homes:
            broken = f", broken by {', '.join(cost.broken_by)}" if cost.broken_by else ""
            yield f"{cost} ({cost.bound.name}{broken})"
