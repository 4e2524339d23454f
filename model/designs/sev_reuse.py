"""Pages that go to a guest and come back, and the flushes that were missing on the way."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame
from ..operations import sev_reuse as op
from ..operations.sev_reuse import SevReuse

sev_reuse = Design(
    name="sev-reuse",
    state=SevReuse,
    init=op.boot,
    operations=op.OPERATIONS,
    procedures=[op.validate, op.reclaim],
    scope={Frame: 1},
    doc="""Pages of a host with SEV-SNP guests, as merged: the host flushes what it takes back, coherent
or not, and a guest evicts what it validates where the processor does not.""",
    source="arch/x86/kvm/svm/sev.c and arch/x86/kernel/sev.c of Linux 6.1.192",
)

sev_reuse_coherent = sev_reuse.replacing(
    op.reclaim,
    op.reclaim_trusting_coherence,
    name="sev-reuse-coherent",
    doc="sev-reuse, but nothing is flushed where the keys are coherent for CPUs (defect S-06).",
)

sev_reuse_pinned = sev_reuse.replacing(
    op.reclaim,
    op.reclaim_without_flush,
    name="sev-reuse-pinned",
    doc="sev-reuse, but pages that are taken back early are not flushed (S-06-reclaim).",
)

sev_reuse_without_evict = sev_reuse.replacing(
    op.validate,
    op.validate_without_evict,
    name="sev-reuse-without-evict",
    doc="sev-reuse, but a guest validates pages with what is cached of them (defect S-10).",
)
