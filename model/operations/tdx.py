"""Private and shared pages of a TDX guest: MapGPA, acceptance, and #VE.

A page is private when the TDX module has it in the secure EPT, accepted by the guest.  An access through
a private leaf to any other page ends the guest; one through a shared leaf to a private page, or to a
shared one that the host has not mapped, is a #VE.  load_unaligned_zeropad() reads a word that may cross
into the next page, whoever has that, at any time; so no moment may have a private translation of a page
that the host may take.  The host converts a page some time after it was asked to, or says no.
"""

from __future__ import annotations

from dataclasses import replace

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Map,
    Procedure,
    Step,
    Update,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame
from .enc_pgtable import (
    OPERATIONS,
    Callback,
    EncPgtable,
    Key,
    Platform,
    View,
    set_memory_enc_on,
    to_shared,
)


class Sept(Enumeration):
    """What the host and the TDX module have of a page: shared, private but not accepted, accepted."""

    SHARED: Sept
    PENDING: Sept
    ACCEPTED: Sept


class Fate(Enumeration):
    """How a CPU does that reads a word across the end of a page: it runs; it runs, with what the host
    said in its word; it has died of an exception; the guest is shut down."""

    RUNS: Fate
    CONFUSED: Fate
    OOPS: Fate
    SHUTDOWN: Fate


class Tdx(EncPgtable):
    """sept: of a page.  asked: what MapGPA has asked for last, which the host may act on at any time.
    fate: of a CPU."""

    sept: Map[Frame, Sept]
    asked: Map[Frame, Key]
    fate: Map[Cpu, Fate]


@operation(kernel="arch/x86/coco/tdx/tdx.c: tdx_early_init(); arch/x86/mm/mem_encrypt.c")
def boot(s: Tdx) -> Step:
    """Pages are accepted, but for those that have been converted by then."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_pages(),
            s.sept.fill(lambda f: ite(s.shared_at_boot[f], Sept.SHARED, Sept.ACCEPTED)),
            s.asked.fill(lambda f: ite(s.shared_at_boot[f], Key.SHARED, Key.PRIVATE)),
            s.fate.fill(lambda cpu: Fate.RUNS),
        ],
    )


@operation(kernel="Intel TDX module: TDH.MEM.RANGE.BLOCK, TDH.MEM.PAGE.REMOVE, TDH.MEM.PAGE.AUG")
def host_converts(s: Tdx, f: Frame) -> Step:
    """The host does what it was asked: it takes a private page away, or adds one, to be accepted."""
    shared = s.asked[f] == Key.SHARED
    due = shared == (s.sept[f] != Sept.SHARED)
    return Step(when=due, then=[s.sept.set(f, ite(shared, Sept.SHARED, Sept.PENDING))])


# What the guest does about it.


def _map_gpa(s: Tdx, f: Frame, key: Key) -> list[Update]:
    """Ask, if that is what this conversion is to."""
    return [s.asked.set(f, ite(s.call.want[f] == key, key, s.asked[f]))]


def _map_gpa_private(s: Tdx, f: Frame) -> list[Update]:
    return _map_gpa(s, f, Key.PRIVATE)


def _map_gpa_shared(s: Tdx, f: Frame) -> list[Update]:
    return _map_gpa(s, f, Key.SHARED)


def _map_gpa_either(s: Tdx, f: Frame) -> list[Update]:
    return [s.asked.set(f, s.call.want[f])]


def _is_added(s: Tdx, f: Frame) -> Bool:
    return to_shared(s, f) | (s.sept[f] == Sept.PENDING)


def _accept(s: Tdx, f: Frame) -> list[Update]:
    return [s.sept.set(f, ite(to_shared(s, f), s.sept[f], Sept.ACCEPTED))]


def _nothing(s: Tdx, f: Frame) -> list[Update]:
    return []


def _never(s: Tdx, f: Frame) -> Bool:
    return FALSE


TDX = Platform(
    state=Tdx,
    kernel="arch/x86/coco/tdx/tdx.c: tdx_enc_status_change_prepare(), tdx_enc_status_change_finish()",
    tlb_flush=to_shared,
    prepare=Callback(
        "map_gpa_private",
        "tdx_enc_status_change_prepare(): to private, MapGPA asks the host.",
        _map_gpa_private,
        fails=_map_gpa_private,
    ),
    convert=Callback(
        "accept_page",
        "TDG.MEM.PAGE.ACCEPT: to private, when the host has added the page.",
        _accept,
        _is_added,
        fails=_nothing,
    ),
    finish=Callback(
        "map_gpa_shared",
        "tdx_enc_status_change_finish(): to shared, MapGPA asks the host.",
        _map_gpa_shared,
        fails=_map_gpa_shared,
    ),
    confirm=Callback("return_to_owner", "The owner has the page as he wanted it."),
)

# Before "x86/tdx: Fix race between set_memory_encrypted() and load_unaligned_zeropad()", the callback
# after the change did both.
TDX_AFTER = replace(
    TDX,
    prepare=Callback("prepare_nothing", "There is no enc_status_change_prepare() of TDX."),
    convert=Callback("convert_nothing", "Nothing is accepted yet."),
    finish=Callback(
        "map_gpa",
        "tdx_enc_status_changed(): MapGPA asks the host, either way.",
        _map_gpa_either,
        fails=_map_gpa_either,
    ),
    confirm=Callback(
        "accept_page_after",
        "TDG.MEM.PAGE.ACCEPT: to private, when the host has added the page.",
        _accept,
        _is_added,
        fails=_nothing,
    ),
)
# The order of SNP: the host is told before the leaves say so, and the page is accepted after that.
TDX_AS_SNP = replace(
    TDX_AFTER,
    prepare=Callback(
        "map_gpa_shared_first",
        "To shared, MapGPA asks the host before the leaves are changed.",
        _map_gpa_shared,
        fails=_map_gpa_shared,
    ),
    finish=Callback(
        "map_gpa_private_after",
        "To private, MapGPA asks the host after the leaves are changed.",
        _map_gpa_private,
        fails=_map_gpa_private,
    ),
)

set_memory = set_memory_enc_on(TDX)
set_memory_converting_after = set_memory_enc_on(TDX_AFTER)
set_memory_in_the_order_of_snp = set_memory_enc_on(TDX_AS_SNP)
# One slip each.
set_memory_without_purge = set_memory_enc_on(replace(TDX, purge=False))
set_memory_without_second_flush = set_memory_enc_on(replace(TDX, flush_after=False))
set_memory_without_aliases = set_memory_enc_on(replace(TDX, aliases=False))
# Is the first round of TLB flushes needed, which only conversions to shared have?
set_memory_with_one_round = set_memory_enc_on(replace(TDX, tlb_flush=_never))


# The word that crosses.


def _zeropad(*, rejects_split: bool = True, passes_address: bool = True) -> Procedure:
    """A CPU reads a word across the end of a page.  rejects_split: accesses that cross pages are not
    taken for MMIO.  passes_address: the fixup is told where the fault was."""
    procedure = Procedure(
        "load_unaligned_zeropad",
        kernel="arch/x86/include/asm/word-at-a-time.h: load_unaligned_zeropad()",
        doc="Read a word that ends in the next page; if that is a #VE, fill it up with zeros.",
    )

    @procedure.step(to="handle_mmio")
    def load(s: Tdx, cpu: Cpu, view: View, f: Frame) -> Step:
        """The access to the next page by a shared translation, of which the host makes a #VE: it has
        not mapped the page, or the page is still private."""
        return Step(when=s.tlb[cpu, view, f] == some(Key.SHARED), then=[])

    @procedure.step(at="handle_mmio", to="ve_raise_fault" if rejects_split else Procedure.DONE)
    def handle_mmio(s: Tdx, cpu: Cpu) -> Step:
        """tdx_handle_virt_exception(): the access crosses pages, so it is no MMIO."""
        taken = [] if rejects_split else [s.fate.set(cpu, Fate.CONFUSED)]
        return Step(when=TRUE, then=taken)

    @procedure.step(at="ve_raise_fault", to=Procedure.DONE)
    def ve_raise_fault(s: Tdx, cpu: Cpu) -> Step:
        """ex_handler_zeropad() fills up with zeros, if the fault was at the start of the next page."""
        return Step(when=TRUE, then=[] if passes_address else [s.fate.set(cpu, Fate.OOPS)])

    return procedure


load_unaligned_zeropad = _zeropad()
# S-02, twice: the #VE was taken for MMIO; then the fixup did not know the address.
load_taken_for_mmio = _zeropad(rejects_split=False)
load_without_address = _zeropad(passes_address=False)


@operation(kernel="arch/x86/include/asm/word-at-a-time.h: load_unaligned_zeropad()")
def load_by_private_translation(s: Tdx, cpu: Cpu, view: View, f: Frame) -> Step:
    """The access to the next page by a private translation: if the page is not the guest's, or not
    accepted, the guest is shut down."""
    lost = (s.tlb[cpu, view, f] == some(Key.PRIVATE)) & (s.sept[f] != Sept.ACCEPTED)
    return Step(when=lost, then=[s.fate.set(cpu, Fate.SHUTDOWN)])


ALL = (*OPERATIONS, host_converts, load_by_private_translation)
