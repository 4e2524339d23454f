"""Pages that go from the host to a guest and back, and the dirty lines that they leave in caches.

A line of the guest's key that is written back after the page went to somebody else falls on his data;
so does one of the host's key after the guest has the page.  SME_COHERENT keeps the keys coherent for
CPUs, and not for devices, whose writes find the lines of the host's key only.  The host flushes what it
takes back from a guest; a guest evicts what it validates, where the processor does not.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Procedure,
    State,
    Step,
    Update,
    ite,
    operation,
)
from ..machine.sorts import Frame
from .enc_pgtable import Rounds


class Use(Enumeration):
    """Who uses a page: the host's CPUs, a device of the host's; the guest, which has not validated it,
    or has; nobody, since it is being taken back."""

    HOST: Use
    DEVICE: Use
    ASSIGNED: Use
    VALIDATED: Use
    LEAVING: Use


class Alias(Enumeration):
    """Whose key a line has."""

    HOST: Alias
    GUEST: Alias


class Writer(Enumeration):
    """Who wrote what memory has of a page."""

    HOST: Writer
    GUEST: Writer
    DEVICE: Writer


class Passing(Locals):
    """flushes: how often caches were flushed in this call."""

    flushes: Map[Frame, Rounds]


class SevReuse(State):
    """coherent: SME_COHERENT.  evicts: COHERENCY_SFW_NO, the processor itself drops the host's lines of
    a page that becomes the guest's.  guest_at_boot: the guest has the page validated when this starts.
    dirty: a cache has a dirty line of the page.  memory: who wrote last what memory has."""

    coherent: Fun[tuple[()], Bool]
    evicts: Fun[tuple[()], Bool]
    guest_at_boot: Fun[Frame, Bool]
    use: Map[Frame, Use]
    dirty: Map[tuple[Frame, Alias], Bool]
    memory: Map[Frame, Writer]
    passing: Passing

    def written_back(self, f: Frame, alias: Alias, whether: Bool) -> list[Update]:
        """The line goes to memory, if it is dirty."""
        writer = ite(alias == Alias.HOST, Writer.HOST, Writer.GUEST)
        done = self.dirty[f, alias] & whether
        return [
            self.memory.set(f, ite(done, writer, self.memory[f])),
            self.dirty.set((f, alias), self.dirty[f, alias] & ~whether),
        ]


@operation(kernel="arch/x86/kvm/svm/sev.c: sev_launch_finish()")
def boot(s: SevReuse) -> Step:
    """The guest has some pages validated, and no line is dirty."""
    guest = s.guest_at_boot
    return Step(
        when=TRUE,
        then=[
            s.use.fill(lambda f: ite(guest[f], Use.VALIDATED, Use.HOST)),
            s.dirty.fill(lambda f, alias: FALSE),
            s.memory.fill(lambda f: ite(guest[f], Writer.GUEST, Writer.HOST)),
        ],
    )


def _store(s: SevReuse, f: Frame, own: Alias, other: Alias, user: Use) -> Step:
    """A dirty line of the own key; coherent processors write back the other first."""
    return Step(
        when=(s.use[f] == user) & validate.idle(s, f) & reclaim.idle(s, f),
        then=[
            *s.written_back(f, other, s.coherent[()]),
            s.dirty.set((f, own), TRUE),
        ],
    )


@operation(kernel="include/asm-generic/memory_model.h: page_address(), in the host")
def host_store(s: SevReuse, f: Frame) -> Step:
    """The host writes to a page of its own."""
    return _store(s, f, Alias.HOST, Alias.GUEST, Use.HOST)


@operation(kernel="include/asm-generic/memory_model.h: page_address(), in the guest")
def guest_store(s: SevReuse, f: Frame) -> Step:
    """The guest writes to a page that it has validated.  A line that the host has left of it is not
    reached by coherence: that is the vulnerability."""
    return Step(
        when=(s.use[f] == Use.VALIDATED) & validate.idle(s, f) & reclaim.idle(s, f),
        then=[s.dirty.set((f, Alias.GUEST), TRUE)],
    )


@operation(kernel="AMD APM vol. 2, section 7.3: memory coherency and protocol")
def evict(s: SevReuse, f: Frame, alias: Alias) -> Step:
    """A dirty line leaves the cache, and is written back."""
    return Step(when=s.dirty[f, alias], then=s.written_back(f, alias, TRUE))


@operation(kernel="kernel/dma/direct.h: dma_direct_map_page()")
def dma_map_page(s: SevReuse, f: Frame) -> Step:
    """The host gives a page to a device."""
    return Step(when=(s.use[f] == Use.HOST) & validate.idle(s, f), then=[s.use.set(f, Use.DEVICE)])


@operation(kernel="kernel/dma/direct.h: dma_direct_unmap_page()")
def dma_unmap_page(s: SevReuse, f: Frame) -> Step:
    """The device is done."""
    return Step(when=s.use[f] == Use.DEVICE, then=[s.use.set(f, Use.HOST)])


@operation(kernel="AMD APM vol. 2, section 7.10.6; CPUID Fn8000_001F, EAX bit 10")
def device_write(s: SevReuse, f: Frame) -> Step:
    """A device writes to memory; lines of the host's key are dropped, others are not."""
    return Step(
        when=s.use[f] == Use.DEVICE,
        then=[s.memory.set(f, Writer.DEVICE), s.dirty.set((f, Alias.HOST), FALSE)],
    )


def _flush(s: SevReuse, f: Frame, alias: Alias, whether: Bool) -> list[Update]:
    rounds = ite(s.passing.flushes[f] == Rounds.NONE, Rounds.ONCE, Rounds.MORE)
    return [
        *s.written_back(f, alias, whether),
        s.passing.flushes.set(f, ite(whether, rounds, s.passing.flushes[f])),
    ]


def _validate(*, evicts: bool = True) -> Procedure:
    """evicts: the guest evicts lines of a page that it validates, where the processor does not."""
    procedure = Procedure(
        "snp_set_memory_private",
        kernel="arch/x86/kernel/sev.c: pvalidate_4k_page(), sev_evict_cache()",
        doc="The host assigns a page, the guest validates it and evicts what is cached of it.",
    )

    @procedure.step
    def rmpupdate(s: SevReuse, f: Frame) -> Step:
        """The page is the guest's."""
        dropped = s.written_back(f, Alias.HOST, s.evicts[()])
        return Step(
            when=s.use[f] == Use.HOST,
            then=[
                s.use.set(f, Use.ASSIGNED),
                s.passing.flushes.set(f, Rounds.NONE),
                *dropped,
            ],
        )

    @procedure.step
    def pvalidate(s: SevReuse, f: Frame) -> Step:
        """The guest validates it."""
        return Step(when=TRUE, then=[s.use.set(f, Use.VALIDATED)])

    @procedure.step
    def sev_evict_cache(s: SevReuse, f: Frame) -> Step:
        """It touches the page, so that lines of it leave the caches."""
        whether = ~s.evicts[()] if evicts else FALSE
        return Step(when=TRUE, then=_flush(s, f, Alias.HOST, whether))

    return procedure


def _reclaim(*, flushes: str = "always") -> Procedure:
    """flushes: when caches are flushed: always, never, or where keys are not coherent."""
    procedure = Procedure(
        "sev_guest_memory_reclaimed",
        kernel="arch/x86/kvm/svm/sev.c: sev_guest_memory_reclaimed(), sev_flush_encrypted_page()",
        doc="The host unmaps a page of the guest, flushes it and uses it.",
    )

    @procedure.step
    def unmap_gfn_range(s: SevReuse, f: Frame) -> Step:
        """The guest does not have the page any more."""
        return Step(
            when=(s.use[f] == Use.VALIDATED) & validate.idle(s, f),
            then=[s.use.set(f, Use.LEAVING), s.passing.flushes.set(f, Rounds.NONE)],
        )

    @procedure.step
    def wbinvd_on_all_cpus(s: SevReuse, f: Frame) -> Step:
        """Dirty lines of the guest's key are written back."""
        wanted = {"always": TRUE, "never": FALSE}.get(flushes, ~s.coherent[()])
        return Step(when=TRUE, then=_flush(s, f, Alias.GUEST, wanted))

    @procedure.step
    def put_page(s: SevReuse, f: Frame) -> Step:
        """The page is the host's."""
        return Step(when=TRUE, then=[s.use.set(f, Use.HOST)])

    return procedure


validate = _validate()
reclaim = _reclaim()
RMPUPDATE, PVALIDATE, EVICT = validate.steps
UNMAP, FLUSH, PUT = reclaim.steps

# S-10: nothing was evicted.
validate_without_evict = _validate(evicts=False)
# S-06: KVM believed that SME_COHERENT is enough.
reclaim_trusting_coherence = _reclaim(flushes="incoherent")
# S-06-reclaim: KVM believed that pages are pinned, and flushed nothing that was taken back early.
reclaim_without_flush = _reclaim(flushes="never")

OPERATIONS = (host_store, guest_store, evict, dma_map_page, dma_unmap_page, device_write)
