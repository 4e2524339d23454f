"""What is in memory and in caches while the kernel is encrypted in place.

What it checks: a page that was copied is, read with the key, what was loaded; one that was not is that,
read without; after caches were written back, no line without the key is dirty; that is done once for
each area.  Invariant 5 of encryption, as to pages that are in use.
Why it matters: the kernel that runs next is what was copied.
Kernel precedent: the comments in sme_encrypt_kernel() and __enc_copy().
Smallest counterexample: copy the words of a line one by one (sme-encrypt-unbuffered).
Not covered: the write-protected type of the alias without the key, of which nothing here depends, as
nobody writes by it; the tables of the routine and its TLB flushes; several processors, which have not
been started.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, forall, ite, sometimes, step
from mapproof.model.machine.sorts import Frame
from mapproof.model.operations.enc_pgtable import Key, Rounds
from mapproof.model.operations.sev import Line
from mapproof.model.operations.sme_encrypt import (
    READ_FIRST,
    READ_SECOND,
    WBINVD,
    WRITE_FIRST,
    WRITE_SECOND,
    Area,
    SmeEncrypt,
    Word,
    sme_encrypt_execute,
)


def _copies(s: SmeEncrypt, a: Area) -> Bool:
    """The area is at a page: between next_page and the second write."""
    reading = sme_encrypt_execute.at(s, a, READ_FIRST) | sme_encrypt_execute.at(s, a, READ_SECOND)
    return reading | _writes(s, a)


def _writes(s: SmeEncrypt, a: Area) -> Bool:
    first = sme_encrypt_execute.at(s, a, WRITE_FIRST)
    return first | sme_encrypt_execute.at(s, a, WRITE_SECOND)


def _is_here(s: SmeEncrypt, a: Area, f: Frame) -> Bool:
    return _copies(s, a) & (s.copy.page[a] == f)


@always
def copied_pages_are_intact(s: SmeEncrypt, a: Area, f: Frame, w: Word) -> Bool:
    """A page that is copied is what was loaded, read with the key, whatever caches drop."""
    return (s.covers[a, f] & s.copy.done[a, f]).implies(s.lasts(f, Key.PRIVATE, w))


@always
def other_pages_are_intact(s: SmeEncrypt, a: Area, f: Frame, w: Word) -> Bool:
    """A page of which nothing is written yet is what was loaded, read without the key."""
    begun = s.copy.done[a, f] | (_is_here(s, a, f) & sme_encrypt_execute.at(s, a, WRITE_SECOND))
    return (s.covers[a, f] & ~begun).implies(
        s.lasts(f, Key.SHARED, w) & (s.line[f, Key.PRIVATE] != Line.DIRTY)
    )


@always
def encrypted_areas_are_copied(s: SmeEncrypt, a: Area, f: Frame) -> Bool:
    """What the kernel maps with the key was copied; what an area copies it does not."""
    mapped = (s.covers[a, f] & (s.leaf[f] == Key.PRIVATE)).implies(s.copy.done[a, f])
    running = ~sme_encrypt_execute.idle(s, a) & s.covers[a, f]
    own = _is_here(s, a, f).implies(s.covers[a, f] & ~s.copy.done[a, f])
    return mapped & running.implies(s.leaf[f] == Key.SHARED) & own


@always
def lines_without_the_key_are_written_back(s: SmeEncrypt, a: Area, f: Frame) -> Bool:
    """When the first page is copied, and ever after, no line without the key is dirty."""
    waits = sme_encrypt_execute.idle(s, a) | sme_encrypt_execute.at(s, a, WBINVD)
    flushed = ~waits | (s.covers[a, f] & s.copy.done[a, f])
    return flushed.implies(s.line[f, Key.SHARED] != Line.DIRTY)


@always
def the_buffer_has_what_was_loaded(s: SmeEncrypt, a: Area, w: Word) -> Bool:
    """Whatever is written was read right: both words before the first is written."""
    first = sme_encrypt_execute.at(s, a, READ_SECOND) & (w == Word.FIRST)
    return (_writes(s, a) | first).implies(s.copy.read[a, w])


@always
def half_written_pages_have_one_word(s: SmeEncrypt, a: Area) -> Bool:
    """Between two writes the first word is what was loaded, read with the key."""
    half = sme_encrypt_execute.at(s, a, WRITE_SECOND)
    return half.implies(s.lasts(s.copy.page[a], Key.PRIVATE, Word.FIRST))


@always
def areas_are_encrypted_one_by_one(s: SmeEncrypt, a: Area, b: Area) -> Bool:
    """One area is encrypted at a time."""
    both = ~sme_encrypt_execute.idle(s, a) & ~sme_encrypt_execute.idle(s, b)
    return both.implies(a == b)


@always
def an_area_costs_one_wbinvd(s: SmeEncrypt, a: Area) -> Bool:
    """The cost: caches are written back once for an area, however many pages it has."""
    before = sme_encrypt_execute.at(s, a, WBINVD)
    wanted = s.copy.flushes[a] == ite(before, Rounds.NONE, Rounds.ONCE)
    return sme_encrypt_execute.idle(s, a) | wanted


@step
def copied_pages_stay_copied(old: SmeEncrypt, new: SmeEncrypt, a: Area, f: Frame) -> Bool:
    """A page is copied once, and mapped with the key for ever."""
    stays = old.copy.done[a, f].implies(new.copy.done[a, f])
    return stays & (old.leaf[f] == Key.PRIVATE).implies(new.leaf[f] == Key.PRIVATE)


@step
def what_is_read_is_cached(old: SmeEncrypt, new: SmeEncrypt, a: Area, w: Word) -> Bool:
    """What goes to the buffer is in the cache without the key, as it was loaded."""
    f = old.copy.page[a]
    first = sme_encrypt_execute.at(old, a, READ_FIRST) & ~sme_encrypt_execute.at(new, a, READ_FIRST)
    second = sme_encrypt_execute.at(old, a, READ_SECOND)
    second &= ~sme_encrypt_execute.at(new, a, READ_SECOND)
    here = (new.line[f, Key.SHARED] != Line.NONE) & new.cached[f, Key.SHARED, w]
    return (first | second).implies(here)


@sometimes
def noise_is_cached_with_the_key(s: SmeEncrypt, a: Area, f: Frame) -> Bool:
    """Before a page is written, speculation has brought in noise by the alias with the key."""
    noise = (s.line[f, Key.PRIVATE] == Line.CLEAN) & ~s.cached[f, Key.PRIVATE, Word.FIRST]
    return noise & sme_encrypt_execute.at(s, a, WRITE_FIRST) & (s.copy.page[a] == f)


@sometimes
def an_area_is_encrypted(s: SmeEncrypt, a: Area, f: Frame) -> Bool:
    """A page that the boot loader left in a cache is mapped with the key, and in memory with it."""
    own = s.covers[a, f] & s.loaded[f] & (s.leaf[f] == Key.PRIVATE)
    return own & (s.key[f] == Key.PRIVATE)


@sometimes
def both_aliases_are_cached(s: SmeEncrypt, a: Area, f: Frame) -> Bool:
    """A page has a dirty line with the key, and a clean one without."""
    both = (s.line[f, Key.PRIVATE] == Line.DIRTY) & (s.line[f, Key.SHARED] == Line.CLEAN)
    return both & s.covers[a, f] & s.copy.done[a, f]


@sometimes
def a_line_waits_for_wbinvd(s: SmeEncrypt, a: Area, f: Frame) -> Bool:
    """The boot loader's line is dirty, and memory has something else."""
    waits = sme_encrypt_execute.at(s, a, WBINVD) & s.covers[a, f]
    return waits & (s.line[f, Key.SHARED] == Line.DIRTY) & ~s.intact[f, Word.FIRST]


@sometimes
def a_line_is_evicted_between_two_writes(s: SmeEncrypt, a: Area) -> Bool:
    """Half of a page is in memory with the key."""
    half = sme_encrypt_execute.at(s, a, WRITE_SECOND)
    return (
        half
        & (s.key[s.copy.page[a]] == Key.PRIVATE)
        & forall(Frame, lambda f: s.line[f, Key.PRIVATE] != Line.DIRTY)
    )
