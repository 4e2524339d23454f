"""The C-bit and caches: pages of an SEV guest, or of a kernel under SME, between two keys.

The C-bit is part of the physical address, so one page has lines of either key in the caches.  Where the
processor does not keep them coherent, the dirty lines of the old key have to be written back before the
page is used with the other, or they fall on newer data when they are evicted.  CLFLUSH of an address
reaches the lines of the key that its leaf has then, and no others.
"""

from __future__ import annotations

from dataclasses import replace

from ..language import (
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Step,
    Update,
    ite,
    operation,
)
from ..machine.sorts import Cpu, Frame
from .enc_pgtable import (
    OPERATIONS,
    Callback,
    EncPgtable,
    Key,
    Platform,
    Use,
    View,
    set_memory_enc,
    set_memory_enc_on,
)


class Line(Enumeration):
    """What caches have of a page with one key."""

    NONE: Line
    CLEAN: Line
    DIRTY: Line


class Sev(EncPgtable):
    """coherent: SME_COHERENT, the processor keeps the lines of both keys coherent.  line: what caches
    have of a page.  told: what the hypervisor was told last."""

    coherent: Fun[tuple[()], Bool]
    line: Map[tuple[Frame, Key], Line]
    told: Map[Frame, Key]


@operation(kernel="arch/x86/mm/mem_encrypt_amd.c: sme_early_init(); arch/x86/mm/mem_encrypt.c")
def boot(s: Sev) -> Step:
    """Nothing is cached; the hypervisor knows of what was converted by then."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_pages(),
            s.line.fill(lambda f, key: Line.NONE),
            s.told.fill(lambda f: ite(s.shared_at_boot[f], Key.SHARED, Key.PRIVATE)),
        ],
    )


def _access(s: Sev, f: Frame, key: Key, line: Line) -> list[Update]:
    """The line of a key comes in; coherent processors write the other back and drop it."""
    return [
        s.line.fill(lambda g, k: Line.NONE, lambda g, k: (g == f) & (k != key) & s.coherent[()]),
        s.line.set((f, key), line),
    ]


@operation(kernel="AMD APM vol. 2, section 7.10.6: page table support")
def fill_cache(s: Sev, cpu: Cpu, view: View, f: Frame) -> Step:
    """A speculative access brings in a line, with the key that the translation has."""
    entry = s.tlb[cpu, view, f]
    key = entry.value
    new = entry.is_some & (s.line[f, key] == Line.NONE)
    return Step(when=new, then=_access(s, f, key, Line.CLEAN))


@operation(kernel="include/asm-generic/memory_model.h: page_address()")
def store(s: Sev, cpu: Cpu, view: View, f: Frame) -> Step:
    """The owner writes to his page, not while he has it converted."""
    entry = s.tlb[cpu, view, f]
    used = set_memory_enc.idle(s, f) & s.owned(f) & entry.is_some
    return Step(when=used, then=_access(s, f, entry.value, Line.DIRTY))


@operation(kernel="AMD APM vol. 2, section 7.3: memory coherency and protocol")
def evict(s: Sev, f: Frame, key: Key) -> Step:
    """A line leaves the cache, and is written back if it is dirty."""
    return Step(when=s.line[f, key] != Line.NONE, then=[s.line.set((f, key), Line.NONE)])


def _clflush(s: Sev, f: Frame) -> list[Update]:
    """Lines of the key that the leaf of the address has."""
    key = s.leaf[s.call.view[f], f].value
    return [s.line.set((f, key), ite(s.coherent[()], s.line[f, key], Line.NONE))]


def _tell(s: Sev, f: Frame) -> list[Update]:
    return [s.told.set(f, s.call.want[f])]


def _not_coherent(s: Sev, f: Frame) -> Bool:
    return ~s.coherent[()]


SEV = Platform(
    state=Sev,
    kernel="arch/x86/mm/mem_encrypt_amd.c: amd_enc_status_change_finish(), enc_dec_hypercall()",
    cache_flush=_not_coherent,
    clflush=_clflush,
    prepare=Callback(
        "clflush_cache_range",
        "The end of cpa_flush(): every TLB is flushed; the caches are, if they are not coherent.",
    ),
    convert=Callback(
        "amd_enc_status_change_prepare", "Only SNP has something to do before the change."
    ),
    finish=Callback(
        "enc_dec_hypercall", "amd_enc_status_change_finish(): tell the hypervisor.", _tell
    ),
    confirm=Callback("return_to_owner", "The owner has the page as he wanted it."),
)

set_memory = set_memory_enc_on(SEV)


def _leave_lines(s: Sev, f: Frame) -> list[Update]:
    return []


set_memory_without_clflush = set_memory_enc_on(replace(SEV, clflush=_leave_lines))
# Is the first round of TLB flushes needed?
set_memory_with_one_round = set_memory_enc_on(replace(SEV, tlb_flush=_not_coherent))


@operation(kernel="arch/x86/mm/init.c: free_init_pages()", name="free_pages")
def free_shared_pages(s: Sev, f: Frame) -> Step:
    """Pages are given back as they are."""
    idle = set_memory_enc.idle(s, f) & s.leaf[View.VMAP, f].is_none
    return Step(when=idle & s.owned(f), then=[s.use.set(f, Use.FREE)])


ALL = (*OPERATIONS, fill_cache, store, evict)
