"""Dirty lines of pages that change hands between a host and its guests.

What it checks: when somebody uses a page, no cache has a dirty line of it with another key; so what a
device, the guest or the host has written stays until its owner writes again.  A page costs one flush of
caches when it is taken back, coherent or not, and one at most when it is validated.  Invariant 5 of
encryption, and 2 as to caches.
Why it matters: a guest could write over data of the host, or the host over what a guest trusts.
Kernel precedent: d45829b351ee ("KVM: SVM: Flush when freeing encrypted pages even on SME_COHERENT
CPUs");
"KVM: SEV: add cache flush to solve SEV cache incoherency issues"; "x86/sev: Evict cache lines during SNP
memory validation".
Smallest counterexample: the host writes to a page, and a guest validates it (sev-reuse-without-evict).
Not covered: clean lines; several guests; CLFLUSH and VM_PAGE_FLUSH of one page, which are WBINVD here.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, ite, sometimes, step
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.enc_pgtable import Rounds
from mapproof.model.operations.sev_reuse import (
    EVICT,
    FLUSH,
    PUT,
    PVALIDATE,
    Alias,
    SevReuse,
    Use,
    Writer,
    reclaim,
    validate,
)


@always
def host_pages_have_no_line_of_the_guest(s: SevReuse, f: Frame) -> Bool:
    """A page of the host, a device's or not, and one that a guest has yet to validate, has no dirty line
    of the guest's key."""
    host = (s.use[f] == Use.HOST) | (s.use[f] == Use.DEVICE) | (s.use[f] == Use.ASSIGNED)
    return host.implies(~s.dirty[f, Alias.GUEST])


@always
def guest_pages_have_no_line_of_the_host(s: SevReuse, f: Frame) -> Bool:
    """A page that the guest uses has no dirty line of the host's key, nor has it afterwards, until the
    host has it."""
    guest = ((s.use[f] == Use.VALIDATED) & validate.idle(s, f)) | (s.use[f] == Use.LEAVING)
    return guest.implies(~s.dirty[f, Alias.HOST])


@always
def pages_pass_in_order(s: SevReuse, f: Frame) -> Bool:
    """A page is assigned, validated, then used; it leaves the guest, is flushed, then used."""
    assigned = (s.use[f] == Use.ASSIGNED) == validate.at(s, f, PVALIDATE)
    validated = validate.at(s, f, EVICT).implies(s.use[f] == Use.VALIDATED)
    leaving = (s.use[f] == Use.LEAVING) == ~reclaim.idle(s, f)
    flushed = reclaim.at(s, f, PUT).implies(~s.dirty[f, Alias.GUEST])
    return assigned & validated & leaving & flushed


@step
def what_a_device_wrote_stays(old: SevReuse, new: SevReuse, f: Frame) -> Bool:
    """What a device has written is not overwritten by what a guest had written before; by what the host
    had, before it gave the page to the device, it may be."""
    written = (old.memory[f] == Writer.DEVICE) & (old.use[f] == Use.DEVICE)
    return written.implies(new.memory[f] != Writer.GUEST)


@step
def what_a_guest_wrote_stays(old: SevReuse, new: SevReuse, f: Frame) -> Bool:
    """Memory that a guest has written keeps that while the guest has it."""
    used = (old.use[f] == Use.VALIDATED) & validate.idle(old, f)
    return (used & (old.memory[f] == Writer.GUEST)).implies(new.memory[f] == Writer.GUEST)


@step
def guests_write_to_their_pages(old: SevReuse, new: SevReuse, f: Frame) -> Bool:
    """What guests have written comes to memory from pages that are theirs, or that leave them."""
    came = (old.memory[f] != Writer.GUEST) & (new.memory[f] == Writer.GUEST)
    theirs = (old.use[f] == Use.VALIDATED) | (old.use[f] == Use.LEAVING)
    return came.implies(theirs)


@step
def lines_go_by_way_of_memory(old: SevReuse, new: SevReuse, f: Frame, alias: Alias) -> Bool:
    """A dirty line that goes is in memory, unless a device has written there instead; what comes to
    memory from a cache, or from a device, is no longer dirty there."""
    writer = ite(alias == Alias.HOST, Writer.HOST, Writer.GUEST)
    device = (alias == Alias.HOST) & (old.use[f] == Use.DEVICE) & (new.memory[f] == Writer.DEVICE)
    gone = old.dirty[f, alias] & ~new.dirty[f, alias]
    came = old.memory[f] != new.memory[f]
    clean = (new.memory[f] == writer) | ((alias == Alias.HOST) & (new.memory[f] == Writer.DEVICE))
    kept = gone.implies((new.memory[f] == writer) | device)
    return kept & (came & clean).implies(~new.dirty[f, alias])


@always
def reclaiming_costs_a_flush(s: SevReuse, f: Frame) -> Bool:
    """The cost: a page that is taken back is flushed once, also where the keys are coherent."""
    none = s.passing.flushes[f] == Rounds.NONE
    once = s.passing.flushes[f] == Rounds.ONCE
    return reclaim.at(s, f, FLUSH).implies(none) & reclaim.at(s, f, PUT).implies(once)


@always
def validating_costs_no_flush_before(s: SevReuse, f: Frame) -> Bool:
    """The cost: caches are not flushed before a page is validated; so once at most, after it."""
    before = validate.at(s, f, PVALIDATE) | validate.at(s, f, EVICT)
    return before.implies(s.passing.flushes[f] == Rounds.NONE)


@step
def evictions_follow_the_validation(old: SevReuse, new: SevReuse, f: Frame) -> Bool:
    """A page that the guest may use was evicted once, or the processor does that by itself."""
    over = validate.at(old, f, EVICT) & validate.idle(new, f)
    return over.implies(old.evicts[()] | (new.passing.flushes[f] == Rounds.ONCE))


@sometimes
def a_device_writes_to_a_page_of_a_guest(s: SevReuse, f: Frame) -> Bool:
    """A page that was the guest's is a device's, which has written to it, on a coherent processor."""
    reused = s.guest_at_boot[f] & (s.use[f] == Use.DEVICE)
    return reused & (s.memory[f] == Writer.DEVICE) & s.coherent[()]


@sometimes
def a_device_gives_a_page_back(s: SevReuse, f: Frame) -> Bool:
    """A page of the host has what a device wrote."""
    return (s.use[f] == Use.HOST) & (s.memory[f] == Writer.DEVICE)


@sometimes
def a_line_of_the_guest_waits_for_the_flush(s: SevReuse, f: Frame) -> Bool:
    """A page leaves the guest while a line of it is dirty."""
    return (s.use[f] == Use.LEAVING) & s.dirty[f, Alias.GUEST]


@sometimes
def a_line_of_the_host_waits_for_the_eviction(s: SevReuse, f: Frame) -> Bool:
    """A page is validated while a line of the host's is dirty."""
    return validate.at(s, f, EVICT) & s.dirty[f, Alias.HOST]


@sometimes
def a_guest_has_a_page_of_the_host(s: SevReuse, f: Frame) -> Bool:
    """A page that was the host's has what the guest wrote."""
    return ~s.guest_at_boot[f] & (s.use[f] == Use.VALIDATED) & (s.memory[f] == Writer.GUEST)
