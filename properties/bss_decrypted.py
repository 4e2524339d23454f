"""Variables and pages of .bss..decrypted.

What it checks: a variable that is marked is shared once the guest has booted, and no other ever is; no
page holds both; what is freed is private, and holds no variable.  Invariants 1 and 2 of encryption, as
to the image.
Why it matters: the host can read and change whatever shares a page with what is meant for it.
Kernel precedent: "vmlinux.lds.h: Fix placement of '.data..decrypted' section"; the comment in
mem_encrypt_free_decrypted_mem().
Smallest counterexample: a variable that the linker puts behind the section, into its last page
(bss-decrypted-unaligned).
Not covered: the per-CPU section; large pages that are split for it (see split); leaves and TLBs of a
conversion (see enc_pgtable).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.bss_decrypted import (
    ENCRYPT,
    FREE,
    BssDecrypted,
    Symbol,
    Use,
    mem_encrypt_free_decrypted_mem,
)
from mapproof.model.operations.enc_pgtable import Key


@always
def other_variables_are_private(s: BssDecrypted, v: Symbol) -> Bool:
    """A variable that is not marked is never in a shared page."""
    other = s.placed[v] & ~s.decrypted[v]
    return other.implies(s.leaf[s.page[v]] == Key.PRIVATE)


@always
def marked_variables_are_shared(s: BssDecrypted, v: Symbol) -> Bool:
    """A variable that is marked is in a shared page once the guest has booted."""
    marked = s.placed[v] & s.decrypted[v] & s.booted[()]
    return marked.implies(s.leaf[s.page[v]] == Key.SHARED)


@always
def free_section_pages_are_private(s: BssDecrypted, f: Frame) -> Bool:
    """A page that is freed is private."""
    return (s.use[f] == Use.FREE).implies(s.leaf[f] == Key.PRIVATE)


@always
def free_section_pages_hold_nothing(s: BssDecrypted, v: Symbol) -> Bool:
    """A page that holds a variable is not freed."""
    return s.placed[v].implies(s.use[s.page[v]] == Use.IMAGE)


@always
def variables_are_in_their_section(s: BssDecrypted, v: Symbol) -> Bool:
    """A page of the section holds marked variables only, and no other page holds any."""
    return s.placed[v].implies(s.decrypted[v] == s.in_section[s.page[v]])


@always
def unused_pages_are_freed_after_the_boot(s: BssDecrypted, f: Frame) -> Bool:
    """Once the guest has booted, the pages of the section are shared, but for those that were made
    private to be freed; no other page ever is."""
    running = ~mem_encrypt_free_decrypted_mem.idle(s, f)
    begun = running | (s.use[f] == Use.FREE)
    image = running.implies(s.use[f] == Use.IMAGE)
    at_first = mem_encrypt_free_decrypted_mem.at(s, f, ENCRYPT)
    private = mem_encrypt_free_decrypted_mem.at(s, f, FREE).implies(s.leaf[f] == Key.PRIVATE)
    shared = s.booted[()] & s.in_section[f] & (~begun | at_first)
    kept = (s.leaf[f] == Key.SHARED) == shared
    return begun.implies(s.booted[()] & s.in_section[f]) & image & private & kept


@always
def pages_in_a_call_hold_nothing(s: BssDecrypted, v: Symbol) -> Bool:
    """A page that is being freed holds no variable."""
    return s.placed[v].implies(mem_encrypt_free_decrypted_mem.idle(s, s.page[v]))


@step
def section_pages_are_shared_once(old: BssDecrypted, new: BssDecrypted, f: Frame) -> Bool:
    """The cost: a page is converted to shared at boot, to private when it is freed, and no more."""
    shared = (old.leaf[f] != new.leaf[f]) & ~old.booted[()]
    private = mem_encrypt_free_decrypted_mem.at(old, f, ENCRYPT)
    return (old.leaf[f] != new.leaf[f]).implies(shared | private)


@sometimes
def the_host_shares_a_variable(s: BssDecrypted, v: Symbol, w: Symbol) -> Bool:
    """A marked variable is in a shared page, and another in a private one."""
    both = s.placed[v] & s.decrypted[v] & s.placed[w] & ~s.decrypted[w]
    return both & s.booted[()]


@sometimes
def an_unused_page_is_freed(s: BssDecrypted, v: Symbol, f: Frame) -> Bool:
    """A page of the section is free while another holds a variable."""
    return (s.use[f] == Use.FREE) & s.placed[v] & s.decrypted[v]


@sometimes
def a_page_is_converted_for_the_allocator(s: BssDecrypted, f: Frame) -> Bool:
    """A page is private, and not free yet."""
    return mem_encrypt_free_decrypted_mem.at(s, f, FREE) & (s.use[f] == Use.IMAGE)
