"""KAISER as first posted, as repaired, and with one slip each."""

from __future__ import annotations

from ..language import Bool, Design, Size, always
from ..machine.cpu import Mode
from ..machine.sorts import Cpu, Frame, Mm, Pgd, PgdSlot, Pte, PteSlot, Va
from ..operations import kaiser as op
from ..operations.kaiser import Kaiser, Owner, PgdUse, Repaired, TableUse

# Lemmas: what is true of every KAISER design beside its properties.


@always
def kernel_halves_are_fixed(s: Kaiser, m: Mm, i: PgdSlot) -> Bool:
    """Kernel-half top-level entries keep what boot linked there."""
    kernel = s.pgd.entry(s.kernel_pgd[m], i)
    shadow = s.pgd.entry(s.shadow_pgd[m], i)
    linked = (kernel.present & (kernel.table == s.kernel_table[i])) & (
        shadow.present & (shadow.table == s.shadow_table[i])
    )
    return (~s.user_half[i]).implies(linked)


@always
def user_slots_lead_to_own_tables(s: Kaiser, m: Mm, i: PgdSlot) -> Bool:
    """A user slot of either half is empty or leads to the process's own table for it."""
    kernel = s.pgd.entry(s.kernel_pgd[m], i)
    shadow = s.pgd.entry(s.shadow_pgd[m], i)
    own = kernel.present.implies(kernel.table == s.user_table[m, i]) & shadow.present.implies(
        shadow.table == s.user_table[m, i]
    )
    return s.user_half[i].implies(own)


@always
def shadow_leaves_are_known_entry_pages(s: Kaiser, va: Va) -> Bool:
    """A leaf of the shadow's kernel half maps the entry page known for its address, without US."""
    leaf = s.pte.entry(s.shadow_table[s.pgd_index[va]], s.pte_index[va])
    page = s.known_page(va)
    known = page.is_some & (leaf.leaf == page) & (s.owner[page.value] == Owner.ENTRY) & ~leaf.user
    return (~s.is_user(va) & leaf.present).implies(known)


@always
def user_leaves_are_user_frames(s: Kaiser, t: Pte, j: PteSlot) -> Bool:
    """A leaf of a user table maps a frame that user space owns."""
    leaf = s.pte.entry(t, j)
    user = leaf.leaf.is_some & (s.owner[leaf.leaf.value] == Owner.USER)
    return ((s.table_use[t] == TableUse.USER) & leaf.present).implies(user)


@always
def user_frames_are_mapped_once(s: Kaiser, t: Pte, j: PteSlot, u: Pte, k: PteSlot) -> Bool:
    """No two leaves of user tables map one frame."""
    a, b = s.pte.entry(t, j), s.pte.entry(u, k)
    user = (s.table_use[t] == TableUse.USER) & (s.table_use[u] == TableUse.USER)
    same = a.present & b.present & (a.leaf.value == b.leaf.value)
    return (user & same).implies((t == u) & (j == k))


@always
def kernel_frames_are_mapped_once(s: Kaiser, t: Pte, j: PteSlot, u: Pte, k: PteSlot) -> Bool:
    """No two leaves of the kernel's tables, outside the direct map, map one frame."""
    a, b = s.pte.entry(t, j), s.pte.entry(u, k)
    kernel = (s.table_use[t] == TableUse.KERNEL) & (s.table_use[u] == TableUse.KERNEL)
    mapped = s.direct_map[t, j].is_none & s.direct_map[u, k].is_none & a.present & b.present
    return (kernel & mapped & (a.leaf.value == b.leaf.value)).implies((t == u) & (j == k))


@always
def entry_frames_stay(s: Kaiser, f: Frame) -> Bool:
    """Entry frames are never given to anyone else."""
    return s.entry[f] == (s.owner[f] == Owner.ENTRY)


def _writing(s: Kaiser, cpu: Cpu) -> Bool:
    """The CPU is between the two writes of a set_pgd()."""
    return ~op.pgd_populate.idle(s, cpu) | ~op.pgd_clear.idle(s, cpu)


@always
def writing_holds_the_lock(s: Kaiser, cpu: Cpu) -> Bool:
    """Between the two writes, the CPU holds the lock of the process whose user slot it writes."""
    m, i = s.set_pgd.mm[cpu], s.set_pgd.slot[cpu]
    return _writing(s, cpu).implies(s.user_half[i] & s.page_table_lock[m])


@always
def writing_keeps_the_cpu(s: Kaiser, cpu: Cpu) -> Bool:
    """Between the two writes, the CPU stays in the kernel, on the process that it writes for."""
    stays = s.preempt_off[cpu] & (s.mode[cpu] == Mode.KERNEL)
    return _writing(s, cpu).implies(stays & (s.loaded_mm[cpu] == s.set_pgd.mm[cpu]))


@always
def the_window_is_locked(s: Kaiser, m: Mm) -> Bool:
    """A set_pgd() is between its two writes exactly while page_table_lock is held."""
    return s.in_set_pgd[m] == s.page_table_lock[m]


@always
def one_writer_per_process(s: Kaiser, a: Cpu, b: Cpu) -> Bool:
    """Two CPUs are never between the two writes for one process."""
    both = _writing(s, a) & _writing(s, b) & (s.set_pgd.mm[a] == s.set_pgd.mm[b])
    return both.implies(a == b)


@always
def shadow_is_written_first(s: Kaiser, cpu: Cpu) -> Bool:
    """Between the two writes that link a slot, the shadow's entry is what the kernel's will be."""
    m, i = s.set_pgd.mm[cpu], s.set_pgd.slot[cpu]
    shadow = s.pgd.entry(s.shadow_pgd[m], i)
    return (~op.pgd_populate.idle(s, cpu)).implies(s.pgd.same(shadow, op.user_entry(s, m, i)))


@always
def shadow_is_cleared_first(s: Kaiser, cpu: Cpu) -> Bool:
    """Between the two writes that unlink a slot, the shadow's entry is zero."""
    m, i = s.set_pgd.mm[cpu], s.set_pgd.slot[cpu]
    return (~op.pgd_clear.idle(s, cpu)).implies(s.pgd.none(s.shadow_pgd[m], i))


@always
def one_procedure_at_a_time(s: Kaiser, cpu: Cpu) -> Bool:
    """A CPU is in one set_pgd() at most."""
    return op.pgd_populate.idle(s, cpu) | op.pgd_clear.idle(s, cpu)


@always
def other_slots_are_equal(s: Kaiser, cpu: Cpu, i: PgdSlot) -> Bool:
    """Between the two writes, the process's other user slots are equal."""
    m = s.set_pgd.mm[cpu]
    kernel, shadow = s.pgd.entry(s.kernel_pgd[m], i), s.pgd.entry(s.shadow_pgd[m], i)
    other = _writing(s, cpu) & s.user_half[i] & (i != s.set_pgd.slot[cpu])
    return other.implies(s.pgd.same(kernel, shadow, except_for=("nx",)))


TREE = (
    kernel_halves_are_fixed,
    user_slots_lead_to_own_tables,
    shadow_leaves_are_known_entry_pages,
    user_leaves_are_user_frames,
    user_frames_are_mapped_once,
    entry_frames_stay,
)
WINDOW = (
    kernel_frames_are_mapped_once,
    writing_holds_the_lock,
    writing_keeps_the_cpu,
    the_window_is_locked,
    one_writer_per_process,
    shadow_is_written_first,
    shadow_is_cleared_first,
    one_procedure_at_a_time,
    other_slots_are_equal,
)

# The other sizes follow: a pair of PGD pages per process and two pages of other uses, a table under
# every kernel slot of both halves and every user slot of every process, an address for every leaf.
SCOPE: dict[type, Size] = {
    Mm: 2,
    Cpu: 2,
    PgdSlot: 3,
    PteSlot: 2,
    Frame: 2,
    Pgd: lambda sizes: 2 * sizes[Mm] + 2,
    Pte: lambda sizes: op.tables_needed(sizes[PgdSlot], sizes[Mm]),
    Va: lambda sizes: sizes[PgdSlot] * sizes[PteSlot],
}

kaiser_v2 = Design(
    name="kaiser-v2",
    state=Repaired,
    init=op.boot,
    operations=[
        op.switch_mm,
        op.return_to_user,
        op.enter_kernel,
        op.set_low_pgd,
        op.clear_low_pgd,
        op.map_user_page,
        op.unmap_user_page,
        op.vmap_page,
        op.vunmap_page,
        op.kaiser_add_mapping,
        op.kaiser_remove_mapping,
    ],
    procedures=[op.pgd_populate, op.pgd_clear],
    lemmas=[*TREE, *WINDOW],
    assumptions=op.ASSUMPTIONS,
    scope=SCOPE,
    doc="""KAISER as repaired after the review of 1 November 2017: kaiser_add_mapping() refuses user
addresses and maps only entry pages known a priori, at their 1:1 address, with fixed flags; top-level
entries are set and cleared in both halves, the shadow first, under page_table_lock.""",
    source="review by L. Torvalds, 1 Nov 2017; kaiser_set_shadow_pgd() of the later series",
)

kaiser_v1 = kaiser_v2.but(
    name="kaiser-v1",
    state=Kaiser,
    operations=[
        op.kaiser_add_mapping_v1 if o is op.kaiser_add_mapping else o for o in kaiser_v2.operations
    ],
    procedures=[op.pgd_populate_v1, op.pgd_clear_v1],
    lemmas=TREE,
    doc="""KAISER as the review of 1 November 2017 objects to it: kaiser_add_mapping() takes any
address and any flags and looks the physical page up in the old tables; the user half of the shadow
is a copy made by a second write, and user code can run between the two.""",
    source="review by L. Torvalds, 1 Nov 2017, of the KAISER series posted that week",
)

kaiser_v2_no_copy_on_clear = kaiser_v2.replacing(
    op.pgd_clear,
    op.pgd_clear_kernel_only,
    name="kaiser-v2-no-copy-on-clear",
    doc="kaiser-v2, but clearing a user slot does not reach the shadow.",
)

kaiser_v2_nx_on_clear = kaiser_v2.replacing(
    op.pgd_clear,
    op.pgd_clear_with_nx,
    name="kaiser-v2-nx-on-clear",
    doc="kaiser-v2, but NX is left behind when the kernel's entry is cleared (defect K-02).",
)


@always
def low_entries_go_to_single_pages(s: Kaiser, cpu: Cpu) -> Bool:
    """Between its two writes, set_low_pgd() is about to link a kernel's table to a user slot of a
    single-page PGD."""
    single = s.page_use[s.set_pgd.root[cpu]] == PgdUse.SINGLE
    table = s.table_use[s.set_pgd.table[cpu]] == TableUse.KERNEL
    inside = single & table & s.user_half[s.set_pgd.slot[cpu]] & ~_writing(s, cpu)
    return (~op.set_low_pgd_mirrored.idle(s, cpu)).implies(inside)


kaiser_v2_mirror_beside_single = kaiser_v2.replacing(
    op.set_low_pgd,
    op.set_low_pgd_mirrored,
    name="kaiser-v2-mirror-beside-single",
    doc="kaiser-v2, but the mirror is also written beside a PGD that is not a pair (defect K-01).",
)
kaiser_v2_mirror_beside_single = kaiser_v2_mirror_beside_single.but(
    name=kaiser_v2_mirror_beside_single.name,
    lemmas=[*kaiser_v2.lemmas, low_entries_go_to_single_pages],
)
