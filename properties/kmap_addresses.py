"""Addresses of highmem pages.

What it checks: an access by an address, and a question about it, reaches the page that is meant.
Why it matters: on kernels without HIGHMEM all of this is arithmetic in the direct map, and code that
was written and tested there reads and writes other pages where it is not.
Kernel precedent: "mm/mempool: fix poisoning order>0 pages with HIGHMEM" (6.1.159), "hv_netvsc: use
kmap_local_page in netvsc_copy_to_send_buf" (6.1.176), __kmap_to_page() of Linux 6.1.
Smallest counterexample: a driver computes the address of a highmem page (kmap-addresses-computed).
Not covered: offsets within a page, the guard slots of CONFIG_DEBUG_KMAP_LOCAL.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu
from mapproof.model.operations.kmap_addresses import Addresses


@always
def accesses_reach_what_is_meant(s: Addresses, cpu: Cpu) -> Bool:
    """The last access or question of a CPU got the page that it was about."""
    return s.reached[cpu] == s.meant[cpu]


@sometimes
def an_address_is_used(s: Addresses, cpu: Cpu) -> Bool:
    """A CPU has used an address."""
    return s.reached[cpu].is_some
