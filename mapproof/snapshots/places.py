"""Places: where leaves begin, in the kernel's tables and in the user tables side by side.

Address spaces share most of what they map, so all work is done on branches: a branch is a top-level
entry of the kernel's table and the one of the user table at the same slot, and stands for all address
spaces that have these two.  One that leads to far more leaves than the tables have entries is left out
and named.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mapproof.model.language.sparse import Column

from .bits import COMPARED_IN_COPIES, PRESENT
from .walk import Walk

MOST_LEAVES = 1 << 26
_ALWAYS = 1 << 22  # leaves that are walked whatever the number of tables
_PER_TABLE = 1 << 11  # leaves beyond that: an entry of a shared table may count several times


@dataclass
class Branch:
    """A slot of the top level with its two entries, and the address spaces that have it."""

    slot: int
    kernel: int
    user: int
    isolated: bool
    special: bool
    spaces: list[int] = field(default_factory=list)


@dataclass
class Places:
    """Where leaves begin, branch by branch, in ascending order of addresses.

    kernel, user: the leaf that begins there, 0 if none.  starts: the first place of each branch, and
    the number of places behind them.
    """

    branches: list[Branch]
    starts: Column
    va: Column
    kernel: Column
    user: Column
    kernel_meta: Column
    user_meta: Column


def places_of(walk: Walk) -> Places:
    """Where leaves begin, for all branches that are not too large."""
    most = min(MOST_LEAVES, max(_ALWAYS, _PER_TABLE * len(walk.table_frames())))
    branches: list[Branch] = []
    sizes = 0.0
    for branch in _branches(walk):
        number = walk.entry_leaves(branch.kernel)
        if branch.isolated and branch.user != branch.kernel:
            number += walk.entry_leaves(branch.user)
        if sizes + number > most:
            where = f"{walk.geometry.show_va(walk.geometry.address(branch.slot))} of "
            where += walk.spaces[branch.spaces[0]].title
            walk.complain("top-level entries lead to too many leaves", where)
            continue
        sizes += number
        branches.append(branch)
    merged = [_merged(walk, branch) for branch in branches]
    starts = np.concatenate([[0], np.cumsum([len(m[0]) for m in merged], dtype=np.int64)])
    columns: list[Column] = []
    for number, kind in enumerate((np.uint64, np.uint64, np.uint64, np.uint8, np.uint8)):
        column = np.empty(int(starts[-1]), kind)
        for branch_number, parts in enumerate(merged):
            column[starts[branch_number] : starts[branch_number + 1]] = parts[number]
            parts[number] = np.zeros(0, kind)  # the memory is needed
        columns.append(column)
    return Places(branches, starts, *columns)


def _branches(walk: Walk) -> list[Branch]:
    """Top-level entries, with the address spaces that have them in common.

    What is known of a process's own addresses differs between processes, so branches of a user half
    or of the LDT's slot are never common.
    """
    own = set(walk.geometry.pgd_slots(walk.geometry.region("user")))
    own |= set(walk.geometry.pgd_slots(walk.geometry.region("ldt"))) if _has_ldt(walk) else set()
    found: dict[tuple[int, ...], Branch] = {}
    for number, space in enumerate(walk.spaces):
        kernel = walk.top[space.kernel.pa]
        user = walk.top[space.user.pa] if space.user else kernel
        present = np.flatnonzero((kernel | user) & PRESENT)
        for slot in present.tolist():
            k, u = int(kernel[slot] & COMPARED_IN_COPIES), int(user[slot] & COMPARED_IN_COPIES)
            isolated, special = space.user is not None, space.kernel.special
            mine = number if slot in own else -1
            key = (slot, k, u, isolated, special, mine)
            branch = found.setdefault(key, Branch(slot, k, u, isolated, special))
            branch.spaces.append(number)
    return [found[key] for key in sorted(found)]


def _has_ldt(walk: Walk) -> bool:
    return any(region.name == "ldt" for region in walk.geometry.regions)


def _merged(walk: Walk, branch: Branch) -> list[Column]:
    """va, kernel leaf, user leaf, and their rights, of one branch."""
    kernel = walk.leaves(branch.slot, branch.kernel)
    if not branch.isolated or branch.user == branch.kernel:
        return [kernel.va, kernel.word, kernel.word, kernel.meta, kernel.meta]
    user = walk.leaves(branch.slot, branch.user)
    if np.array_equal(kernel.va, user.va):
        return [kernel.va, kernel.word, user.word, kernel.meta, user.meta]
    if not len(user.va):
        nothing, level = np.zeros(len(kernel.va), np.uint64), np.zeros(len(kernel.va), np.uint8)
        return [kernel.va, kernel.word, nothing, kernel.meta, level]
    va = np.concatenate([kernel.va, np.setdiff1d(user.va, kernel.va, assume_unique=True)])
    if len(va) > len(kernel.va):
        va.sort(kind="stable")
    columns: list[Column] = [va]
    for which in ("word", "meta"):
        for side in (kernel, user):
            source = getattr(side, which)
            column = np.zeros(len(va), source.dtype)
            column[np.searchsorted(va, side.va)] = source
            columns.append(column)
    return columns
