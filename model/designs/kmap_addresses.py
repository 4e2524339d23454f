"""Uses of the addresses of highmem pages, right and wrong."""

from __future__ import annotations

from ..language import Design
from ..operations import kmap_addresses as op
from ..operations.kmap_addresses import Addresses
from .kmap_local import kmap_local

kmap_addresses = Design(
    name="kmap-addresses",
    state=Addresses,
    init=op.boot,
    operations=[*kmap_local.operations, op.kmap_to_page, op.poison_page, op.copy_page],
    procedures=kmap_local.procedures,
    assumptions=kmap_local.assumptions,
    geometry=kmap_local.geometry,
    scope=kmap_local.scope,
    doc="kmap-local, and code that uses the addresses: each page by its own mapping.",
    source="mm/highmem.c, mm/mempool.c, drivers/net/hyperv/netvsc.c of Linux 6.1.192",
)

kmap_addresses_guessed = kmap_addresses.replacing(
    op.kmap_to_page,
    op.kmap_to_page_by_arithmetic,
    name="kmap-addresses-guessed",
    doc="kmap-addresses, but kmap_to_page() does not know local mappings (defect M-07).",
)

kmap_addresses_beyond = kmap_addresses.replacing(
    op.poison_page,
    op.poison_beyond_the_page,
    name="kmap-addresses-beyond",
    doc="kmap-addresses, but two pages are written through the mapping of one (defect M-09).",
)

kmap_addresses_computed = kmap_addresses.replacing(
    op.copy_page,
    op.copy_page_by_arithmetic,
    name="kmap-addresses-computed",
    doc="kmap-addresses, but a driver computes the address of a highmem page (defect M-10).",
)
