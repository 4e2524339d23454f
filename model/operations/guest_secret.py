"""MAP_GUEST_SECRET, as the review of MAP_EXCLUSIVE imagines it: guest memory that the VMM cannot see.

Said is: "the mapping would be accessible by the kernel (or just KVM?) and the KVM guest, but not
userspace".  The rest is our design.  A second-level fault allocates a zeroed page; the VMM has an area
for the guest's memory, where it faults.  If just KVM may see the page, it leaves the direct map and all
TLBs before the guest has it, and KVM reaches it by a window: an entry that one CPU has for itself, and
flushes itself.  A page that is given up leaves the second level, every CPU flushes that, and it is
zeroed before anybody can see it.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Opt,
    Procedure,
    Sort,
    Step,
    Update,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Mm, Task
from .secretmem import Contents, DirectMap, Owner, boot_direct_map


class Gpa(Sort):
    """A page of the guest's physical memory."""


class Fault(Locals):
    """The locals of a second-level fault: its address, its page, and CPUs that have not flushed the
    direct map."""

    gpa: Map[Task, Gpa]
    page: Map[Task, Frame]
    waits_for: Map[tuple[Task, Cpu], Bool]


class Discard(Locals):
    """The locals of a discard: its address, its page, and CPUs that have not flushed the second
    level."""

    gpa: Map[Task, Gpa]
    page: Map[Task, Frame]
    waits_for: Map[tuple[Task, Cpu], Bool]


class GuestSecret(DirectMap):
    """ept: the second level; ept_tlb: what CPUs have cached of it.  vmm: what the VMM has mapped of the
    area.  window: KVM's entry on a CPU; window_tlb: what it has cached of that."""

    ept: Map[Gpa, Opt[Frame]]
    ept_tlb: Map[tuple[Cpu, Gpa], Opt[Frame]]
    vmm: Map[tuple[Mm, Gpa], Opt[Frame]]
    window: Map[Cpu, Opt[Frame]]
    window_tlb: Map[Cpu, Opt[Frame]]
    fault: Fault
    discard: Discard

    def in_no_window(self, f: Frame) -> Bool:
        """KVM is not at the page."""
        return forall(Cpu, lambda cpu: self.window[cpu] != some(f))


class GuestSecretOfKvm(GuestSecret):
    """The same, for claims that just KVM can see the guest's memory."""


class GuestSecretOfKernel(GuestSecret):
    """The same, for the claim about what it costs if the kernel can see the guest's memory."""


@operation(kernel="virt/kvm/kvm_main.c: kvm_create_vm()")
def boot(s: GuestSecret) -> Step:
    """The guest has no memory yet."""
    return Step(
        when=TRUE,
        then=[
            *boot_direct_map(s),
            s.ept.fill(lambda a: NONE),
            s.ept_tlb.fill(lambda cpu, a: NONE),
            s.vmm.fill(lambda m, a: NONE),
            s.window.fill(lambda cpu: NONE),
            s.window_tlb.fill(lambda cpu: NONE),
            s.fault.waits_for.fill(lambda t, cpu: FALSE),
            s.discard.waits_for.fill(lambda t, cpu: FALSE),
        ],
    )


# The guest, and processors.


@operation(kernel="Intel SDM vol. 3, section 28.4: caching of translations under VMX")
def fill_ept_tlb(s: GuestSecret, cpu: Cpu, a: Gpa) -> Step:
    """A CPU that runs the guest caches an entry of the second level."""
    return Step(when=s.ept[a].is_some, then=[s.ept_tlb.set((cpu, a), s.ept[a])])


@operation(kernel="the guest")
def guest_write(s: GuestSecret, cpu: Cpu, a: Gpa) -> Step:
    """The guest writes its secret, by what a CPU has cached."""
    entry = s.ept_tlb[cpu, a]
    return Step(when=entry.is_some, then=[s.contents.set(entry.value, Contents.SECRET)])


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: GuestSecret, cpu: Cpu, t: Task) -> Step:
    """The IPI arrives: the CPU drops what it has of that page of the direct map."""
    return Step(
        when=s.fault.waits_for[t, cpu],
        then=[
            s.tlb.set((cpu, s.fault.page[t]), FALSE),
            s.fault.waits_for.set((t, cpu), FALSE),
        ],
    )


@operation(kernel="arch/x86/kvm/vmx/vmx.c: vmx_flush_tlb_current(), INVEPT")
def flush_ept(s: GuestSecret, cpu: Cpu, t: Task) -> Step:
    """The request arrives: the CPU drops what it has of the second level."""
    return Step(
        when=s.discard.waits_for[t, cpu],
        then=[
            s.ept_tlb.fill(lambda c, a: NONE, lambda c, a: c == cpu),
            s.discard.waits_for.set((t, cpu), FALSE),
        ],
    )


# KVM's window.


@operation(kernel="mm/highmem.c: kmap_local_page(), forced where there is no direct map")
def open_window(s: GuestSecret, cpu: Cpu, a: Gpa) -> Step:
    """KVM maps a page of the guest for this CPU, as for an instruction that it emulates."""
    return Step(
        when=s.ept[a].is_some & s.window[cpu].is_none,
        then=[s.window.set(cpu, s.ept[a])],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_window_tlb(s: GuestSecret, cpu: Cpu) -> Step:
    """The CPU caches its window."""
    return Step(when=s.window[cpu].is_some, then=[s.window_tlb.set(cpu, s.window[cpu])])


def _close_window(s: GuestSecret, cpu: Cpu, left: Opt[Frame]) -> Step:
    return Step(
        when=s.window[cpu].is_some,
        then=[s.window.set(cpu, NONE), s.window_tlb.set(cpu, left)],
    )


@operation(kernel="mm/highmem.c: kunmap_local(), with INVLPG")
def close_window(s: GuestSecret, cpu: Cpu) -> Step:
    """KVM unmaps the page, and flushes it on this CPU."""
    return _close_window(s, cpu, NONE)


# Where a window is not flushed.
@operation(kernel="mm/highmem.c: kunmap_local(), without INVLPG", name="close_window")
def close_window_unflushed(s: GuestSecret, cpu: Cpu) -> Step:
    """KVM unmaps the page."""
    return _close_window(s, cpu, s.window_tlb[cpu])


# The VMM's area is for ranges; where faults in it are not refused, the VMM is in the TCB again.
@operation(kernel="mm/memory.c: __do_fault(), if the VMM may fault")
def vmm_fault(s: GuestSecret, m: Mm, a: Gpa) -> Step:
    """The VMM maps a page of the guest."""
    return Step(when=s.ept[a].is_some, then=[s.vmm.set((m, a), s.ept[a])])


def _ept_fault(*, removes: bool = True, flushes: bool = True) -> Procedure:
    """removes: the page leaves the direct map.  flushes: every CPU flushes it."""
    procedure = Procedure(
        "kvm_mmu_page_fault",
        kernel="arch/x86/kvm/mmu/mmu.c: kvm_mmu_page_fault(), direct_page_fault()",
        doc="Give the guest a zeroed page that nobody else can see.",
    )

    def entry(s: GuestSecret, t: Task) -> Opt[Frame]:
        return s.ept[s.fault.gpa[t]]

    @procedure.step(to="flush")
    def allocate(s: GuestSecret, t: Task, a: Gpa, f: Frame) -> Step:
        """A page is allocated, zeroed, and taken out of the direct map."""
        removed = [s.present.set(f, FALSE)] if removes else []
        return Step(
            when=s.ept[a].is_none & (s.owner[f] == Owner.FREE),
            then=[
                s.fault.gpa.set(t, a),
                s.fault.page.set(t, f),
                s.owner.set(f, Owner.SECRET),
                s.contents.set(f, Contents.ZERO),
                *removed,
            ],
        )

    @procedure.step(at="flush", to="map")
    def flush_tlb_kernel_range(s: GuestSecret, t: Task) -> Step:
        """Every CPU is asked to flush the page."""
        asked = TRUE if removes and flushes else FALSE
        return Step(
            when=TRUE,
            then=[s.fault.waits_for.fill(lambda by, cpu: asked, lambda by, cpu: by == t)],
        )

    def answered(s: GuestSecret, t: Task) -> Bool:
        return forall(Cpu, lambda cpu: ~s.fault.waits_for[t, cpu])

    @procedure.step(at="map", to=Procedure.DONE)
    def map_page(s: GuestSecret, t: Task) -> Step:
        """When all have answered, the guest has the page."""
        return Step(
            when=answered(s, t) & entry(s, t).is_none,
            then=[s.ept.set(s.fault.gpa[t], some(s.fault.page[t]))],
        )

    @procedure.step(at="map", to=Procedure.DONE)
    def lose_race(s: GuestSecret, t: Task) -> Step:
        """Another virtual CPU was faster: the page is put back, as it was never used."""
        f = s.fault.page[t]
        return Step(
            when=answered(s, t) & entry(s, t).is_some,
            then=[s.present.set(f, TRUE), s.owner.set(f, Owner.FREE)],
        )

    return procedure


kvm_mmu_page_fault = _ept_fault()
ALLOCATE, FLUSH, MAP, LOSE = kvm_mmu_page_fault.steps

# "accessible by the kernel": the direct map stays as it is, and no fault flushes anything.
kvm_mmu_page_fault_mapped = _ept_fault(removes=False)
# Where the page is not flushed.
kvm_mmu_page_fault_unflushed = _ept_fault(flushes=False)


def _discard(*, flushes: bool = True, zeroes: bool = True) -> Procedure:
    """flushes: every CPU flushes the second level.  zeroes: the page is zeroed."""
    procedure = Procedure(
        "discard",
        kernel="arch/x86/kvm/mmu/mmu.c: kvm_unmap_gfn_range(); kvm_flush_remote_tlbs()",
        doc="Take a page from the guest, flush the second level, zero the page, free it.",
    )

    @procedure.step
    def zap(s: GuestSecret, t: Task, a: Gpa) -> Step:
        """The entry of the second level goes, and with it what the VMM had mapped; KVM is not at it."""
        f = s.ept[a].value
        return Step(
            when=s.ept[a].is_some & s.in_no_window(f),
            then=[
                s.ept.set(a, NONE),
                s.vmm.fill(lambda m, b: NONE, lambda m, b: b == a),
                s.discard.gpa.set(t, a),
                s.discard.page.set(t, f),
            ],
        )

    @procedure.step
    def kvm_flush_remote_tlbs(s: GuestSecret, t: Task) -> Step:
        """Every CPU that may run the guest is asked to flush."""
        asked = TRUE if flushes else FALSE
        return Step(
            when=TRUE,
            then=[s.discard.waits_for.fill(lambda by, cpu: asked, lambda by, cpu: by == t)],
        )

    @procedure.step
    def clear_page(s: GuestSecret, t: Task) -> Step:
        """When all have answered, zero the page by a window."""
        answered = forall(Cpu, lambda cpu: ~s.discard.waits_for[t, cpu])
        zeroed: list[Update] = [s.contents.set(s.discard.page[t], Contents.ZERO)] if zeroes else []
        return Step(when=answered, then=zeroed)

    @procedure.step
    def set_direct_map_default(s: GuestSecret, t: Task) -> Step:
        """The page comes back into the direct map."""
        return Step(when=TRUE, then=[s.present.set(s.discard.page[t], TRUE)])

    @procedure.step
    def free_page(s: GuestSecret, t: Task) -> Step:
        """The allocator gets it."""
        return Step(when=TRUE, then=[s.owner.set(s.discard.page[t], Owner.FREE)])

    return procedure


discard = _discard()
ZAP, FLUSH_EPT, CLEAR, RESTORE, FREE = discard.steps

# Where the guest keeps what CPUs have cached of the second level.
discard_unflushed = _discard(flushes=False)
# Where the next owner gets what is in the page.
discard_unzeroed = _discard(zeroes=False)
