"""KAISER's use of PCIDs in the stable kernels, and with the flushes it lacked at first."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..operations import kaiser_pcid as op
from ..operations.kaiser_pcid import KaiserPcid

kaiser_pcid = Design(
    name="kaiser-pcid",
    state=KaiserPcid,
    init=op.boot,
    operations=[
        op.map_page,
        op.fill_tlb,
        op.enter_kernel,
        op.return_to_user,
        op.switch_mm,
        op.flush_tlb_func,
    ],
    procedures=[op.unmap],
    scope={Mm: 2, Cpu: 2, Va: 1, Frame: 2},
    doc="""KAISER with PCIDs as in the stable kernels: one PCID for the kernel's tables and one for the
shadow; what is stale under the user PCID is dropped on the way back to ring 3.""",
    source="H. Dickins, 'kaiser: load_new_mm_cr3() let SWITCH_USER_CR3 flush user', 17 Aug 2017",
)

kaiser_pcid_invpcid = kaiser_pcid.replacing(
    op.switch_mm,
    op.switch_mm_by_invpcid,
    name="kaiser-pcid-invpcid",
    doc="kaiser-pcid, but a context switch flushes the user PCID by INVPCID (defect K-09).",
)

kaiser_pcid_bare_invlpg = kaiser_pcid.replacing(
    op.flush_tlb_func,
    op.flush_tlb_func_patched,
    name="kaiser-pcid-bare-invlpg",
    doc="kaiser-pcid, but paravirt patching leaves INVLPG alone of a page flush (defect K-11).",
)
