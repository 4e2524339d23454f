"""Whose the tables of a dump are: the kernel's list of tasks, and the mms that belong to no task."""

from __future__ import annotations

from dataclasses import replace

from .image import Root, printable
from .kernel import Kernel

SYMBOLS = ("init_task", "poking_mm", "efi_mm", "__start_BTF", "__stop_BTF")
MEMBERS = (
    "task_struct.tasks",
    "task_struct.mm",
    "task_struct.pid",
    "task_struct.comm",
    "mm_struct.pgd",
)
_MOST_TASKS = 1 << 16
_COMM = 16  # TASK_COMM_LEN


def with_owners(
    kernel: Kernel, roots: list[Root], symbols: dict[str, int], offsets: dict[str, int]
) -> list[Root]:
    """The roots with the names of the tasks that run on them, where the dump tells."""
    if not set(MEMBERS) <= offsets.keys():
        return roots
    names: dict[int, list[str]] = {}
    for name, mm in _mms(kernel, symbols, offsets):
        pgd = kernel.pointer(mm + offsets["mm_struct.pgd"])
        pa = kernel.physical(pgd) if pgd else None
        if pa is not None:
            names.setdefault(pa, []).append(name)
    return [replace(root, names=_names(root, names.get(_kernels(root), []))) for root in roots]


def _kernels(root: Root) -> int:
    """The kernel's table of a pair."""
    return root.pair if root.kind == "user" and root.pair is not None else root.pa


def _names(root: Root, found: list[str]) -> tuple[str, ...]:
    if root.names or not found:
        return root.names
    return tuple(f"{name}/user" if root.kind == "user" else name for name in found)


def _mms(kernel: Kernel, symbols: dict[str, int], offsets: dict[str, int]) -> list[tuple[str, int]]:
    """Names with the addresses of their ``struct mm_struct``."""
    found: list[tuple[str, int]] = []
    poking = kernel.pointer(symbols["poking_mm"]) if "poking_mm" in symbols else None
    if poking:
        found.append(("poking_mm", poking))
    if "efi_mm" in symbols:
        found.append(("efi_mm", symbols["efi_mm"]))
    first = symbols.get("init_task")
    task, seen = first, set[int]()
    while task is not None and task not in seen and len(seen) < _MOST_TASKS:
        seen.add(task)
        mm = kernel.pointer(task + offsets["task_struct.mm"])
        comm = kernel.read(task + offsets["task_struct.comm"], _COMM)
        pid = kernel.read(task + offsets["task_struct.pid"], 4)
        if mm and comm and pid:
            name = printable(comm.split(b"\0")[0].decode("ascii", "replace"))
            found.append((f"{name}:{int.from_bytes(pid, 'little')}", mm))
        following = kernel.pointer(task + offsets["task_struct.tasks"])
        task = None if following is None else following - offsets["task_struct.tasks"]
    return found
