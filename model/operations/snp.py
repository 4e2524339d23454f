"""Page states of an SEV-SNP guest: PVALIDATE and the reverse map table.

The RMP says whose a page is, and whether the guest has validated it.  The guest rescinds the validation
before a leaf says that the page is shared, and validates it after every leaf says that it is private:
the opposite of TDX, see ``tdx``.  The host changes the RMP some time after it was asked to.  Lines that
the host has left of a page are in ``sev_reuse``.
"""

from __future__ import annotations

from dataclasses import replace

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Map,
    Step,
    Update,
    ite,
    operation,
)
from ..machine.sorts import Frame
from .enc_pgtable import (
    OPERATIONS,
    Callback,
    EncPgtable,
    Key,
    Platform,
    set_memory_enc_on,
    to_shared,
)


class Rmp(Enumeration):
    """What the reverse map table has of a page: it is the host's, the guest's, validated by that."""

    SHARED: Rmp
    ASSIGNED: Rmp
    VALIDATED: Rmp


class Snp(EncPgtable):
    """rmp: of a page.  asked: the page state that the guest has asked for last."""

    rmp: Map[Frame, Rmp]
    asked: Map[Frame, Key]


@operation(kernel="arch/x86/kernel/sev.c: early_snp_set_memory_private(), snp_set_memory_shared()")
def boot(s: Snp) -> Step:
    """Pages are validated, but for those that have been converted by then."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_pages(),
            s.rmp.fill(lambda f: ite(s.shared_at_boot[f], Rmp.SHARED, Rmp.VALIDATED)),
            s.asked.fill(lambda f: ite(s.shared_at_boot[f], Key.SHARED, Key.PRIVATE)),
        ],
    )


@operation(kernel="AMD APM vol. 3: RMPUPDATE")
def rmpupdate(s: Snp, f: Frame) -> Step:
    """The host does what it was asked; whatever it does, the page is not validated by that."""
    shared = s.asked[f] == Key.SHARED
    due = shared == (s.rmp[f] != Rmp.SHARED)
    return Step(when=due, then=[s.rmp.set(f, ite(shared, Rmp.SHARED, Rmp.ASSIGNED))])


# What the guest does about it.  A failure of any of this ends the guest (sev_es_terminate()).


def _rescind(s: Snp, f: Frame) -> list[Update]:
    return [s.rmp.set(f, ite(to_shared(s, f), Rmp.ASSIGNED, s.rmp[f]))]


def _ask_shared(s: Snp, f: Frame) -> list[Update]:
    return [s.asked.set(f, ite(to_shared(s, f), Key.SHARED, s.asked[f]))]


def _ask_private(s: Snp, f: Frame) -> list[Update]:
    return [s.asked.set(f, ite(to_shared(s, f), s.asked[f], Key.PRIVATE))]


def _is_assigned(s: Snp, f: Frame) -> Bool:
    return to_shared(s, f) | (s.rmp[f] == Rmp.ASSIGNED)


def _validate(s: Snp, f: Frame) -> list[Update]:
    return [s.rmp.set(f, ite(to_shared(s, f), s.rmp[f], Rmp.VALIDATED))]


def _never(s: Snp, f: Frame) -> Bool:
    return FALSE


SNP = Platform(
    state=Snp,
    kernel="arch/x86/kernel/sev.c: snp_set_memory_shared(), snp_set_memory_private(), pvalidate_pages()",
    cache_flush=_never,
    prepare=Callback(
        "pvalidate_rescind",
        "snp_set_memory_shared(): to shared, PVALIDATE takes the validation back.",
        _rescind,
    ),
    convert=Callback(
        "ask_shared", "set_pages_state(): to shared, ask the host for the page state.", _ask_shared
    ),
    finish=Callback(
        "ask_private",
        "snp_set_memory_private(): to private, ask the host for the page state.",
        _ask_private,
    ),
    confirm=Callback(
        "pvalidate",
        "pvalidate_pages(): to private, when the host has done it, validate the page.",
        _validate,
        _is_assigned,
    ),
)
# The order of TDX: validated before the leaves say private, asked after they say shared.
SNP_AS_TDX = replace(
    SNP,
    prepare=Callback("ask_private_first", "To private, ask the host.", _ask_private),
    convert=Callback(
        "pvalidate_first",
        "To private, when the host has done it: validate the page.",
        _validate,
        _is_assigned,
    ),
    finish=Callback("rescind_after", "To shared, take the validation back.", _rescind),
    confirm=Callback("ask_shared_after", "To shared, ask the host.", _ask_shared),
)

set_memory = set_memory_enc_on(SNP)
set_memory_in_the_order_of_tdx = set_memory_enc_on(SNP_AS_TDX)
# Which of the two rounds of TLB flushes are needed?
set_memory_with_one_round = set_memory_enc_on(replace(SNP, tlb_flush=_never))
set_memory_without_second_flush = set_memory_enc_on(replace(SNP, flush_after=False))

ALL = (*OPERATIONS, rmpupdate)
