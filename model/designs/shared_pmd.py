"""Tables that processes share."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm
from ..operations import shared_pmd as op
from ..operations.shared_pmd import SharedPmd

hugetlb_sharing = Design(
    name="hugetlb-sharing",
    state=SharedPmd,
    init=op.boot,
    operations=[
        op.huge_pmd_share,
        op.hugetlb_fault,
        op.fill_tlb,
        op.switch_mm,
        op.flush_tlb_func,
    ],
    procedures=[op.unshare, op.unmap_file],
    scope={Mm: 2, Cpu: 2, Frame: 2},
    doc="""Shared tables of hugetlb files, as merged: a process that gives one up flushes before others
may change it without knowing of the process.""",
    source="mm/hugetlb.c; 'hugetlbfs: flush TLBs correctly after huge_pmd_unshare' (CVE-2021-4002)",
)

hugetlb_unshare_not_flushed = hugetlb_sharing.replacing(
    op.unshare,
    op.unshare_without_flush,
    name="hugetlb-unshare-not-flushed",
    doc="hugetlb-sharing, but a process that gives up a table does not flush (defect T-10).",
)
