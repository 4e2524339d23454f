"""KAISER with a slip of the posting of 10 November 2017."""

from __future__ import annotations

from ..operations import kaiser as op
from ..operations.kaiser_posting import pgd_populate_without_nx
from . import kaiser

kaiser_v2_no_nx = kaiser.kaiser_v2.replacing(
    op.pgd_populate,
    pgd_populate_without_nx,
    name="kaiser-v2-no-nx",
    doc="kaiser-v2, but user entries of the kernel's PGD are not poisoned with NX (defect K-03).",
)
