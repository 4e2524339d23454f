"""Page table isolation and the vmalloc area on one 32-bit PAE machine."""

from __future__ import annotations

from .pti_pae import PaeHalves
from .vmalloc_pae import Pae


class IsolatedPae(Pae, PaeHalves):
    """One kernel PMD page for each process, in which the vmalloc area follows init_mm's and the LDT's
    entry is its own: PMD entries, PTE pages, processes and regions are common."""
