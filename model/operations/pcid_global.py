"""Global pages and others under several PCIDs."""

from __future__ import annotations

from .pcid_kernel import KernelPcids
from .pti_global import Globals


class PcidGlobals(Globals, KernelPcids):
    """One TLB with global and tagged entries, and one set of kernel pages: leaves, identifiers, what the
    exit path has to flush and who waits for whom are common."""
