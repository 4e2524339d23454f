"""KAISER's use of PCIDs in the stable kernels, and with the flushes it lacked at first."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.cpu import Mode
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..operations import kaiser_pcid as op
from ..operations.kaiser_pcid import KaiserPcid, unmap


@always
def mapped_frames_have_one_user(s: KaiserPcid, m: Mm, va: Va, n: Mm, other: Va) -> Bool:
    """A mapped frame is not free, and is mapped once."""
    a, b = s.maps[m, va], s.maps[n, other]
    alone = (b.is_some & (a.value == b.value)).implies((m == n) & (va == other))
    return a.is_some.implies(~s.free[a.value] & alone)


@always
def unmapped_frames_wait(s: KaiserPcid, cpu: Cpu, by: Cpu, m: Mm, va: Va) -> Bool:
    """A frame that is being unmapped is neither mapped nor free, and one CPU is at it."""
    f = s.unmap.frame[cpu]
    alone = (~unmap.idle(s, by) & (s.unmap.frame[by] == f)).implies(by == cpu)
    return (~unmap.idle(s, cpu)).implies(
        ~s.free[f] & alone & ~(s.maps[m, va].is_some & (s.maps[m, va].value == f))
    )


@always
def ring_3_has_nothing_to_flush(s: KaiserPcid, cpu: Cpu) -> Bool:
    """The exit path has obeyed the flag."""
    return (s.mode[cpu] == Mode.USER).implies(~s.user_flush[cpu])


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
    lemmas=[mapped_frames_have_one_user, unmapped_frames_wait, ring_3_has_nothing_to_flush],
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
