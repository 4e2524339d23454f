"""Memory of a guest that its VMM cannot see.

What it checks: userspace maps no page of the guest; a page that the guest has is neither in the direct
map nor in a TLB, but for windows of KVM that are open; a guest reaches its own pages only; who gets a
page next finds no secret in it.  Invariants 1, 2 and 3 of direct-map removal, for a guest.
Why it matters: the VMM is large, and takes orders from the guest and from the network.
Kernel precedent: none in Linux 6.1; guest_memfd() of later kernels has the idea (from memory).
Smallest counterexample: the VMM faults in its area (guest-secret-vmm).
Not covered: devices, memory that the guest shares with the VMM, migration of the guest, encryption.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Mm, Task
from mapproof.model.operations.guest_secret import (
    CLEAR,
    FREE,
    MAP,
    RESTORE,
    Gpa,
    GuestSecret,
    GuestSecretOfKernel,
    GuestSecretOfKvm,
    discard,
    kvm_mmu_page_fault,
)
from mapproof.model.operations.secretmem import Contents, Owner


@always
def userspace_maps_no_guest_page(s: GuestSecret, m: Mm, a: Gpa) -> Bool:
    """No VMM has a page of the guest mapped."""
    return s.vmm[m, a].is_none


@always
def guest_pages_have_no_alias(s: GuestSecretOfKvm, a: Gpa, cpu: Cpu) -> Bool:
    """A page that the guest has is neither in the direct map nor in a TLB."""
    entry = s.ept[a]
    f = entry.value
    return entry.is_some.implies(~s.present[f] & ~s.tlb[cpu, f])


@always
def guest_secrets_have_no_alias(s: GuestSecretOfKvm, f: Frame, cpu: Cpu) -> Bool:
    """Nor is a page with a secret in it, on its way to the allocator."""
    return (s.contents[f] == Contents.SECRET).implies(~s.present[f] & ~s.tlb[cpu, f])


@always
def windows_lead_to_the_guest(s: GuestSecret, cpu: Cpu, f: Frame) -> Bool:
    """What a CPU has as KVM's window, or has cached of it, is a page that the guest has now."""
    open_ = s.window[cpu] == some(f)
    cached = s.window_tlb[cpu] == some(f)
    return cached.implies(open_) & open_.implies(s.owner[f] == Owner.SECRET)


@always
def guests_reach_their_own_pages(s: GuestSecret, cpu: Cpu, a: Gpa) -> Bool:
    """What a CPU that runs the guest has cached is a page of the guest's."""
    entry = s.ept_tlb[cpu, a]
    return entry.is_some.implies(s.owner[entry.value] == Owner.SECRET)


@always
def guests_have_their_own_pages(s: GuestSecret, a: Gpa, b: Gpa) -> Bool:
    """A page that the guest has is its own, and has one address there."""
    same = s.ept[a].is_some & (s.ept[a] == s.ept[b])
    return s.ept[a].is_some.implies(s.owner[s.ept[a].value] == Owner.SECRET) & same.implies(a == b)


def _is_leaving(s: GuestSecret, t: Task, f: Frame) -> Bool:
    return ~discard.idle(s, t) & (s.discard.page[t] == f)


@always
def cached_pages_are_the_guests(s: GuestSecret, cpu: Cpu, a: Gpa, t: Task) -> Bool:
    """What is cached of the second level is no page that is being prepared, and none that every CPU was
    asked to flush and that one has answered for."""
    f = s.ept_tlb[cpu, a].value
    prepared = ~kvm_mmu_page_fault.idle(s, t) & (s.fault.page[t] == f)
    asked = discard.at(s, t, CLEAR) & ~s.discard.waits_for[t, cpu]
    flushed = asked | discard.at(s, t, RESTORE) | discard.at(s, t, FREE)
    gone = (s.discard.page[t] == f) & flushed
    return s.ept_tlb[cpu, a].is_some.implies(~prepared & ~gone)


@always
def prepared_pages_are_nobody_elses(s: GuestSecret, t: Task, a: Gpa, cpu: Cpu) -> Bool:
    """A page that a fault prepares is zeroed, and neither the guest's yet nor in a window."""
    f = s.fault.page[t]
    new = (s.owner[f] == Owner.SECRET) & (s.contents[f] == Contents.ZERO)
    nowhere = (s.ept[a] != some(f)) & (s.window[cpu] != some(f))
    return kvm_mmu_page_fault.idle(s, t) | (new & nowhere)


@always
def leaving_pages_are_nobody_elses(s: GuestSecret, t: Task, a: Gpa, cpu: Cpu) -> Bool:
    """A page that leaves the guest is in no entry and in no window, and zeroed before it comes back."""
    f = s.discard.page[t]
    nowhere = (s.ept[a] != some(f)) & (s.window[cpu] != some(f))
    back = discard.at(s, t, RESTORE) | discard.at(s, t, FREE)
    zeroed = back.implies(s.contents[f] == Contents.ZERO)
    mapped = discard.at(s, t, FREE).implies(s.present[f])
    return discard.idle(s, t) | ((s.owner[f] == Owner.SECRET) & nowhere & zeroed & mapped)


@always
def pages_have_one_task(s: GuestSecret, t: Task, u: Task) -> Bool:
    """No two tasks prepare or free one page, and nobody prepares what another frees."""
    f, prepares = s.fault.page[t], ~kvm_mmu_page_fault.idle(s, t)
    prepared = prepares & ~kvm_mmu_page_fault.idle(s, u) & (s.fault.page[u] == f)
    freed = ~discard.idle(s, t) & _is_leaving(s, u, s.discard.page[t])
    return (prepared | freed).implies(t == u) & ~(prepares & _is_leaving(s, u, f))


@always
def removed_pages_wait_for_the_flush(s: GuestSecretOfKvm, t: Task, cpu: Cpu) -> Bool:
    """A page that a fault prepares is out of the direct map, and after the flush in no TLB."""
    f = s.fault.page[t]
    flushed = kvm_mmu_page_fault.at(s, t, MAP) & ~s.fault.waits_for[t, cpu]
    gone = ~s.present[f] & flushed.implies(~s.tlb[cpu, f])
    return kvm_mmu_page_fault.idle(s, t) | gone


@always
def leaving_pages_have_no_alias(s: GuestSecretOfKvm, t: Task, cpu: Cpu) -> Bool:
    """A page that leaves the guest is out of the direct map, and in no TLB, until it is zeroed."""
    f = s.discard.page[t]
    back = discard.idle(s, t) | discard.at(s, t, FREE)
    return back | (~s.present[f] & ~s.tlb[cpu, f])


@always
def flushes_are_waited_for(s: GuestSecret, t: Task, cpu: Cpu) -> Bool:
    """Who has asked CPUs to flush goes on when they have answered."""
    fault = s.fault.waits_for[t, cpu].implies(kvm_mmu_page_fault.at(s, t, MAP))
    return fault & s.discard.waits_for[t, cpu].implies(discard.at(s, t, CLEAR))


@always
def faults_flush_nothing(s: GuestSecretOfKernel, t: Task, cpu: Cpu) -> Bool:
    """The cost: if the kernel can see the guest's memory, no fault has a CPU flush."""
    return ~s.fault.waits_for[t, cpu]


@step
def discards_flush_the_second_level(
    s: GuestSecret, new: GuestSecret, f: Frame, cpu: Cpu, a: Gpa
) -> Bool:
    """When a page of the guest becomes free, no CPU has it cached for the guest."""
    freed = (s.owner[f] == Owner.SECRET) & (new.owner[f] == Owner.FREE)
    return freed.implies(new.ept_tlb[cpu, a] != some(f))


@step
def guests_keep_their_pages(s: GuestSecret, new: GuestSecret, a: Gpa, cpu: Cpu) -> Bool:
    """A page of the guest, and a window of KVM, is not exchanged for another: it goes first."""
    page = (s.ept[a].is_some & new.ept[a].is_some).implies(s.ept[a] == new.ept[a])
    window = s.window[cpu].is_some & new.window[cpu].is_some
    return page & window.implies(s.window[cpu] == new.window[cpu])


@step
def pages_end_somewhere(s: GuestSecret, new: GuestSecret, t: Task) -> Bool:
    """A fault ends with its page in the guest, or free; a discard with it free."""
    f, g = s.fault.page[t], s.discard.page[t]
    fault = ~kvm_mmu_page_fault.idle(s, t) & kvm_mmu_page_fault.idle(new, t)
    given = (new.ept[s.fault.gpa[t]] == some(f)) | (new.owner[f] == Owner.FREE)
    freed = ~discard.idle(s, t) & discard.idle(new, t)
    return fault.implies(given) & freed.implies(new.owner[g] == Owner.FREE)


@sometimes
def a_guest_has_a_secret(s: GuestSecret, a: Gpa, cpu: Cpu) -> Bool:
    """The guest has written its secret, and a CPU has the page cached."""
    cached = s.ept[a].is_some & (s.ept_tlb[cpu, a] == s.ept[a])
    return cached & (s.contents[s.ept[a].value] == Contents.SECRET)


@sometimes
def kvm_sees_a_secret(s: GuestSecret, cpu: Cpu, f: Frame) -> Bool:
    """KVM has a window to a secret."""
    return (s.window_tlb[cpu] == some(f)) & (s.contents[f] == Contents.SECRET)


@sometimes
def an_entry_is_flushed_at_the_end(s: GuestSecret, t: Task, cpu: Cpu, a: Gpa) -> Bool:
    """A page has left the guest, and a CPU still has it cached."""
    return discard.at(s, t, CLEAR) & (s.ept_tlb[cpu, a] == some(s.discard.page[t]))


@sometimes
def a_page_comes_back(s: GuestSecret, t: Task, cpu: Cpu) -> Bool:
    """A page that was the guest's is zeroed and in a TLB before it is free."""
    f = s.discard.page[t]
    return discard.at(s, t, FREE) & s.tlb[cpu, f]


@sometimes
def two_faults_race(s: GuestSecret, t: Task) -> Bool:
    """A fault has a page for an address that has one now."""
    return kvm_mmu_page_fault.at(s, t, MAP) & s.ept[s.fault.gpa[t]].is_some
