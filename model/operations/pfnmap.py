"""User mappings of ranges that are not RAM: remap_pfn_range(), fork(), mprotect(), munmap().

A VMA that remap_pfn_range() maps as a whole has a reservation of its own, and VM_PAT to say so.  What to
give back is not written down anywhere: it is found by way of the first page's entry, which in a private
mapping may have been replaced by a copy, or by the start of the range that the VMA keeps.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Opt,
    Procedure,
    Step,
    Update,
    operation,
    some,
)
from ..machine.entries import CacheType
from ..machine.sorts import Cpu
from .memtype import Mapper, Memtypes, Range


class Prot(Locals):
    """The locals of remap_pfn_range() and copy_page_range(): the memory type of the leaves to come, and
    the one that was asked for."""

    type: Map[Mapper, CacheType]
    want: Map[Mapper, CacheType]


class PfnMap(Memtypes):
    """alive: the VMA exists.  is_private: writes to it get copies (is_cow_mapping()).  vm_pat: VM_PAT.
    leaf: the type of its leaves.  copied: its first page was replaced by a copy.  writable: what
    mprotect() says.  leaving: munmap() is at it.  tlb: the type as CPUs have cached it."""

    alive: Map[Mapper, Bool]
    is_private: Map[Mapper, Bool]
    vm_pat: Map[Mapper, Bool]
    leaf: Map[Mapper, Opt[CacheType]]
    copied: Map[Mapper, Bool]
    writable: Map[Mapper, Bool]
    leaving: Map[Mapper, Bool]
    tlb: Map[tuple[Cpu, Mapper], Opt[CacheType]]
    prot: Prot

    def rests(self, m: Mapper) -> Bool:
        """The VMA is mapped, and munmap() does not have its mmap_lock."""
        return self.leaf[m].is_some & ~self.leaving[m]


@operation(kernel="arch/x86/mm/pat/memtype.c: pat_bp_init()")
def boot(s: PfnMap) -> Step:
    """No range is reserved, there is no VMA."""
    return Step(
        when=TRUE,
        then=[
            s.reserved.fill(lambda m: FALSE),
            s.alive.fill(lambda m: FALSE),
            s.is_private.fill(lambda m: FALSE),
            s.writable.fill(lambda m: FALSE),
            s.vm_pat.fill(lambda m: FALSE),
            s.leaf.fill(lambda m: NONE),
            s.copied.fill(lambda m: FALSE),
            s.leaving.fill(lambda m: FALSE),
            s.tlb.fill(lambda cpu, m: NONE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: PfnMap, cpu: Cpu, m: Mapper) -> Step:
    """A CPU caches a translation, if there is one, with its memory type."""
    return Step(when=TRUE, then=[s.tlb.set((cpu, m), s.leaf[m])])


def _untrack(s: PfnMap, m: Mapper, found: Bool = TRUE) -> list[Update]:
    """untrack_pfn(): without VM_PAT nothing; otherwise the reservation goes, if it is found."""
    freed = s.vm_pat[m] & found
    return [s.reserved.set(m, s.reserved[m] & ~freed), s.vm_pat.set(m, FALSE)]


remap_pfn_range = Procedure(
    "remap_pfn_range",
    kernel="mm/memory.c: remap_pfn_range()",
    doc="Reserve the range of a VMA, then map it with the type that it got.",
)


@remap_pfn_range.step
def track_pfn_remap(
    s: PfnMap, m: Mapper, r: Range, is_private: Bool, want: CacheType, pcm: CacheType
) -> Step:
    """A driver's mmap(), for the whole VMA: reserve_pfn_range(), which may find another type."""
    known = (want == CacheType.WB) | (want == CacheType.WC) | (want == CacheType.UC_MINUS)
    return Step(
        when=~s.alive[m] & known & s.reservable(r, want, pcm),
        then=[
            *s.reserve(m, r, pcm),
            s.alive.set(m, TRUE),
            s.is_private.set(m, is_private),
            s.writable.set(m, TRUE),
            s.vm_pat.set(m, TRUE),
            s.prot.type.set(m, pcm),
            s.prot.want.set(m, want),
        ],
    )


@remap_pfn_range.step(to=Procedure.DONE)
def remap_pte_range(s: PfnMap, m: Mapper) -> Step:
    """The leaves are written."""
    return Step(when=TRUE, then=[s.leaf.set(m, some(s.prot.type[m]))])


@remap_pfn_range.step(at="remap_pte_range", to=Procedure.DONE)
def fail_to_remap(s: PfnMap, m: Mapper) -> Step:
    """No memory for tables: the reservation is given back, and the VMA goes."""
    return Step(when=TRUE, then=[*_untrack(s, m), s.alive.set(m, FALSE)])


@operation(kernel="mm/memory.c: wp_page_copy()")
def copy_on_write(s: PfnMap, m: Mapper) -> Step:
    """A write to the first page of a private mapping replaces it by a copy."""
    return Step(
        when=s.rests(m) & s.is_private[m] & s.writable[m],
        then=[s.copied.set(m, TRUE)],
    )


@operation(kernel="mm/mprotect.c: change_pte_range(), pte_modify()")
def mprotect(s: PfnMap, m: Mapper, writable: Bool) -> Step:
    """The rights of the leaves change; pgprot_modify() keeps their type."""
    return Step(when=s.rests(m), then=[s.writable.set(m, writable)])


def _copy_page_range(*, undoes: bool) -> Procedure:
    """fork() of one VMA.  undoes: a failure gives the reservation back that was made for the child."""
    procedure = Procedure(
        "copy_page_range",
        kernel="kernel/fork.c: dup_mmap(); mm/memory.c: copy_page_range()",
        doc="Make a VMA for the child with a reservation, copy the leaves.",
    )

    @procedure.step
    def track_pfn_copy(s: PfnMap, m: Mapper, parent: Mapper) -> Step:
        """Make the child's VMA, with a reservation of the type of the parent's first leaf, which nobody
        contradicts as the parent has one; where that leaf is a copy's, fork() fails."""
        found = s.leaf[parent].value
        return Step(
            when=s.rests(parent) & ~s.copied[parent] & ~s.alive[m],
            then=[
                *s.reserve(m, s.range[parent], found),
                s.alive.set(m, TRUE),
                s.is_private.set(m, s.is_private[parent]),
                s.writable.set(m, s.writable[parent]),
                s.vm_pat.set(m, TRUE),
                s.prot.type.set(m, found),
                s.prot.want.set(m, s.prot.want[parent]),
            ],
        )

    @procedure.step(to=Procedure.DONE)
    def copy_pte_range(s: PfnMap, m: Mapper) -> Step:
        """The leaves are copied."""
        return Step(when=TRUE, then=[s.leaf.set(m, some(s.prot.type[m]))])

    @procedure.step(at="copy_pte_range", to=Procedure.DONE)
    def fail_to_copy(s: PfnMap, m: Mapper) -> Step:
        """No memory for tables: untrack_pfn_copy(), and the child's VMA goes."""
        forget = _untrack(s, m) if undoes else [s.vm_pat.set(m, FALSE)]
        return Step(when=TRUE, then=[*forget, s.alive.set(m, FALSE)])

    return procedure


copy_page_range = _copy_page_range(undoes=True)


def _munmap(*, knows_start: bool) -> Procedure:
    """Unmap a VMA.  knows_start: where the first page is a copy, the VMA says where the range starts."""
    procedure = Procedure(
        "munmap",
        kernel="mm/memory.c: unmap_single_vma()",
        doc="Give back the reservation of a VMA, then unmap it and flush.",
    )

    @procedure.step
    def untrack_pfn(s: PfnMap, m: Mapper) -> Step:
        """get_pat_info(), free_pfn_range()."""
        found = TRUE if knows_start else ~s.copied[m]
        return Step(when=s.rests(m), then=[*_untrack(s, m, found), s.leaving.set(m, TRUE)])

    @procedure.step
    def unmap_page_range(s: PfnMap, m: Mapper) -> Step:
        """The leaves go, every CPU flushes, the VMA is gone."""
        return Step(
            when=TRUE,
            then=[
                s.leaf.set(m, NONE),
                s.copied.set(m, FALSE),
                s.tlb.fill(lambda cpu, n: NONE, lambda cpu, n: n == m),
                s.alive.set(m, FALSE),
                s.leaving.set(m, FALSE),
            ],
        )

    return procedure


munmap = _munmap(knows_start=True)

# C-05: the entry of the first page was believed, also where it was a copy's.
munmap_by_first_page = _munmap(knows_start=False)
# C-05-fork: a fork() that failed cleared VM_PAT, and that was all.
copy_page_range_without_undo = _copy_page_range(undoes=False)


# What pgprot_modify() is there against.
@operation(
    kernel="mm/mprotect.c: change_pte_range() with the VMA's own protection", name="mprotect"
)
def mprotect_with_type(s: PfnMap, m: Mapper, writable: Bool) -> Step:
    """The leaves get the bits of the new protection, which says nothing of types: write-back."""
    return Step(
        when=s.rests(m),
        then=[s.writable.set(m, writable), s.leaf.set(m, some(CacheType.WB))],
    )
