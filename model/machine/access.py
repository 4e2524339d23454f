"""One access to memory: what the processor translates, refuses, and marks as accessed or dirty.

:func:`access` takes a state with page tables, the control bits, and what is accessed how.  Everything
it returns is a term, so an operation or a property takes what it needs and pays for nothing else:
control bits that a design leaves at their defaults are constants and vanish from the terms, and
reserved bits or protection keys are looked at only where the state has them (:class:`.Reserved`,
:class:`.Keyed`).

Sections cited are those of the Intel SDM, volume 3A, chapter 4.  ``tests/test_mmu.py`` compares this
module with an emulated processor.

Not covered: the hypervisor's tables (EPT, HLAT), shadow-stack accesses, SGX, addresses that are not
canonical.  What a translation cache may hold instead of what the tables say is not here either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..language import FALSE, NONE, TRUE, Bool, Enumeration, Step, Update, forall, ite
from .entries import Directory, ProtectionKey
from .sorts import Cpu, Pgd, PgdSlot, Pmd, Va
from .tables import Hop, I386Pae, PageTables, Translation, path, translation


class Kind(Enumeration):
    """What an access does."""

    READ: Kind
    WRITE: Kind
    FETCH: Kind


@dataclass(frozen=True)
class KeyRights:
    """What PKRU or IA32_PKRS says of one protection key (4.6.2)."""

    access_disabled: Bool
    write_disabled: Bool


def _all_rights(key: ProtectionKey) -> KeyRights:
    return KeyRights(FALSE, FALSE)


@dataclass(frozen=True)
class Controls:
    """The control bits that paging looks at (4.1.1, 4.1.3); what is not said is as Linux has it on
    every 64-bit CPU: write protection, large pages and execute-disable on, the rest off.

    ``user_keys`` is PKRU and ``supervisor_keys`` IA32_PKRS, as functions of the key.
    """

    wp: Bool = TRUE  # CR0.WP
    pse: Bool = TRUE  # CR4.PSE, for 2-level paging only
    nxe: Bool = TRUE  # IA32_EFER.NXE
    smep: Bool = FALSE  # CR4.SMEP
    smap: Bool = FALSE  # CR4.SMAP
    ac: Bool = FALSE  # EFLAGS.AC
    pke: Bool = FALSE  # CR4.PKE
    pks: Bool = FALSE  # CR4.PKS
    user_keys: Callable[[ProtectionKey], KeyRights] = _all_rights
    supervisor_keys: Callable[[ProtectionKey], KeyRights] = _all_rights


def forbidden_by_key(rights: KeyRights, kind: Kind, writes_checked: Bool = TRUE) -> Bool:
    """The rights of a page's key forbid an access to it (4.6.2): keys are about data accesses, and
    with CR0.WP = 0 they let supervisor mode write all the same."""
    write = (kind == Kind.WRITE) & writes_checked
    return (kind != Kind.FETCH) & (rights.access_disabled | (rights.write_disabled & write))


@dataclass(frozen=True)
class ErrorCode:
    """The error code of a page fault (4.7)."""

    present: Bool  # P: the translation exists, or has a reserved bit
    write: Bool  # W/R
    user: Bool  # U/S
    reserved: Bool  # RSVD
    fetch: Bool  # I/D
    key: Bool  # PK


@dataclass(frozen=True)
class Stage:
    """What happens at one level of a walk.  At most one of the last four holds, and none at a level
    that the walk does not reach."""

    hop: Hop
    absent: Bool  # P is clear
    reserved: Bool  # a reserved bit is set
    descends: Bool  # the entry points to the table of the next level
    maps: Bool  # the entry maps a page


@dataclass(frozen=True)
class Access:
    """One access and its outcome.

    ``user``: a user-mode access, one that code at CPL 3 makes.  ``implicit``: a supervisor-mode access
    to a table of the system, such as the GDT, whatever the CPL (4.6); EFLAGS.AC does not help it.
    """

    has_nx: bool
    long_mode: bool
    controls: Controls
    kind: Kind
    user: Bool
    implicit: Bool
    stages: tuple[Stage, ...]
    rights: Translation

    @cached_property
    def absent(self) -> Bool:
        """There is no translation because some entry is not present."""
        return _any(stage.absent for stage in self.stages)

    @cached_property
    def reserved(self) -> Bool:
        """There is no translation because some entry has a reserved bit set."""
        return _any(stage.reserved for stage in self.stages)

    @cached_property
    def mapped(self) -> Bool:
        """There is a translation, whether or not it permits the access."""
        return _any(stage.maps for stage in self.stages)

    @cached_property
    def key_violation(self) -> Bool:
        """There is a translation, and the key of its page forbids the access (4.6.2): PKRU is about user
        pages, IA32_PKRS about supervisor pages."""
        if not self.long_mode:
            return FALSE
        c, page = self.controls, self.rights
        by_pkru = forbidden_by_key(c.user_keys(page.key), self.kind, self.user | c.wp)
        by_pkrs = forbidden_by_key(c.supervisor_keys(page.key), self.kind, c.wp)
        return self.mapped & ((page.user & c.pke & by_pkru) | (~page.user & c.pks & by_pkrs))

    @cached_property
    def permitted(self) -> Bool:
        """The rights of the translation permit the access (4.6.1), protection keys aside."""
        c, page = self.controls, self.rights
        data = ite(self.user, page.user, ~(page.user & c.smap & (self.implicit | ~c.ac)))
        write = data & (page.writable | (~self.user & ~c.wp))
        fetch = ~page.nx & ite(self.user, page.user, ~(page.user & c.smep))
        return ite(self.kind == Kind.FETCH, fetch, ite(self.kind == Kind.WRITE, write, data))

    @cached_property
    def translated(self) -> Bool:
        """The access goes through."""
        return self.mapped & self.permitted & ~self.key_violation

    @property
    def fault(self) -> Bool:
        """The access causes a page fault."""
        return ~self.translated

    @cached_property
    def found(self) -> Translation:
        """Where the access goes: frame (for a large page its first) and level, if it is translated;
        otherwise ``frame`` is none."""
        return replace(self.rights, frame=ite(self.translated, self.rights.frame, NONE))

    @cached_property
    def error_code(self) -> ErrorCode:
        """The error code, meaningless without a fault."""
        c = self.controls
        tells_fetches = c.smep | (c.nxe if self.has_nx else FALSE)
        return ErrorCode(
            present=~self.absent,
            write=self.kind == Kind.WRITE,
            user=self.user,
            reserved=self.reserved,
            fetch=(self.kind == Kind.FETCH) & tells_fetches,
            key=self.key_violation,
        )

    def accessed(self, stage: Stage) -> Bool:
        """The access sets the accessed flag of this entry (4.8): the walk goes on below it, whatever
        it comes to there, or it maps the page and the access goes through.

        The manual leaves open what a walk that ends in a fault marks; processors mark the entries
        that they went through.
        """
        return (
            (stage.descends | (stage.maps & self.translated)) if stage.hop.level.rights else FALSE
        )

    def dirty(self, stage: Stage) -> Bool:
        """The access sets the dirty flag of this entry (4.8)."""
        return stage.maps & self.translated & (self.kind == Kind.WRITE)

    def marks(self) -> list[Update]:
        """The writes of accessed and dirty flags, which an access makes even if it faults."""
        updates: list[Update] = []
        for stage in self.stages:
            hop, key = stage.hop, (stage.hop.table, stage.hop.slot)
            accessed, dirty = self.accessed(stage), self.dirty(stage)
            updates.append(hop.entries.accessed.set(key, hop.entry.accessed | accessed))
            updates.append(hop.entries.dirty.set(key, hop.entry.dirty | dirty))
        return updates


def access(
    s: PageTables,
    root: Any,
    va: Va,
    kind: Kind,
    user: Bool,
    controls: Controls | None = None,
    *,
    implicit: Bool = FALSE,
    top: Any = None,
) -> Access:
    """The access of that kind to ``va`` through the tables below ``root``; ``top`` as in
    :func:`.tables.path`: for PAE paging, pass the CPU as ``root`` and its :class:`Pdptes`."""
    controls = controls or Controls()
    geometry = s.GEOMETRY
    hops: list[Hop] = []
    stages: list[Stage] = []
    reached = TRUE
    for as_written in path(s, root, va, top=top):
        hop = _in_effect(as_written, geometry.has_nx, controls)
        here = hop.entry
        bad = here.present & _reserved(hop, geometry.has_nx, controls)
        there = here.present & (here.table.is_some | here.leaf.is_some) & ~bad
        stages.append(
            Stage(
                hop,
                absent=reached & ~there & ~bad,
                reserved=reached & bad,
                descends=reached & there & here.leaf.is_none,
                maps=reached & there & here.leaf.is_some,
            )
        )
        hops.append(hop)
        reached = stages[-1].descends
    return Access(
        geometry.has_nx,
        geometry.long_mode,
        controls,
        kind,
        user,
        implicit,
        tuple(stages),
        translation(tuple(hops)),
    )


def _in_effect(hop: Hop, has_nx: bool, controls: Controls) -> Hop:
    """Without CR4.PSE, a bit 7 that is set in a PDE of 32-bit paging means nothing (4.3)."""
    if has_nx or not hasattr(hop.entries, "table"):
        return hop
    return replace(hop, entry=hop.entry.but(leaf=ite(controls.pse, hop.entry.leaf, NONE)))


def _reserved(hop: Hop, has_nx: bool, controls: Controls) -> Bool:
    """Entries with 8 bytes reserve bit 63 unless IA32_EFER.NXE is set (4.4.2, 4.5); those with 4 bytes
    reserve bits in large leaves only (4.3).  A PAE top level is checked when it is loaded."""
    here = hop.entry
    if not hop.level.rights:
        return FALSE
    if not has_nx:
        return here.reserved & here.leaf.is_some
    return here.reserved | (here.nx & ~controls.nxe)


class Pdptes(I386Pae):
    """PAE tables with the registers that hold the four top-level entries of each CPU (4.4.1): what is
    written to the table later counts only when CR3 is loaded again."""

    pdpte: Directory[Cpu, PgdSlot, Pmd]


def load_cr3(s: Any, cpu: Cpu, root: Pgd) -> Step:
    """The part of MOV to CR3 that is about ``s.pdpte`` (4.4.1): it loads all four entries, or raises a
    general-protection exception if one that is present has a reserved bit set."""
    pdpte: Any = s.pdpte
    reserves = hasattr(s.pgd, "reserved")

    def is_good(i: PgdSlot) -> Bool:
        return ~(s.pgd.present[root, i] & s.pgd.reserved[root, i]) if reserves else TRUE

    return Step(
        when=forall(PgdSlot, is_good),
        then=pdpte.fill_entries(lambda c, i: s.pgd.entry(root, i), where=lambda c, i: c == cpu),
    )


def _any(conditions: Any) -> Bool:
    result = FALSE
    for condition in conditions:
        result = result | condition
    return result
