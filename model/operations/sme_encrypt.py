"""sme_encrypt_kernel(): the kernel and its initrd are encrypted in place, while the kernel boots.

A page is mapped twice, with the key and without.  One routine, copied elsewhere, writes back all caches,
then copies each page without the key to a buffer and from there with the key to where it was.  Caches
hold lines of both aliases, and know nothing of each other.  A line has two words here: who writes one
word with the key gets the rest of the line from memory, through the key, where it is noise.
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
    Sort,
    State,
    Step,
    Update,
    assumption,
    forall,
    ite,
    operation,
)
from ..machine.sorts import Frame
from .enc_pgtable import Key, Rounds
from .sev import Line


class Area(Sort):
    """What is encrypted by one call: the kernel's image, the initrd."""


class Word(Enumeration):
    """A half of a cache line."""

    FIRST: Word
    SECOND: Word


class Copy(Locals):
    """page: the one that is copied.  read: the word in the buffer is what was in the page.  done: the
    page is copied.  flushes: how often caches were written back."""

    page: Map[Area, Frame]
    read: Map[tuple[Area, Word], Bool]
    done: Map[tuple[Area, Frame], Bool]
    flushes: Map[Area, Rounds]


class SmeEncrypt(State):
    """covers: the pages of an area.  loaded: the boot loader's lines of the page are still dirty.  key:
    what memory was written with.  intact: memory, read with that, has the word that was loaded.  line,
    cached: of each alias in the caches, and whether the word is the one that was loaded.  leaf: how the
    kernel maps the page."""

    covers: Fun[tuple[Area, Frame], Bool]
    loaded: Fun[Frame, Bool]
    key: Map[Frame, Key]
    intact: Map[tuple[Frame, Word], Bool]
    line: Map[tuple[Frame, Key], Line]
    cached: Map[tuple[Frame, Key, Word], Bool]
    leaf: Map[Frame, Key]
    copy: Copy

    def word(self, f: Frame, alias: Key, w: Word) -> Bool:
        """A read by that alias gives what was loaded."""
        memory = (self.key[f] == alias) & self.intact[f, w]
        return ite(self.line[f, alias] == Line.NONE, memory, self.cached[f, alias, w])

    def lasts(self, f: Frame, alias: Key, w: Word) -> Bool:
        """So does one after the line was evicted."""
        memory = (self.key[f] == alias) & self.intact[f, w]
        return self.word(f, alias, w) & ((self.line[f, alias] == Line.DIRTY) | memory)

    def access(self, f: Frame, alias: Key, line: Line, w: Word, value: Bool) -> list[Update]:
        """The line of an alias is in the cache, and has this word."""

        def whole(g: Frame, k: Key, x: Word) -> Bool:
            return ite(x == w, value, self.word(g, k, x))

        return [
            self.cached.fill(whole, lambda g, k, x: (g == f) & (k == alias)),
            self.line.set((f, alias), line),
        ]


@assumption
def areas_are_disjoint(s: SmeEncrypt, a: Area, b: Area, f: Frame) -> Bool:
    """A page is of one area."""
    return (s.covers[a, f] & s.covers[b, f]).implies(a == b)


@operation(kernel="arch/x86/boot/compressed/misc.c: extract_kernel()")
def boot(s: SmeEncrypt) -> Step:
    """Pages are loaded without the key, some of them still in a cache."""
    return Step(
        when=TRUE,
        then=[
            s.key.fill(lambda f: Key.SHARED),
            s.intact.fill(lambda f, w: ~s.loaded[f]),
            s.line.fill(lambda f, k: ite(s.loaded[f] & (k == Key.SHARED), Line.DIRTY, Line.NONE)),
            s.cached.fill(lambda f, k, w: k == Key.SHARED),
            s.leaf.fill(lambda f: Key.SHARED),
            s.copy.done.fill(lambda a, f: FALSE),
        ],
    )


def _write_back(s: SmeEncrypt, f: Frame, alias: Key) -> list[Update]:
    dirty = s.line[f, alias] == Line.DIRTY
    return [
        s.key.set(f, ite(dirty, alias, s.key[f])),
        s.intact.fill(
            lambda g, w: ite(dirty, s.cached[g, alias, w], s.intact[g, w]), lambda g, w: g == f
        ),
        s.line.set((f, alias), Line.NONE),
    ]


@operation(kernel="AMD APM vol. 2, section 7.3: memory coherency and protocol")
def evict(s: SmeEncrypt, f: Frame, alias: Key) -> Step:
    """A line leaves the cache, and is written back if it is dirty."""
    return Step(when=s.line[f, alias] != Line.NONE, then=_write_back(s, f, alias))


@operation(kernel="AMD APM vol. 2, section 7.10.8: encrypt-in-place")
def fill_cache(s: SmeEncrypt, f: Frame, alias: Key) -> Step:
    """Speculation brings in a line by either alias."""
    new = s.line[f, alias] == Line.NONE
    value = s.word(f, alias, Word.FIRST)
    return Step(when=new, then=s.access(f, alias, Line.CLEAN, Word.FIRST, value))


def _execute(*, flushes: bool = True, buffered: bool = True) -> Procedure:
    """flushes: caches are written back before.  buffered: a line is read as a whole before it is
    written."""
    procedure = Procedure(
        "sme_encrypt_execute",
        kernel="arch/x86/mm/mem_encrypt_boot.S: sme_encrypt_execute(), __enc_copy()",
        doc="Write back all caches, copy every page of an area out and in, map it with the key.",
    )

    @procedure.step(to="wbinvd")
    def begin(s: SmeEncrypt, a: Area) -> Step:
        """The routine runs from elsewhere, with tables of its own; areas come one after the other."""
        alone = forall(Area, lambda b: sme_encrypt_execute.idle(s, b))
        fresh = forall(Frame, lambda f: s.covers[a, f].implies(s.leaf[f] == Key.SHARED))
        return Step(when=alone & fresh, then=[s.copy.flushes.set(a, Rounds.NONE)])

    @procedure.step(at="wbinvd", to="pages")
    def wbinvd(s: SmeEncrypt, a: Area) -> Step:
        """Every line of every alias is written back; only then are there two aliases in use."""
        if not flushes:
            return Step(when=TRUE)
        shared, private = Key.SHARED, Key.PRIVATE

        def writes(f: Frame, k: Key) -> Bool:
            return s.line[f, k] == Line.DIRTY

        return Step(
            when=TRUE,
            then=[
                s.key.fill(
                    lambda f: ite(
                        writes(f, private), private, ite(writes(f, shared), shared, s.key[f])
                    )
                ),
                s.intact.fill(
                    lambda f, w: ite(
                        writes(f, private),
                        s.cached[f, private, w],
                        ite(writes(f, shared), s.cached[f, shared, w], s.intact[f, w]),
                    )
                ),
                s.line.fill(lambda f, k: Line.NONE),
                s.copy.flushes.set(a, Rounds.ONCE),
            ],
        )

    def read(name: str, at: str, to: str, w: Word) -> None:
        def read_word(s: SmeEncrypt, a: Area) -> Step:
            """A word goes to the buffer, read without the key."""
            f = s.copy.page[a]
            value = s.word(f, Key.SHARED, w)
            line = ite(s.line[f, Key.SHARED] == Line.DIRTY, Line.DIRTY, Line.CLEAN)
            return Step(
                when=TRUE,
                then=[s.copy.read.set((a, w), value), *s.access(f, Key.SHARED, line, w, value)],
            )

        read_word.__name__ = name
        procedure.step(at=at, to=to)(read_word)

    def write(name: str, at: str, to: str, w: Word, *, ends: bool) -> None:
        def write_word(s: SmeEncrypt, a: Area) -> Step:
            """A word comes from the buffer, written with the key; with the second the page is done."""
            f = s.copy.page[a]
            written = s.access(f, Key.PRIVATE, Line.DIRTY, w, s.copy.read[a, w])
            last = TRUE if ends else s.copy.done[a, f]
            return Step(when=TRUE, then=[*written, s.copy.done.set((a, f), last)])

        write_word.__name__ = name
        procedure.step(at=at, to=to)(write_word)

    @procedure.step(at="pages", to="read_first")
    def next_page(s: SmeEncrypt, a: Area, f: Frame) -> Step:
        """A page that is not copied yet."""
        return Step(
            when=s.covers[a, f] & ~s.copy.done[a, f],
            then=[s.copy.page.set(a, f)],
        )

    read("read_first", "read_first", "read_second" if buffered else "write_first", Word.FIRST)
    read("read_second", "read_second", "write_first" if buffered else "write_second", Word.SECOND)
    write(
        "write_first",
        "write_first",
        "write_second" if buffered else "read_second",
        Word.FIRST,
        ends=False,
    )
    write("write_second", "write_second", "pages", Word.SECOND, ends=True)

    @procedure.step(at="pages", to=Procedure.DONE)
    def encrypted(s: SmeEncrypt, a: Area) -> Step:
        """All are copied: the kernel maps the area with the key from now on."""
        all_done = forall(Frame, lambda f: s.covers[a, f].implies(s.copy.done[a, f]))
        return Step(
            when=all_done, then=[s.leaf.fill(lambda f: Key.PRIVATE, lambda f: s.covers[a, f])]
        )

    return procedure


sme_encrypt_execute = _execute()
(
    BEGIN,
    WBINVD,
    NEXT_PAGE,
    READ_FIRST,
    READ_SECOND,
    WRITE_FIRST,
    WRITE_SECOND,
    ENCRYPTED,
) = sme_encrypt_execute.steps
# What WBINVD and the intermediate buffer are there for.
execute_without_wbinvd = _execute(flushes=False)
execute_without_buffer = _execute(buffered=False)
