""".bss..decrypted: variables that an SEV guest shares with its host, in pages of their own.

A page is shared as a whole, so the linker script gives the section pages that hold nothing else.  They
are shared early at boot.  The section is as large as a large page; its pages that hold nothing are made
private again and freed, or kept if that fails.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Procedure,
    Sort,
    State,
    Step,
    exists,
    operation,
)
from ..machine.sorts import Frame
from .enc_pgtable import Key


class Symbol(Sort):
    """A variable of the image."""


class Use(Enumeration):
    """A page of the image, or of the allocator."""

    IMAGE: Use
    FREE: Use


class BssDecrypted(State):
    """decrypted: the variable is marked __bss_decrypted.  in_section: the page is, at least in part, of
    .bss..decrypted.  placed: the linker has placed a variable.  page: where.  booted: the section was
    shared.  use, leaf: of a page."""

    decrypted: Fun[Symbol, Bool]
    in_section: Fun[Frame, Bool]
    placed: Map[Symbol, Bool]
    page: Map[Symbol, Frame]
    booted: Map[tuple[()], Bool]
    use: Map[Frame, Use]
    leaf: Map[Frame, Key]

    def is_used(self, f: Frame) -> Bool:
        """A variable is in the page."""
        return exists(Symbol, lambda v: self.placed[v] & (self.page[v] == f))


@operation(kernel="arch/x86/kernel/vmlinux.lds.S")
def boot(s: BssDecrypted) -> Step:
    """Nothing is placed yet; every page is of the image, and private."""
    return Step(
        when=TRUE,
        then=[
            s.placed.fill(lambda v: FALSE),
            s.booted.set((), FALSE),
            s.use.fill(lambda f: Use.IMAGE),
            s.leaf.fill(lambda f: Key.PRIVATE),
        ],
    )


def _place(s: BssDecrypted, v: Symbol, f: Frame, *, aligned: bool) -> Step:
    fits = s.decrypted[v] == s.in_section[f]
    if not aligned:  # what comes before or behind may be in a page of the section
        fits = s.decrypted[v].implies(s.in_section[f])
    return Step(
        when=~s.booted[()] & ~s.placed[v] & fits,
        then=[s.placed.set(v, TRUE), s.page.set(v, f)],
    )


@operation(kernel="arch/x86/kernel/vmlinux.lds.S: BSS_DECRYPTED")
def place(s: BssDecrypted, v: Symbol, f: Frame) -> Step:
    """The linker places a variable; the section begins and ends with a page."""
    return _place(s, v, f, aligned=True)


# S-08: a section that is put somewhere else has no such alignment.
@operation(kernel="include/asm-generic/vmlinux.lds.h: DATA_DATA before 6.0.9", name="place")
def place_unaligned(s: BssDecrypted, v: Symbol, f: Frame) -> Step:
    """The linker places a variable; pages of the section may hold others, too."""
    return _place(s, v, f, aligned=False)


@operation(
    kernel="arch/x86/kernel/head64.c: sme_postprocess_startup(), early_snp_set_memory_shared()"
)
def share_section(s: BssDecrypted) -> Step:
    """Every page of the section is shared."""
    return Step(
        when=~s.booted[()],
        then=[
            s.booted.set((), TRUE),
            s.leaf.fill(lambda f: Key.SHARED, lambda f: s.in_section[f]),
        ],
    )


def _free(*, rounds_up: bool = True, keeps: bool = True) -> Procedure:
    """rounds_up: what is unused begins with a page.  keeps: pages that cannot be encrypted are kept."""
    procedure = Procedure(
        "mem_encrypt_free_decrypted_mem",
        kernel="arch/x86/mm/mem_encrypt_amd.c: mem_encrypt_free_decrypted_mem()",
        doc="Make an unused page of the section private, and free it.",
    )

    @procedure.step(to="set_memory_encrypted")
    def begin(s: BssDecrypted, f: Frame) -> Step:
        """From __start_bss_decrypted_unused to __end_bss_decrypted."""
        unused = ~s.is_used(f) if rounds_up else TRUE
        return Step(when=s.booted[()] & s.in_section[f] & (s.use[f] == Use.IMAGE) & unused)

    @procedure.step(at="set_memory_encrypted", to="free_init_pages")
    def set_memory_encrypted(s: BssDecrypted, f: Frame) -> Step:
        """The page becomes private, with all of its leaves (see enc_pgtable)."""
        return Step(when=TRUE, then=[s.leaf.set(f, Key.PRIVATE)])

    @procedure.step(at="set_memory_encrypted", to=Procedure.DONE if keeps else "free_init_pages")
    def fails(s: BssDecrypted, f: Frame) -> Step:
        """It does not, and the page stays what it is."""
        return Step(when=TRUE)

    @procedure.step(at="free_init_pages", to=Procedure.DONE)
    def free_init_pages(s: BssDecrypted, f: Frame) -> Step:
        """The allocator has it."""
        return Step(when=TRUE, then=[s.use.set(f, Use.FREE)])

    return procedure


mem_encrypt_free_decrypted_mem = _free()
BEGIN, ENCRYPT, FAILS, FREE = mem_encrypt_free_decrypted_mem.steps

# What the alignment of __start_bss_decrypted_unused, and the return after a failure, are there for.
free_from_the_middle_of_a_page = _free(rounds_up=False)
free_what_fails = _free(keeps=False)
