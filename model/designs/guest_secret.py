"""Memory of a guest that its VMM cannot see, and what each step is there against."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Frame, Mm, Task
from ..operations import guest_secret as op
from ..operations import secretmem as memory
from ..operations.guest_secret import Gpa, GuestSecretOfKernel, GuestSecretOfKvm

OPERATIONS = (
    memory.fill_tlb,
    memory.allocate,
    memory.write_data,
    memory.free_page,
    op.fill_ept_tlb,
    op.guest_write,
    op.do_kernel_range_flush,
    op.flush_ept,
    op.open_window,
    op.fill_window_tlb,
    op.close_window,
)

guest_secret = Design(
    name="guest-secret",
    state=GuestSecretOfKvm,
    init=op.boot,
    operations=OPERATIONS,
    procedures=[op.kvm_mmu_page_fault, op.discard],
    scope={Cpu: 1, Frame: 2, Mm: 1, Task: 2, Gpa: 1},
    doc="""MAP_GUEST_SECRET, as the review of MAP_EXCLUSIVE imagines it: the guest has the page, just KVM
can see it, by a window of one CPU, and userspace cannot.""",
    source="S. Christopherson, 28 October 2019, in reply to '[PATCH RFC] mm: add MAP_EXCLUSIVE'; ours",
)

ALONE = {Cpu: 1, Frame: 1, Mm: 1, Task: 1, Gpa: 1}

# The mail leaves it open whether the kernel may see the page.
guest_secret_kernel = guest_secret.but(
    name="guest-secret-kernel",
    state=GuestSecretOfKernel,
    procedures=[op.kvm_mmu_page_fault_mapped, op.discard],
    doc="""guest-secret, but the kernel can see the page: it stays in the direct map, so a fault flushes
nothing, and only the second level is flushed, at the end.""",
)

guest_secret_vmm = guest_secret.but(
    name="guest-secret-vmm",
    operations=[*OPERATIONS, op.vmm_fault],
    scope=ALONE,
    doc="guest-secret, but the VMM may fault in its area (D-24-vmm).",
)

guest_secret_unflushed = guest_secret.but(name="guest-secret-unflushed", scope=ALONE).replacing(
    op.kvm_mmu_page_fault,
    op.kvm_mmu_page_fault_unflushed,
    name="guest-secret-unflushed",
    doc="guest-secret, but no CPU flushes the page when the guest gets it (D-24-flush).",
)

guest_secret_window = guest_secret.but(name="guest-secret-window", scope=ALONE).replacing(
    op.close_window,
    op.close_window_unflushed,
    name="guest-secret-window",
    doc="guest-secret, but a window that is shut stays in the TLB (D-24-window).",
)

guest_secret_ept = guest_secret.but(name="guest-secret-ept", scope=ALONE).replacing(
    op.discard,
    op.discard_unflushed,
    name="guest-secret-ept",
    doc="guest-secret, but the second level is not flushed (D-24-ept).",
)

guest_secret_unzeroed = guest_secret.but(name="guest-secret-unzeroed", scope=ALONE).replacing(
    op.discard,
    op.discard_unzeroed,
    name="guest-secret-unzeroed",
    doc="guest-secret, but a page is freed with what is in it (D-24-zero).",
)
